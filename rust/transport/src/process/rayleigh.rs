//! Coherent scattering from atoms.
//!
//! Distribution: p(theta) ~ (1 + cos2(theta))/2 F^2(x), x = sin(theta/2) E/hc, F^2 the mean square form factor of the
//! mixture's atoms. Method: in x^2, where cos(theta) = 1 - 2 x^2/(E/hc)^2, the Thomson factor is kept by rejection
//! (probability 1/2 to 1) and x^2 comes from F^2 alone, by inversion of its integral A(x^2) up to that of
//! back-scattering (Persliden 1983, "A Monte Carlo program for photon transport using analogue sampling of scattering
//! angle in coherent and incoherent scattering processes").
//!
//! Accuracy: double precision; F^2 constant on intervals of x^2 2^-5 of an octave wide, each with its exact mass
//! (Simpson's rule on eight parts).

use crate::HC;
use crate::random::Uniform;
use crate::track::axis::TRANSFER;

const GUIDE: usize = 256;

/// The integral of F^2 of one material.
pub struct Rayleigh {
    /// A at the nodes of [`TRANSFER`], 1 at the last.
    integral: Vec<f64>,
    /// The last node below each 1/256 of A.
    guide: Vec<u16>,
}

impl Rayleigh {
    /// From F^2(x), x in 1/Angstrom.
    pub fn new(form_factor_squared: impl Fn(f64) -> f64) -> Self {
        let of_square = |s: f64| form_factor_squared(s.sqrt());
        let mut integral = vec![TRANSFER.node(0) * of_square(0.0)];
        for k in 0..TRANSFER.intervals() {
            let (low, high) = (TRANSFER.node(k), TRANSFER.node(k + 1));
            integral.push(integral[k] + simpson(&of_square, low, high));
        }
        let all = integral[TRANSFER.intervals()];
        integral.iter_mut().for_each(|a| *a /= all);
        let below = |t: f64| integral.partition_point(|&a| a <= t).saturating_sub(1) as u16;
        let guide = (0..=GUIDE).map(|g| below(g as f64 / GUIDE as f64)).collect();
        Self { integral, guide }
    }

    /// 1 - cos(theta) of a photon of `energy` keV.
    #[inline]
    pub fn sample(&self, energy: f32, random: &mut impl Uniform) -> f32 {
        let most = (f64::from(energy) / HC).powi(2);
        let mass = self.up_to(most);
        loop {
            let square = self.invert(random.uniform() * mass).min(most);
            let versine = 2.0 * square / most;
            let cosine = 1.0 - versine;
            if 2.0 * random.uniform() < 1.0 + cosine * cosine {
                return versine as f32;
            }
        }
    }

    /// A up to a square of the momentum transfer; that of back-scattering at 1 keV is far above the first node.
    fn up_to(&self, square: f64) -> f64 {
        let (k, _) = TRANSFER.place(square as f32);
        let (low, high) = (TRANSFER.node(k), TRANSFER.node(k + 1));
        self.integral[k] + (self.integral[k + 1] - self.integral[k]) * ((square - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The square of the momentum transfer at which A has the value t, 0 <= t <= 1.
    fn invert(&self, t: f64) -> f64 {
        if t < self.integral[0] {
            return TRANSFER.node(0) * t / self.integral[0];
        }
        let g = ((t * GUIDE as f64) as usize).min(GUIDE - 1);
        let (first, last) = (self.guide[g] as usize, self.guide[g + 1] as usize + 1);
        let among = &self.integral[first..=last.min(TRANSFER.intervals())];
        let k = (first + among.partition_point(|&a| a <= t).saturating_sub(1)).min(TRANSFER.intervals() - 1);
        let (low, high) = (self.integral[k], self.integral[k + 1]);
        let f = if high > low { ((t - low) / (high - low)).min(1.0) } else { 0.5 };
        TRANSFER.node(k) + f * (TRANSFER.node(k + 1) - TRANSFER.node(k))
    }
}

fn simpson(f: &impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const PARTS: usize = 8;
    let h = (high - low) / PARTS as f64;
    let weight = |i: usize| {
        if i == 0 || i == PARTS {
            1.0
        } else if i % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    (0..=PARTS).map(|i| weight(i) * f(low + i as f64 * h)).sum::<f64>() * h / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::Material;
    use crate::process::tests::chi_square;
    use crate::random::Numbers;

    #[test]
    fn angles_follow_thomson_times_the_form_factor() {
        let water = Material::new("water", 1.0, vec![(1, 0.111_898), (8, 0.888_102)]).unwrap();
        let lead = Material::new("lead", 11.34, vec![(82, 1.0)]).unwrap();
        for (material, energy) in [(&water, 3.0), (&water, 20.0), (&water, 60.0), (&lead, 60.0), (&lead, 400.0)] {
            let rayleigh = Rayleigh::new(|x| material.form_factor_squared(x));
            // In the square root of 1 - cosine, which spreads the forward peak: d(cosine) ~ root d(root).
            let density = |root: f64| {
                let cosine = 1.0 - root * root;
                let x = energy / HC * (0.5f64).sqrt() * root;
                root * (1.0 + cosine * cosine) * material.form_factor_squared(x)
            };
            let draw = |h: u64| f64::from(rayleigh.sample(energy as f32, &mut Numbers::new(5, h, 0))).sqrt();
            let roots: Vec<f64> = (0..400_000).map(draw).collect();
            let (chi2, limit) = chi_square(density, [0.0, 2f64.sqrt()], &roots);
            assert!(chi2 < limit, "{} at {energy} keV: chi-square {chi2} above {limit}", material.name);
        }
    }
}
