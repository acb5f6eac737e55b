//! Fluence and kerma on a surface, by the photons that cross it.
//!
//! A photon that crosses a rectangle of area A at an angle theta to its normal scores w f(E) / (A |cos theta|), with f of
//! a [`Quantity`]: the length of its track in a layer about the surface over the layer's volume, however thin (NCRP
//! 1964; Clark 1966, "Variance of certain flux estimators used in Monte Carlo calculations", Nucl. Sci. Eng. 27, 235).
//! The variance of 1 / |cos theta| is infinite. Below |cos theta| = c = 0.01 it is replaced by 2 / c, its mean there if
//! the fluence does not depend on the angle over these 0.6 degrees (Clark's rule).
//!
//! Photons are seen all their way: from the source to the bounds of the geometry, within, and beyond, those included
//! that miss the bounds. Which side of the plane a point lies on is found once for the end of a flight and the start of
//! the next: none is missed or counted twice, wherever flights end. A point on the plane lies on the normal's side.
//!
//! Accuracy: positions of single precision within the bounds; places of crossings in double precision.

use super::delivery::Delivery;
use super::history::Lists;
use super::quantity::{Bins, Quantity, Table};
use super::{Scorer, Scores, Tally};
use crate::geometry::Bounds;
use crate::source::Particle;
use crate::track::Plan;
use crate::track::axis::ENERGY;
use crate::track::bank::{Bank, Fate, Lanes, SLOTS};
use spinray_core::{Error, Result};

/// |cos theta| below which a crossing scores as if it were half of it.
const GRAZING: f64 = 0.01;

/// A rectangle, world, mm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    centre: [f64; 3],
    /// Along its sides, and its normal.
    axes: [[f64; 3]; 3],
    /// Lengths of its sides.
    size: [f64; 2],
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

impl Rectangle {
    /// `axes` along its sides and along its normal, orthonormal.
    pub fn new(centre: [f64; 3], axes: [[f64; 3]; 3], size: [f64; 2]) -> Result<Self> {
        let square = |i: usize, j: usize| (dot(&axes[i], &axes[j]) - f64::from(i == j)).abs() < 1e-6;
        if !(0..3).all(|i| (0..3).all(|j| square(i, j))) {
            return Err(Error::invalid("surface", format!("expected three orthonormal axes, got {axes:?}")));
        }
        if !centre.iter().all(|x| x.is_finite()) || !size.iter().all(|s| s.is_finite() && *s > 0.0) {
            let problem = format!("expected a finite centre and a positive size in mm, got {centre:?}, {size:?}");
            return Err(Error::invalid("surface", problem));
        }
        Ok(Self { centre, axes, size })
    }

    /// mm2
    pub fn area(&self) -> f64 {
        self.size[0] * self.size[1]
    }

    /// Height of a point above the plane.
    #[inline(always)]
    fn height(&self, p: &[f64; 3]) -> f64 {
        let n = &self.axes[2];
        (p[0] - self.centre[0]) * n[0] + (p[1] - self.centre[1]) * n[1] + (p[2] - self.centre[2]) * n[2]
    }

    /// Whether a point of the plane lies in the rectangle.
    fn holds(&self, p: &[f64; 3]) -> bool {
        let from: [f64; 3] = std::array::from_fn(|k| p[k] - self.centre[k]);
        (0..2).all(|side| {
            let along = dot(&from, &self.axes[side]);
            -0.5 * self.size[side] <= along && along < 0.5 * self.size[side]
        })
    }
}

/// A quantity on a rectangle, by bin of energies.
pub struct Crossings {
    scores: Scores,
    rectangle: Rectangle,
    table: Table,
    bins: Bins,
}

impl Crossings {
    /// Nothing yet; the quantity must not ask what matter the photon is in.
    pub fn new(plan: &Plan, rectangle: Rectangle, quantity: Quantity, bins: Bins) -> Result<Self> {
        let problem = plan.problem();
        let most = quantity.most(&problem.geometry, problem.source.spectrum());
        let Quantity::Uniform(table) = quantity else {
            return Err(Error::invalid("surface", "expected the kerma of one material, got that of what is there"));
        };
        let scale = plan.weights()[0] * if most > 0.0 { most } else { 1.0 } * 2.0 / GRAZING / rectangle.area();
        Ok(Self { scores: Scores::new(bins.count(), scale), rectangle, table, bins })
    }

    /// By bin: 1/mm2, or keV/g.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }
}

impl Tally for Crossings {
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        Box::new(Gate {
            crossings: self,
            bounds: plan.problem().geometry.bounds(),
            start: [[0.0; SLOTS]; 3],
            lists: Lists::new(),
            delivery: Delivery::new(&self.scores),
        })
    }
}

/// A worker's side of it.
struct Gate<'a> {
    crossings: &'a Crossings,
    bounds: &'a Bounds,
    /// Where flights began.
    start: [Lanes<f32>; 3],
    lists: Lists,
    delivery: Delivery<'a>,
}

impl Gate<'_> {
    /// Scores a crossing at world point `p`, if it is one of the rectangle.
    fn cross(&mut self, bank: &Bank, slot: usize, p: &[f64; 3]) {
        let rectangle = &self.crossings.rectangle;
        let Some(bin) = self.crossings.bins.of(bank.energy[slot]) else { return };
        if !rectangle.holds(p) {
            return;
        }
        let cosine = dot(&bank.direction(slot).map(f64::from), &rectangle.axes[2]).abs();
        let cosine = if cosine < GRAZING { 0.5 * GRAZING } else { cosine };
        let (k, f) = ENERGY.place(bank.energy[slot]);
        let [value, rise] = self.crossings.table[k];
        let each = f64::from(bank.weight[slot] * (value + f * rise));
        if each > 0.0 {
            self.lists.push(slot as u32, bin as u32, (each / (cosine * rectangle.area())) as f32);
        }
    }

    /// Scores a flight from a to b, if it crosses the rectangle.
    fn pass(&mut self, bank: &Bank, slot: usize, a: [f64; 3], b: [f64; 3]) {
        let [above, beyond] = [&a, &b].map(|p| self.crossings.rectangle.height(p));
        if (above < 0.0) != (beyond < 0.0) {
            let t = above / (above - beyond);
            self.cross(bank, slot, &std::array::from_fn(|k| a[k] + t * (b[k] - a[k])));
        }
    }
}

impl Scorer for Gate<'_> {
    fn wants_births(&self) -> bool {
        true
    }

    fn births(&mut self, bank: &Bank, slot: u32, source: &Particle) {
        // A photon that misses the bounds flies all its way when it leaves.
        if bank.alive[slot as usize] == 1 {
            let entry = self.bounds.world(bank.position(slot as usize));
            self.pass(bank, slot as usize, source.position, entry);
        }
    }

    fn wants_flights(&self) -> bool {
        true
    }

    fn flights(&mut self, bank: &Bank) {
        self.start = [bank.x, bank.y, bank.z];
    }

    fn wants_strikes(&self) -> bool {
        true
    }

    fn strikes(&mut self, bank: &Bank) {
        let rectangle = &self.crossings.rectangle;
        let low = self.bounds.low;
        let height = |x: f32, y: f32, z: f32| {
            rectangle.height(&[low[0] + f64::from(x), low[1] + f64::from(y), low[2] + f64::from(z)])
        };
        let crosses: [bool; SLOTS] = std::array::from_fn(|i| {
            let from = height(self.start[0][i], self.start[1][i], self.start[2][i]);
            (from < 0.0) != (height(bank.x[i], bank.y[i], bank.z[i]) < 0.0)
        });
        for slot in (0..SLOTS).filter(|&i| crosses[i] && bank.fate[i] != Fate::Empty as u32) {
            let from = self.bounds.world(std::array::from_fn(|k| self.start[k][slot]));
            self.pass(bank, slot, from, self.bounds.world(bank.position(slot)));
        }
    }

    fn leaving(&mut self, bank: &Bank, slots: &[u32]) {
        for &slot in slots {
            let s = slot as usize;
            let (p, d) = (self.bounds.world(bank.position(s)), bank.direction(s).map(f64::from));
            let (above, rise) = (self.crossings.rectangle.height(&p), dot(&d, &self.crossings.rectangle.axes[2]));
            if (above < 0.0 && rise > 0.0) || (above >= 0.0 && rise < 0.0) {
                let path = -above / rise;
                self.cross(bank, s, &std::array::from_fn(|k| p[k] + path * d[k]));
            }
        }
    }

    fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
        for &slot in slots {
            self.lists.combine(slot, |cell, score| self.delivery.add(cell, score));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Geometry, Labels, Voxels, frame};
    use crate::source::{Emission, Pencil, Profile, Source, Spectrum};
    use crate::tally::{Target, TrackLength};
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;

    /// A cube of 20 mm about (5, 0, 100) with nothing in it.
    fn nothing() -> Geometry {
        let (origin, labels) = ([95.0, -5.0, 0.0], Labels::Byte(vec![0; 8]));
        Geometry::Voxels(
            Voxels::new([2; 3], [10.0; 3], origin, vec![water()], labels, Some(vec![0.0; 8]), None).unwrap(),
        )
    }

    fn beam(position: [f64; 3], direction: [f64; 3]) -> Source {
        let beam = Pencil::new(position, direction, [0.0; 2], Profile::Square).unwrap();
        Source::new(Emission::Pencils(vec![beam]), Spectrum::new(&[60.0], &[1.0], 0.0).unwrap()).unwrap()
    }

    fn estimate(plan: &Plan, rectangle: Rectangle, n: u64) -> (f64, f64) {
        let crossings = Crossings::new(plan, rectangle, Quantity::length(), Bins::default()).unwrap();
        plan.simulate(3, 0..n, &[&crossings], &Job::new()).unwrap();
        crossings.scores().estimate(0, n)
    }

    #[test]
    fn every_photon_is_seen_once_wherever_the_surface_lies_on_its_way() {
        // Through the cube and past it; faces of the bounds lie at z = 90 and 110.
        let direction = [0.48, 0.36, 0.8];
        for x in [5.0, 40.0] {
            let source = std::array::from_fn(|k| [x, 0.0, 100.0][k] - 150.0 * direction[k]);
            let plan = plan(nothing(), beam(source, direction));
            for z in [-10.0, 40.0, 90.0, 97.3, 100.0, 110.0, 113.0, 400.0] {
                let centre =
                    std::array::from_fn(|k| source[k] + (z - source[2]) / 0.8 * direction[k] + [0.5, 0.2, 0.0][k]);
                for turned in [false, true] {
                    let [u, v, w] = frame([0.0, 0.0, 1.0]);
                    let axes = if turned { [v, u, w.map(|c| -c)] } else { [u, v, w] };
                    let (mean, error) = estimate(&plan, Rectangle::new(centre, axes, [2.0, 3.0]).unwrap(), 1000);
                    assert!((mean * 6.0 * 0.8 - 1.0).abs() < 1e-6 && error < 1e-4, "x {x}, z {z}: {mean}");
                }
                let beside = [centre[0] + 1.0, centre[1], centre[2]];
                let rectangle = Rectangle::new(beside, frame([0.0, 0.0, 1.0]), [2.0, 3.0]).unwrap();
                assert_eq!(estimate(&plan, rectangle, 1000).0, 0.0, "it passes beside");
            }
            let behind = std::array::from_fn(|k| source[k] - 10.0 * direction[k]);
            let rectangle = Rectangle::new(behind, frame(direction), [2.0, 3.0]).unwrap();
            assert_eq!(estimate(&plan, rectangle, 1000).0, 0.0, "the surface lies behind the source");
        }
    }

    #[test]
    fn scattered_photons_give_the_fluence_of_the_layer_about_the_surface() {
        // Across the beam and along it, where many photons graze the surface.
        let n = 300_000;
        let plan = plan(cube(25, 4.0, vec![water()], |_| 0), pencil(60.0));
        for (normal, x, axis) in [([0.0, 0.0, 1.0], 0.0, 0), ([1.0, 0.0, 0.0], 20.0, 2)] {
            let rectangle = Rectangle::new([x, 0.0, 0.0], frame(normal), [100.0; 2]).unwrap();
            let crossings = Crossings::new(&plan, rectangle, Quantity::length(), Bins::default()).unwrap();
            let about = 12 + (x / 4.0) as usize;
            let layer = (0..25usize.pow(3)).map(|i| [i / 625, i / 25 % 25, i % 25][axis] == about).collect();
            let within = TrackLength::new(&plan, Quantity::length(), Target::Region(layer), Bins::default()).unwrap();
            plan.simulate(5, 0..n, &[&crossings, &within], &Job::new()).unwrap();
            let (a, sa) = crossings.scores().estimate(0, n);
            let (b, sb) = within.scores().estimate(0, n);
            let (b, sb) = (b / 40_000.0, sb / 40_000.0);
            let tolerance = 4.0 * sa.hypot(sb) + 0.003 * b;
            assert!((a - b).abs() < tolerance && sa < 0.01 * a, "{axis}: {a} {sa}, {b} {sb}");
        }
    }

    #[test]
    fn surfaces_without_area_or_right_angles_are_refused() {
        let axes = frame([0.0, 0.0, 1.0]);
        assert!(Rectangle::new([0.0; 3], axes, [1.0, 0.0]).is_err());
        assert!(Rectangle::new([f64::NAN; 3], axes, [1.0, 1.0]).is_err());
        assert!(Rectangle::new([0.0; 3], [axes[0], axes[0], axes[2]], [1.0, 1.0]).is_err());
    }
}
