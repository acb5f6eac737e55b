//! The rays of whole views as arrays the lanes can load.
//!
//! A [`Run`] is a stretch of neighbouring detector columns with one driving axis, stored in the order in
//! which they cross a slab: ray k of the run crosses slab s at `alpha[k] + beta[k] s`, growing with k.

use crate::geometry::{Axis, Beam, Column, Scan};
use spinray_core::simd::Real;
use std::ops::Range;

/// Entries before and after a run (or an image row) that lanes may read: two AVX-512 vectors and some.
pub const PAD: usize = 40;

/// Neighbouring columns of one view with one driving axis.
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// Number of the view.
    pub view: usize,
    /// Driving axis of all its rays.
    pub axis: Axis,
    /// Number of rays.
    pub len: usize,
    /// Index of its first ray in the arrays of [`Rays`].
    pub start: usize,
    /// Column of ray 0, and +1 or -1: the column of ray k is `column + k * direction`.
    pub column: usize,
    /// See `column`.
    pub direction: isize,
    /// Slabs in front of the source.
    pub slabs: Range<usize>,
    /// From a transverse position to a ray number.
    pub inverse: Inverse<T>,
}

/// Ray number as a continuous function of the transverse index `x` on slab `s`.
#[derive(Clone, Debug)]
pub enum Inverse<T> {
    /// Parallel rays: (x - alpha_0 - beta s) / pitch.
    Linear {
        /// Transverse index of ray 0 on slab 0.
        alpha: f64,
        /// Its change per slab.
        beta: f64,
        /// Rays per pixel.
        per_pixel: f64,
    },
    /// Rays from a source at transverse index `x`, driving index `s`: their slopes grow steadily, so the
    /// ray number is looked up in a table over the slope.
    Slope {
        /// Transverse index of the source.
        x: f64,
        /// Driving index of the source.
        s: f64,
        /// Slope of ray 0.
        first: f64,
        /// Table entries per unit slope.
        scale: f64,
        /// Ray number at equal steps of the slope.
        table: Vec<T>,
        /// Largest second difference of `table`: how far it is from linear.
        bend: f64,
    },
}

/// The rays of a range of views.
#[derive(Clone, Debug, Default)]
pub struct Rays<T> {
    /// All runs, views in order.
    pub runs: Vec<Run<T>>,
    /// Transverse index on slab 0.
    pub alpha: Vec<T>,
    /// Its change per slab.
    pub beta: Vec<T>,
    /// In-plane path per slab, mm.
    pub length: Vec<T>,
}

impl<T> Run<T> {
    /// Detector column of ray `k`.
    pub fn column(&self, k: usize) -> usize {
        self.column.wrapping_add_signed(k as isize * self.direction)
    }
}

impl<T: Real> Rays<T> {
    /// The rays of `views`.
    pub fn new(scan: &Scan, views: Range<usize>) -> Self {
        let mut rays = Self { runs: vec![], alpha: vec![], beta: vec![], length: vec![] };
        for v in views {
            let view = scan.view(v);
            let columns: Vec<Column> = (0..scan.shape[1]).map(|c| scan.column(view, c)).collect();
            let alike = |a: &Column, b: &Column| a.axis == b.axis && (a.reach > 0.0) == (b.reach > 0.0);
            let mut first = 0;
            for stretch in columns.chunk_by(alike) {
                rays.push(v, first, stretch, scan.beam == Beam::Parallel);
                first += stretch.len();
            }
        }
        rays
    }

    fn push(&mut self, view: usize, first: usize, columns: &[Column], parallel: bool) {
        let n = columns.len();
        let (head, tail) = (&columns[0], &columns[n - 1]);
        let slabs = head.first..head.last;
        let middle = 0.5 * (head.first + head.last) as f64;
        let at = |c: &Column| c.alpha + c.beta * middle;
        let reversed = at(head) > at(tail);
        let ordered: Vec<&Column> = if reversed { columns.iter().rev().collect() } else { columns.iter().collect() };
        let start = self.alpha.len() + PAD;
        for (array, value) in [
            (&mut self.alpha, (|c| c.alpha) as fn(&Column) -> f64),
            (&mut self.beta, |c| c.beta),
            (&mut self.length, |c| c.length),
        ] {
            // Padding repeats the outermost rays, so that lanes beyond them stay in range.
            array.extend(std::iter::repeat_n(T::from_f64(value(ordered[0])), PAD));
            array.extend(ordered.iter().map(|c| T::from_f64(value(c))));
            array.extend(std::iter::repeat_n(T::from_f64(value(ordered[n - 1])), PAD));
        }
        let (column, direction) = if reversed { (first + n - 1, -1) } else { (first, 1) };
        let inverse = if parallel { Inverse::linear(&ordered) } else { Inverse::slope(&ordered) };
        self.runs.push(Run { view, axis: head.axis, len: n, start, column, direction, slabs, inverse });
    }
}

impl<T: Real> Inverse<T> {
    fn linear(rays: &[&Column]) -> Self {
        let n = rays.len();
        // A lone ray may have any pitch: only the sign of the distance to it matters.
        let per_pixel = if n > 1 { (n - 1) as f64 / (rays[n - 1].alpha - rays[0].alpha) } else { 1.0 };
        Inverse::Linear { alpha: rays[0].alpha, beta: rays[0].beta, per_pixel }
    }

    fn slope(rays: &[&Column]) -> Self {
        let n = rays.len();
        let (s, first) = (rays[0].source, rays[0].beta);
        let x = rays[0].alpha + first * s;
        if n == 1 {
            let towards = if rays[0].first as f64 > s { 1.0 } else { -1.0 };
            return Inverse::Slope {
                x,
                s,
                first,
                scale: towards,
                table: vec![T::default(), T::from_f64(1.0)],
                bend: 0.0,
            };
        }
        let scale = (n - 1) as f64 / (rays[n - 1].beta - first);
        let mut table = Vec::with_capacity(n);
        let mut k = 0;
        for m in 0..n {
            let slope = first + m as f64 / scale;
            while k + 2 < n && (slope - rays[k + 1].beta) * scale > 0.0 {
                k += 1;
            }
            table.push(k as f64 + (slope - rays[k].beta) / (rays[k + 1].beta - rays[k].beta));
        }
        let bend = table.windows(3).map(|t| (t[0] - 2.0 * t[1] + t[2]).abs()).fold(0.0, f64::max);
        Inverse::Slope { x, s, first, scale, table: table.into_iter().map(T::from_f64).collect(), bend }
    }
}
