//! One match from kernel errors to Python exceptions.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::import_exception;
use spinray_core::Error;

import_exception!(spinray.errors, FileError);
import_exception!(spinray.errors, InputError);

/// The Python exception for a kernel error.
pub fn to_python(error: Error) -> pyo3::PyErr {
    match error {
        Error::Invalid { .. } => InputError::new_err(error.to_string()),
        Error::File(message) => FileError::new_err(message),
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
    }
}
