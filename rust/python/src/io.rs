//! Files: the bindings of `spinray-io`.

use crate::run::run;
use ndarray::{ArrayD, IxDyn};
use numpy::{
    Complex32, Complex64, Element, IntoPyArray, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use spinray_io::{Affine, Entries, Image, Voxel, nifti1};
use std::path::{Path, PathBuf};

/// Runs a macro over the variants of `Entries` and their types.
macro_rules! with_voxel_types {
    ($use:ident) => {
        $use!(
            U8(u8),
            I8(i8),
            U16(u16),
            I16(i16),
            U32(u32),
            I32(i32),
            U64(u64),
            I64(i64),
            F32(f32),
            F64(f64),
            C64(Complex32),
            C128(Complex64)
        )
    };
}

fn to_array<'py, T: Element>(py: Python<'py>, shape: &[usize], entries: Vec<T>) -> PyResult<Bound<'py, PyAny>> {
    let array = ArrayD::from_shape_vec(IxDyn(shape), entries).map_err(|e| PyValueError::new_err(e.to_string()))?;
    Ok(array.into_pyarray(py).into_any())
}

/// The voxels of a NIfTI-1 file, C order with the first axis slowest, and its affine in millimetres.
#[pyfunction]
fn nifti_read(py: Python<'_>, path: PathBuf) -> PyResult<(Bound<'_, PyAny>, Bound<'_, PyArray2<f64>>)> {
    let Image { shape, entries, affine } = run(py, None, |job| nifti1::read(&path, job))?;
    macro_rules! convert {
        ($($variant:ident($type:ty)),*) => {
            match entries { $(Entries::$variant(entries) => to_array(py, &shape, entries)?,)* }
        };
    }
    let array = with_voxel_types!(convert);
    Ok((array, PyArray2::from_vec2(py, &affine.map(Vec::from))?))
}

fn write<T: Voxel + Element + Sync>(
    py: Python<'_>,
    path: &Path,
    data: &Bound<'_, PyArrayDyn<T>>,
    affine: &Affine,
) -> PyResult<()> {
    let data = data.readonly();
    let entries = data.as_slice().map_err(|_| PyTypeError::new_err("data: expected a C-contiguous array"))?;
    let shape = data.shape();
    run(py, None, |job| nifti1::write(path, shape, entries, affine, job))
}

/// Writes a C-contiguous array, first axis slowest, with its affine in millimetres, to a .nii or .nii.gz file.
#[pyfunction]
fn nifti_write(
    py: Python<'_>,
    path: PathBuf,
    data: &Bound<'_, PyAny>,
    affine: PyReadonlyArray2<'_, f64>,
) -> PyResult<()> {
    let given = affine.as_array();
    if given.dim() != (4, 4) {
        return Err(PyValueError::new_err(format!("affine: expected shape (4, 4), got {:?}", given.dim())));
    }
    let affine = std::array::from_fn(|i| std::array::from_fn(|j| given[(i, j)]));
    macro_rules! dispatch {
        ($($variant:ident($type:ty)),*) => {
            $(if let Ok(data) = data.cast::<PyArrayDyn<$type>>() {
                return write(py, &path, data, &affine);
            })*
        };
    }
    with_voxel_types!(dispatch);
    Err(PyTypeError::new_err(format!("data: expected a dtype that NIfTI-1 holds, got {}", data.get_type())))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(nifti_read, module)?)?;
    module.add_function(wrap_pyfunction!(nifti_write, module)?)?;
    Ok(())
}
