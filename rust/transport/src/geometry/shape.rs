//! Boxes, cylinders and spheres: convex, so a line crosses each in one piece.

/// A convex body; lengths and positions (x, y, z) in mm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Aligned with the axes, `low <= p < high`.
    Box {
        /// Lower corner.
        low: [f64; 3],
        /// Upper corner.
        high: [f64; 3],
    },
    /// A right circular cylinder.
    Cylinder {
        /// Its middle.
        centre: [f64; 3],
        /// Two unit vectors across and the one along it.
        axes: [[f64; 3]; 3],
        /// Radius.
        radius: f64,
        /// Half its length.
        half: f64,
    },
    /// A ball.
    Sphere {
        /// Its middle.
        centre: [f64; 3],
        /// Radius.
        radius: f64,
    },
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn minus(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

/// Where `a + t b` lies between `low` and `high`.
fn slab(a: f64, b: f64, low: f64, high: f64) -> Option<(f64, f64)> {
    if b == 0.0 {
        return (low <= a && a < high).then_some((f64::NEG_INFINITY, f64::INFINITY));
    }
    let (t, s) = ((low - a) / b, (high - a) / b);
    Some((t.min(s), t.max(s)))
}

/// Where `a t^2 + 2 b t + c < 0`, for a >= 0.
fn quadric(a: f64, b: f64, c: f64) -> Option<(f64, f64)> {
    if a == 0.0 {
        return (c < 0.0).then_some((f64::NEG_INFINITY, f64::INFINITY));
    }
    let root = b * b - a * c;
    (root > 0.0).then(|| ((-b - root.sqrt()) / a, (-b + root.sqrt()) / a))
}

fn both(a: Option<(f64, f64)>, b: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let ((a0, a1), (b0, b1)) = (a?, b?);
    let (low, high) = (a0.max(b0), a1.min(b1));
    (low < high).then_some((low, high))
}

impl Shape {
    /// Volume in mm3.
    pub fn volume(&self) -> f64 {
        use std::f64::consts::PI;
        match self {
            Self::Box { low, high } => (0..3).map(|k| high[k] - low[k]).product(),
            Self::Cylinder { radius, half, .. } => PI * radius * radius * 2.0 * half,
            Self::Sphere { radius, .. } => 4.0 / 3.0 * PI * radius.powi(3),
        }
    }

    /// Corners of the smallest aligned box around it.
    pub fn extent(&self) -> ([f64; 3], [f64; 3]) {
        let around =
            |centre: &[f64; 3], reach: [f64; 3]| (minus(centre, &reach), std::array::from_fn(|k| centre[k] + reach[k]));
        match self {
            Self::Box { low, high } => (*low, *high),
            Self::Sphere { centre, radius } => around(centre, [*radius; 3]),
            Self::Cylinder { centre, axes, radius, half } => {
                around(centre, std::array::from_fn(|k| radius * axes[0][k].hypot(axes[1][k]) + half * axes[2][k].abs()))
            }
        }
    }

    /// The same shape moved by -`origin`.
    pub fn seen_from(&self, origin: &[f64; 3]) -> Self {
        match *self {
            Self::Box { low, high } => Self::Box { low: minus(&low, origin), high: minus(&high, origin) },
            Self::Cylinder { centre, axes, radius, half } => {
                Self::Cylinder { centre: minus(&centre, origin), axes, radius, half }
            }
            Self::Sphere { centre, radius } => Self::Sphere { centre: minus(&centre, origin), radius },
        }
    }

    /// Whether a point lies in it.
    pub fn contains(&self, p: &[f64; 3]) -> bool {
        match self {
            Self::Box { low, high } => (0..3).all(|k| low[k] <= p[k] && p[k] < high[k]),
            Self::Sphere { centre, radius } => {
                let d = minus(p, centre);
                dot(&d, &d) < radius * radius
            }
            Self::Cylinder { centre, axes, radius, half } => {
                let d = minus(p, centre);
                let [u, v, w] = axes.map(|a| dot(&a, &d));
                u * u + v * v < radius * radius && -half <= w && w < *half
            }
        }
    }

    /// The piece of the line `p + t d` within it.
    pub fn chord(&self, p: &[f64; 3], d: &[f64; 3]) -> Option<(f64, f64)> {
        match self {
            Self::Box { low, high } => (0..3).try_fold((f64::NEG_INFINITY, f64::INFINITY), |piece, k| {
                both(Some(piece), slab(p[k], d[k], low[k], high[k]))
            }),
            Self::Sphere { centre, radius } => {
                let q = minus(p, centre);
                quadric(dot(d, d), dot(&q, d), dot(&q, &q) - radius * radius)
            }
            Self::Cylinder { centre, axes, radius, half } => {
                let q = minus(p, centre);
                let ([u, v, w], [du, dv, dw]) = (axes.map(|a| dot(&a, &q)), axes.map(|a| dot(&a, d)));
                let side = quadric(du * du + dv * dv, u * du + v * dv, u * u + v * v - radius * radius);
                both(side, slab(w, dw, -half, *half))
            }
        }
    }

    /// Whether all of `other` lies in it; may say no where it just does.
    pub fn encloses(&self, other: &Shape) -> bool {
        let (low, high) = other.extent();
        // Solids that share a face are told apart to rounding.
        let slack = 1e-9 * (0..3).map(|k| high[k] - low[k]).sum::<f64>();
        match (self, other) {
            (Self::Box { low: from, high: to }, _) => {
                (0..3).all(|k| from[k] <= low[k] + slack && high[k] <= to[k] + slack)
            }
            (Self::Sphere { centre, radius }, Self::Sphere { centre: c, radius: r }) => {
                let d = minus(c, centre);
                dot(&d, &d).sqrt() + r <= radius + slack
            }
            (Self::Cylinder { centre, axes, radius, half }, Self::Sphere { centre: c, radius: r }) => {
                let [u, v, w] = axes.map(|a| dot(&a, &minus(c, centre)));
                u.hypot(v) + r <= radius + slack && w.abs() + r <= half + slack
            }
            (
                Self::Cylinder { centre, axes, radius, half },
                Self::Cylinder { centre: c, axes: own, radius: r, half: h },
            ) if dot(&axes[2], &own[2]).abs() > 1.0 - 1e-12 => {
                let [u, v, w] = axes.map(|a| dot(&a, &minus(c, centre)));
                u.hypot(v) + r <= radius + slack && w.abs() + h <= half + slack
            }
            _ => corners(&low, &high).iter().all(|p| self.contains(p)),
        }
    }

    /// Whether it may reach into the open box between two corners; may say yes where it just does not.
    pub fn touches(&self, low: &[f64; 3], high: &[f64; 3]) -> bool {
        let (from, to) = self.extent();
        let overlap = (0..3).all(|k| from[k] < high[k] && low[k] < to[k]);
        match self {
            Self::Sphere { centre, radius } if overlap => {
                let d: [f64; 3] = std::array::from_fn(|k| centre[k] - centre[k].clamp(low[k], high[k]));
                dot(&d, &d) < radius * radius
            }
            _ => overlap,
        }
    }
}

/// The corners of a box.
pub fn corners(low: &[f64; 3], high: &[f64; 3]) -> [[f64; 3]; 8] {
    std::array::from_fn(|c| std::array::from_fn(|k| if c >> k & 1 == 0 { low[k] } else { high[k] }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use spinray_core::philox::Stream;

    pub fn cylinder(centre: [f64; 3], along: [f64; 3], radius: f64, half: f64) -> Shape {
        Shape::Cylinder { centre, axes: crate::geometry::frame(along), radius, half }
    }

    fn shapes() -> [Shape; 4] {
        [
            Shape::Box { low: [-1.0, 0.5, 2.0], high: [3.0, 1.5, 2.5] },
            Shape::Sphere { centre: [1.0, -2.0, 0.5], radius: 2.5 },
            cylinder([0.5, 1.0, -1.0], [0.0, 0.0, 1.0], 1.5, 2.0),
            cylinder([0.5, 1.0, -1.0], [0.48, -0.6, 0.64], 1.5, 2.0),
        ]
    }

    #[test]
    fn a_chord_is_where_the_line_is_inside() {
        let mut stream = Stream::new(5, 0);
        for shape in shapes() {
            let mut hits = 0;
            for _ in 0..400 {
                let p: [f64; 3] = std::array::from_fn(|_| 8.0 * stream.uniform() - 4.0);
                let d: [f64; 3] = std::array::from_fn(|_| stream.normal());
                let piece = shape.chord(&p, &d);
                hits += usize::from(piece.is_some());
                for i in -200..200 {
                    let t = 0.0371 * f64::from(i);
                    let q = std::array::from_fn(|k| p[k] + t * d[k]);
                    assert_eq!(shape.contains(&q), piece.is_some_and(|(a, b)| a <= t && t < b));
                }
            }
            assert!(hits > 10);
        }
    }

    #[test]
    fn the_volume_is_that_of_the_points_within_and_the_extent_holds_them() {
        let mut stream = Stream::new(6, 0);
        for shape in shapes() {
            let (low, high) = shape.extent();
            let n = 200_000;
            let mut inside = 0;
            for _ in 0..n {
                // A box wider by a tenth than the extent.
                let p = std::array::from_fn(|k| low[k] + (1.1 * stream.uniform() - 0.05) * (high[k] - low[k]));
                inside += usize::from(shape.contains(&p));
                let within = (0..3).all(|k| low[k] <= p[k] && p[k] <= high[k]);
                assert!(within || !shape.contains(&p));
            }
            let around: f64 = (0..3).map(|k| 1.1 * (high[k] - low[k])).product();
            assert!((inside as f64 / n as f64 * around / shape.volume() - 1.0).abs() < 0.015, "{shape:?}");
        }
    }

    #[test]
    fn what_is_enclosed_or_not_touched_is_so() {
        let ball = |c: f64, radius| Shape::Sphere { centre: [c, 0.0, 0.0], radius };
        let bar = |half| cylinder([0.0; 3], [0.0, 0.0, 1.0], half, half);
        let cube = |half: f64| Shape::Box { low: [-half; 3], high: [half; 3] };
        assert!(ball(0.0, 2.0).encloses(&ball(1.0, 1.0)) && !ball(0.0, 2.0).encloses(&ball(1.1, 1.0)));
        assert!(ball(0.0, 1.75).encloses(&cube(1.0)) && !ball(0.0, 1.7).encloses(&cube(1.0)));
        assert!(
            bar(2.0).encloses(&bar(2.0)) && bar(2.0).encloses(&ball(0.5, 1.5)) && !bar(2.0).encloses(&ball(0.6, 1.5))
        );
        assert!(
            cube(1.0).encloses(&ball(0.0, 1.0))
                && cube(1.0).encloses(&bar(1.0))
                && !cube(1.0).encloses(&ball(0.1, 1.0))
        );
        assert!(!cube(1.0).touches(&[1.0; 3], &[2.0; 3]) && cube(1.0).touches(&[0.9; 3], &[2.0; 3]));
        assert!(!ball(0.0, 1.7).touches(&[1.0; 3], &[2.0; 3]) && ball(0.0, 1.75).touches(&[1.0; 3], &[2.0; 3]));
    }
}
