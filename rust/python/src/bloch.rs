//! Isochromats: the bindings of `spinray-signal::bloch`.

use crate::convert::{Scalar, by_dtype, entries, zeros};
use crate::error::to_python;
use crate::run::run;
use numpy::{PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use spinray_signal::bloch::{Atoms, Plan, Shape, Voxel, simulate};

type Column<'py> = PyReadonlyArray1<'py, f64>;

/// Waveform (samples, (re, im)) in rad/s, s per sample, gradient in rad/s/mm.
type Pulse<'py> = (PyReadonlyArray2<'py, f64>, f64, f64);

fn shape((waveform, dt, gradient): &Pulse<'_>) -> PyResult<Shape> {
    let (samples, rest) = waveform.as_slice()?.as_chunks::<2>();
    if waveform.shape()[1] != 2 || !rest.is_empty() {
        return Err(PyValueError::new_err("shapes: expected waveforms of shape (samples, 2)"));
    }
    Ok(Shape { waveform: samples.to_vec(), dt: *dt, gradient: *gradient })
}

fn signals<'py, T: Scalar>(
    table: &Bound<'py, PyArrayDyn<T>>,
    plan: &Plan,
    voxel: &Voxel<'_>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let &[5, n] = table.shape() else {
        return Err(PyValueError::new_err("parameters: expected shape (5, atoms)"));
    };
    let values = entries(table)?;
    let row = |k: usize| &values[k * n..(k + 1) * n];
    let atoms = Atoms { t1: row(0), t2: row(1), b1: row(2), off_resonance: row(3), t2_prime: row(4) };
    let (out, rows) = zeros::<T>(table.py(), &[n, plan.echoes, 2])?;
    run(table.py(), progress, |job| simulate(plan, &atoms, voxel, rows, job))?;
    Ok(out)
}

/// Signals (atoms, echoes, (re, im)) of a program (code, a, b), whose code 7 plays shape a with phase b, for
/// parameters (5, atoms): t1, t2, b1, off-resonance, t2'. `voxel`: number of isochromats, positions in mm, and the
/// relative flip angle of hard pulses at each.
#[pyfunction]
#[pyo3(signature = (program, shapes, parameters, voxel, progress = None))]
fn bloch<'py>(
    program: (Column<'py>, Column<'py>, Column<'py>),
    shapes: Vec<Pulse<'py>>,
    parameters: &Bound<'py, PyAny>,
    voxel: (usize, Column<'py>, Column<'py>),
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (code, a, b) = &program;
    let shapes = shapes.iter().map(shape).collect::<PyResult<Vec<_>>>()?;
    let plan = Plan::new(code.as_slice()?, a.as_slice()?, b.as_slice()?, shapes).map_err(to_python)?;
    let (isochromats, positions, profile) = &voxel;
    let (positions, profile) = (positions.as_slice()?, profile.as_slice()?);
    let voxel = Voxel { isochromats: *isochromats, positions, profile };
    by_dtype!(parameters, |table| signals(table, &plan, &voxel, progress))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(bloch, module)?)?;
    Ok(())
}
