//! Tensors across the border: the same tensor on both sides, no copy.

use crate::errors::Error;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use tch::Tensor;

/// The tensor behind a Python object.
pub fn unpack(object: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    // SAFETY: the pointer is a live Python object, and torch checks its type.
    let tensor = unsafe { Tensor::pyobject_unpack(object.as_ptr().cast()) }.map_err(Error::from)?;
    tensor.ok_or_else(|| PyTypeError::new_err(format!("expected a tensor, got {}", object.get_type())))
}

/// The Python object of a tensor.
pub fn wrap<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    let object = tensor.pyobject_wrap().map_err(Error::from)?;
    // SAFETY: torch returns a new reference, or null with a Python exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, object.cast()) }
}
