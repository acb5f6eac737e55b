//! The check every input passes: no entry is NaN or infinite.

use crate::simd::Real;
use rayon::prelude::*;

/// Entries a thread looks at before others help; no more than these need no pool.
pub const BLOCK: usize = 1 << 16;

/// Whether every entry is finite; on the current pool where there are many.
pub fn all_finite<T: Real>(values: &[T]) -> bool {
    if values.len() <= BLOCK { block_is_finite(values) } else { values.par_chunks(BLOCK).all(block_is_finite) }
}

/// 0 x is NaN where x is not finite. No early end, so that the compiler makes vectors of it.
fn block_is_finite<T: Real>(block: &[T]) -> bool {
    block.iter().fold(true, |all, &x| all & (x * T::default() == T::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_entry_anywhere_is_seen() {
        let mut values = vec![f32::MAX; 3 * BLOCK + 17];
        assert!(all_finite(&values) && all_finite::<f64>(&[]));
        for at in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 16] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                values[at] = bad;
                assert!(!all_finite(&values), "{bad} at {at}");
            }
            values[at] = f32::MIN;
        }
    }
}
