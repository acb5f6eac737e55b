//! Energy given to electrons in each voxel, by the lengths of flights: the track-length (kerma) estimator.
//!
//! A flight of length l through a voxel scores w E mu_tr(E) l, which is the mean of what it would deposit there:
//! electrons deposit on the spot, so that the energy transferred is the dose of the analogue estimator, without waiting
//! for collisions (Williamson 1987, "Monte Carlo evaluation of kerma at a point for photon transport problems").
//! Voxels are passed face by face (Amanatides & Woo 1987, "A fast voxel traversal algorithm for ray tracing"). Scores of
//! a history are combined by voxel before they are squared.
//!
//! Accuracy: double precision along the ray; mu_tr linear between nodes 2^-7 of an octave apart (error below 2e-4 away
//! from edges).

use super::delivery::Delivery;
use super::history::Lists;
use super::{Scorer, Scores, Tally};
use crate::E_MAX;
use crate::geometry::{Geometry, Voxels};
use crate::matter::Kind;
use crate::track::Plan;
use crate::track::axis::ENERGY;
use crate::track::bank::{Bank, SLOTS};
use rayon::prelude::*;
use spinray_core::{Error, Result};

/// Energy transferred in every voxel.
pub struct TrackLength {
    scores: Scores,
    transfer: Transfer,
}

impl TrackLength {
    /// Nothing yet.
    pub fn new(plan: &Plan) -> Result<Self> {
        let problem = plan.problem();
        let transfer = Transfer::new(&problem.geometry)?;
        let scale = plan.weights()[0] * transfer.scale(problem.source.max_energy());
        let scores = Scores::new(problem.geometry.cells(), scale).in_units(&plan.units());
        Ok(Self { scores, transfer })
    }

    /// By cell, keV.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }
}

impl Tally for TrackLength {
    fn scorer<'a>(&'a self, plan: &'a Plan) -> Box<dyn Scorer + 'a> {
        let Geometry::Voxels(voxels) = &*plan.problem().geometry else { unreachable!("`new` refuses solids") };
        Box::new(Flights::new(&self.scores, &self.transfer, voxels))
    }
}

/// E mu_tr(E) of every material at a density of 1 g/cm3, keV/mm.
struct Transfer {
    tables: Vec<Vec<[f32; 2]>>,
    densities: Vec<f32>,
    diagonal: f64,
}

impl Transfer {
    /// For the materials of a voxel geometry.
    fn new(geometry: &Geometry) -> Result<Self> {
        let Geometry::Voxels(voxels) = geometry else {
            let problem = "'track_length' needs a voxel phantom; solids score by estimator='analogue'";
            return Err(Error::invalid("estimator", problem));
        };
        let table = |material: &crate::matter::Material| {
            ENERGY.tabulate(|e| 0.1 * e * material.mass_attenuation(Kind::EnergyTransfer, e.min(E_MAX)))
        };
        let tables = geometry.materials().par_iter().map(table).collect();
        let diagonal = voxels.spacing().iter().map(|s| s * s).sum::<f64>().sqrt();
        Ok(Self { tables, densities: geometry.max_densities([1; 3]), diagonal })
    }

    /// The unit of scores for photons up to `energy` keV: the most that a flight across a voxel scores at this energy
    /// or down to a quarter of it.
    fn scale(&self, energy: f64) -> f64 {
        let places = [1.0, 0.5, 0.25].map(|f| ENERGY.place((f * energy) as f32).0);
        let of = |(table, density): (&Vec<[f32; 2]>, &f32)| places.map(|k| f64::from(density * table[k][0]));
        let most = self.tables.iter().zip(&self.densities).flat_map(of).fold(0.0, f64::max);
        if most > 0.0 { most * self.diagonal } else { energy }
    }
}

/// A worker's side of it.
struct Flights<'a> {
    lists: Lists,
    delivery: Delivery<'a>,
    transfer: &'a Transfer,
    voxels: &'a Voxels,
    grid: Grid,
    /// Material and density outside the grid.
    around: (usize, f32),
}

impl<'a> Flights<'a> {
    /// Adds to `scores`.
    fn new(scores: &'a Scores, transfer: &'a Transfer, voxels: &'a Voxels) -> Self {
        let (mut material, mut density) = ([0], [0.0]);
        voxels.locate(&[0.0], &[0.0], &[0.0], &mut material, &mut density, &mut [0]);
        // Where the grid fills the bounds, rounding alone puts an end of a flight outside it.
        let surrounded = voxels.cells() > voxels.labels().len();
        let around = if surrounded { (material[0] as usize, density[0]) } else { (0, 0.0) };
        let grid = Grid::new(voxels);
        Self { lists: Lists::new(), delivery: Delivery::new(scores), transfer, voxels, grid, around }
    }

    /// Material and density of a cell.
    #[inline(always)]
    fn medium(voxels: &Voxels, around: (usize, f32), cell: u32) -> (usize, f32) {
        let i = cell as usize;
        if i < voxels.labels().len() { (voxels.labels().get(i), voxels.density(i)) } else { around }
    }
}

impl Scorer for Flights<'_> {
    fn wants_flights(&self) -> bool {
        true
    }

    fn flights(&mut self, bank: &Bank) {
        let Self { lists, transfer, voxels, grid, around, .. } = self;
        let outside = voxels.labels().len() as u32;
        for s in (0..SLOTS).filter(|&s| bank.alive[s] == 1) {
            let (k, f) = ENERGY.place(bank.energy[s]);
            grid.pass(bank.position(s), bank.direction(s), bank.path[s], outside, |cell, length| {
                let (material, density) = Self::medium(voxels, *around, cell);
                let [value, rise] = transfer.tables[material][k];
                let score = bank.weight[s] * (value + f * rise) * density * length;
                if score > 0.0 {
                    lists.push(s as u32, cell, score);
                }
            });
        }
    }

    fn finish(&mut self, _bank: &Bank, slots: &[u32]) {
        for &slot in slots {
            self.lists.combine(slot, |cell, score| self.delivery.add(cell, score));
        }
    }
}

/// The faces of the voxels, in local coordinates (x, y, z).
pub(crate) struct Grid {
    count: [i32; 3],
    spacing: [f64; 3],
    corner: [f64; 3],
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

    #[test]
    fn lengths_of_flights_give_the_dose_of_collisions_with_a_smaller_error() {
        let lead = crate::matter::Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        for (energy, dense) in [(60.0, false), (150.0, true), (2500.0, true)] {
            let label = |[z, y, x]: [usize; 3]| u8::from(dense && z == 6 && (3..6).contains(&y) && x < 6);
            let plan = plan(cube(10, 20.0, vec![water(), lead.clone()], label), pencil(energy));
            let (dose, length) = (Dose::new(&plan), TrackLength::new(&plan).unwrap());
            let n = 400_000;
            plan.simulate(5, 0..n, &[&dose, &length], &Job::new()).unwrap();
            let (dose, length) = (dose.scores(), length.scores());
            let (mut chi2, mut cells, mut gain) = (0.0, 0, 0.0);
            for cell in 0..dose.len() {
                let ((a, sa), (b, sb)) = (dose.estimate(cell, n), length.estimate(cell, n));
                if a > 10.0 * sa {
                    chi2 += (a - b).powi(2) / (sa * sa + sb * sb);
                    gain += sa / sb;
                    cells += 1;
                }
            }
            // The two estimates are of the same histories, hence correlated: the sum is rather too small.
            assert!(
                cells > 100 && chi2 < cells as f64 + 4.0 * (2.0 * cells as f64).sqrt(),
                "{energy}: {chi2} of {cells}"
            );
            assert!(gain > 1.5 * cells as f64, "{energy} keV: errors shrink by {}", gain / cells as f64);
        }
    }
}
