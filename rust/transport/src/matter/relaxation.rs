//! What follows a vacancy in K or L: fluorescence photons of at least 1 keV. Auger and Coster-Kronig electrons, softer
//! photons and vacancies of other shells give their energy to the spot.
//!
//! A vacancy is filled by one of the tabulated transitions, chosen with its probability: a line, which moves the vacancy
//! outwards; for K an Auger transition, which leaves two, L1 L2 for instance; for L1 and L2 a Coster-Kronig transition,
//! which moves it to another L shell. Vacancies of L are followed in turn. Photon energies never sum to more than the
//! binding energy of the first vacancy. Data: see tools/photon_data.py.

use super::element::Element;
use crate::E_MIN;

/// More vacancies than can be open at once: K leaves two.
const OPEN: usize = 4;

/// Samples what follows a vacancy in `element.inner()[index]`: hands each photon's energy in keV to `emit`, and returns
/// the rest of the binding energy, which is deposited.
pub fn relax(element: &Element, index: usize, mut uniform: impl FnMut() -> f64, mut emit: impl FnMut(f64)) -> f64 {
    let inner = element.inner();
    let mut deposited = inner[index].binding;
    let mut open = [0usize; OPEN];
    let mut n = 1;
    open[0] = index;
    while n > 0 {
        n -= 1;
        let mut rest = uniform();
        let chosen = inner[open[n]].transitions.iter().find(|t| {
            rest -= t.probability;
            rest < 0.0
        });
        let Some(transition) = chosen else { continue };
        if transition.energy >= E_MIN {
            emit(transition.energy);
            deposited -= transition.energy;
        }
        for code in transition.vacant {
            if let Some(next) = inner.iter().position(|shell| shell.code == code) {
                open[n] = next;
                n += 1;
            }
        }
    }
    deposited.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::element::{Transition, element};
    use spinray_core::philox::Stream;

    fn photons(element: &Element, index: usize, history: u64) -> (Vec<f64>, f64) {
        let mut stream = Stream::new(11, history);
        let mut photons = Vec::new();
        let deposited = relax(element, index, || stream.uniform(), |energy| photons.push(energy));
        (photons, deposited)
    }

    #[test]
    fn energy_is_conserved_in_every_element() {
        for z in 11..=98 {
            let atom = element(z);
            for index in 0..atom.inner().len() {
                for history in 0..200 {
                    let (photons, deposited) = photons(atom, index, history);
                    let sum = photons.iter().sum::<f64>() + deposited;
                    assert!((sum / atom.inner()[index].binding - 1.0).abs() < 1e-6, "Z = {z}, shell {index}: {sum}");
                    assert!(photons.iter().all(|&energy| energy >= E_MIN) && deposited >= 0.0);
                }
            }
        }
    }

    #[test]
    fn yields_and_radiated_energy_are_those_of_the_table() {
        // Fluorescence yields of K: Krause 1979, J. Phys. Chem. Ref. Data 8, 307.
        for (z, krause) in [(26, 0.340), (29, 0.440), (47, 0.831), (53, 0.884), (64, 0.935), (82, 0.963)] {
            let (atom, n) = (element(z), 40_000);
            let l_edge = atom.inner().get(1).map_or(1.0, |shell| shell.binding);
            let (mut lines, mut energy) = (0.0, 0.0);
            for history in 0..n {
                let (photons, _) = photons(atom, 0, history);
                lines += photons.iter().filter(|&&e| e > l_edge).count() as f64;
                energy += photons.iter().sum::<f64>();
            }
            let found = lines / n as f64;
            assert!((found - krause).abs() < 0.015, "Z = {z}: K yield {found}, {krause} published");
            let mean = energy / n as f64;
            assert!((mean / atom.inner()[0].radiated - 1.0).abs() < 0.015, "Z = {z}: {mean} keV radiated");
        }
    }

    #[test]
    fn lines_have_their_energies_and_intensities() {
        // K alpha 1 and 2: Bearden 1967, Rev. Mod. Phys. 39, 78; their ratio: Scofield 1974, Phys. Rev. A 9, 1041.
        let published = [
            (29, 8.0478, 8.0278, 0.513),
            (53, 28.612, 28.317, 0.540),
            (74, 59.318, 57.982, 0.576),
            (82, 74.969, 72.804, 0.595),
        ];
        for (z, first, second, ratio) in published {
            let line = |code: u8| {
                let fills = |t: &&Transition| t.energy > 0.0 && t.vacant[0] == code;
                *element(z).inner()[0].transitions.iter().find(fills).unwrap()
            };
            let (alpha1, alpha2) = (line(3), line(2));
            assert!((alpha1.energy - first).abs() < 0.01 && (alpha2.energy - second).abs() < 0.01, "Z = {z}");
            let found = alpha2.probability / alpha1.probability;
            assert!((found / ratio - 1.0).abs() < 0.03, "Z = {z}: {found}");
        }
    }

    #[test]
    fn auger_transitions_of_k_leave_vacancies_of_l_that_radiate() {
        let (atom, n) = (element(82), 100_000);
        let (mut auger, mut radiating) = (0, 0);
        for history in 0..n {
            let (photons, _) = photons(atom, 0, history);
            if photons.iter().all(|&e| e < atom.inner()[1].binding) {
                auger += 1;
                radiating += i32::from(!photons.is_empty());
            }
        }
        // KLL and KLX leave one vacancy of L or two, of yield 0.1 to 0.4 each.
        let share = f64::from(radiating) / f64::from(auger);
        assert!((0.3..0.7).contains(&share), "{share}");
    }

    /// Mean number of photons that follow a vacancy, of all the vacancies it leads to.
    fn photons_of(element: &Element, code: u8) -> f64 {
        let Some(shell) = element.inner().iter().find(|s| s.code == code) else { return 0.0 };
        let photon = |t: &Transition| if t.energy >= E_MIN { 1.0 } else { 0.0 };
        let after = |t: &Transition| t.vacant.iter().map(|&next| photons_of(element, next)).sum::<f64>();
        shell.transitions.iter().map(|t| t.probability * (photon(t) + after(t))).sum()
    }

    #[test]
    fn every_vacancy_is_followed() {
        for z in [53, 82] {
            let (atom, n) = (element(z), 400_000);
            let (mut sum, mut square) = (0.0, 0.0);
            for history in 0..n {
                let count = photons(atom, 0, history).0.len() as f64;
                (sum, square) = (sum + count, square + count * count);
            }
            let found = sum / n as f64;
            let sigma = ((square / n as f64 - found * found) / n as f64).sqrt();
            let expected = photons_of(atom, 0);
            assert!((found - expected).abs() < 4.0 * sigma, "Z = {z}: {found}, {expected} +- {sigma}");
        }
    }
}
