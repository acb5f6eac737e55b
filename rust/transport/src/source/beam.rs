//! Parallel photons from a spot, and photons from a point into a cone.

use super::{along, cap, finite};
use crate::geometry::frame;
use crate::random::Uniform;
use spinray_core::{Error, Result};
use std::f64::consts::{PI, TAU};

/// How photons fill the width of a [`Pencil`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Uniform over a rectangle of these edges.
    Square,
    /// Uniform over an ellipse of these diameters.
    Disc,
    /// Normal with these full widths at half maximum.
    Gaussian,
}

/// Parallel photons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pencil {
    position: [f64; 3],
    /// Two across the beam, and its direction.
    axes: [[f64; 3]; 3],
    width: [f64; 2],
    profile: Profile,
}

impl Pencil {
    /// About `position` along `direction`; widths in mm across it, along the first two axes of [`frame`].
    pub fn new(position: [f64; 3], direction: [f64; 3], width: [f64; 2], profile: Profile) -> Result<Self> {
        Self::along(position, checked_frame(direction)?, width, profile)
    }

    /// The same with orthonormal axes, the third along the beam.
    pub fn along(position: [f64; 3], axes: [[f64; 3]; 3], width: [f64; 2], profile: Profile) -> Result<Self> {
        finite("position", &position)?;
        if !width.iter().all(|w| w.is_finite() && *w >= 0.0) {
            return Err(Error::invalid("width", format!("expected numbers >= 0 (mm), got {width:?}")));
        }
        Ok(Self { position, axes, width, profile })
    }

    /// Position and direction of a photon.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> ([f64; 3], [f64; 3]) {
        let direction = self.axes[2];
        if self.width == [0.0; 2] {
            return (self.position, direction);
        }
        let (first, second) = (random.uniform(), random.uniform());
        let [a, b] = match self.profile {
            Profile::Square => [first - 0.5, second - 0.5],
            Profile::Disc => polar(0.5 * first.sqrt(), second),
            // The full width at half maximum of a normal distribution is 2 sqrt(2 ln 2) of its deviation; Box & Muller.
            Profile::Gaussian => polar((-2.0 * first.ln()).sqrt() / (8.0 * 2f64.ln()).sqrt(), second),
        };
        let shift = along(&self.axes, [a * self.width[0], b * self.width[1], 0.0]);
        (std::array::from_fn(|k| self.position[k] + shift[k]), direction)
    }
}

#[inline]
fn polar(radius: f64, turn: f64) -> [f64; 2] {
    let (s, c) = (TAU * turn).sin_cos();
    [radius * c, radius * s]
}

/// Photons from a point, uniform in solid angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    position: [f64; 3],
    axes: [[f64; 3]; 3],
    /// Cosine of half the opening.
    least: f64,
}

impl Point {
    /// Into all directions, or a cone about a direction with the given angle from edge to edge in rad.
    pub fn new(position: [f64; 3], cone: Option<([f64; 3], f64)>) -> Result<Self> {
        finite("position", &position)?;
        let (direction, opening) = cone.unwrap_or(([0.0, 0.0, 1.0], TAU));
        if !(opening > 0.0 && opening <= TAU) {
            return Err(Error::invalid("opening", format!("expected radians in (0, 2 pi], got {opening}. Degrees?")));
        }
        Ok(Self { position, axes: checked_frame(direction)?, least: (0.5 * opening).cos() })
    }

    /// Position and direction of a photon.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> ([f64; 3], [f64; 3]) {
        (self.position, along(&self.axes, cap(self.least, random)))
    }

    /// Solid angle of its cone in sr.
    pub fn solid_angle(&self) -> f64 {
        2.0 * PI * (1.0 - self.least)
    }
}

fn checked_frame(direction: [f64; 3]) -> Result<[[f64; 3]; 3]> {
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return Err(Error::invalid("direction", format!("expected a vector that is not zero, got {direction:?}")));
    }
    Ok(frame(direction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;
    use crate::source::tests::{chi_square, mono, photons};
    use crate::source::{Emission, Source};

    fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
        a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    }

    #[test]
    fn frames_are_orthonormal_and_right_handed_and_aligned_where_the_direction_is() {
        for direction in [[0.0, 0.0, 3.0], [1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.3, -0.4, 1.2], [1.0, 1.0, 1.0]] {
            let [u, v, w] = frame(direction);
            assert!(dot(u, v).abs() < 1e-15 && dot(u, w).abs() < 1e-15 && dot(v, w).abs() < 1e-15);
            assert!((dot(u, u) - 1.0).abs() < 1e-15 && (dot(v, v) - 1.0).abs() < 1e-15);
            let turned = u[0] * (v[1] * w[2] - v[2] * w[1]) - u[1] * (v[0] * w[2] - v[2] * w[0])
                + u[2] * (v[0] * w[1] - v[1] * w[0]);
            assert!((turned - 1.0).abs() < 1e-14);
            assert!((dot(w, direction) - dot(direction, direction).sqrt()).abs() < 1e-12);
        }
        assert_eq!(frame([0.0, 0.0, 1.0]), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    }

    #[test]
    fn an_isotropic_source_fills_the_sphere_evenly() {
        let point = Point::new([1.0, 2.0, 3.0], None).unwrap();
        let mut counts = vec![0.0; 80];
        for photon in photons(&Source::new(Emission::Point(point), mono()).unwrap(), 400_000) {
            let [x, y, z] = photon.direction;
            assert!((dot([x, y, z], [x, y, z]) - 1.0).abs() < 1e-12);
            let azimuth = (y.atan2(x) / TAU + 0.5).min(0.999_999);
            counts[8 * (5.0 * (z + 1.0)).min(9.0) as usize + (8.0 * azimuth) as usize] += 1.0;
        }
        let chi = chi_square(&counts, &[1.0 / 80.0; 80]);
        assert!(chi < 130.0, "79 degrees of freedom: {chi}");
        assert!((point.solid_angle() - 4.0 * PI).abs() < 1e-12);
    }

    #[test]
    fn a_cone_is_filled_to_its_opening_and_obeys_the_inverse_square_law() {
        let (direction, opening) = ([0.48, -0.6, 0.64], 0.5);
        let point = Point::new([0.0; 3], Some((direction, opening))).unwrap();
        let source = Source::new(Emission::Point(point), mono()).unwrap();
        let n = 400_000;
        // Discs of 5 mm at 100 mm and at 200 mm: the solid angles are 2 pi (1 - d / sqrt(d^2 + r^2)).
        let (mut near, mut far, mut widest) = (0.0, 0.0, 1.0f64);
        for photon in photons(&source, n) {
            let cosine = dot(photon.direction, direction);
            widest = widest.min(cosine);
            let tangent = (1.0 - cosine * cosine).max(0.0).sqrt() / cosine;
            near += f64::from(u8::from(tangent < 0.05));
            far += f64::from(u8::from(tangent < 0.025));
        }
        assert!(widest >= 0.25f64.cos() - 1e-12 && widest < 0.249f64.cos());
        let share = |t: f64| TAU * (1.0 - 1.0 / (1.0 + t * t).sqrt()) / point.solid_angle();
        for (count, expected) in [(near, share(0.05)), (far, share(0.025))] {
            let sigma = (n as f64 * expected).sqrt();
            assert!((count - n as f64 * expected).abs() < 4.0 * sigma);
        }
        assert!((near / far - 4.0).abs() < 0.2);
    }

    #[test]
    fn profiles_have_their_widths() {
        let (position, direction) = ([3.0, -1.0, 2.0], [0.0, 1.0, 0.0]);
        // Variance of a uniform edge is 1/12, along a diameter 1/16, and of a normal 1/(8 ln 2).
        let expected = [(Profile::Square, 1.0 / 12.0), (Profile::Disc, 1.0 / 16.0), (Profile::Gaussian, 0.180_336_88)];
        for (profile, variance) in expected {
            let pencil = Pencil::new(position, direction, [2.0, 2.0], profile).unwrap();
            let n = 200_000;
            let (mut x, mut z) = (0.0, 0.0);
            for history in 0..n {
                let (p, d) = pencil.sample(&mut Numbers::new(2, history, 0));
                assert!(d == direction && p[1] == position[1]);
                x += (p[0] - 3.0).powi(2);
                z += (p[2] - 2.0).powi(2);
                if profile == Profile::Square {
                    assert!((p[0] - 3.0).abs() <= 1.0 && (p[2] - 2.0).abs() <= 1.0);
                }
            }
            for square in [x, z] {
                assert!((square / n as f64 / (4.0 * variance) - 1.0).abs() < 0.02, "{profile:?}");
            }
        }
    }

    #[test]
    fn beams_without_direction_are_refused() {
        assert!(Pencil::new([0.0; 3], [0.0; 3], [0.0; 2], Profile::Square).is_err());
        assert!(Pencil::new([f64::NAN; 3], [1.0; 3], [0.0; 2], Profile::Square).is_err());
        assert!(Pencil::new([0.0; 3], [1.0; 3], [-1.0, 0.0], Profile::Square).is_err());
        assert!(Point::new([0.0; 3], Some(([0.0; 3], 1.0))).is_err());
        assert!(Point::new([0.0; 3], Some(([1.0; 3], 30.0))).is_err());
    }
}
