//! Fluence and kerma in cells, by the lengths of flights: the track-length estimator.
//!
//! A flight of length l through a cell scores w f(E) l, with f of a [`Quantity`]. For f = E mu_tr this is the mean of
//! what it would deposit there: electrons deposit on the spot, so that the energy transferred is the dose of the analogue
//! estimator, without waiting for collisions (Williamson 1987, "Monte Carlo evaluation of kerma at a point for photon
//! transport problems"). Scores of a history are combined by cell before they are squared.
//!
//! Accuracy: that of [`super::passage`] and [`super::quantity`].

use super::delivery::Delivery;
use super::history::Lists;
use super::passage::{Passage, SolidPassage, VoxelPassage};
use super::quantity::{Bins, Quantity};
use super::{Scorer, Scores, Tally};
use crate::geometry::{Geometry, Voxels};
use crate::track::Plan;
use crate::track::axis::ENERGY;
use crate::track::bank::{Bank, SLOTS};
use spinray_core::{Error, Result};

/// Where flights score.
#[derive(Clone, Debug)]
pub enum Target {
    /// In each cell.
    Cells,
    /// In the cells that are true, all together; those beyond the mask are not.
    Region(Vec<bool>),
}

/// A quantity in every cell, or in a region: cells of the first bin of energies, those of the second, and so on.
pub struct TrackLength {
    scores: Scores,
    quantity: Quantity,
    target: Target,
    bins: Bins,
}

impl TrackLength {
    /// Nothing yet.
    pub fn new(plan: &Plan, quantity: Quantity, target: Target, bins: Bins) -> Result<Self> {
        let geometry = &*plan.problem().geometry;
        let cells = match target {
            Target::Cells => geometry.cells(),
            Target::Region(_) => 1,
        };
        let count = cells.saturating_mul(bins.count());
        if count > MOST {
            let problem = format!(
                "expected up to {MOST} numbers, got {} bins in each of {cells} cells. Fewer bins, or a region?",
                bins.count()
            );
            return Err(Error::invalid("energies", problem));
        }
        let scale =
            plan.weights()[0] * quantity.most(geometry, plan.problem().source.spectrum()) * longest(geometry, &target);
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let units = match target {
            Target::Cells => plan.units().repeat(bins.count()),
            Target::Region(_) => Vec::new(),
        };
        Ok(Self { scores: Scores::new(count, scale).in_units(&units), quantity, target, bins })
    }

    /// Energy transferred to electrons in every cell.
    pub fn dose(plan: &Plan) -> Result<Self> {
        Self::new(plan, Quantity::transfer(&plan.problem().geometry), Target::Cells, Bins::default())
    }

    /// By bin and cell: mm, keV or keV mm3/g.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }
}

/// Most bins times cells: 16 GiB of sums.
const MOST: usize = 1 << 30;

/// The longest flight that scores in one place: across a voxel, or across everything.
fn longest(geometry: &Geometry, target: &Target) -> f64 {
    let diagonal = |size: [f64; 3]| size.iter().map(|s| s * s).sum::<f64>().sqrt();
    match (geometry, target) {
        (Geometry::Voxels(voxels), Target::Cells) => diagonal(voxels.spacing()),
        _ => diagonal(geometry.bounds().size),
    }
}

impl Tally for TrackLength {
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        match &*plan.problem().geometry {
            Geometry::Voxels(voxels) => Box::new(Flights::new(self, VoxelPassage::new(voxels))),
            Geometry::Solids(solids) => Box::new(Flights::new(self, SolidPassage::new(solids))),
        }
    }
}

/// A worker's side of it.
struct Flights<'a, P> {
    tally: &'a TrackLength,
    passage: P,
    /// Number of cells in a bin.
    cells: usize,
    lists: Lists,
    delivery: Delivery<'a>,
}

impl<'a, P: Passage> Flights<'a, P> {
    fn new(tally: &'a TrackLength, passage: P) -> Self {
        let (scores, bins) = (&tally.scores, tally.bins.count());
        let cells = scores.len() / bins;
        Self { tally, passage, cells, lists: Lists::new(), delivery: Delivery::new(scores) }
    }
}

impl<P: Passage> Scorer for Flights<'_, P> {
    fn wants_flights(&self) -> bool {
        true
    }

    fn flights(&mut self, bank: &Bank) {
        let Self { tally, passage, cells, lists, .. } = self;
        for s in (0..SLOTS).filter(|&s| bank.alive[s] == 1) {
            let Some(bin) = tally.bins.of(bank.energy[s]) else { continue };
            let (from, along, path) = (bank.position(s), bank.direction(s), bank.path[s]);
            let (k, f) = ENERGY.place(bank.energy[s]);
            let first = (bin * *cells) as u32;
            let weight = bank.weight[s];
            let mut push = |cell: u32, score: f32| {
                if score > 0.0 {
                    lists.push(s as u32, first + cell, score);
                }
            };
            match (&tally.quantity, &tally.target) {
                (Quantity::Uniform(table), Target::Cells) => {
                    let each = weight * (table[k][0] + f * table[k][1]);
                    passage.pass::<false>(from, along, path, |cell, _, length| push(cell, each * length));
                }
                (Quantity::Uniform(table), Target::Region(mask)) => {
                    let each = weight * (table[k][0] + f * table[k][1]);
                    let mut inside = 0.0;
                    passage.pass::<false>(from, along, path, |cell, _, length| {
                        inside += if mask.get(cell as usize) == Some(&true) { length } else { 0.0 };
                    });
                    push(0, each * inside);
                }
                (Quantity::Transfer(tables), target) => {
                    let inside = |cell: u32| match target {
                        Target::Cells => Some(cell),
                        Target::Region(mask) => (mask.get(cell as usize) == Some(&true)).then_some(0),
                    };
                    passage.pass::<true>(from, along, path, |cell, (material, density), length| {
                        let [value, rise] = tables[material][k];
                        let score = weight * (value + f * rise) * density * length;
                        if let Some(cell) = inside(cell) {
                            push(cell, score);
                        }
                    });
                }
            }
        }
    }

    fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
        for &slot in slots {
            self.lists.combine(slot, |cell, score| self.delivery.add(cell, score));
        }
    }
}

/// The faces of voxels, in local coordinates (x, y, z).
pub(crate) struct Grid {
    pub(super) count: [i32; 3],
    pub(super) spacing: [f64; 3],
    pub(super) corner: [f64; 3],
}

impl Grid {
    pub(crate) fn new(voxels: &Voxels) -> Self {
        let [nz, ny, nx] = voxels.shape();
        let count = [nx as i32, ny as i32, nz as i32];
        let spacing = voxels.spacing();
        let size = voxels.bounds().size;
        let corner = std::array::from_fn(|k| 0.5 * (size[k] - f64::from(count[k]) * spacing[k]));
        Self { count, spacing, corner }
    }

    /// Hands (cell, length in mm) of every voxel on a flight to `visit`, in order; `around` is the cell outside the grid.
    #[inline(always)]
    pub(crate) fn pass(
        &self,
        from: [f32; 3],
        along: [f32; 3],
        path: f32,
        around: u32,
        mut visit: impl FnMut(u32, f32),
    ) {
        let p: [f64; 3] = std::array::from_fn(|k| f64::from(from[k]) - self.corner[k]);
        let inverse = along.map(|u| 1.0 / f64::from(u));
        let (enter, leave) = self.span(p, inverse, f64::from(path));
        if enter >= leave {
            return visit(around, path);
        }
        let length = f64::from(path);
        if enter > 1e-9 * length {
            visit(around, enter as f32);
        }
        let mut voxel: [i32; 3] = std::array::from_fn(|k| {
            (((p[k] + enter * f64::from(along[k])) / self.spacing[k]).floor() as i32).clamp(0, self.count[k] - 1)
        });
        let face = |k: usize, i: i32| {
            let face = f64::from(i + i32::from(along[k] > 0.0)) * self.spacing[k];
            if along[k] == 0.0 { f64::INFINITY } else { (face - p[k]) * inverse[k] }
        };
        let mut next: [f64; 3] = std::array::from_fn(|k| face(k, voxel[k]));
        let mut t = enter;
        loop {
            let k = if next[0] <= next[1] {
                if next[0] <= next[2] { 0 } else { 2 }
            } else if next[1] <= next[2] {
                1
            } else {
                2
            };
            let end = next[k].min(leave);
            let cell = (voxel[2] * self.count[1] + voxel[1]) * self.count[0] + voxel[0];
            visit(cell as u32, (end - t).max(0.0) as f32);
            voxel[k] += if along[k] > 0.0 { 1 } else { -1 };
            if end >= leave || voxel[k] < 0 || voxel[k] >= self.count[k] {
                break;
            }
            t = end.max(t);
            next[k] = face(k, voxel[k]);
        }
        if length - leave > 1e-9 * length {
            visit(around, (length - leave) as f32);
        }
    }

    /// The part of a path of this length that lies in the grid.
    #[inline(always)]
    fn span(&self, p: [f64; 3], inverse: [f64; 3], path: f64) -> (f64, f64) {
        let (mut enter, mut leave) = (0.0, path);
        for k in 0..3 {
            let size = f64::from(self.count[k]) * self.spacing[k];
            if inverse[k].is_infinite() {
                if !(0.0..size).contains(&p[k]) {
                    return (0.0, 0.0);
                }
                continue;
            }
            let (a, b) = (-p[k] * inverse[k], (size - p[k]) * inverse[k]);
            enter = a.min(b).max(enter);
            leave = a.max(b).min(leave);
        }
        (enter, leave)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Mesh, Shape, Solid, Solids};
    use crate::matter::Material;
    use crate::tally::Dose;
    use crate::track::plan_tests::{cube, pencil, plan, water};
    use spinray_core::Job;

    #[test]
    fn lengths_in_voxels_sum_to_the_flight_and_lie_where_it_passes() {
        let grid = Grid { count: [4, 3, 5], spacing: [1.0, 2.0, 0.5], corner: [1.0; 3] };
        let mut sums = vec![0.0; 61];
        let along = [0.6f32, 0.0, 0.8];
        grid.pass([0.0, 3.5, 0.2], along, 6.0, 60, |cell, length| sums[cell as usize] += length);
        let mut expected = vec![0.0f64; 61];
        let n = 1_000_000;
        for i in 0..n {
            let t = 6.0 * (f64::from(i) + 0.5) / f64::from(n);
            let p = [0.6 * t - 1.0, 2.5, 0.8 * t - 0.8];
            let v = [p[0].floor(), (p[1] / 2.0).floor(), (p[2] / 0.5).floor()];
            let inside = v[0] >= 0.0 && v[0] < 4.0 && v[2] >= 0.0 && v[2] < 5.0;
            expected[if inside { ((v[2] * 3.0 + v[1]) * 4.0 + v[0]) as usize } else { 60 }] += 6.0 / f64::from(n);
        }
        assert!(sums.iter().zip(&expected).all(|(&a, b)| (f64::from(a) - b).abs() < 3e-5));
    }

    /// Compares both estimates in the cells where the analogue one is good: (chi-square, cells, mean gain).
    fn compare(plan: &Plan, n: u64) -> (f64, f64, f64) {
        let (dose, length) = (Dose::new(plan), TrackLength::dose(plan).unwrap());
        plan.simulate(5, 0..n, &[&dose, &length], &Job::new()).unwrap();
        let (dose, length) = (dose.scores(), length.scores());
        let (mut chi2, mut cells, mut gain) = (0.0, 0.0, 0.0);
        for cell in 0..dose.len() {
            let ((a, sa), (b, sb)) = (dose.estimate(cell, n), length.estimate(cell, n));
            if a > 10.0 * sa {
                chi2 += (a - b).powi(2) / (sa * sa + sb * sb);
                gain += sa / sb;
                cells += 1.0;
            }
        }
        (chi2, cells, gain / cells)
    }

    fn lead() -> Material {
        Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap()
    }

    #[test]
    fn lengths_of_flights_give_the_dose_of_collisions_with_a_smaller_error() {
        for (energy, dense) in [(60.0, false), (150.0, true), (2500.0, true)] {
            let label = |[z, y, x]: [usize; 3]| u8::from(dense && z == 6 && (3..6).contains(&y) && x < 6);
            let (chi2, cells, gain) =
                compare(&plan(cube(10, 20.0, vec![water(), lead()], label), pencil(energy)), 400_000);
            // The two estimates are of the same histories, hence correlated: the sum is rather too small.
            assert!(cells > 100.0 && chi2 < cells + 4.0 * (2.0 * cells).sqrt(), "{energy} keV: {chi2} of {cells}");
            assert!(gain > 1.5, "{energy} keV: errors shrink by {gain}");
        }
    }

    #[test]
    fn lengths_of_flights_in_solids_and_their_mesh_do_too() {
        let solid = |shape, material, density, priority| Solid { shape, material, density, priority };
        let ball = Shape::Sphere { centre: [10.0, 0.0, -40.0], radius: 25.0 };
        let solids = vec![
            solid(Shape::Box { low: [-100.0; 3], high: [100.0; 3] }, 0, 1.0, 0),
            solid(ball, 1, 5.0, 2),
            solid(Shape::Sphere { centre: [0.0, 0.0, 40.0], radius: 30.0 }, 0, 0.5, 1),
        ];
        let mesh = Mesh { count: [3, 4, 5], low: [-30.0, -40.0, -90.0], spacing: [20.0, 20.0, 24.0] };
        for mesh in [None, Some(mesh)] {
            let solids = Solids::new(solids.clone(), vec![water(), lead()], (0, 0.01), None, mesh).unwrap();
            let (chi2, cells, gain) = compare(&plan(Geometry::Solids(solids), pencil(150.0)), 400_000);
            let most = if mesh.is_some() { 30.0 } else { 3.0 };
            assert!(cells >= most && chi2 < cells + 4.0 * (2.0 * cells).sqrt(), "{chi2} of {cells}");
            assert!(gain > 1.0, "errors shrink by {gain}");
        }
    }

    #[test]
    fn more_bins_than_memory_holds_are_refused() {
        let plan = plan(cube(100, 2.0, vec![water()], |_| 0), pencil(100.0));
        let edges: Vec<f64> = (1..2000).map(f64::from).collect();
        let tally = |target| TrackLength::new(&plan, Quantity::length(), target, Bins::new(&edges).unwrap());
        assert!(
            tally(Target::Cells).is_err_and(|error| error.to_string().contains("1998 bins in each of 1000000 cells"))
        );
        assert!(tally(Target::Region(vec![true])).is_ok());
    }

    #[test]
    fn spectra_in_a_region_are_parts_of_what_its_cells_score() {
        let plan = plan(cube(10, 20.0, vec![water()], |_| 0), pencil(100.0));
        let mask: Vec<bool> = (0..700).map(|i| i % 3 == 0).collect();
        let tally = |target, bins| TrackLength::new(&plan, Quantity::length(), target, bins).unwrap();
        let bins = Bins::new(&[1.0, 60.0, 80.0, 100.0]).unwrap();
        let all = tally(Target::Cells, Bins::default());
        let (each, some) = (tally(Target::Cells, bins.clone()), tally(Target::Region(mask.clone()), bins));
        let n = 50_000;
        plan.simulate(5, 0..n, &[&all, &each, &some], &Job::new()).unwrap();
        let mean = |tally: &TrackLength, cell| tally.scores().estimate(cell, n).0;
        for cell in 0..1000 {
            let sum: f64 = (0..3).map(|bin| mean(&each, 1000 * bin + cell)).sum();
            assert!((sum - mean(&all, cell)).abs() < 1e-6 * sum);
        }
        for bin in 0..3 {
            let sum: f64 = (0..700).filter(|&i| mask[i]).map(|cell| mean(&each, 1000 * bin + cell)).sum();
            assert!(sum > 0.0 && (sum - mean(&some, bin)).abs() < 1e-5 * sum, "{sum}");
        }
    }
}
