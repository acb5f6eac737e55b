//! Probability per solid angle of where a scattered photon goes: the densities that `process::compton` and
//! `process::rayleigh` sample, normalised.
//!
//! ```text
//!     p_C(theta) = C(E) eps^2 (eps + 1/eps - sin^2 theta) S(x),     eps = 1/(1 + k (1 - cos theta)),
//!     p_R(theta) = R(E) (1 + cos^2 theta)/2 F^2(x),                 x = sin(theta/2) E/hc.
//! ```
//!
//! C and R are one over the integrals of the rest over the sphere. Accuracy: S and F^2 linear between nodes 2^-5 of an
//! octave of x^2 apart, C and R linear between energies 2^-7 of an octave apart; integrals for C by Simpson's rule in
//! sin(theta/2) (1e-5), those for R exact for the F^2 of the table.

use crate::matter::Material;
use crate::track::axis::{ENERGY, TRANSFER};
use crate::track::bank::at;
use crate::{ELECTRON, HC};
use rayon::prelude::*;
use std::f64::consts::PI;

/// The densities of all materials.
pub struct Angles {
    incoherent: Vec<[f32; 2]>,
    form: Vec<[f32; 2]>,
    compton: Vec<[f32; 2]>,
    rayleigh: Vec<[f32; 2]>,
}

/// A photon about to scatter: energy over hc squared, over mc2, and what its material makes of it.
#[derive(Clone, Copy)]
pub struct Scatterer {
    square: f32,
    k: f32,
    norms: [f32; 2],
    material: usize,
}

impl Angles {
    /// Of all materials.
    pub fn new(materials: &[Material]) -> Self {
        let incoherent = |m: &Material| TRANSFER.tabulate(|s| m.incoherent(s.sqrt()));
        let form = |m: &Material| TRANSFER.tabulate(|s| m.form_factor_squared(s.sqrt()));
        let of = |f: &(dyn Fn(&Material) -> Vec<[f32; 2]> + Sync)| -> Vec<Vec<[f32; 2]>> {
            materials.par_iter().map(f).collect()
        };
        let (incoherent, form) = (of(&incoherent), of(&form));
        Self {
            compton: incoherent.par_iter().flat_map(|s| compton_norms(s)).collect(),
            rayleigh: form.par_iter().flat_map(|f| rayleigh_norms(f)).collect(),
            incoherent: incoherent.concat(),
            form: form.concat(),
        }
    }

    /// A photon of `energy` in a material.
    #[inline(always)]
    pub fn scatterer(&self, material: u32, energy: f32) -> Scatterer {
        let (interval, f) = ENERGY.place(energy);
        let norm = |table: &[[f32; 2]]| {
            let [value, rise] = at(table, material as usize * ENERGY.intervals() + interval);
            value + f * rise
        };
        Scatterer {
            square: energy * energy * (0.5 / (HC * HC)) as f32,
            k: energy * (1.0 / ELECTRON) as f32,
            norms: [norm(&self.compton), norm(&self.rayleigh)],
            material: material as usize * TRANSFER.intervals(),
        }
    }

    /// (energy after over before, p_C, p_R) at 1 - cos(theta) = t, per sr.
    #[inline(always)]
    pub fn densities(&self, photon: &Scatterer, t: f32) -> (f32, f32, f32) {
        let (interval, f) = TRANSFER.place(photon.square * t);
        let [s, s_rise] = at(&self.incoherent, photon.material + interval);
        let [form, form_rise] = at(&self.form, photon.material + interval);
        let sine2 = t * (2.0 - t);
        let eps = 1.0 / (1.0 + photon.k * t);
        let compton = photon.norms[0] * (eps * eps * (eps + 1.0 / eps - sine2)) * (s + f * s_rise);
        let rayleigh = photon.norms[1] * (1.0 - 0.5 * sine2) * (form + f * form_rise);
        (eps, compton, rayleigh)
    }

    /// p_C and p_R straight ahead, at the most (S = 1).
    pub fn ahead(&self, material: u32, energy: f64) -> [f64; 2] {
        let photon = self.scatterer(material, energy as f32);
        let [form, _] = self.form[photon.material];
        [2.0 * f64::from(photon.norms[0]), f64::from(photon.norms[1] * form)]
    }
}

fn look_up(table: &[[f32; 2]], square: f64) -> f64 {
    let (k, f) = TRANSFER.place(square as f32);
    f64::from(table[k][0]) + f64::from(f) * f64::from(table[k][1])
}

/// C(E): with q = sin(theta/2), d(cos theta) = 4 q dq.
fn compton_norms(incoherent: &[[f32; 2]]) -> Vec<[f32; 2]> {
    const PARTS: usize = 256;
    ENERGY.tabulate(|energy| {
        let k = energy / ELECTRON;
        let integrand = |i: usize| {
            let q = i as f64 / PARTS as f64;
            let t = 2.0 * q * q;
            let eps = 1.0 / (1.0 + k * t);
            let s = look_up(incoherent, (q * energy / HC).powi(2));
            eps * eps * (eps + 1.0 / eps - t * (2.0 - t)) * s * 4.0 * q
        };
        let simpson = |i: usize| if i == PARTS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
        let integral = (1..=PARTS).map(|i| simpson(i) * integrand(i)).sum::<f64>() / (3.0 * PARTS as f64);
        1.0 / (2.0 * PI * integral)
    })
}

/// R(E): with s = x^2 and m = (E/hc)^2, cos theta = 1 - 2 s/m; (1 + cos^2 theta)/2 = 1 - 2 s/m + 2 s^2/m^2.
fn rayleigh_norms(form: &[[f32; 2]]) -> Vec<[f32; 2]> {
    // Moments of F^2 up to each node; Simpson's rule is exact for s^2 times a line.
    let piece = |k: usize, high: f64| {
        let low = TRANSFER.node(k);
        let width = TRANSFER.node(k + 1) - low;
        let value = |s: f64| f64::from(form[k][0]) + f64::from(form[k][1]) * (s - low) / width;
        [0, 1, 2].map(|j| {
            let term = |s: f64| s.powi(j) * value(s);
            (high - low) / 6.0 * (term(low) + 4.0 * term(0.5 * (low + high)) + term(high))
        })
    };
    let first = TRANSFER.node(0);
    let mut moments = vec![[1, 2, 3].map(|j| f64::from(form[0][0]) * first.powi(j) / f64::from(j))];
    for k in 0..TRANSFER.intervals() {
        let (sum, more) = (moments[k], piece(k, TRANSFER.node(k + 1)));
        moments.push(std::array::from_fn(|j| sum[j] + more[j]));
    }
    ENERGY.tabulate(|energy| {
        let most = (energy / HC).powi(2);
        let (k, _) = TRANSFER.place(most as f32);
        let more = piece(k, most);
        let [a, b, c] = std::array::from_fn(|j| moments[k][j] + more[j]);
        most / (4.0 * PI * (a - 2.0 * b / most + 2.0 * c / (most * most)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::Kind;

    #[test]
    fn densities_integrate_to_one_over_the_sphere() {
        let lead = Material::new("lead", 11.3, vec![(82, 1.0)]).unwrap();
        let water = Material::new("water", 1.0, vec![(1, 0.111_9), (8, 0.888_1)]).unwrap();
        let angles = Angles::new(&[lead, water]);
        for (material, energy) in [(0, 3.3), (1, 20.0), (0, 60.1), (1, 59.0), (1, 511.0), (0, 2900.0)] {
            let photon = angles.scatterer(material, energy);
            let n = 100_000;
            let (mut compton, mut rayleigh) = (0.0, 0.0);
            for i in 0..n {
                // Uniform in the fourth root: dense ahead, where coherent scatter is.
                let q = (f64::from(i) + 0.5) / f64::from(n);
                let weight = 2.0 * PI * 8.0 * q.powi(3) / f64::from(n);
                let (_, c, r) = angles.densities(&photon, (2.0 * q.powi(4)) as f32);
                compton += weight * f64::from(c);
                rayleigh += weight * f64::from(r);
            }
            assert!((compton - 1.0).abs() < 2e-4, "Compton at {energy} keV: {compton}");
            assert!((rayleigh - 1.0).abs() < 2e-4, "Rayleigh at {energy} keV: {rayleigh}");
        }
    }

    #[test]
    fn densities_times_cross_sections_are_the_differential_cross_sections_of_atoms() {
        // r_e^2 N_A / A (1 + cos^2)/2 F^2 and r_e^2 N_A Z / (2 A) times Klein-Nishina times S, cm2/g per sr.
        const SQUARE_RADIUS: f64 = 0.079_407_877;
        const AVOGADRO: f64 = 0.602_214_076;
        let iron = Material::new("iron", 7.9, vec![(26, 1.0)]).unwrap();
        let angles = Angles::new(std::slice::from_ref(&iron));
        for (energy, t) in [(40.0f64, 0.02f64), (40.0, 0.5), (150.0, 0.01), (150.0, 1.7)] {
            let photon = angles.scatterer(0, energy as f32);
            let (eps, compton, rayleigh) = angles.densities(&photon, t as f32);
            let x = (0.5 * t).sqrt() * energy / HC;
            let atoms = SQUARE_RADIUS * AVOGADRO / 55.845;
            let thomson = atoms * (1.0 - 0.5 * t * (2.0 - t)) * iron.form_factor_squared(x);
            let e = 1.0 / (1.0 + energy / ELECTRON * t);
            let klein = 0.5 * 26.0 * atoms * e * e * (e + 1.0 / e - t * (2.0 - t)) * iron.incoherent(x);
            assert!((f64::from(eps) / e - 1.0).abs() < 1e-6);
            let (c, r) = (f64::from(compton), f64::from(rayleigh));
            assert!((c * iron.mass_attenuation(Kind::Compton, energy) / klein - 1.0).abs() < 0.01);
            assert!((r * iron.mass_attenuation(Kind::Rayleigh, energy) / thomson - 1.0).abs() < 0.01);
        }
    }
}
