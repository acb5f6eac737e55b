//! One match from kernel errors to Python exceptions.

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;
use spinray_core::Error;

/// The Python exception for a kernel error.
pub fn to_python(error: Error) -> PyErr {
    match error {
        Error::Invalid { .. } => PyValueError::new_err(error.to_string()),
        Error::File(message) => PyOSError::new_err(message),
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
    }
}
