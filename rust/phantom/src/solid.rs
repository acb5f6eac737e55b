//! Solids: what an organ is bounded by, as a signed distance.
//!
//! A blob is star-shaped: |q| = 1 + sum_k a_k P_k(n . m_k) in coordinates q in which its ellipsoid is the unit ball, with
//! n = q / |q|, Legendre polynomials of degrees 2, 3, 4 and random axes m_k (zonal harmonics: any spherical harmonic is a
//! sum of them). The distance from its surface, negative inside, is taken to first order, (|q| - surface) / |grad |q||;
//! it is exact on spheres and good to the first order in the lobes near the surface, which is where it matters.

use crate::draw::Draw;

/// What lies nearer to a surface than this many mm is asked for beyond a bounding box: how far the fields bend.
pub const REACH: f32 = 18.0;

/// A star-shaped solid.
#[derive(Clone, Debug)]
pub struct Blob {
    centre: [f32; 3],
    radii: [f32; 3],
    /// To coordinates of the unit ball.
    to_local: [[f32; 3]; 3],
    /// Half sizes of the box around it, (x, y, z).
    half: [f32; 3],
    /// Amplitude and axis for the degrees 2, 3 and 4.
    lobes: [(f32, [f32; 3]); 3],
    /// Repeated along z with this period.
    period: Option<f32>,
}

impl Blob {
    /// An ellipsoid, half axes along x, y, z.
    pub fn new(centre: [f32; 3], radii: [f32; 3]) -> Self {
        let blob =
            Self { centre, radii, to_local: [[0.0; 3]; 3], half: radii, lobes: Default::default(), period: None };
        blob.turned(0.0)
    }

    /// The ellipsoid turned about z by an angle in rad.
    pub fn turned(mut self, angle: f32) -> Self {
        let (sine, cosine) = angle.sin_cos();
        let r = self.radii;
        self.to_local = [[cosine / r[0], sine / r[0], 0.0], [-sine / r[1], cosine / r[1], 0.0], [0.0, 0.0, 1.0 / r[2]]];
        self.half = [(cosine * r[0]).hypot(sine * r[1]), (sine * r[0]).hypot(cosine * r[1]), r[2]];
        self
    }

    /// With random lobes of these amplitudes, relative to the radius, for the degrees 2, 3 and 4.
    pub fn lobed(mut self, draw: &mut Draw, amplitudes: [f32; 3]) -> Self {
        self.lobes = amplitudes.map(|amplitude| (amplitude * draw.within(-1.0, 1.0), draw.direction()));
        let most = 1.0 + self.lobes.iter().map(|(amplitude, _)| amplitude.abs()).sum::<f32>();
        self.half = self.half.map(|half| half * most);
        self
    }

    /// Repeated along z.
    pub fn periodic(mut self, period: f32) -> Self {
        self.period = Some(period);
        self
    }

    /// Whether a line along x at (y, z), bent by the fields, may meet it; and between which x.
    pub fn span(&self, y: f32, z: f32) -> Option<(f32, f32)> {
        let far = (y - self.centre[1]).abs() > self.half[1] + REACH
            || (self.period.is_none() && (z - self.centre[2]).abs() > self.half[2] + REACH);
        (!far).then(|| (self.centre[0] - self.half[0] - REACH, self.centre[0] + self.half[0] + REACH))
    }

    /// Signed distance of a point in mm.
    #[inline(always)]
    pub fn distance(&self, p: [f32; 3]) -> f32 {
        let [x, y, mut z] = [p[0] - self.centre[0], p[1] - self.centre[1], p[2] - self.centre[2]];
        if let Some(period) = self.period {
            z -= period * (z / period + 0.5).floor();
        }
        let m = &self.to_local;
        let q = [m[0][0] * x + m[0][1] * y, m[1][0] * x + m[1][1] * y, m[2][2] * z];
        let radius = (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + 1e-6).sqrt();
        let n = [q[0] / radius, q[1] / radius, q[2] / radius];
        let along = |axis: &[f32; 3]| n[0] * axis[0] + n[1] * axis[1] + n[2] * axis[2];
        let [(a2, axis2), (a3, axis3), (a4, axis4)] = &self.lobes;
        let (t2, t3, t4) = (along(axis2), along(axis3), along(axis4));
        let (s2, s3, s4) = (t2 * t2, t3 * t3, t4 * t4);
        let surface =
            1.0 + a2 * (1.5 * s2 - 0.5) + a3 * t3 * (2.5 * s3 - 1.5) + a4 * ((4.375 * s4 - 3.75) * s4 + 0.375);
        let g = [n[0] / self.radii[0], n[1] / self.radii[1], n[2] / self.radii[2]];
        (radius - surface) / (g[0] * g[0] + g[1] * g[1] + g[2] * g[2] + 1e-12).sqrt()
    }

    /// A random point of its inner part, `filling` of the half axes from the centre at most.
    pub fn point(&self, draw: &mut Draw, filling: f32) -> [f32; 3] {
        let direction = draw.direction();
        let radius = filling * draw.within(0.0, 1.0).cbrt();
        std::array::from_fn(|axis| self.centre[axis] + radius * self.half[axis] * direction[axis])
    }
}

/// Bars in a wall, one above the other: ribs. They follow the wall's surface at a depth, and come down towards the front.
#[derive(Clone, Debug)]
pub struct Bars {
    /// Depth of their axis below the surface of the wall, mm.
    pub depth: f32,
    /// Half thickness and half height, mm.
    pub half: [f32; 2],
    /// Distance from one to the next, mm.
    pub period: f32,
    /// Height at y = 0, mm.
    pub phase: f32,
    /// Cosine and sine of the angle they come down at.
    pub slope: [f32; 2],
}

impl Bars {
    /// Signed distance of a point in mm, given its distance from the surface of the wall.
    #[inline(always)]
    pub fn distance(&self, p: [f32; 3], wall: f32) -> f32 {
        let along = self.slope[0] * p[2] + self.slope[1] * p[1] + self.phase;
        let height = along - self.period * (along / self.period + 0.5).floor();
        let (u, v) = ((wall + self.depth) / self.half[0], height / self.half[1]);
        let radius = (u * u + v * v + 1e-6).sqrt();
        let (gu, gv) = (u / self.half[0], v / self.half[1]);
        (radius - 1.0) * radius / (gu * gu + gv * gv + 1e-9).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_exact_on_a_sphere() {
        let ball = Blob::new([1.0, 2.0, 3.0], [10.0; 3]).turned(0.7);
        for (p, d) in [([1.0, 2.0, 18.0], 5.0), ([9.0, 8.0, 3.0], 0.0), ([1.0, -3.0, 3.0], -5.0)] {
            assert!((ball.distance(p) - d).abs() < 1e-3);
        }
    }

    #[test]
    fn a_lobed_blob_stays_in_its_box() {
        let mut draw = Draw::new(3, 0);
        for _ in 0..50 {
            let angle = draw.within(0.0, 3.0);
            let blob = Blob::new([0.0; 3], [20.0, 9.0, 14.0]).turned(angle).lobed(&mut draw, [0.2, 0.2, 0.1]);
            for _ in 0..200 {
                let p = std::array::from_fn(|_| draw.within(-40.0, 40.0));
                let outside = (0..3).any(|axis| f32::abs(p[axis]) > blob.half[axis]);
                assert!(!outside || blob.distance(p) > 0.0);
            }
        }
    }

    #[test]
    fn periods_repeat_along_z() {
        let blob = Blob::new([0.0, 0.0, 1.0], [5.0, 5.0, 8.0]).periodic(20.0);
        for z in [-7.0, 0.0, 4.0] {
            assert!((blob.distance([1.0, 2.0, z]) - blob.distance([1.0, 2.0, z + 60.0])).abs() < 1e-4);
        }
    }
}
