//! What every kernel crate stands on: errors, the thread pool, SIMD dispatch, the counter-based
//! random numbers, and the token through which a long call reports progress and is stopped.

pub mod buffer;
pub mod error;
pub mod finite;
pub mod job;
pub mod philox;
pub mod pool;
pub mod simd;

pub use error::{Error, Result};
pub use job::Job;
