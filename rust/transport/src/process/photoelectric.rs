//! Photoelectric absorption.
//!
//! The photon is absorbed by an element of the mixture in proportion of its share w_i tau_i(E), in one of its shells;
//! a vacancy in K or L that can emit a line of at least 1 keV is followed by `matter::relaxation`, photons leave in
//! uniform directions, everything else is deposited on the spot. The shares of all (element, shell) pairs that can
//! emit are tabulated as cumulative functions of energy, so that most absorptions in tissue are told apart by a single
//! comparison. Neglected: the range of electrons, emission below 1 keV.

use crate::matter::relaxation::relax;
use crate::matter::{Element, Material, element};
use crate::random::Uniform;
use crate::track::axis::ENERGY;

/// The shells of a material that can emit.
#[derive(Default)]
pub struct Photoelectric {
    shells: Vec<Emitter>,
}

/// One shell of one element.
struct Emitter {
    element: &'static Element,
    index: usize,
    /// Share of this shell and those before it in all absorptions: value and rise on each interval of energy.
    cumulative: Vec<[f32; 2]>,
}

impl Photoelectric {
    /// Of a mixture.
    pub fn new(material: &Material) -> Self {
        let emitters: Vec<(&'static Element, f64, usize)> = material
            .parts
            .iter()
            .flat_map(|&(z, fraction)| {
                let element = element(z);
                let emits = |&i: &usize| element.inner()[i].radiated > 0.0;
                (0..element.inner().len()).filter(emits).map(move |i| (element, fraction, i))
            })
            .collect();
        let mut nodes: Vec<Vec<f64>> = vec![Vec::with_capacity(ENERGY.intervals() + 1); emitters.len()];
        for k in (0..=ENERGY.intervals()).take_while(|_| !emitters.is_empty()) {
            let energy = ENERGY.node(k).min(crate::E_MAX);
            let all: f64 = material.parts.iter().map(|&(z, fraction)| fraction * element(z).photo(energy)).sum();
            let mut sum = 0.0;
            for (&(element, fraction, i), nodes) in emitters.iter().zip(&mut nodes) {
                sum += fraction * element.photo(energy) * element.photo_shares(energy)[i] / all;
                nodes.push(sum);
            }
        }
        let shells = emitters.iter().zip(nodes).map(|(&(element, _, index), nodes)| {
            let cumulative = nodes.windows(2).map(|w| [w[0] as f32, (w[1] - w[0]) as f32]).collect();
            Emitter { element, index, cumulative }
        });
        Self { shells: shells.collect() }
    }

    /// Absorbs a photon of `energy` keV: hands the energy of each fluorescence photon to `emit` and returns what is
    /// deposited; together they are `energy`.
    #[inline]
    pub fn sample(&self, energy: f32, random: &mut impl Uniform, mut emit: impl FnMut(f32)) -> f32 {
        let Some(last) = self.shells.last() else { return energy };
        let (k, f) = ENERGY.place(energy);
        let below = |shell: &Emitter, share: f32| share < shell.cumulative[k][0] + f * shell.cumulative[k][1];
        if last.cumulative[k] == [0.0; 2] {
            return energy;
        }
        let share = random.uniform32();
        if !below(last, share) {
            return energy;
        }
        let Some(shell) = self.shells.iter().find(|shell| below(shell, share)) else { return energy };
        // The interval that holds an edge has it smeared over it.
        if f64::from(energy) < shell.element.inner()[shell.index].binding {
            return energy;
        }
        let mut deposit = energy;
        relax(
            shell.element,
            shell.index,
            || random.uniform(),
            |line| {
                deposit -= line as f32;
                emit(line as f32);
            },
        );
        deposit.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::Kind;
    use crate::random::Numbers;

    #[test]
    fn fluorescence_carries_off_its_mean_energy_and_the_rest_is_deposited() {
        let iodide = Material::new("CsI", 4.51, vec![(55, 0.511_55), (53, 0.488_45)]).unwrap();
        for energy in [4.0f32, 20.0, 34.5, 60.0, 500.0] {
            let process = Photoelectric::new(&iodide);
            let n = 200_000;
            let (mut sum, mut square) = (0.0, 0.0);
            for history in 0..n {
                let mut lines = 0.0;
                let deposit = process.sample(energy, &mut Numbers::new(9, history, 0), |line| lines += line);
                assert!((deposit + lines - energy).abs() < 1e-6 * energy && deposit >= 0.0);
                sum += f64::from(lines);
                square += f64::from(lines).powi(2);
            }
            let e = f64::from(energy);
            let parts = iodide.parts.iter().map(|&(z, w)| w * element(z).photo(e) * element(z).mean_fluorescence(e));
            let expected = parts.sum::<f64>() / iodide.mass_attenuation(Kind::Photo, e);
            let mean = sum / n as f64;
            let sigma = ((square / n as f64 - mean * mean) / n as f64).sqrt();
            assert!((mean - expected).abs() < 4.0 * sigma + 1e-9, "{energy}: {mean}, {expected} +- {sigma}");
        }
    }

    #[test]
    fn below_an_edge_its_shell_stays_full() {
        // 33.1 keV lie in the interval of energies over which the edge of iodine, 33.17 keV, is smeared.
        let iodine = Photoelectric::new(&Material::new("I", 4.93, vec![(53, 1.0)]).unwrap());
        let mut lines = 0;
        for history in 0..20_000 {
            iodine.sample(33.1, &mut Numbers::new(1, history, 0), |line| {
                assert!(line < 5.2, "a line of K, {line} keV");
                lines += 1;
            });
        }
        assert!(lines > 500, "L radiates");
    }

    #[test]
    fn carbon_has_no_line_and_keeps_everything() {
        let carbon = Photoelectric::new(&Material::new("C", 2.0, vec![(6, 1.0)]).unwrap());
        let deposit =
            carbon.sample(30.0, &mut Numbers::new(0, 0, 0), |_| panic!("a line of carbon is far below 1 keV"));
        assert_eq!(deposit, 30.0);
    }
}
