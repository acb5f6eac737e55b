//! Vectors as the matcher sees them: rows of reals. A complex number is the pair (re, im), and a signal is split into
//! two real vectors, so that one real kernel serves real and complex dictionaries alike.

use spinray_core::simd::Real;
use std::sync::Arc;

/// Atoms that share a block, one in each lane.
pub const LANES: usize = 16;

/// Entries kept for as long as they are needed, wherever they come from.
pub type Shared<T> = Arc<dyn AsRef<[T]> + Send + Sync>;

/// Vectors of equal length, one after the other; complex ones as (re, im) pairs.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    /// All entries.
    pub entries: &'a [T],
    /// Numbers in a vector.
    pub length: usize,
    /// Whether a number is a pair.
    pub complex: bool,
}

impl<'a, T> Rows<'a, T> {
    /// Reals in a vector.
    pub fn width(&self) -> usize {
        self.length * (1 + usize::from(self.complex))
    }

    /// Number of vectors.
    pub fn count(&self) -> usize {
        self.entries.len() / self.width().max(1)
    }

    /// Vector `i`.
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.entries[i * self.width()..][..self.width()]
    }
}

/// Sum of a_k b_k in double. Eight partial sums, which the compiler puts into lanes.
#[inline(always)]
pub fn dot<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    let mut sums = [0.0; 8];
    let (head, tail) = (a.len() / 8 * 8, a.len() % 8);
    for (a, b) in a[..head].chunks_exact(8).zip(b[..head].chunks_exact(8)) {
        for k in 0..8 {
            sums[k] += a[k].to_f64() * b[k].to_f64();
        }
    }
    for k in 0..tail {
        sums[k] += a[head + k].to_f64() * b[head + k].to_f64();
    }
    sums.iter().sum()
}

/// |a|
#[inline(always)]
pub fn norm<T: Real>(a: &[T]) -> f64 {
    dot(a, a).sqrt()
}

/// <a, y> = sum conj(a) y in double, as (re, im).
pub fn inner<T: Real>(a: &[T], atoms_complex: bool, y: &[T], signals_complex: bool) -> (f64, f64) {
    let pairs = a.len() / (1 + usize::from(atoms_complex));
    let part = |x: &[T], complex: bool, k: usize| {
        if complex { (x[2 * k].to_f64(), x[2 * k + 1].to_f64()) } else { (x[k].to_f64(), 0.0) }
    };
    (0..pairs).fold((0.0, 0.0), |(re, im), k| {
        let ((ar, ai), (yr, yi)) = (part(a, atoms_complex, k), part(y, signals_complex, k));
        (re + ar * yr + ai * yi, im + ar * yi - ai * yr)
    })
}

/// Writes the u and v with a.u = Re <a, y> / norm and a.v = Im <a, y> / norm for the entries a of any atom.
#[inline(always)]
pub fn split<T: Real>(y: &[T], signals_complex: bool, atoms_complex: bool, norm: f64, u: &mut [T], v: &mut [T]) {
    let scaled = |x: T| T::from_f64(x.to_f64() / norm);
    match (atoms_complex, signals_complex) {
        (false, false) => {
            u.iter_mut().zip(y).for_each(|(u, &y)| *u = scaled(y));
            v.fill(T::default());
        }
        (false, true) => {
            for ((u, v), y) in u.iter_mut().zip(v).zip(y.chunks_exact(2)) {
                (*u, *v) = (scaled(y[0]), scaled(y[1]));
            }
        }
        (true, _) => {
            for (k, (u, v)) in u.chunks_exact_mut(2).zip(v.chunks_exact_mut(2)).enumerate() {
                let (re, im) = if signals_complex { (y[2 * k], y[2 * k + 1]) } else { (y[k], T::default()) };
                (u[0], u[1]) = (scaled(re), scaled(im));
                (v[0], v[1]) = (u[1], -u[0]);
            }
        }
    }
}

/// Half the distance from 1 to the next number.
pub fn unit_roundoff<T: Real>() -> f64 {
    if size_of::<T>() == 4 { f64::from(f32::EPSILON) / 2.0 } else { f64::EPSILON / 2.0 }
}

/// Numbers of a stride that visits 0..n evenly without falling into step with a grid (golden section).
pub fn scattered(n: usize, wanted: usize) -> impl Iterator<Item = usize> {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let all = wanted >= n;
    (0..wanted.min(n)).map(move |i| if all { i } else { (((i as f64 + 0.5) * GOLDEN).fract() * n as f64) as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_gives_the_inner_product_of_every_kind() {
        let numbers: Vec<f64> = (0..24).map(|k| ((k * k) as f64 * 0.7).sin()).collect();
        for (atoms_complex, signals_complex) in [(false, false), (false, true), (true, false), (true, true)] {
            let a = &numbers[..if atoms_complex { 10 } else { 5 }];
            let y = &numbers[10..][..if signals_complex { 10 } else { 5 }];
            let (mut u, mut v) = (vec![0.0; a.len()], vec![0.0; a.len()]);
            split(y, signals_complex, atoms_complex, norm(y), &mut u, &mut v);
            let (re, im) = inner(a, atoms_complex, y, signals_complex);
            assert!((dot(a, &u) * norm(y) - re).abs() < 1e-14 && (dot(a, &v) * norm(y) - im).abs() < 1e-14);
        }
    }

    #[test]
    fn scattered_numbers_meet_every_residue_of_a_grid() {
        let seen: std::collections::HashSet<usize> = scattered(102_400, 1024).map(|i| i % 100).collect();
        assert_eq!(seen.len(), 100);
        assert_eq!(scattered(5, 9).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
