//! The design of sequences: the bindings of `spinray-signal::epg::adjoint`.

use crate::convert::zeros;
use crate::run::run;
use crate::signal::{Columns, parameter, program};
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use spinray_signal::epg::Atoms;
use spinray_signal::epg::adjoint::flip_gradient;
use spinray_signal::program::Op;

/// The gradient by the angle of each pulse, (atoms, pulses), of Re sum(conj(c) y), with signals and derivatives y
/// as of `epg`, on resonance. The `cotangents` c have the shape of y, (atoms, 1 + derivatives, echoes, 2); `atoms`
/// are t1, t2, b1.
#[pyfunction]
fn epg_flip_gradient<'py>(
    py: Python<'py>,
    columns: Columns<'py>,
    atoms: [PyReadonlyArray1<'py, f64>; 3],
    derivatives: Vec<String>,
    cotangents: PyReadonlyArrayDyn<'py, f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let program = program(&columns)?;
    let derivatives = derivatives.iter().map(|name| parameter(name)).collect::<PyResult<Vec<_>>>()?;
    let [t1, t2, b1] = &atoms;
    let (t1, t2, b1) = (t1.as_slice()?, t2.as_slice()?, b1.as_slice()?);
    let atoms = Atoms { t1, t2, b1, off_resonance: &[], diffusion: &[] };
    let pulses = program.ops.iter().filter(|op| matches!(op, Op::Pulse { .. })).count();
    let (out, rows) = zeros::<f64>(py, &[t1.len(), pulses])?;
    let cotangents = cotangents.as_slice()?;
    run(py, None, |job| flip_gradient(&program, &atoms, &derivatives, cotangents, rows, job))?;
    Ok(out.into_any())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(epg_flip_gradient, module)?)?;
    Ok(())
}
