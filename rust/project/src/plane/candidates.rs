//! Which rays may reach which pixels of a slab.

use crate::line::arctan;
use crate::rays::{Inverse, Run};
use spinray_core::simd::{Real, Simd};

/// Which rays may reach each vector of pixels of a slab.
pub struct Candidates<T> {
    /// Ray number, a continuous function of position, one pixel before the vector; from the vector before
    /// the first one to that after the last.
    ends: Vec<T>,
    /// That of the vector itself, less a margin.
    pub starts: Vec<T>,
    /// Rays over the vector, and half by how much they are more than over the vector before.
    pub widths: Vec<T>,
    /// See `widths`.
    pub bends: Vec<T>,
    /// How many rays to look at for each pixel.
    pub counts: Vec<i32>,
    /// Number of vectors, and the stretch of them that sees a ray.
    pub vectors: usize,
    /// See `vectors`.
    pub first: usize,
    /// See `vectors`.
    pub last: usize,
    /// Whether the rays of every vector are known well and fit a window.
    pub narrow: bool,
}

impl<T: Real> Candidates<T> {
    pub fn new(vectors: usize, lanes: usize) -> Self {
        let whole = vectors.next_multiple_of(lanes);
        let zeros = |n| vec![T::default(); n];
        Self {
            ends: zeros(whole + lanes),
            starts: zeros(whole),
            widths: zeros(whole),
            bends: zeros(whole),
            counts: vec![0; whole],
            vectors,
            first: 0,
            last: 0,
            narrow: true,
        }
    }

    /// Pixel i takes the rays that cross between i - 1 and i + 1. Their numbers are exact at the ends of
    /// vectors and taken from a parabola between; a margin of more than its error, by third differences,
    /// makes sure of them. A ray too many costs time only: its hat is zero.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    pub unsafe fn find<S: Simd<T = T>>(&mut self, run: &Run, s: usize) {
        let lanes = S::N as f64;
        let mut widest = [T::default(); 16];
        // SAFETY: by contract; every array holds whole vectors, `ends` three entries more.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            run.inverse.numbers::<S>(s, &mut self.ends);
            let ends = self.ends.as_ptr();
            let mut most = real(0.0);
            for m in (0..self.counts.len()).step_by(S::N) {
                let end = [0, 1, 2, 3].map(|k| S::load(ends.add(m + k)));
                let width = S::sub(end[2], end[1]);
                let bend = S::sub(width, S::sub(end[1], end[0]));
                let twist = S::sub(S::sub(S::sub(end[3], end[2]), width), bend);
                let (bend_size, twist_size) = (S::abs(bend), S::abs(twist));
                let margin = S::fma(twist_size, real(0.15), S::fma(bend_size, real(0.02), real(2e-3)));
                // Close beside the source a parabola says little.
                let wild = S::max(S::sub(twist_size, S::fma(width, real(0.1), real(0.1))), real(0.0));
                // Rays within a pixel of a pixel, where they are densest.
                let local = S::fma(S::add(bend_size, twist_size), real(0.6), width);
                let count = S::fma(local, real(2.0 / lanes), S::fma(margin, real(2.0), real(0.999)));
                let count = S::trunc(S::min(count, real(1e6)));
                let reach = S::add(S::add(width, bend_size), S::real(count));
                most = S::max(most, S::fma(wild, real(1e6), reach));
                S::store(self.starts.as_mut_ptr().add(m), S::sub(end[1], margin));
                S::store(self.widths.as_mut_ptr().add(m), width);
                S::store(self.bends.as_mut_ptr().add(m), S::mul(bend, real(0.5)));
                S::store_index(self.counts.as_mut_ptr().add(m), count);
            }
            S::store(widest.as_mut_ptr(), most);
        }
        let window = T::from_f64(2.0 * lanes - 1.01);
        self.narrow = widest.iter().all(|&w| w < window);
        // Numbers grow along the slab: the vectors that see a ray are a stretch.
        let seen = |m: &usize| self.ends[m + 2].to_f64() + f64::from(self.counts[*m]) > -1.0;
        self.first = (0..self.vectors).find(seen).unwrap_or(self.vectors);
        let seen = |m: &usize| self.starts[*m].to_f64() < run.len as f64;
        self.last = (0..self.vectors).rev().find(seen).map_or(0, |m| m + 1);
    }
}

impl Inverse {
    /// Ray number at pixel 0 of slab `s` and rays per pixel, where rays are one to five pixels apart.
    #[inline(always)]
    pub fn sparse(&self, s: usize) -> Option<(f64, f64)> {
        match self {
            Inverse::Linear { alpha, beta, per_pixel } if (0.2..=1.0).contains(per_pixel) => {
                Some((-(alpha + beta * s as f64) * per_pixel, *per_pixel))
            }
            _ => None,
        }
    }

    /// Ray numbers on slab `s` one pixel before every vector, from the one before the first.
    ///
    /// # Safety
    /// The processor has `S`; `ends` holds whole vectors.
    #[inline(always)]
    unsafe fn numbers<S: Simd>(&self, s: usize, ends: &mut [S::T]) {
        let lanes = S::N as f64;
        // SAFETY: by contract.
        unsafe {
            let real = |x: f64| S::splat(S::T::from_f64(x));
            for (m, ends) in ends.chunks_exact_mut(S::N).enumerate() {
                let vector = S::add(S::iota(), real((m * S::N) as f64 - 1.0));
                let at = |start: f64, per_pixel: f64| S::fma(vector, real(lanes * per_pixel), real(start));
                let number = match *self {
                    Inverse::Linear { alpha, beta, per_pixel } => {
                        at((-1.0 - beta * s as f64 - alpha) * per_pixel, per_pixel)
                    }
                    Inverse::Divergent { middle, x, s: source, stretch, slope, tilt, scale, curved } => {
                        let per_pixel = stretch / (s as f64 - source);
                        let excess = at((-1.0 - x) * per_pixel - slope, per_pixel);
                        // Beyond a right angle the far side of the scale would come back: stay at its end.
                        let below = S::fma(excess, real(slope - tilt), real(1.0 + slope * slope));
                        let ratio = S::div(excess, S::max(below, real(1e-6)));
                        S::fma(if curved { arctan::<S>(ratio) } else { ratio }, real(scale), real(middle))
                    }
                };
                S::store(ends.as_mut_ptr(), number);
            }
        }
    }
}
