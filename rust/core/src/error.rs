//! The errors kernels return. The binding crate turns each variant into one Python exception type.

/// Result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a kernel refused its input or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is unusable: names the argument, what was given and what is accepted (`ValueError`).
    #[error("{argument}: {problem}")]
    Invalid {
        /// Name of the public argument.
        argument: &'static str,
        /// What was given, what is accepted, and the likely fix.
        problem: String,
    },
    /// A file is missing, truncated or not what it claims to be (`OSError`).
    #[error("{0}")]
    File(String),
    /// The caller asked the kernel to stop (`KeyboardInterrupt`).
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Shorthand for [`Error::Invalid`].
    pub fn invalid(argument: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { argument, problem: problem.into() }
    }
}
