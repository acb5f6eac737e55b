//! Analytic shapes: the bindings of `spinray_project::analytic`.

use crate::convert::Scalar;
use crate::run::run;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray2, PyReadwriteArrayDyn};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use spinray_project::analytic::{Kind, Lattice, Shape, line_integrals, voxelise};

/// Numbers that describe a shape: kind, value, centre (3), matrix to local coordinates (9, by rows).
const NUMBERS: usize = 14;

fn shapes_of(table: &PyReadonlyArray2<'_, f64>) -> PyResult<Vec<Shape>> {
    table.as_slice()?.chunks_exact(NUMBERS).map(shape_of).collect()
}

fn shape_of(row: &[f64]) -> PyResult<Shape> {
    let kind = match row[0] {
        0.0 => Kind::Ball,
        1.0 => Kind::Box,
        2.0 => Kind::Cylinder,
        _ => return Err(PyValueError::new_err("expected shapes of kind 0 (ball), 1 (box) or 2 (cylinder)")),
    };
    let triple = |first: usize| [row[first], row[first + 1], row[first + 2]];
    Ok(Shape { kind, value: row[1], centre: triple(2), to_local: [triple(5), triple(8), triple(11)] })
}

fn check_columns(name: &str, array: &PyReadonlyArray2<'_, f64>, columns: usize) -> PyResult<()> {
    match array.as_array().dim() {
        (_, n) if n == columns => Ok(()),
        (_, n) => Err(PyValueError::new_err(format!("{name}: expected {columns} columns, got {n}"))),
    }
}

/// Integrals of a table of shapes along lines, float64.
#[pyfunction]
fn phantom_line_integrals<'py>(
    py: Python<'py>,
    shapes: PyReadonlyArray2<'py, f64>,
    origins: PyReadonlyArray2<'py, f64>,
    directions: PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    check_columns("shapes", &shapes, NUMBERS)?;
    check_columns("origins", &origins, 3)?;
    check_columns("directions", &directions, 3)?;
    let (table, starts, ways) = (shapes_of(&shapes)?, origins.as_slice()?, directions.as_slice()?);
    if starts.len() != ways.len() {
        return Err(PyValueError::new_err("origins and directions: expected as many of one as of the other"));
    }
    let mut out = vec![0.0; starts.len() / 3];
    run(py, None, |job| line_integrals(&table, starts, ways, &mut out, job))?;
    Ok(out.into_pyarray(py))
}

fn fill<T: Scalar>(
    py: Python<'_>,
    shapes: &[Shape],
    lattice: &Lattice,
    supersampling: usize,
    mut out: PyReadwriteArrayDyn<'_, T>,
) -> PyResult<()> {
    let voxels = out.as_slice_mut()?;
    run(py, None, |job| voxelise(shapes, lattice, supersampling, voxels, job))
}

/// Writes the voxel means of a table of shapes into `out`, float32 or float64 of shape `shape`.
#[pyfunction]
fn phantom_voxelise<'py>(
    py: Python<'py>,
    shapes: PyReadonlyArray2<'py, f64>,
    shape: [usize; 3],
    first: [f64; 3],
    steps: [[f64; 3]; 3],
    supersampling: usize,
    out: &Bound<'py, PyAny>,
) -> PyResult<()> {
    check_columns("shapes", &shapes, NUMBERS)?;
    let (table, lattice) = (shapes_of(&shapes)?, Lattice { shape, first, steps });
    if let Ok(out) = out.extract::<PyReadwriteArrayDyn<'py, f32>>() {
        fill(py, &table, &lattice, supersampling, out)
    } else if let Ok(out) = out.extract::<PyReadwriteArrayDyn<'py, f64>>() {
        fill(py, &table, &lattice, supersampling, out)
    } else {
        Err(PyTypeError::new_err("out: expected a writable float32 or float64 array"))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(phantom_line_integrals, module)?)?;
    module.add_function(wrap_pyfunction!(phantom_voxelise, module)?)?;
    Ok(())
}
