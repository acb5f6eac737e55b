//! Errors of LibTorch as Python exceptions of one line.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tch::TchError;

/// What goes wrong inside a network.
#[derive(Debug)]
pub enum Error {
    /// LibTorch refused.
    Torch(TchError),
    /// The weights are not those of the network, or an operator failed: a message for the user.
    Input(String),
    /// An operator written in Python raised.
    Python(PyErr),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Error::Torch(error)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            // A C++ backtrace follows the first line.
            Error::Torch(error) => {
                PyRuntimeError::new_err(error.to_string().lines().next().unwrap_or_default().to_string())
            }
            Error::Input(message) => PyValueError::new_err(message),
            Error::Python(error) => error,
        }
    }
}
