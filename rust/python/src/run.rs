//! The one door for kernel calls: releases the GIL, runs the kernel on spinray's own pool, listens for
//! Ctrl-C meanwhile, reports progress, and turns a kernel error into its Python exception.

use crate::error::to_python;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use spinray_core::{Error, Job, pool};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a waiting call looks for Ctrl-C and reports progress.
const POLL: Duration = Duration::from_millis(50);

/// Runs `kernel`; `progress`, if given, is called as `progress(steps_done, steps_in_all)`.
pub fn run<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    kernel: impl FnOnce(&Job) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let (job, pool) = (Job::new(), pool::pool().map_err(to_python)?);
    let outcome = Mutex::new(None);
    let finished = Condvar::new();
    let interrupted = py.detach(|| {
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                let result = catch_unwind(AssertUnwindSafe(|| kernel(&job)));
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                finished.notify_one();
            });
            let mut slot = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            let mut interrupted = None;
            while slot.is_none() {
                let (guard, wait) = finished.wait_timeout(slot, POLL).unwrap_or_else(PoisonError::into_inner);
                slot = guard;
                if wait.timed_out() && slot.is_none() && interrupted.is_none() {
                    drop(slot);
                    interrupted = Python::attach(|py| report(py, progress.as_ref(), &job)).err();
                    if interrupted.is_some() {
                        job.cancel();
                    }
                    slot = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                }
            }
            interrupted
        })
    });
    if let Some(error) = interrupted {
        return Err(error);
    }
    match outcome.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(Ok(Ok(value))) => {
            if let Some(progress) = &progress {
                let (done, total) = job.progress();
                progress.call1(py, (done, total))?;
            }
            Ok(value)
        }
        Some(Ok(Err(error))) => Err(to_python(error)),
        _ => Err(PyRuntimeError::new_err(
            "internal error in a spinray kernel; please report it with the call that led here",
        )),
    }
}

fn report(py: Python<'_>, progress: Option<&Py<PyAny>>, job: &Job) -> PyResult<()> {
    py.check_signals()?;
    if let Some(progress) = progress {
        let (done, total) = job.progress();
        progress.call1(py, (done, total))?;
    }
    Ok(())
}
