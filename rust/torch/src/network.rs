//! The class Python calls: a network made from its name and spec, then a pure function.

use crate::errors::Result;
use crate::nn;
use crate::operator::LinearOperator;
use crate::parameters::Parameters;
use crate::tensors::{unpack, wrap};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use tch::Tensor;

/// What a network computes from its weights and its inputs.
pub trait Forward: Send + Sync {
    /// The outputs. In training, statistics of batch normalisation are updated in place and dropout is active.
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], training: bool) -> Result<Vec<Tensor>>;
}

/// A network's forward pass.
#[pyclass(frozen, module = "spinray._torch")]
pub struct Network {
    network: Box<dyn Forward>,
}

#[pymethods]
impl Network {
    /// The network of that name and spec; `operators` are those it computes with, in the order it names them.
    #[new]
    fn new(name: &str, spec: &Bound<'_, PyDict>, operators: Vec<PyRef<'_, LinearOperator>>) -> PyResult<Self> {
        let operators = operators.iter().map(|operator| operator.share()).collect();
        Ok(Self { network: nn::network(name, spec, operators)? })
    }

    /// Outputs for weights and buffers in the order of the state dict.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        tensors: &Bound<'py, PyList>,
        inputs: &Bound<'py, PyTuple>,
        training: bool,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let tensors = tensors.iter().map(|tensor| unpack(&tensor)).collect::<PyResult<Vec<_>>>()?;
        let inputs = inputs.iter().map(|input| unpack(&input)).collect::<PyResult<Vec<_>>>()?;
        let outputs = py.detach(move || {
            let mut parameters = Parameters::new(&tensors);
            let outputs = self.network.forward(&mut parameters, &inputs, training)?;
            parameters.finish().map(|()| outputs)
        })?;
        outputs.iter().map(|output| wrap(py, output)).collect()
    }
}
