//! The box a geometry fills, and how photons enter it.

use spinray_core::{Error, Result};

/// A box aligned with the axes; x, y, z in mm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The corner that is the origin of local coordinates.
    pub low: [f64; 3],
    /// Lengths of the edges.
    pub size: [f64; 3],
}

impl Bounds {
    /// A box of positive size.
    pub fn new(low: [f64; 3], high: [f64; 3]) -> Result<Self> {
        let size = std::array::from_fn(|k| high[k] - low[k]);
        let usable = low.iter().chain(&high).all(|x| x.is_finite()) && size.iter().all(|&s: &f64| s > 0.0);
        if !usable {
            return Err(Error::invalid(
                "bounds",
                format!("expected low < high along x, y and z, got {low:?}, {high:?}"),
            ));
        }
        Ok(Self { low, size })
    }

    /// The upper corner.
    pub fn high(&self) -> [f64; 3] {
        std::array::from_fn(|k| self.low[k] + self.size[k])
    }

    /// Edges as the lanes compare with them: a local coordinate is inside from 0 up to, not including, its edge.
    #[inline(always)]
    pub fn edges(&self) -> [f32; 3] {
        self.size.map(|s| s as f32)
    }

    /// A local point in the world.
    #[inline]
    pub fn world(&self, local: [f32; 3]) -> [f64; 3] {
        std::array::from_fn(|k| self.low[k] + f64::from(local[k]))
    }

    /// Volume in mm3.
    pub fn volume(&self) -> f64 {
        self.size.iter().product()
    }

    /// Path from `position` along the unit `direction` (world) to the entry, and to the exit; `None` if the ray
    /// misses the box. Slab method (Kay & Kajiya 1986, "Ray tracing complex scenes").
    #[inline]
    pub fn span(&self, position: [f64; 3], direction: [f64; 3]) -> Option<(f64, f64)> {
        let (mut near, mut far) = (0.0f64, f64::INFINITY);
        for k in 0..3 {
            let from = position[k] - self.low[k];
            if direction[k] == 0.0 {
                if !(0.0..self.size[k]).contains(&from) {
                    return None;
                }
                continue;
            }
            let (a, b) = (-from / direction[k], (self.size[k] - from) / direction[k]);
            near = near.max(a.min(b));
            far = far.min(a.max(b));
        }
        (near < far).then_some((near, far))
    }

    /// Local point at which a photon begins to travel in the box: its own position if that is inside, else where its
    /// ray enters; `None` if it misses. What is returned is inside to the last bit.
    #[inline]
    pub fn enter(&self, position: [f64; 3], direction: [f64; 3]) -> Option<[f32; 3]> {
        let (near, _) = self.span(position, direction)?;
        let edges = self.edges();
        Some(std::array::from_fn(|k| {
            let local = (position[k] + near * direction[k] - self.low[k]) as f32;
            local.clamp(0.0, edges[k].next_down())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds::new([-1.0, 2.0, 1000.1], [3.0, 2.7, 1000.4]).unwrap()
    }

    #[test]
    fn a_photon_enters_where_its_ray_meets_the_box() {
        let local = bounds().enter([-6.0, 2.35, 1000.2], [1.0, 0.0, 0.0]).unwrap();
        assert_eq!(local[0], 0.0);
        assert!((local[1] - 0.35).abs() < 1e-6 && (local[2] - 0.1).abs() < 1e-6);
        // Along -y it comes through the far face, where the last point inside is just below the edge.
        let local = bounds().enter([0.0, 9.0, 1000.2], [0.0, -1.0, 0.0]).unwrap();
        assert_eq!(local[1], bounds().edges()[1].next_down());
    }

    #[test]
    fn a_start_inside_stays_and_a_ray_that_misses_is_told() {
        let bounds = bounds();
        let world = bounds.world(bounds.enter([0.5, 2.5, 1000.3], [0.6, 0.0, 0.8]).unwrap());
        assert!((0..3).all(|k| (world[k] - [0.5, 2.5, 1000.3][k]).abs() < 1e-6));
        assert!(bounds.enter([-6.0, 2.35, 1000.2], [-1.0, 0.0, 0.0]).is_none(), "it flies away");
        assert!(bounds.enter([-6.0, 2.9, 1000.2], [1.0, 0.0, 0.0]).is_none(), "it passes beside");
        assert!(bounds.enter([-6.0, 2.7, 1000.2], [1.0, 0.0, 0.0]).is_none(), "the far face is outside");
        assert!(bounds.enter([-6.0, 2.0, 1000.2], [1.0, 0.0, 0.0]).is_some(), "the near face is inside");
    }

    #[test]
    fn boxes_without_volume_are_refused() {
        assert!(Bounds::new([0.0; 3], [1.0, 0.0, 1.0]).is_err());
        assert!(Bounds::new([0.0; 3], [1.0, f64::NAN, 1.0]).is_err());
        assert!(Bounds::new([0.0; 3], [1.0, f64::INFINITY, 1.0]).is_err());
    }
}
