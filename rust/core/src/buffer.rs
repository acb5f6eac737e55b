//! Working memory of kernels.

/// `n` zeros; large ones in large pages where the system has them, which saves most of the time it takes to map them.
pub fn zeros<T: Copy + Default>(n: usize) -> Vec<T> {
    let zeros = vec![T::default(); n];
    #[cfg(target_os = "linux")]
    advise_large_pages(&zeros);
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
    use super::zeros;

    #[test]
    fn buffers_of_any_size_are_zero() {
        for n in [0, 1, 1000, (9 << 20) / 4 + 3] {
            let buffer = zeros::<f32>(n);
            assert!(buffer.len() == n && buffer.iter().all(|&x| x == 0.0));
        }
    }
}
