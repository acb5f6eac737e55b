//! Linear operators inside networks: spinray's kernels, or any operator of Python's, as nodes of the autograd graph.
//!
//! A kernel comes as a capsule of `spinray._core` (`Abi` below, the same struct there): a call costs some microseconds
//! and no GIL. Any other operator is called through Python. The adjoint is the backward pass (see shim.cpp).

use crate::errors::{Error, Result};
use crate::tensors::{unpack, wrap};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::ffi::{self, c_str};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Name of the capsule; the number changes with the struct.
const CAPSULE: &CStr = c_str!("spinray.LinearOperator.1");

/// A kernel of `spinray._core`. `apply` reads `n` inputs and fills `n` zeroed outputs of float32 or float64.
#[repr(C)]
pub struct Abi {
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

/// Longest error message of a kernel, bytes.
const MESSAGE: usize = 512;

enum Source {
    Kernel(Abi),
    /// Called as `(x, adjoint) -> y` on tensors without a graph.
    Python(Py<PyAny>),
}

// SAFETY: kernels of `_core` are immutable and may be applied from any thread.
unsafe impl Send for Source {}
unsafe impl Sync for Source {}

impl Drop for Source {
    fn drop(&mut self) {
        if let Source::Kernel(abi) = self {
            // SAFETY: this is the one reference `from_kernel` took.
            unsafe { (abi.drop)(abi.data) }
        }
    }
}

struct Definition {
    source: Source,
    domain: Vec<i64>,
    range: Vec<i64>,
    /// What the source is multiplied by.
    factor: f64,
}

thread_local! {
    /// Whether `Shared::call` is under way: it raises exceptions as they are.
    static CALLED: Cell<bool> = const { Cell::new(false) };
    /// The exception of a Python operator, on its way through C++ to there.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

impl Definition {
    /// A x, or A' x, for a tensor of shape (..., *shape), without a graph.
    fn values(&self, x: &Tensor, adjoint: bool) -> Result<Tensor> {
        let (from, to) = if adjoint { (&self.range, &self.domain) } else { (&self.domain, &self.range) };
        let shape = x.size();
        let batch = shape.len().checked_sub(from.len()).filter(|&batch| shape[batch..] == from[..]);
        let Some(batch) = batch else {
            let list = |sizes: &[i64]| sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            let (wanted, given) = (list(from), list(&shape));
            return Err(Error::Input(format!("operator: expected shape (..., {wanted}), got ({given})")));
        };
        let shape = [&shape[..batch], to].concat();
        let mut y = match &self.source {
            Source::Kernel(abi) => kernel(abi, x, adjoint, &shape, from.iter().product())?,
            Source::Python(call) => python(call, x, adjoint)?,
        };
        Ok(if self.factor == 1.0 { y } else { y.f_mul_scalar_(self.factor)? })
    }
}

/// Keeps an exception for the Python code that called, and says what it says.
///
/// A backward pass is torch's own, which makes a RuntimeError of the text; Ctrl-C must not be lost in it.
fn raise(py: Python<'_>, error: PyErr) -> Error {
    let text = error.to_string();
    if CALLED.get() {
        RAISED.set(Some(error));
    } else if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // SAFETY: asks for the handler of Ctrl-C to be called, in the main thread, when it runs Python again.
        unsafe { ffi::PyErr_SetInterrupt() }
    }
    Error::Input(text)
}

fn kernel(abi: &Abi, x: &Tensor, adjoint: bool, shape: &[i64], length: i64) -> Result<Tensor> {
    let double = match x.kind() {
        Kind::Double => true,
        Kind::Float => false,
        kind => return Err(Error::Input(format!("operator: expected float32 or float64, got {kind:?}"))),
    };
    let (device, x) = (x.device(), x.f_to_device(Device::Cpu)?.f_contiguous()?);
    let y = Tensor::f_zeros(shape, (x.kind(), Device::Cpu))?;
    let n = x.numel() / length.max(1) as usize;
    let mut message = [0u8; MESSAGE];
    // SAFETY: both tensors are contiguous, on the CPU, of the sizes the kernel was made for.
    let done =
        unsafe { (abi.apply)(abi.data, adjoint, double, x.data_ptr(), y.data_ptr(), n, message.as_mut_ptr(), MESSAGE) };
    if !done {
        // An exception set besides the message goes first: Ctrl-C during the call.
        if let Some(error) = with_gil(|py| PyErr::take(py).map(|error| raise(py, error))) {
            return Err(error);
        }
        let text = CStr::from_bytes_until_nul(&message).unwrap_or_default();
        return Err(Error::Input(text.to_string_lossy().into_owned()));
    }
    Ok(y.f_to_device(device)?)
}

fn python(call: &Py<PyAny>, x: &Tensor, adjoint: bool) -> Result<Tensor> {
    with_gil(|py| {
        let y = wrap(py, x).and_then(|x| call.call1(py, (x, adjoint))).and_then(|y| unpack(y.bind(py)));
        y.map_err(|error| raise(py, error))
    })
}

/// Calls with the GIL, also below a destructor of torch's that has let go of it: pyo3 counts its own attachments, and
/// would think that it still has it.
fn with_gil<T>(call: impl FnOnce(Python<'_>) -> T) -> T {
    struct Held(ffi::PyGILState_STATE);
    impl Drop for Held {
        fn drop(&mut self) {
            // SAFETY: gives back what the same thread has taken, after all that it took later.
            unsafe { ffi::PyGILState_Release(self.0) }
        }
    }
    // SAFETY: there is an interpreter, and no other lock is held.
    let _held = Held(unsafe { ffi::PyGILState_Ensure() });
    Python::attach(call)
}

unsafe extern "C" {
    fn spinray_operator_new(callbacks: Callbacks) -> *mut c_void;
    fn spinray_operator_free(handle: *mut c_void);
    fn spinray_operator_apply(
        handle: *mut c_void,
        x: *const torch_sys::C_tensor,
        adjoint: c_int,
        message: *mut *mut c_char,
    ) -> *mut torch_sys::C_tensor;
    fn strdup(text: *const c_char) -> *mut c_char;
    fn free(pointer: *mut c_void);
}

/// See shim.cpp.
#[repr(C)]
struct Callbacks {
    user: *mut c_void,
    apply: unsafe extern "C" fn(
        *mut c_void,
        c_int,
        *const torch_sys::C_tensor,
        *mut *mut torch_sys::C_tensor,
        *mut *mut c_char,
    ) -> c_int,
    drop: unsafe extern "C" fn(*mut c_void),
}

unsafe extern "C" fn apply(
    user: *mut c_void,
    adjoint: c_int,
    x: *const torch_sys::C_tensor,
    out: *mut *mut torch_sys::C_tensor,
    message: *mut *mut c_char,
) -> c_int {
    let result = std::panic::catch_unwind(|| {
        // SAFETY: `user` is the definition `Shared::new` leaked, `x` a tensor that lives through the call.
        let (definition, x) = unsafe { (&*user.cast::<Definition>(), Tensor::clone_from_ptr(x.cast_mut())) };
        definition.values(&x, adjoint != 0)
    });
    let text = match result {
        Ok(Ok(y)) => {
            // SAFETY: the caller takes the tensor over.
            unsafe { *out = y.as_ptr().cast_mut() };
            std::mem::forget(y);
            return 0;
        }
        Ok(Err(Error::Input(text))) => text,
        Ok(Err(Error::Torch(error))) => error.to_string(),
        Ok(Err(Error::Python(error))) => error.to_string(),
        Err(_) => "internal error in a spinray operator; please report it".to_string(),
    };
    let text = std::ffi::CString::new(text).unwrap_or_default();
    // SAFETY: a copy of a C string, which the caller frees.
    unsafe { *message = strdup(text.as_ptr()) };
    1
}

unsafe extern "C" fn drop_definition(user: *mut c_void) {
    // SAFETY: called once, by the last owner, for what `Shared::new` leaked.
    let definition = unsafe { Box::from_raw(user.cast::<Definition>()) };
    if matches!(definition.source, Source::Python(_)) {
        // SAFETY: asks whether there is an interpreter; after its end the callable is left behind.
        if unsafe { ffi::Py_IsInitialized() } == 0 {
            std::mem::forget(definition);
            return;
        }
        // Otherwise the callable would live on until some other call attaches to Python.
        with_gil(|_| drop(definition));
    }
}

/// The C++ handle of an operator; graphs hold references of their own.
struct Handle(*mut c_void);

// SAFETY: C++ counts references atomically, and the definition is Sync.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `spinray_operator_new`, freed once.
        unsafe { spinray_operator_free(self.0) }
    }
}

/// An operator as networks hold it.
#[derive(Clone)]
pub struct Shared(Arc<Handle>);

impl Shared {
    fn new(definition: Definition) -> Self {
        let user = Box::into_raw(Box::new(definition)).cast();
        // SAFETY: C++ drops `user` when its last reference goes.
        Self(Arc::new(Handle(unsafe { spinray_operator_new(Callbacks { user, apply, drop: drop_definition }) })))
    }

    /// A x for a tensor of shape (..., *domain), with a graph; half precision is computed in float32.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.call(x, false)
    }

    /// A' y for a tensor of shape (..., *range), with a graph.
    pub fn adjoint(&self, y: &Tensor) -> Result<Tensor> {
        self.call(y, true)
    }

    fn call(&self, x: &Tensor, adjoint: bool) -> Result<Tensor> {
        let x = match x.kind() {
            Kind::Half | Kind::BFloat16 => &x.f_to_kind(Kind::Float)?,
            _ => x,
        };
        let mut message = std::ptr::null_mut();
        let before = CALLED.replace(true);
        // SAFETY: the handle lives as long as `self`, `x` through the call.
        let y = unsafe { spinray_operator_apply(self.0.0, x.as_ptr(), adjoint.into(), &mut message) };
        CALLED.set(before);
        take_tensor(y, message).map_err(|text| match RAISED.take() {
            Some(error) => Error::Python(error),
            None => Error::Input(text),
        })
    }
}

/// What a function of the shim returned: a tensor, or the first line of its message.
pub fn take_tensor(tensor: *mut torch_sys::C_tensor, message: *mut c_char) -> std::result::Result<Tensor, String> {
    if !tensor.is_null() {
        // SAFETY: a new tensor, ours from here on.
        return Ok(unsafe { Tensor::from_ptr(tensor) });
    }
    if message.is_null() {
        return Err("LibTorch failed and did not say why".to_string());
    }
    // SAFETY: a C string of strdup, freed once.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    unsafe { free(message.cast()) };
    Err(text.lines().next().unwrap_or_default().to_string())
}

/// A linear operator for networks, and for whoever wants its autograd without Python in between.
#[pyclass(frozen, module = "spinray._torch")]
pub struct LinearOperator {
    shared: Shared,
}

impl LinearOperator {
    pub fn share(&self) -> Shared {
        self.shared.clone()
    }
}

#[pymethods]
impl LinearOperator {
    /// From a capsule of `spinray._core`, or from a callable `(x, adjoint) -> y` on tensors without a graph, which
    /// returns a new tensor; either is multiplied by `factor`.
    #[new]
    fn new(source: &Bound<'_, PyAny>, domain: Vec<i64>, range: Vec<i64>, factor: f64) -> PyResult<Self> {
        let source = match source.cast::<PyCapsule>() {
            Ok(capsule) => {
                let abi = capsule.pointer_checked(Some(CAPSULE))?.cast::<Abi>();
                // SAFETY: the name of the capsule says what it holds.
                let abi = unsafe { abi.as_ref() };
                // SAFETY: a reference of our own, dropped with the source.
                let data = unsafe { (abi.clone)(abi.data) };
                Source::Kernel(Abi { data, apply: abi.apply, clone: abi.clone, drop: abi.drop })
            }
            Err(_) => Source::Python(source.clone().unbind()),
        };
        Ok(Self { shared: Shared::new(Definition { source, domain, range, factor }) })
    }

    /// A x, or A' x.
    #[pyo3(signature = (x, adjoint = false))]
    fn __call__<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>, adjoint: bool) -> PyResult<Bound<'py, PyAny>> {
        let x = unpack(x)?;
        let y = py.detach(move || self.shared.call(&x, adjoint))?;
        wrap(py, &y)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LinearOperator>()
}
