//! Extended phase graphs: the bindings of `spinray-signal::epg`.

use crate::convert::{Scalar, zeros};
use crate::error::to_python;
use crate::run::run;
use numpy::{PyArrayDyn, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use spinray_core::Error;
use spinray_signal::epg::{Atoms, Basis, Output, Parameter, Plan, simulate};
use spinray_signal::program::Program;

/// Columns code, a, b, the slice profile, and the dephasing in rad/mm.
pub type Columns<'py> = (
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    PyReadonlyArray1<'py, f64>,
    f64,
);

/// The program of a sequence.
pub fn program(columns: &Columns<'_>) -> PyResult<Program> {
    let (code, a, b, profile, dephasing) = columns;
    Program::new(code.as_slice()?, a.as_slice()?, b.as_slice()?, profile.as_slice()?, *dephasing).map_err(to_python)
}

/// t1, t2, b1, off-resonance, diffusion; None for 1, 0 and 0.
type Values<'py> = [Option<Bound<'py, PyAny>>; 5];

/// The same in one dtype.
struct Table<'py, T: Scalar>([Option<Bound<'py, PyArrayDyn<T>>>; 5]);

impl<'py, T: Scalar> Table<'py, T> {
    /// If all are of this dtype.
    fn of(values: &Values<'py>) -> Option<Self> {
        let mut columns = [const { None }; 5];
        for (column, value) in columns.iter_mut().zip(values) {
            if let Some(value) = value {
                *column = Some(value.cast::<PyArrayDyn<T>>().ok()?.clone());
            }
        }
        Some(Self(columns))
    }

    fn atoms(&self) -> PyResult<Atoms<'_, T>> {
        let column = |k: usize| self.0[k].as_ref().map_or(Ok(&[][..]), crate::convert::entries);
        Ok(Atoms { t1: column(0)?, t2: column(1)?, b1: column(2)?, off_resonance: column(3)?, diffusion: column(4)? })
    }
}

/// Runs a generic function with the table in single or double precision.
macro_rules! in_precision {
    ($values:expr, |$table:ident: $t:ident| $call:expr) => {
        if let Some($table) = Table::<f32>::of($values) {
            type $t = f32;
            $call
        } else if let Some($table) = Table::<f64>::of($values) {
            type $t = f64;
            $call
        } else {
            Err(PyTypeError::new_err("expected parameters that are all float32 or all float64"))
        }
    };
}

pub fn parameter(name: &str) -> PyResult<Parameter> {
    match name {
        "t1" => Ok(Parameter::T1),
        "t2" => Ok(Parameter::T2),
        "b1" => Ok(Parameter::B1),
        "off_resonance" => Ok(Parameter::OffResonance),
        _ => {
            Err(to_python(Error::invalid("derivatives", format!("expected t1, t2, b1 or off_resonance, got {name:?}"))))
        }
    }
}

/// Whether all signals of a program are real, with atoms on or off resonance.
#[pyfunction]
fn epg_is_real(columns: Columns<'_>, precesses: bool) -> PyResult<bool> {
    Ok(Plan::new(&program(&columns)?, None, precesses).is_real)
}

/// Signals and their derivatives: (atoms, 1 + derivatives, echoes), with a last axis (re, im) if asked to be
/// complex or if they are; and the bound on what `n_states` costs. A parameter is a 1-D array or None.
#[pyfunction]
#[pyo3(signature = (columns, parameters, derivatives, n_states = None, complex = true, progress = None))]
fn epg<'py>(
    py: Python<'py>,
    columns: Columns<'py>,
    parameters: Values<'py>,
    derivatives: Vec<String>,
    n_states: Option<usize>,
    complex: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, f64)> {
    let plan = Plan::new(&program(&columns)?, n_states, parameters[3].is_some());
    let derivatives = derivatives.iter().map(|name| parameter(name)).collect::<PyResult<Vec<_>>>()?;
    let complex = complex || !plan.is_real;
    in_precision!(&parameters, |table: T| {
        let atoms = table.atoms()?;
        let mut shape = vec![atoms.t1.len(), 1 + derivatives.len(), plan.echoes];
        shape.extend(complex.then_some(2));
        let (out, rows) = zeros::<T>(py, &shape)?;
        let bound =
            run(py, progress, |job| simulate(&plan, &atoms, &derivatives, Output::signals(rows, complex), job))?;
        Ok((out.into_any(), bound))
    })
}

/// Coefficients of signals in an orthonormal `basis` (echoes, rank), with a last axis (re, im) if signals are
/// complex: (atoms, rank), with the same last axis; the squared norm of each signal; and the bound on what `n_states`
/// costs.
#[pyfunction]
#[pyo3(signature = (columns, parameters, basis, n_states = None, progress = None))]
fn epg_coefficients<'py>(
    py: Python<'py>,
    columns: Columns<'py>,
    parameters: Values<'py>,
    basis: &Bound<'py, PyAny>,
    n_states: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, f64)> {
    let plan = Plan::new(&program(&columns)?, n_states, parameters[3].is_some());
    in_precision!(&parameters, |table: T| {
        let atoms = table.atoms()?;
        let Ok(basis) = basis.cast::<PyArrayDyn<T>>() else {
            return Err(PyTypeError::new_err("basis: expected the dtype of the parameters"));
        };
        let parts = if plan.is_real { 1 } else { 2 };
        let rank = basis.shape().get(1).copied().unwrap_or(0);
        let basis = Basis::new(crate::convert::entries(basis)?, plan.echoes, rank, parts).map_err(to_python)?;
        let mut shape = vec![atoms.t1.len(), rank];
        shape.extend((parts == 2).then_some(2));
        let (out, rows) = zeros::<T>(py, &shape)?;
        let (norms, energy) = zeros::<T>(py, &shape[..1])?;
        let output = Output::coefficients(rows, &basis, energy);
        let bound = run(py, progress, |job| simulate(&plan, &atoms, &[], output, job))?;
        Ok((out.into_any(), norms.into_any(), bound))
    })
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(epg, module)?)?;
    module.add_function(wrap_pyfunction!(epg_coefficients, module)?)?;
    module.add_function(wrap_pyfunction!(epg_is_real, module)?)?;
    Ok(())
}
