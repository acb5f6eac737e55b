//! Working memory of kernels.

use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Entries a thread writes at a time.
const BLOCK: usize = 1 << 18;

/// `n` zeros, written by all threads; large ones lie in large pages where the system has them, which saves most of the
/// time it takes to map them.
pub fn zeros<T: Copy + Default + Send>(n: usize) -> Vec<T> {
    if n <= BLOCK {
        return vec![T::default(); n];
    }
    let mut zeros = Vec::with_capacity(n);
    let entries = &mut zeros.spare_capacity_mut()[..n];
    #[cfg(target_os = "linux")]
    advise_large_pages(entries);
    entries.par_chunks_mut(BLOCK).for_each(|block| block.fill(MaybeUninit::new(T::default())));
    // SAFETY: just written.
    unsafe { zeros.set_len(n) };
    zeros
}

#[cfg(target_os = "linux")]
fn advise_large_pages<T>(buffer: &[T]) {
    const PAGE: usize = 1 << 21;
    let bytes = buffer.as_ptr_range();
    let (start, end) = ((bytes.start as usize).next_multiple_of(PAGE), bytes.end as usize / PAGE * PAGE);
    if start < end {
        // SAFETY: whole pages inside the buffer; the advice changes how they are mapped, not what they hold. A system
        // that declines it is none the worse.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, zeros};

    #[test]
    fn buffers_of_any_size_are_zero() {
        for n in [0, 1, BLOCK, BLOCK + 1, (9 << 20) / 4 + 3] {
            let buffer = zeros::<f32>(n);
            assert!(buffer.len() == n && buffer.iter().all(|&x| x == 0.0));
        }
    }
}
