//! `spinray._core`: the only crate that sees Python. One file per kernel crate, plus the three doors
//! everything goes through: `convert` (arrays), `run` (long calls), `error` (exceptions).

use pyo3::prelude::*;

mod bloch;
mod convert;
mod design;
mod error;
mod io;
mod linear_operator;
mod matching;
mod matter;
mod phantom;
mod phantoms;
mod project;
mod prox;
mod run;
mod signal;
mod sources;
mod tallies;
mod textured;
mod threads;
mod transport;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Rust's `log` records become records of Python's logging, under "spinray".
    let _ = pyo3_log::try_init();
    spinray_core::pool::initialise();
    bloch::register(module)?;
    design::register(module)?;
    io::register(module)?;
    matching::register(module)?;
    matter::register(module)?;
    phantom::register(module)?;
    phantoms::register(module)?;
    project::register(module)?;
    prox::register(module)?;
    signal::register(module)?;
    sources::register(module)?;
    textured::register(module)?;
    threads::register(module)?;
    tallies::register(module)?;
    transport::register(module)?;
    Ok(())
}
