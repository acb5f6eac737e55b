//! Detectors that photons reach after they have left the geometry: where a ray meets which pixel, and what it counts.
//!
//! A detector is a plane, or a cylinder about a line along its columns (that of a curved CT detector goes through the
//! focal spot). It sees what comes from its front, the side away from its third axis, at any angle, and absorbs all of
//! it; nothing is scattered back. It lies outside the bounds of the geometry, in vacuum.
//!
//! Response: the energy of each photon (ideal, energy integrating), or counts between thresholds. A photon of E keV is
//! then measured as E plus a normal error of `resolution` keV full width at half maximum; it enters each channel with
//! the probability that it is measured there, not with a draw. Accuracy: tables linear between energies 2^-7 of an
//! octave apart, over which an ideal threshold is smeared; error function to 1.5e-7 (Abramowitz & Stegun 7.1.26).

use crate::E_MAX;
use crate::geometry::Bounds;
use crate::track::axis::ENERGY;
use crate::track::bank::Orders;
use spinray_core::{Error, Result};

/// What happened to the photons of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Class {
    /// Nothing.
    Primary,
    /// Compton scatter, once, and nothing else.
    Compton,
    /// Rayleigh scatter, once or more, and nothing else.
    Rayleigh,
    /// Everything else: Compton scatter with any other, and photons that were emitted in the geometry.
    Multiple,
    /// The sum of all but the primary photons.
    Scatter,
}

/// Number of classes.
pub const CLASSES: usize = 5;
/// Into how many parts a row or a column of pixels is cut at least to see how far away it is.
const PARTS: usize = 64;

impl Class {
    /// Of a photon that arrives.
    pub fn of(orders: Orders) -> Self {
        match (orders.compton, orders.rayleigh, orders.emission) {
            (0, 0, 0) => Self::Primary,
            (1, 0, 0) => Self::Compton,
            (0, _, 0) => Self::Rayleigh,
            _ => Self::Multiple,
        }
    }
}

/// A plane or a piece of a cylinder, cut into pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detector {
    /// Middle of the detector, world, mm.
    centre: [f64; 3],
    /// Along rows (from column to column), along columns, and away from the source.
    axes: [[f64; 3]; 3],
    /// Rows, columns.
    count: [usize; 2],
    /// Of rows, of columns, in mm (arc length, if curved).
    pitch: [f64; 2],
    /// Of the cylinder.
    radius: Option<f64>,
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

impl Detector {
    /// `axes` orthonormal; `count` and `pitch` of rows and of columns; `radius` of a detector curved along its rows.
    pub fn new(
        centre: [f64; 3],
        axes: [[f64; 3]; 3],
        count: [usize; 2],
        pitch: [f64; 2],
        radius: Option<f64>,
    ) -> Result<Self> {
        let refuse = |problem: String| Err(Error::invalid("detector", problem));
        if count.contains(&0) || count[0].saturating_mul(count[1]) > 1 << 24 {
            return refuse(format!("expected 1 to 2^24 pixels, got {count:?}"));
        }
        if !pitch.iter().all(|p| p.is_finite() && *p > 0.0) || !centre.iter().all(|x| x.is_finite()) {
            return refuse(format!("expected a finite centre and a positive pitch, got {centre:?}, {pitch:?}"));
        }
        let square = |i: usize, j: usize| (dot(&axes[i], &axes[j]) - f64::from(i == j)).abs() < 1e-6;
        if !(0..3).all(|i| (0..3).all(|j| square(i, j))) {
            return refuse(format!("expected three orthonormal axes, got {axes:?}"));
        }
        let arc = count[1] as f64 * pitch[1];
        if radius.is_some_and(|r| !(r.is_finite() && r > 0.0) || arc > std::f64::consts::TAU * r) {
            return refuse(format!("expected a radius that holds an arc of {arc} mm, got {radius:?}"));
        }
        Ok(Self { centre, axes, count, pitch, radius })
    }

    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.count[0] * self.count[1]
    }

    /// Rows, columns.
    pub fn shape(&self) -> [usize; 2] {
        self.count
    }

    /// Of a pixel, mm2.
    pub fn area(&self) -> f64 {
        self.pitch[0] * self.pitch[1]
    }

    /// The point half way up column `c` (counted from the first, between its pixels if not whole), and the normal there.
    pub fn column(&self, c: f64) -> ([f64; 3], [f64; 3]) {
        let [u, _, w] = &self.axes;
        let along = (c - 0.5 * (self.count[1] - 1) as f64) * self.pitch[1];
        match self.radius {
            None => (std::array::from_fn(|k| self.centre[k] + along * u[k]), *w),
            Some(radius) => {
                let (sine, cosine) = (along / radius).sin_cos();
                let normal: [f64; 3] = std::array::from_fn(|k| sine * u[k] + cosine * w[k]);
                (std::array::from_fn(|k| self.centre[k] + radius * (normal[k] - w[k])), normal)
            }
        }
    }

    /// From there to row `r`.
    pub fn row(&self, r: f64) -> [f64; 3] {
        let along = (r - 0.5 * (self.count[0] - 1) as f64) * self.pitch[0];
        self.axes[1].map(|v| along * v)
    }

    /// The pixel that a photon meets, counted along rows.
    pub fn meets(&self, position: [f64; 3], direction: [f64; 3]) -> Option<usize> {
        let back = self.radius.unwrap_or(0.0);
        // From the axis of the cylinder, or the middle of the plane.
        let from: [f64; 3] = std::array::from_fn(|k| position[k] - self.centre[k] + back * self.axes[2][k]);
        let ([pu, pv, pw], [du, dv, dw]) = (self.axes.map(|a| dot(&a, &from)), self.axes.map(|a| dot(&a, &direction)));
        let path = match self.radius {
            None if dw > 0.0 => -pw / dw,
            None => return None,
            Some(radius) => {
                let (a, b, c) = (du * du + dw * dw, pu * du + pw * dw, pu * pu + pw * pw - radius * radius);
                // The way out of the cylinder: the way in is through its back.
                (-b + (b * b - a * c).sqrt()) / a
            }
        };
        // Nor is no number.
        if !(path > 0.0 && path.is_finite()) {
            return None;
        }
        let (u, v, w) = (pu + path * du, pv + path * dv, pw + path * dw);
        let along = self.radius.map_or(u, |radius| radius * u.atan2(w));
        let place = |x: f64, k: usize| {
            let i = (x / self.pitch[k] + 0.5 * self.count[k] as f64).floor();
            (i >= 0.0 && i < self.count[k] as f64).then_some(i as usize)
        };
        Some(place(v, 0)? * self.count[1] + place(along, 1)?)
    }

    /// An error if all of the geometry lies behind it.
    pub fn faces(&self, bounds: &Bounds) -> Result<()> {
        let (low, high) = (bounds.low, bounds.high());
        let before = |c: usize| {
            let (point, normal) = self.column(c as f64);
            // Of the corner that lies furthest in front.
            let depths = (0..3).map(|k| ((low[k] - point[k]) * normal[k]).min((high[k] - point[k]) * normal[k]));
            depths.sum::<f64>() < 0.0
        };
        if (0..self.count[1]).any(before) {
            return Ok(());
        }
        let problem = "expected a detector that faces the phantom, got one that has all of it at its back: its third \
                       axis (first x second edge) leads away from the source. Negate an edge";
        Err(Error::invalid("detector", problem))
    }

    /// A lower bound of the distance between a photon in the geometry and the detector; an error if there is none.
    pub fn distance(&self, bounds: &Bounds) -> Result<f64> {
        let (low, high) = (bounds.low, bounds.high());
        // Of the middles of small parts; a pixel may be as large as the detector.
        let parts = self.count.map(|n| PARTS.div_ceil(n));
        let middle = |i: usize, k: usize| (i as f64 + 0.5) / parts[k] as f64 - 0.5;
        let mut least = f64::INFINITY;
        for c in 0..self.count[1] * parts[1] {
            let (column, _) = self.column(middle(c, 1));
            for r in 0..self.count[0] * parts[0] {
                let row = self.row(middle(r, 0));
                let apart = |k: usize| {
                    let x = column[k] + row[k];
                    (low[k] - x).max(x - high[k]).max(0.0).powi(2)
                };
                least = least.min((0..3).map(apart).sum::<f64>().sqrt());
            }
        }
        let distance = least - 0.5 * (self.pitch[0] / parts[0] as f64).hypot(self.pitch[1] / parts[1] as f64);
        if distance > 0.0 {
            return Ok(distance);
        }
        let problem = format!(
            "expected a detector outside the phantom and the air around it, which reach from {low:?} to {high:?} mm; \
             got one whose pixels come within {least:.4} mm of them: use outside='vacuum' or a smaller margin"
        );
        Err(Error::invalid("detector", problem))
    }
}

/// What a photon adds to each channel of its pixel.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Its energy in keV; one channel.
    Energy,
    /// Counts from each threshold to the next, and above the last.
    Counting {
        /// Growing, keV.
        thresholds: Vec<f64>,
        /// Full width at half maximum of the measured energy of a photon, keV.
        resolution: f64,
    },
}

/// Full width at half maximum of a normal distribution over its standard deviation, 2 sqrt(2 ln 2).
const FULL_WIDTH: f64 = 2.354_820_045;

impl Response {
    /// Checked.
    pub fn check(&self) -> Result<()> {
        let Self::Counting { thresholds, resolution } = self else { return Ok(()) };
        let growing = thresholds.windows(2).all(|pair| pair[0] < pair[1]);
        if thresholds.is_empty() || !growing || !thresholds.iter().all(|t| *t >= 0.0 && *t <= E_MAX) {
            let problem = format!("expected growing energies of 0 to {E_MAX} keV, got {thresholds:?}");
            return Err(Error::invalid("thresholds", problem));
        }
        if !(resolution.is_finite() && *resolution >= 0.0) {
            return Err(Error::invalid("resolution", format!("expected a number >= 0 (keV), got {resolution}")));
        }
        Ok(())
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        match self {
            Self::Energy => 1,
            Self::Counting { thresholds, .. } => thresholds.len(),
        }
    }

    /// What a photon of `energy` adds to a channel.
    pub fn of(&self, channel: usize, energy: f64) -> f64 {
        let Self::Counting { thresholds, resolution } = self else { return energy };
        let above = |t: Option<&f64>| t.map_or(0.0, |t| exceeds(energy - t, resolution / FULL_WIDTH));
        above(thresholds.get(channel)) - above(thresholds.get(channel + 1))
    }

    /// The most that a photon of at most `energy` adds.
    pub fn most(&self, energy: f64) -> f64 {
        if *self == Self::Energy { energy } else { 1.0 }
    }

    /// [`Response::of`] all channels, one after the other, on every interval of energy.
    pub fn tables(&self) -> Vec<[f32; 2]> {
        (0..self.channels()).flat_map(|channel| ENERGY.tabulate(|energy| self.of(channel, energy))).collect()
    }
}

/// Probability that a normal error of standard deviation `sigma` is above -`x`.
fn exceeds(x: f64, sigma: f64) -> f64 {
    if sigma == 0.0 {
        return f64::from(x >= 0.0);
    }
    let y = x / (sigma * std::f64::consts::SQRT_2);
    let t = 1.0 / (1.0 + 0.327_591_1 * y.abs());
    let series =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * series * (-y * y).exp();
    if y >= 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Numbers, Uniform};

    pub const AXES: [[f64; 3]; 3] = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];

    #[test]
    fn rays_meet_the_pixel_they_are_sent_to_and_only_from_the_front() {
        let mut numbers = Numbers::new(1, 0, 0);
        for radius in [None, Some(300.0)] {
            let detector = Detector::new([100.0, 5.0, -7.0], AXES, [5, 8], [20.0, 30.0], radius).unwrap();
            for _ in 0..2000 {
                let [a, b] = [0, 1].map(|k| numbers.uniform() * detector.shape()[k] as f64 - 0.5);
                let ((column, normal), row) = (detector.column(b), detector.row(a));
                let to: [f64; 3] = std::array::from_fn(|k| column[k] + row[k]);
                let from = [-50.0, 100.0 * numbers.uniform(), 100.0 * numbers.uniform()];
                let d: [f64; 3] = std::array::from_fn(|k| to[k] - from[k]);
                let expected = (a + 0.5).floor() as usize * 8 + (b + 0.5).floor() as usize;
                assert!(dot(&d, &normal) > 0.0);
                assert_eq!(detector.meets(from, d), Some(expected));
                assert_eq!(detector.meets(from, d.map(|x| -x)), None, "it flies away");
                let behind: [f64; 3] = std::array::from_fn(|k| to[k] + d[k]);
                assert_ne!(detector.meets(behind, d.map(|x| -x)), Some(expected), "it comes from behind");
            }
        }
    }

    #[test]
    fn counts_between_thresholds_are_those_of_a_normal_distribution() {
        let response = Response::Counting { thresholds: vec![20.0, 50.0], resolution: FULL_WIDTH * 4.0 };
        // One standard deviation above the threshold, and one below: 0.841345 and its complement.
        assert!((response.of(1, 54.0) - 0.841_344_746).abs() < 2e-7);
        assert!((response.of(1, 46.0) - 0.158_655_254).abs() < 2e-7);
        assert!((response.of(0, 46.0) + response.of(1, 46.0) - 1.0).abs() < 1e-6);
        let sharp = Response::Counting { thresholds: vec![20.0, 50.0], resolution: 0.0 };
        assert_eq!(
            [19.9, 20.0, 49.9, 50.0].map(|e| [sharp.of(0, e), sharp.of(1, e)]).concat(),
            [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
        );
        assert!(Response::Counting { thresholds: vec![50.0, 20.0], resolution: 0.0 }.check().is_err());
        assert!(Response::Counting { thresholds: vec![], resolution: 0.0 }.check().is_err());
        assert!(Response::Counting { thresholds: vec![20.0], resolution: -1.0 }.check().is_err());
    }

    #[test]
    fn a_detector_within_the_phantom_or_without_pixels_is_refused() {
        let make = |count, pitch| Detector::new([100.0, 0.0, 0.0], AXES, count, [pitch; 2], None);
        let bounds = Bounds::new([-50.0; 3], [50.0; 3]).unwrap();
        let distance = |pitch| make([3, 3], pitch).unwrap().distance(&bounds).unwrap();
        assert!(distance(2.0) <= 50.0 && distance(2.0) > 49.9 && distance(60.0) > 48.0);
        let inside = Bounds::new([-150.0; 3], [150.0; 3]).unwrap();
        assert!(make([3, 3], 2.0).unwrap().distance(&inside).unwrap_err().to_string().contains("outside='vacuum'"));
        assert!(make([3, 3], 2.0).unwrap().faces(&inside).is_ok());
        let behind = Bounds::new([400.0, -9.0, -9.0], [410.0, 9.0, 9.0]).unwrap();
        assert!(make([3, 3], 2.0).unwrap().faces(&behind).unwrap_err().to_string().contains("at its back"));
        assert!(make([0, 3], 2.0).is_err() && make([3, 3], 0.0).is_err());
        let skew = [[1.0, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert!(Detector::new([0.0; 3], skew, [1, 1], [1.0; 2], None).is_err());
        assert!(Detector::new([0.0; 3], AXES, [1, 100], [1.0; 2], Some(10.0)).is_err());
    }
}
