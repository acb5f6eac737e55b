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
pub struct Run {
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
    pub inverse: Inverse,
}

/// Ray number as a continuous function of the transverse index x on slab s.
#[derive(Clone, Copy, Debug)]
pub enum Inverse {
    /// Parallel rays: (x - alpha - beta s) per_pixel.
    Linear {
        /// Transverse index of ray 0 on slab 0.
        alpha: f64,
        /// Its change per slab.
        beta: f64,
        /// Rays per pixel.
        per_pixel: f64,
    },
    /// Rays from a source at transverse index `x`, driving index `s`. The ray through a pixel has the slope
    /// `stretch` (x' - x) / (s' - s), `excess` beyond that of the middle ray, and its angle with that has the tangent
    /// r = excess / (1 + slope² + slope excess). Columns lie at equal steps of that angle on a curved detector:
    /// number = `middle` + `scale` arctan r; and of the tangent of the fan angle g on a flat one: number = `middle` +
    /// `scale` r / (1 - `tilt` r), tilt = tan g of the middle ray up to sign.
    Divergent {
        /// Number of the middle ray.
        middle: f64,
        /// Transverse index of the source.
        x: f64,
        /// Driving index of the source.
        s: f64,
        /// Ratio of transverse and driving spacing.
        stretch: f64,
        /// Slope of the middle ray in mm per mm.
        slope: f64,
        /// Tangent of the fan angle of the middle ray, signed; 0 on a curved detector.
        tilt: f64,
        /// Rays per unit.
        scale: f64,
        /// Whether the detector is curved.
        curved: bool,
    },
}

/// The rays of a range of views.
#[derive(Clone, Debug, Default)]
pub struct Rays<T> {
    /// All runs, views in order.
    pub runs: Vec<Run>,
    /// Transverse index on slab 0.
    pub alpha: Vec<T>,
    /// Its change per slab.
    pub beta: Vec<T>,
    /// In-plane path per slab, mm.
    pub length: Vec<T>,
}

impl Run {
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
                rays.push(scan, v, first, stretch);
                first += stretch.len();
            }
        }
        rays
    }

    fn push(&mut self, scan: &Scan, view: usize, first: usize, columns: &[Column]) {
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
        let inverse = Inverse::of(scan, &ordered, column, direction);
        self.runs.push(Run { view, axis: head.axis, len: n, start, column, direction, slabs, inverse });
    }
}

impl Inverse {
    /// For `rays` in their order, the first of which is detector column `column`.
    fn of(scan: &Scan, rays: &[&Column], column: usize, direction: isize) -> Self {
        let n = rays.len();
        let Beam::Divergent { sdd, curved, .. } = scan.beam else {
            // A lone ray may have any pitch: only the sign of the distance to it matters.
            let per_pixel = if n > 1 { (n - 1) as f64 / (rays[n - 1].alpha - rays[0].alpha) } else { 1.0 };
            return Inverse::Linear { alpha: rays[0].alpha, beta: rays[0].beta, per_pixel };
        };
        // All rays of a run are less than a right angle away from its middle.
        let (middle, ray) = (n / 2, rays[n / 2]);
        // Slopes grow with the fan angle where slabs are rows, and fall where they are columns.
        let [_, dy, dx] = scan.grid.spacing;
        let (stretch, sign) = if ray.axis == Axis::Y { (dx / dy, 1.0) } else { (dy / dx, -1.0) };
        let tangent = scan.column_position(column.wrapping_add_signed(middle as isize * direction)) / sdd;
        let (tilt, secant) = if curved { (0.0, 1.0) } else { (sign * tangent, 1.0 + tangent * tangent) };
        // Numbers grow along the slab; the direction of a lone ray does not tell.
        let ahead = if ray.first as f64 > ray.source { 1.0 } else { -1.0 };
        let scale = if n > 1 { direction as f64 * sign } else { ahead } * sdd * secant / scan.pitch[1];
        let x = ray.alpha + ray.beta * ray.source;
        Inverse::Divergent {
            middle: middle as f64,
            x,
            s: ray.source,
            stretch,
            slope: ray.beta * stretch,
            tilt,
            scale,
            curved,
        }
    }
}
