//! Test: images of single scatter in a small cube, against a quadrature that shares nothing with the kernel but the
//! materials' own curves: along the beam, over the pixel, with normalised Klein-Nishina times S and Thomson times F^2.

use crate::detector::{Class, Detector, Response};
use crate::geometry::Shape;
use crate::matter::{Kind, Material};
use crate::tally::{Estimator, Image};
use crate::track::plan_tests::{cube, pencil, plan, water};
use crate::{ELECTRON, HC};
use spinray_core::Job;

const AXES: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
/// Edge of the cube about the origin in mm, and where the beam along z meets it.
const EDGE: f64 = 2.0;
const BEAM: [f64; 2] = [0.1, 0.1];
/// Distance from the origin to the detector, mm.
const FAR: f64 = 300.0;

/// Differential coefficients (1/mm per sr) of Compton and Rayleigh scatter, normalised to the materials' totals.
struct Shapes<'a> {
    material: &'a Material,
    energy: f64,
    norms: [f64; 2],
}

impl<'a> Shapes<'a> {
    fn new(material: &'a Material, energy: f64) -> Self {
        let mut shapes = Self { material, energy, norms: [1.0; 2] };
        // Versines 2 q^6: dense ahead.
        let n = 200_000;
        let mut sums = [0.0; 2];
        for i in 0..n {
            let q = (f64::from(i) + 0.5) / f64::from(n);
            let weight = std::f64::consts::TAU * 12.0 * q.powi(5) / f64::from(n);
            let (_, at) = shapes.at(2.0 * q.powi(6));
            sums = std::array::from_fn(|k| sums[k] + weight * at[k]);
        }
        let totals = [Kind::Compton, Kind::Rayleigh].map(|kind| material.attenuation(kind, energy));
        shapes.norms = std::array::from_fn(|k| totals[k] / sums[k]);
        shapes
    }

    /// Energy after the Compton scatter, and both coefficients.
    fn at(&self, versine: f64) -> (f64, [f64; 2]) {
        let eps = 1.0 / (1.0 + self.energy / ELECTRON * versine);
        let x = self.energy / HC * (0.5 * versine).sqrt();
        let square = versine * (2.0 - versine);
        let klein_nishina = eps * eps * (eps + 1.0 / eps - square) * self.material.incoherent(x);
        let thomson = (1.0 - 0.5 * square) * self.material.form_factor_squared(x);
        (self.energy * eps, [self.norms[0] * klein_nishina, self.norms[1] * thomson])
    }

    /// Mean energy (keV per photon of the beam) that single scatter at z brings to a point, per mm and mm2.
    fn sends(&self, z: f64, point: [f64; 3]) -> [f64; 2] {
        let cube = Shape::Box { low: [-0.5 * EDGE; 3], high: [0.5 * EDGE; 3] };
        let from = [BEAM[0], BEAM[1], z];
        let way: [f64; 3] = std::array::from_fn(|k| point[k] - from[k]);
        let distance = way.iter().map(|d| d * d).sum::<f64>().sqrt();
        let along = way.map(|d| d / distance);
        let (_, exit) = cube.chord(&from, &along).unwrap();
        // 1 - cos, without cancellation.
        let versine = (along[0] * along[0] + along[1] * along[1]) / (1.0 + along[2]);
        let (after, coefficients) = self.at(versine);
        let mu = |energy: f64| self.material.attenuation(Kind::Total, energy);
        let reaches = along[2] / (distance * distance) * (-mu(self.energy) * (z + 0.5 * EDGE)).exp();
        [0, 1].map(|k| {
            let energy = [after, self.energy][k];
            reaches * coefficients[k] * energy * (-mu(energy) * exit).exp()
        })
    }

    /// The image of a detector: Compton and Rayleigh of each pixel, keV per photon of the beam.
    fn image(&self, [rows, columns]: [usize; 2], pitch: f64) -> Vec<[f64; 2]> {
        const PARTS: usize = 12;
        let middle = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
        let place = |i: usize, j: usize, n: usize| (i as f64 + middle(j, PARTS) - 0.5 * n as f64) * pitch;
        let pixel = |p: usize| {
            let mut sum = [0.0; 2];
            for part in 0..PARTS * PARTS {
                let y = place(p / columns, part / PARTS, rows);
                let x = place(p % columns, part % PARTS, columns);
                for slice in 0..10 {
                    let at = self.sends(EDGE * (middle(slice, 10) - 0.5), [x, y, FAR]);
                    sum = std::array::from_fn(|k| sum[k] + at[k]);
                }
            }
            sum.map(|s| s * EDGE / 10.0 * (pitch / PARTS as f64).powi(2))
        };
        (0..rows * columns).map(pixel).collect()
    }
}

#[test]
fn single_scatter_of_a_small_cube_is_its_integral() {
    let water = water();
    let gold = Material::new("gold", 0.05, vec![(79, 1.0)]).unwrap();
    // At high energies, pixels as fine as the cone that coherent scatter goes into.
    let cases = [(&water, 60.0, 8.0), (&gold, 60.0, 8.0), (&water, 1000.0, 0.6), (&water, 2000.0, 0.3)];
    for (material, energy, pitch) in cases {
        let (shape, n) = ([4, 14], 2_000_000);
        let plan = plan(cube(1, EDGE, vec![material.clone()], |_| 0), pencil(energy));
        let detector = Detector::new([0.0, 0.0, FAR], AXES, shape, [pitch; 2], None).unwrap();
        let image = Image::new(&plan, detector, &Response::Energy, Estimator::Forced { effort: 1.0 }).unwrap();
        plan.simulate(5, 0..n, &[&image], &Job::new()).unwrap();
        let expected = Shapes::new(material, energy).image(shape, pitch);
        for (k, class) in [Class::Compton, Class::Rayleigh].into_iter().enumerate() {
            let found = |p: usize| image.estimate(class, 0, p, n);
            let sum = |f: &dyn Fn(usize) -> f64| (0..expected.len()).map(f).sum::<f64>();
            // All pixels see the same collisions: their number is the error of the sum, and the shape is surer.
            let ratio = sum(&|p| found(p).0) / sum(&|p| expected[p][k]);
            for (p, expected) in expected.iter().enumerate() {
                let (x, error) = found(p);
                let of = x / expected[k];
                let place = format!("{} at {energy} keV, {class:?}, pixel {p}", material.name);
                assert!((x - expected[k]).abs() < 4.0 * error && error < 0.012 * x, "{place}: {of}");
                assert!((of / ratio - 1.0).abs() < 0.012, "{place}: {of}, {ratio} on the whole");
            }
        }
    }
}
