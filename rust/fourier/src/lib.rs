//! Fourier kernels: row filters now; FFT batches, NUFFT and Toeplitz operators belong here too.

pub mod filter;
