//! Filtered back-projection with learned weights and filter: Würfl 2016, 2018.

use crate::errors::Result;
use crate::network::Forward;
use crate::operator::Shared;
use crate::parameters::Parameters;
use tch::Tensor;

pub struct FBPNet {
    pub backprojection: Shared,
}

impl Forward for FBPNet {
    fn forward(&self, p: &mut Parameters, inputs: &[Tensor], _training: bool) -> Result<Vec<Tensor>> {
        let (view_weights, row_weights, kernel) = (p.take()?, p.take()?, p.take()?);
        let columns = inputs[0].size().last().copied().unwrap_or_default();
        // Long enough that nothing wraps around onto the columns that are kept.
        let length = 2 * columns;
        let response = kernel.f_fft_rfft(length, -1, "backward")?;
        let weighted = inputs[0].f_mul(view_weights)?.f_mul(row_weights)?;
        let spectrum = weighted.f_fft_rfft(length, -1, "backward")?.f_mul(&response)?;
        let rows = spectrum.f_fft_irfft(length, -1, "backward")?.f_narrow(-1, columns - 1, columns)?;
        Ok(vec![self.backprojection.forward(&rows)?])
    }
}
