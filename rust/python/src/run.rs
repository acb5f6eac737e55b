//! The one door for kernel calls: releases the GIL, runs the kernel on spinray's own pool, listens for
//! Ctrl-C meanwhile, reports progress, and turns a kernel error into its Python exception. Linear kernels of so few
//! numbers that they are done sooner than another thread is awake may run in the calling thread (`pool::pool_for`).

use crate::error::to_python;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::ThreadPool;
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
    run_on(py, &*pool::pool().map_err(to_python)?, progress, kernel)
}

/// `run` on a pool of the caller's choice.
pub fn run_on<T: Send>(
    py: Python<'_>,
    pool: &ThreadPool,
    progress: Option<Py<PyAny>>,
    kernel: impl FnOnce(&Job) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let job = Job::new();
    let watch = || Python::attach(|py| report(py, progress.as_ref(), &job));
    match py.detach(|| supervise(&job, pool, kernel, watch))? {
        Ok(Ok(value)) => {
            if let Some(progress) = &progress {
                let (done, total) = job.progress();
                progress.call1(py, (done, total))?;
            }
            Ok(value)
        }
        Ok(Err(error)) => Err(to_python(error)),
        Err(_) => Err(PyRuntimeError::new_err(
            "internal error in a spinray kernel; please report it with the call that led here",
        )),
    }
}

/// Runs `kernel` on `pool` and calls `watch` from this thread every now and then until it is done; where `watch` fails,
/// the kernel is told to stop, and its error is returned. A panic of the kernel is caught. A thread of `pool` runs the
/// kernel itself.
pub fn supervise<T: Send, E>(
    job: &Job,
    pool: &ThreadPool,
    kernel: impl FnOnce(&Job) -> Result<T, Error> + Send,
    mut watch: impl FnMut() -> Result<(), E>,
) -> Result<std::thread::Result<Result<T, Error>>, E> {
    let kernel = || catch_unwind(AssertUnwindSafe(|| kernel(job)));
    if pool.current_thread_index().is_some() {
        return Ok(kernel());
    }
    let outcome = Mutex::new(None);
    let finished = Condvar::new();
    let stopped = pool.in_place_scope(|scope| {
        scope.spawn(|_| {
            let result = kernel();
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            finished.notify_one();
        });
        let mut slot = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stopped = None;
        while slot.is_none() {
            let (guard, wait) = finished.wait_timeout(slot, POLL).unwrap_or_else(PoisonError::into_inner);
            slot = guard;
            if wait.timed_out() && slot.is_none() && stopped.is_none() {
                drop(slot);
                stopped = watch().err();
                if stopped.is_some() {
                    job.cancel();
                }
                slot = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
        stopped
    });
    match (stopped, outcome.into_inner().unwrap_or_else(PoisonError::into_inner)) {
        (Some(error), _) => Err(error),
        (None, Some(result)) => Ok(result),
        (None, None) => Ok(Err(Box::new("the kernel did not report"))),
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
