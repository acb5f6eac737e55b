//! Photons from a focal spot onto a detector, uniform in solid angle.
//!
//! About the detector's column axis v, with azimuth p from its normal w and elevation e, the solid angle is
//! dp d(sin e): azimuths are drawn uniformly, sines of elevations uniformly between those of the detector's lower and
//! upper edge. Their difference is the same for all azimuths on a cylinder about v through the focus. On a flat
//! detector it changes with the distance d = D / cos p to the column: azimuths are drawn again in proportion
//! (rejection; nothing is rejected by narrow fields). The largest difference is at
//! d^2 = (a v1^2 - b v0^2) / (b - a), a = |v0|^(2/3), b = |v1|^(2/3), or at the nearest column. Exact; a detector
//! without height is a fan that is uniform in angle.

use super::finite;
use crate::random::Uniform;
use spinray_core::{Error, Result};

/// A focal spot and the detector it shines on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    focus: [f64; 3],
    /// Along rows, along columns, and towards the detector.
    axes: [[f64; 3]; 3],
    /// Distance to the detector's plane, or radius of its cylinder.
    distance: f64,
    curved: bool,
    azimuth: [f64; 2],
    /// Edges along the columns.
    rows: [f64; 2],
    /// The largest difference of sines of elevation over the azimuths.
    most: f64,
}

/// Rays over a field along rows and columns, for means over it.
const RAYS: [usize; 2] = [512, 8];

/// Angles of a photon in a [`Field`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ray {
    /// From the central ray along the detector's rows, rad.
    pub azimuth: f64,
    /// Sine of the elevation.
    pub sine: f64,
}

impl Ray {
    /// Cosine of the elevation.
    #[inline]
    pub fn cosine(&self) -> f64 {
        (1.0 - self.sine * self.sine).sqrt()
    }
}

impl Field {
    /// `axes` orthonormal; a detector at `distance` along the third, from `columns[0]` to `columns[1]` along the first
    /// (arc length, if curved) and from `rows[0]` to `rows[1]` along the second; mm.
    pub fn new(
        focus: [f64; 3],
        axes: [[f64; 3]; 3],
        distance: f64,
        columns: [f64; 2],
        rows: [f64; 2],
        curved: bool,
    ) -> Result<Self> {
        finite("position", &focus)?;
        if !(distance > 0.0 && distance.is_finite()) {
            let problem = format!("expected a detector in front of the focal spot, got a distance of {distance} mm");
            return Err(Error::invalid("detector", problem));
        }
        let ordered = |r: [f64; 2]| r[0].is_finite() && r[1].is_finite() && r[0] <= r[1];
        if !ordered(columns) || !ordered(rows) || columns[0] == columns[1] {
            return Err(Error::invalid("detector", format!("expected edges in order, got {columns:?}, {rows:?} mm")));
        }
        let azimuth = columns.map(|c| if curved { c / distance } else { (c / distance).atan() });
        if azimuth[1] - azimuth[0] > std::f64::consts::TAU {
            return Err(Error::invalid(
                "detector",
                format!("expected at most a full turn, got columns {columns:?} mm"),
            ));
        }
        let mut field = Self { focus, axes, distance, curved, azimuth, rows, most: 0.0 };
        field.most = field.largest();
        Ok(field)
    }

    /// Distance from the focus to the column at an azimuth, across v.
    #[inline]
    fn reach(&self, azimuth: f64) -> f64 {
        if self.curved { self.distance } else { self.distance / azimuth.cos() }
    }

    /// Sines of the elevations of the lower and upper edge seen at a distance.
    #[inline]
    fn sines(&self, reach: f64) -> [f64; 2] {
        self.rows.map(|v| v / (v * v + reach * reach).sqrt())
    }

    fn largest(&self) -> f64 {
        let [low, high] = self.azimuth;
        let nearest = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
        let (near, far) = (self.reach(nearest), self.reach(low.abs().max(high.abs())));
        let (v0, v1) = (self.rows[0].abs().min(self.rows[1].abs()), self.rows[0].abs().max(self.rows[1].abs()));
        let (a, b) = (v0.powf(2.0 / 3.0), v1.powf(2.0 / 3.0));
        // With the focus level with the detector, the nearest column is the tallest.
        let level = self.rows[0] * self.rows[1] <= 0.0 || a == b;
        let best = if level { near } else { ((a * v1 * v1 - b * v0 * v0) / (b - a)).sqrt().clamp(near, far.max(near)) };
        let [s0, s1] = self.sines(best);
        s1 - s0
    }

    /// Position and direction of a photon.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> ([f64; 3], [f64; 3]) {
        let ray = self.ray(random);
        self.along(ray)
    }

    /// The angles of a photon.
    #[inline]
    pub fn ray<U: Uniform>(&self, random: &mut U) -> Ray {
        let ([low, high], flat) = (self.azimuth, self.rows[0] == self.rows[1]);
        loop {
            let azimuth = low + (high - low) * random.uniform();
            let [s0, s1] = self.sines(self.reach(azimuth));
            if self.curved || flat || random.uniform() * self.most <= s1 - s0 {
                return Ray { azimuth, sine: if flat { s0 } else { s0 + (s1 - s0) * random.uniform() } };
            }
        }
    }

    /// Position and direction of a photon of given angles.
    #[inline]
    pub fn along(&self, ray: Ray) -> ([f64; 3], [f64; 3]) {
        let (s, c) = ray.azimuth.sin_cos();
        (self.focus, super::along(&self.axes, [ray.cosine() * s, ray.sine, ray.cosine() * c]))
    }

    /// Rays over the field, and the solid angle of each in any unit.
    pub fn rays(&self) -> impl Iterator<Item = (Ray, f64)> + '_ {
        let ([low, high], flat) = (self.azimuth, self.rows[0] == self.rows[1]);
        (0..RAYS[0] * RAYS[1]).map(move |i| {
            let [u, v] = [i % RAYS[0], i / RAYS[0]].map(|i| i as f64 + 0.5);
            let azimuth = low + (high - low) * u / RAYS[0] as f64;
            let [s0, s1] = self.sines(self.reach(azimuth));
            let sine = s0 + (s1 - s0) * v / RAYS[1] as f64;
            (Ray { azimuth, sine }, if flat { 1.0 } else { s1 - s0 })
        })
    }

    /// Solid angle of the detector in sr (van Oosterom & Strackee 1983 for the rectangle).
    pub fn solid_angle(&self) -> f64 {
        if self.curved {
            let [s0, s1] = self.sines(self.distance);
            return (s1 - s0) * (self.azimuth[1] - self.azimuth[0]);
        }
        let d = self.distance;
        let corner = |azimuth: f64, v: f64| {
            let u = d * azimuth.tan();
            (u * v / (d * (d * d + u * u + v * v).sqrt())).atan()
        };
        let ([p0, p1], [v0, v1]) = (self.azimuth, self.rows);
        corner(p1, v1) - corner(p0, v1) - corner(p1, v0) + corner(p0, v0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;
    use crate::source::tests::chi_square;

    const AXES: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    /// Counts on 8 x 8 equal areas of the detector, and their exact solid angles.
    fn spread(columns: [f64; 2], rows: [f64; 2], distance: f64, curved: bool) -> (Vec<f64>, Vec<f64>) {
        let make = |c, r| Field::new([0.0; 3], AXES, distance, c, r, curved).unwrap();
        let field = make(columns, rows);
        let (mut counts, mut shares) = (vec![0.0; 64], vec![0.0; 64]);
        let cut = |e: [f64; 2], i: usize| [i, i + 1].map(|i| e[0] + (e[1] - e[0]) * i as f64 / 8.0);
        for (i, share) in shares.iter_mut().enumerate() {
            *share = make(cut(columns, i % 8), cut(rows, i / 8)).solid_angle() / field.solid_angle();
        }
        for history in 0..200_000 {
            let (_, [x, y, z]) = field.sample(&mut Numbers::new(4, history, 0));
            assert!((x * x + y * y + z * z - 1.0).abs() < 1e-12);
            let across = if curved { x.hypot(z) } else { z };
            let u = if curved { distance * x.atan2(z) } else { distance * x / z };
            let place = |p: f64, e: [f64; 2]| {
                let t = (p - e[0]) / (e[1] - e[0]);
                assert!((-1e-9..1.0 + 1e-9).contains(&t), "off the detector: {t}");
                (8.0 * t).clamp(0.0, 7.0) as usize
            };
            counts[8 * place(distance * y / across, rows) + place(u, columns)] += 1.0;
        }
        (counts, shares)
    }

    #[test]
    fn every_part_of_the_detector_gets_its_solid_angle() {
        for (columns, rows, distance, curved) in [
            ([-100.0, 100.0], [-100.0, 100.0], 100.0, false),
            ([-20.0, 300.0], [40.0, 200.0], 100.0, false),
            ([50.0, 90.0], [-300.0, -10.0], 30.0, false),
            ([0.0, 10.0], [0.0, 10.0], 1000.0, false),
            ([200.0, 900.0], [100.0, 110.0], 50.0, false),
            ([0.0, 600.0], [100.0, 110.0], 30.0, false),
            ([-100.0, 120.0], [-30.0, 200.0], 100.0, true),
        ] {
            let (counts, shares) = spread(columns, rows, distance, curved);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "solid angles add up");
            let chi = chi_square(&counts, &shares);
            assert!(chi < 110.0, "63 degrees of freedom, {columns:?} {rows:?}: {chi}");
        }
    }

    #[test]
    fn solid_angles_are_those_of_a_cube_s_face_and_of_a_zone() {
        use std::f64::consts::PI;
        let cube = Field::new([0.0; 3], AXES, 1.0, [-1.0, 1.0], [-1.0, 1.0], false).unwrap();
        assert!((cube.solid_angle() - 4.0 * PI / 6.0).abs() < 1e-12);
        let zone = Field::new([0.0; 3], AXES, 1.0, [-PI, PI], [-1e9, 1e9], true).unwrap();
        assert!((zone.solid_angle() - 4.0 * PI).abs() < 1e-8);
    }

    #[test]
    fn a_fan_without_height_is_uniform_in_angle() {
        for curved in [false, true] {
            let columns =
                if curved { [-0.5, 0.5].map(|a: f64| 100.0 * a) } else { [-0.5, 0.5].map(|a: f64| 100.0 * a.tan()) };
            let fan = Field::new([0.0; 3], AXES, 100.0, columns, [0.0; 2], curved).unwrap();
            let mut counts = vec![0.0; 20];
            for history in 0..100_000 {
                let (_, [x, y, z]) = fan.sample(&mut Numbers::new(4, history, 0));
                assert_eq!(y, 0.0);
                counts[(20.0 * (x.atan2(z) + 0.5)).clamp(0.0, 19.0) as usize] += 1.0;
            }
            assert!(chi_square(&counts, &[0.05; 20]) < 45.0);
        }
    }

    #[test]
    fn a_detector_behind_the_source_is_refused() {
        assert!(Field::new([0.0; 3], AXES, -10.0, [-1.0, 1.0], [-1.0, 1.0], false).is_err());
        assert!(Field::new([0.0; 3], AXES, 10.0, [1.0, -1.0], [-1.0, 1.0], false).is_err());
        assert!(Field::new([0.0; 3], AXES, 10.0, [1.0, 1.0], [-1.0, 1.0], false).is_err());
    }
}
