//! Real linear kernels: called with NumPy arrays, and from native code through a C interface without Python.

use crate::convert::{Scalar, entries, zeros};
use crate::error::to_python;
use crate::run::{run_on, supervise};
use numpy::PyArrayDyn;
use pyo3::ffi::c_str;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use spinray_core::{Error, Job, Result, pool};
use spinray_fourier::filter::Float;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A linear map between arrays, and its exact adjoint, on any number of arrays at once.
pub trait LinearKernel: Send + Sync + 'static {
    /// Shape of one input.
    fn domain(&self) -> Vec<usize>;
    /// Shape of one output.
    fn range(&self) -> Vec<usize>;
    /// A x; `y` comes as zeros.
    fn forward<T: Scalar + Float>(&self, x: &[T], y: &mut [T], job: &Job) -> Result<()>;
    /// A' y; `x` comes as zeros.
    fn adjoint<T: Scalar + Float>(&self, y: &[T], x: &mut [T], job: &Job) -> Result<()>;
}

/// A x, or A' x, of an array (n, ...), as a new array.
pub fn call<'py, T: Scalar + Float>(
    kernel: &impl LinearKernel,
    adjoint: bool,
    x: &Bound<'py, PyArrayDyn<T>>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let (py, x) = (x.py(), entries(x)?);
    let (from, to) = shapes(kernel, adjoint);
    let n = x.len() / from.iter().product::<usize>();
    let (result, y) = zeros::<T>(py, &[&[n], &to[..]].concat())?;
    let pool = pool::pool_for(x.len() + y.len()).map_err(to_python)?;
    run_on(py, &pool, progress, |job| apply(kernel, adjoint, x, y, job))?;
    Ok(result)
}

fn shapes(kernel: &impl LinearKernel, adjoint: bool) -> (Vec<usize>, Vec<usize>) {
    if adjoint { (kernel.range(), kernel.domain()) } else { (kernel.domain(), kernel.range()) }
}

fn apply<T: Scalar + Float>(kernel: &impl LinearKernel, adjoint: bool, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
    if adjoint { kernel.adjoint(x, y, job) } else { kernel.forward(x, y, job) }
}

/// Name of the capsule; the number changes with the struct.
const CAPSULE: &CStr = c_str!("spinray.LinearOperator.1");

/// A kernel as C sees it. `apply` reads `n` inputs and fills `n` zeroed outputs of float32 or float64, from any thread,
/// with or without the GIL. It returns false after writing why to `message`; a Python exception that is set besides
/// (Ctrl-C during the call) goes before the message. `clone` and `drop` count references.
#[repr(C)]
struct Abi {
    data: *const c_void,
    apply: unsafe extern "C" fn(
        data: *const c_void,
        adjoint: bool,
        double: bool,
        input: *const c_void,
        output: *mut c_void,
        n: usize,
        message: *mut u8,
        capacity: usize,
    ) -> bool,
    clone: unsafe extern "C" fn(data: *const c_void) -> *const c_void,
    drop: unsafe extern "C" fn(data: *const c_void),
}

// SAFETY: `data` is an `Arc` of something Send and Sync.
unsafe impl Send for Abi {}

impl Drop for Abi {
    fn drop(&mut self) {
        // SAFETY: the reference `capsule` took.
        unsafe { (self.drop)(self.data) }
    }
}

/// The C interface of a kernel.
pub fn capsule<'py, K: LinearKernel>(py: Python<'py>, kernel: &Arc<K>) -> PyResult<Bound<'py, PyCapsule>> {
    let data = Arc::into_raw(kernel.clone()).cast();
    PyCapsule::new_with_value(py, Abi { data, apply: apply_c::<K>, clone: clone_c::<K>, drop: drop_c::<K> }, CAPSULE)
}

unsafe extern "C" fn clone_c<K>(data: *const c_void) -> *const c_void {
    // SAFETY: `data` came from `Arc::into_raw` and is alive.
    unsafe { Arc::increment_strong_count(data.cast::<K>()) };
    data
}

unsafe extern "C" fn drop_c<K>(data: *const c_void) {
    // SAFETY: `data` came from `Arc::into_raw`, and the caller gives its reference up.
    unsafe { Arc::decrement_strong_count(data.cast::<K>()) };
}

unsafe extern "C" fn apply_c<K: LinearKernel>(
    data: *const c_void,
    adjoint: bool,
    double: bool,
    input: *const c_void,
    output: *mut c_void,
    n: usize,
    message: *mut u8,
    capacity: usize,
) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller holds a reference, and its arrays have `n` entries of the kernel's shapes.
        unsafe {
            let kernel = &*data.cast::<K>();
            if double {
                apply_raw(kernel, adjoint, input.cast::<f64>(), output.cast(), n)
            } else {
                apply_raw(kernel, adjoint, input.cast::<f32>(), output.cast(), n)
            }
        }
    }));
    let text = match outcome {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "internal error in a spinray kernel; please report it with the call that led here".to_string(),
    };
    // SAFETY: `message` holds `capacity` bytes.
    let room = unsafe { std::slice::from_raw_parts_mut(message, capacity) };
    let length = text.len().min(capacity.saturating_sub(1));
    room[..length].copy_from_slice(&text.as_bytes()[..length]);
    room[length..].fill(0);
    false
}

/// # Safety
/// `input` and `output` hold `n` arrays of the kernel's shapes, and nobody else writes to them.
unsafe fn apply_raw<T: Scalar + Float>(
    kernel: &impl LinearKernel,
    adjoint: bool,
    input: *const T,
    output: *mut T,
    n: usize,
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let (from, to) = shapes(kernel, adjoint);
    let length = |shape: Vec<usize>| n * shape.into_iter().product::<usize>();
    // SAFETY: see above.
    let (x, y) = unsafe {
        (std::slice::from_raw_parts(input, length(from)), std::slice::from_raw_parts_mut(output, length(to)))
    };
    let (job, pool) = (Job::new(), pool::pool_for(x.len() + y.len())?);
    match supervise(&job, &pool, |job| apply(kernel, adjoint, x, y, job), check_signals) {
        Ok(outcome) => outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(Interrupted) => Err(Error::Cancelled),
    }
}

/// Ctrl-C; the exception is set for the Python code that called.
struct Interrupted;

/// Looks for Ctrl-C, which only the main thread sees.
fn check_signals() -> std::result::Result<(), Interrupted> {
    let check = |py: Python<'_>| {
        py.check_signals().map_err(|error| {
            error.restore(py);
            Interrupted
        })
    };
    Python::try_attach(check).unwrap_or(Ok(()))
}
