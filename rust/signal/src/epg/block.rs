//! What the atoms of one block need, in lanes: rates, decays of every interval, precession.

use super::Atoms;
use super::math::{decay, rotation};
use super::plan::{Plan, Stage};
use super::states::{Diffusion, precession, spreading};
use spinray_core::simd::{Real, Simd};

/// Parameters of as many atoms as there are lanes, the last one repeated where atoms end.
pub struct Block<T> {
    /// Relative B1.
    pub b1: [T; 16],
    rates: [[T; 16]; 2],
    off_resonance: [f64; 16],
    precesses: bool,
    decays: Vec<T>,
    diffusion: Vec<T>,
    lanes: usize,
    /// After how many stages states may leave the normal range of numbers.
    pub flush_every: usize,
}

impl<T: Real> Block<T> {
    pub fn new(plan: &Plan, diffuses: bool, lanes: usize) -> Self {
        let zero = T::default();
        let entries = if diffuses { plan.intervals.len() * plan.states * 3 * lanes } else { 0 };
        Self {
            b1: [zero; 16],
            rates: [[zero; 16]; 2],
            off_resonance: [0.0; 16],
            precesses: false,
            decays: vec![zero; plan.intervals.len() * 2 * lanes],
            diffusion: vec![zero; entries],
            lanes,
            flush_every: 1,
        }
    }

    /// Takes the atoms from `first` on.
    ///
    /// # Safety
    /// The processor has `S`, whose lanes the block was made for.
    #[inline(always)]
    pub unsafe fn load<S: Simd<T = T>>(&mut self, plan: &Plan, atoms: &Atoms<'_, T>, first: usize) {
        let last = atoms.t1.len() - 1;
        let of =
            |values: &[T], default: f64, k: usize| values.get((first + k).min(last)).map_or(default, |x| x.to_f64());
        for k in 0..16 {
            self.rates[0][k] = T::from_f64(1.0 / of(atoms.t1, 1.0, k));
            self.rates[1][k] = T::from_f64(1.0 / of(atoms.t2, 1.0, k));
            self.b1[k] = T::from_f64(of(atoms.b1, 1.0, k));
            self.off_resonance[k] = of(atoms.off_resonance, 0.0, k);
        }
        let longest = plan.intervals.iter().fold(1e-9, |t: f64, interval| t.max(interval.time()));
        let fastest = self.rates[1].iter().fold(0.0, |r: f64, rate| r.max(rate.to_f64()));
        self.flush_every = (8.0 * std::f64::consts::LN_10 / (longest * fastest)).clamp(1.0, 16.0) as usize;
        self.precesses = !atoms.off_resonance.is_empty();
        // SAFETY: by contract.
        unsafe {
            for (n, interval) in plan.intervals.iter().enumerate() {
                let time = S::splat(T::from_f64(interval.time()));
                for (which, rates) in self.rates.iter().enumerate() {
                    let q = decay::<S>(S::mul(time, S::load(rates.as_ptr())));
                    S::store(self.decays.as_mut_ptr().add((2 * n + which) * S::N), q);
                }
            }
            if self.diffusion.is_empty() {
                return;
            }
            let coefficients: [T; 16] = std::array::from_fn(|k| T::from_f64(of(atoms.diffusion, 0.0, k)));
            let coefficients = S::load(coefficients.as_ptr());
            for (n, interval) in plan.intervals.iter().enumerate() {
                for k in 0..plan.states {
                    for (which, b) in spreading(interval, k, plan.dephasing).into_iter().enumerate() {
                        let q = decay::<S>(S::mul(coefficients, S::splat(T::from_f64(b))));
                        let to = ((n * plan.states + k) * 3 + which) * S::N;
                        S::store(self.diffusion.as_mut_ptr().add(to), S::sub(S::splat(T::from_f64(1.0)), q));
                    }
                }
            }
        }
    }

    /// 1/T1² and 1/T2².
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    pub unsafe fn squared<S: Simd<T = T>>(&self) -> (S::V, S::V) {
        // SAFETY: by contract.
        let square = |rates: &[T; 16]| unsafe { S::mul(S::load(rates.as_ptr()), S::load(rates.as_ptr())) };
        (square(&self.rates[0]), square(&self.rates[1]))
    }

    /// 1 - e^{-t/T1} and 1 - e^{-t/T2} of an interval.
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    pub unsafe fn decays<S: Simd<T = T>>(&self, interval: usize) -> (S::V, S::V) {
        let at = &self.decays[2 * interval * S::N..][..2 * S::N];
        // SAFETY: by contract.
        unsafe { (S::load(at.as_ptr()), S::load(at.as_ptr().add(S::N))) }
    }

    /// Sine and 1 - cosine of what F+ turns by in a stage: off-resonance and the change of frame.
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    pub unsafe fn stage_precession<S: Simd<T = T>>(&self, plan: &Plan, stage: &Stage) -> (S::V, S::V) {
        // SAFETY: by contract.
        unsafe {
            if self.precesses {
                return self.precession::<S>(plan.intervals[stage.interval].time(), stage.turn);
            }
            let [sine, versine] = stage.turned.map(|x| S::splat(T::from_f64(x)));
            (sine, versine)
        }
    }

    /// That of some time and a further phase.
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    pub unsafe fn precession<S: Simd<T = T>>(&self, time: f64, phase: f64) -> (S::V, S::V) {
        let angles: [T; 16] = std::array::from_fn(|k| T::from_f64(precession(self.off_resonance[k], time) + phase));
        // SAFETY: by contract.
        unsafe { rotation::<S>(S::load(angles.as_ptr())) }
    }

    /// Whether any atom is off resonance.
    pub fn precesses(&self) -> bool {
        self.precesses
    }

    /// The factors of diffusion in an interval.
    pub fn diffusion(&self, plan: &Plan, interval: usize) -> Option<Diffusion<T>> {
        let size = plan.states * 3 * self.lanes;
        (!self.diffusion.is_empty()).then(|| self.diffusion[interval * size..][..size].as_ptr())
    }
}
