//! Weights and buffers of a network, read in the order of the state dict.

use crate::errors::{Error, Result};
use tch::Tensor;

/// A cursor over the tensors: layers take theirs in the order in which they are used.
pub struct Parameters<'a> {
    tensors: &'a [Tensor],
    next: usize,
}

impl<'a> Parameters<'a> {
    pub fn new(tensors: &'a [Tensor]) -> Self {
        Self { tensors, next: 0 }
    }

    /// The next tensor.
    pub fn take(&mut self) -> Result<&'a Tensor> {
        let tensor = self.tensors.get(self.next);
        self.next += 1;
        tensor.ok_or_else(|| Error::Input(format!("the network has {} tensors and needs more", self.tensors.len())))
    }

    /// The next tensor, left in place.
    pub fn peek(&mut self) -> Result<&'a Tensor> {
        let next = self.take();
        self.next -= 1;
        next
    }

    /// Where the cursor stands, for weights that are used more than once.
    pub fn position(&self) -> usize {
        self.next
    }

    /// Moves the cursor back to a `position`.
    pub fn rewind(&mut self, position: usize) {
        self.next = position;
    }

    /// Whether every tensor has been used.
    pub fn finish(&self) -> Result<()> {
        match self.tensors.len() - self.next {
            0 => Ok(()),
            unused => Err(Error::Input(format!("{unused} tensors of the network were not used"))),
        }
    }
}
