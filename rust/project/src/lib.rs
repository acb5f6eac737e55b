//! placeholder

pub mod analytic;
