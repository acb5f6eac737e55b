//! Views that see the grid alike.
//!
//! A centred grid looks the same after half a turn, a square one after a quarter: views whose angles differ by
//! such turns share their rays, and with them every weight. A [`Turned`] holds such views. What ray k of the first does
//! at slab s, that of a view further on does in the turned image: its slabs are those of a [`Place`].

use crate::geometry::{Axis, Scan};
use crate::rays::{Inverse, Rays};
use spinray_core::simd::Real;
use std::f64::consts::FRAC_PI_2;

/// Views that share their rays: four, two, or one.
pub struct Turned<T> {
    /// Those of the first view.
    pub rays: Rays<T>,
    /// View numbers, and by how many quarter turns they follow the first.
    pub views: Vec<(usize, usize)>,
}

/// Where a slab lies in the image turned to its view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Slabs along this axis.
    pub axis: Axis,
    /// Whether the slab counts from the far end.
    pub from_end: bool,
    /// Whether the transverse index runs backwards.
    pub mirrored: bool,
}

impl Place {
    /// Of a slab of `axis` for a view `turns` quarter turns on: (i, j) goes to (n - 1 - j, i).
    pub fn of(axis: Axis, turns: usize) -> Self {
        let (axis, from_end, mirrored) = match (axis, turns % 4) {
            (_, 0) => (axis, false, false),
            (Axis::Y, 1) => (Axis::X, true, false),
            (Axis::X, 1) => (Axis::Y, false, true),
            (_, 2) => (axis, true, true),
            (Axis::Y, _) => (Axis::X, false, true),
            (Axis::X, _) => (Axis::Y, true, false),
        };
        Self { axis, from_end, mirrored }
    }
}

/// The views of a scan, those that see the grid alike together.
pub fn turned<T: Real>(scan: &Scan) -> Vec<Turned<T>> {
    let view = |v: usize, views| Turned { rays: Rays::new(scan, v..v + 1), views };
    let Some(quarters) = turns_onto_itself(scan) else {
        return (0..scan.angles.len()).map(|v| view(v, vec![(v, 0)])).collect();
    };
    let turn = quarters as f64 * FRAC_PI_2;
    let largest = scan.angles.iter().fold(1.0, |m: f64, t| m.max(t.abs()));
    // Rounding of angles, not of crossings: those of double precision stay adjoint to it.
    let rounding = 8.0 * f64::EPSILON * largest;
    let mut views: Vec<(f64, i64, usize)> = (0..scan.angles.len())
        .map(|v| {
            let turns = ((scan.angles[v] + rounding) / turn).floor();
            (scan.angles[v] - turns * turn, turns as i64, v)
        })
        .collect();
    views.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups = vec![];
    for alike in views.chunk_by(|a, b| b.0 - a.0 <= rounding) {
        let mut left = alike.to_vec();
        left.sort_by_key(|&(_, turns, v)| (turns, v));
        while let Some(&(_, first, head)) = left.first() {
            let mut members = vec![(head, 0)];
            for &(_, turns, v) in &left[1..] {
                let turns = (quarters * (turns - first)).rem_euclid(4) as usize;
                if members.iter().all(|m| m.1 != turns) {
                    members.push((v, turns));
                }
            }
            let mut group = view(head, members);
            group.views.truncate(match group.views.len() {
                _ if is_rounded_either_way(scan, &group.rays) => 1,
                3 => 2,
                n => n,
            });
            left.retain(|&(.., v)| group.views.iter().all(|m| m.0 != v));
            groups.push(group);
        }
    }
    groups
}

/// After how many quarter turns the grid lies where it was, if that is less than four.
fn turns_onto_itself(scan: &Scan) -> Option<i64> {
    let grid = &scan.grid;
    let centred = |axis: usize| {
        let n = grid.shape[axis] as f64;
        (grid.origin[axis] / grid.spacing[axis] + 0.5 * (n - 1.0)).abs() <= 1e-14 * n
    };
    let square = grid.shape[1] == grid.shape[2] && grid.spacing[1] == grid.spacing[2];
    (centred(1) && centred(2)).then_some(if square { 1 } else { 2 })
}

/// Whether rounding may give the turned view another driving axis, or other slabs in front of the source.
fn is_rounded_either_way<T: Real>(scan: &Scan, rays: &Rays<T>) -> bool {
    let near = |x: f64, y: f64| (x - y).abs() < 1e-6;
    let inside = -1.0..scan.grid.shape[1].max(scan.grid.shape[2]) as f64;
    let beside = |inverse: &Inverse| matches!(inverse, Inverse::Divergent { s, .. } if inside.contains(s) && near(*s, s.round()));
    rays.beta.iter().any(|b| near(b.to_f64().abs(), 1.0)) || rays.runs.iter().any(|run| beside(&run.inverse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Beam, tests::scan};

    fn sizes(n: [usize; 2], degrees: &[f64]) -> Vec<usize> {
        let mut scan = scan(Beam::Parallel, [1, n[0], n[1]], 1, [1, 8]);
        scan.grid.spacing = [0.7; 3];
        scan.grid.origin = [0.0, -0.35 * (n[0] as f64 - 1.0), -0.35 * (n[1] as f64 - 1.0)];
        scan.angles = degrees.iter().map(|t| t.to_radians()).collect();
        let groups = turned::<f64>(&scan);
        let mut views: Vec<usize> = groups.iter().flat_map(|g| g.views.iter().map(|v| v.0)).collect();
        views.sort_unstable();
        assert_eq!(views, (0..degrees.len()).collect::<Vec<_>>());
        groups.iter().map(|g| g.views.len()).collect()
    }

    #[test]
    fn every_view_is_in_one_group_of_its_like() {
        assert_eq!(sizes([8, 8], &[0.0, 90.0, 180.0, 270.0]), [4]);
        assert_eq!(sizes([8, 8], &[370.0, -80.0, 190.0, 100.0, 10.0]), [4, 1]);
        assert_eq!(sizes([8, 8], &[0.0, 90.0, 180.0]), [2, 1]);
        assert_eq!(sizes([8, 8], &[0.0, 90.0 + 1e-9, 45.0]), [1, 1, 1]);
        // Both axes drive a view at 45 degrees: rounding decides, for each of them.
        assert_eq!(sizes([8, 8], &[45.0, 135.0]), [1, 1]);
        assert_eq!(sizes([8, 9], &[0.0, 90.0, 180.0, 270.0]), [2, 2]);
    }
}
