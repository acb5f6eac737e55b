//! Branching vessels: segments that fork until they are thin or leave their organ.
//!
//! At a fork the radii keep Murray's law, r^3 = r1^3 + r2^3 (Murray 1926, PNAS 12, 207), and the thinner branch turns
//! more; length goes with the radius.

use crate::draw::Draw;
use crate::solid::Blob;
use std::collections::VecDeque;

/// A straight piece of a vessel with round ends.
#[derive(Clone, Debug)]
pub struct Segment {
    start: [f32; 3],
    along: [f32; 3],
    radius: f32,
}

/// What a tree grows from.
pub struct Root {
    /// Where it enters, mm.
    pub start: [f32; 3],
    /// Where to; need not be a unit vector.
    pub direction: [f32; 3],
    /// Radius in mm.
    pub radius: f32,
    /// Radius of the thinnest branches, mm.
    pub thinnest: f32,
    /// Length of a segment over its radius.
    pub slenderness: f32,
}

/// A tree may not have more segments than this.
const MOST: usize = 700;

/// Grows a tree within an organ; segments further than `height` from the plane z = 0 are left out.
pub fn grow(root: &Root, organ: &Blob, height: f32, draw: &mut Draw) -> Vec<Segment> {
    let mut tips = VecDeque::from([(root.start, unit(root.direction), root.radius)]);
    let (mut segments, mut grown) = (Vec::new(), 0);
    while let Some((start, direction, radius)) = tips.pop_front() {
        grown += 1;
        let length = radius * root.slenderness * draw.within(0.7, 1.4);
        let along = direction.map(|d| d * length);
        let end = std::array::from_fn(|axis| start[axis] + along[axis]);
        let segment = Segment { start, along, radius };
        if segment.span_of(2).0 <= height && segment.span_of(2).1 >= -height {
            segments.push(segment);
        }
        // The root may lie outside; what has come in must not leave.
        if grown > MOST || (grown > 3 && organ.distance(end) > 0.0) {
            continue;
        }
        let share = draw.within(0.25, 0.75);
        let aside = across(direction, draw);
        for (share, side) in [(share, 1.0), (1.0 - share, -1.0)] {
            let thinner = radius * share.cbrt();
            if thinner >= root.thinnest {
                let turn = side * (1.1 - share) * draw.within(0.5, 1.1);
                let bent = std::array::from_fn(|axis| direction[axis] + turn * aside[axis]);
                tips.push_back((end, unit(bent), thinner));
            }
        }
    }
    segments
}

fn unit(v: [f32; 3]) -> [f32; 3] {
    let length = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt();
    v.map(|x| x / length)
}

/// A random direction perpendicular to `v`.
fn across(v: [f32; 3], draw: &mut Draw) -> [f32; 3] {
    let w = draw.direction();
    let dot = v[0] * w[0] + v[1] * w[1] + v[2] * w[2];
    unit(std::array::from_fn(|axis| w[axis] - dot * v[axis] + 1e-6))
}

impl Segment {
    /// The same, with a wall around it.
    pub fn thicker(&self, wall: f32) -> Self {
        Self { radius: self.radius + wall, ..self.clone() }
    }

    /// From where to where it reaches along an axis.
    pub fn span_of(&self, axis: usize) -> (f32, f32) {
        let (a, b) = (self.start[axis], self.start[axis] + self.along[axis]);
        (a.min(b) - self.radius, a.max(b) + self.radius)
    }

    /// The fraction of a voxel of side `h` that it covers: exact where it passes as a plate of its thickness.
    #[inline(always)]
    pub fn coverage(&self, p: [f32; 3], h: f32) -> f32 {
        let a = self.along;
        let d = [p[0] - self.start[0], p[1] - self.start[1], p[2] - self.start[2]];
        // A segment that the organ's surface cut off at its start has no length.
        let square = (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]).max(f32::MIN_POSITIVE);
        let t = ((d[0] * a[0] + d[1] * a[1] + d[2] * a[2]) / square).clamp(0.0, 1.0);
        let e = [d[0] - t * a[0], d[1] - t * a[1], d[2] - t * a[2]];
        let distance = (e[0] * e[0] + e[1] * e[1] + e[2] * e[2]).sqrt();
        let upto = |edge: f32| (0.5 + (edge - distance) / h).clamp(0.0, 1.0);
        upto(self.radius) - upto(-self.radius)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Vec<Segment> {
        let organ = Blob::new([0.0; 3], [80.0, 60.0, 90.0]);
        let root =
            Root { start: [-80.0, 0.0, 0.0], direction: [1.0, 0.0, 0.0], radius: 6.0, thinnest: 0.6, slenderness: 5.0 };
        grow(&root, &organ, 1e3, &mut Draw::new(1, 1))
    }

    #[test]
    fn forks_keep_murrays_law() {
        let segments = tree();
        assert!(segments.len() > 50);
        for parent in &segments {
            let end: [f32; 3] = std::array::from_fn(|axis| parent.start[axis] + parent.along[axis]);
            let children: Vec<_> = segments.iter().filter(|child| child.start == end).collect();
            if children.len() == 2 {
                let cubes: f32 = children.iter().map(|child| child.radius.powi(3)).sum();
                assert!((cubes / parent.radius.powi(3) - 1.0).abs() < 1e-4);
            }
        }
        assert!(segments.iter().all(|segment| segment.radius >= 0.6));
    }

    #[test]
    fn coverage_of_a_thin_vessel_is_its_thickness() {
        let vessel = Segment { start: [-50.0, 0.0, 0.0], along: [100.0, 0.0, 0.0], radius: 0.2 };
        assert!((vessel.coverage([0.0; 3], 1.0) - 0.4).abs() < 1e-6);
        assert_eq!(vessel.coverage([0.0, 0.8, 0.0], 1.0), 0.0);
        let wide = Segment { radius: 3.0, ..vessel };
        assert!((wide.coverage([0.0, 3.0, 0.0], 1.0) - 0.5).abs() < 1e-6);
        assert_eq!(wide.coverage([0.0, 1.0, 0.0], 1.0), 1.0);
        let ball = Segment { along: [0.0; 3], ..wide };
        assert_eq!(ball.coverage([-50.0, 1.0, 0.0], 1.0), 1.0);
    }
}
