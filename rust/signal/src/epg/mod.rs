//! Signals by extended phase graphs: 16 atoms at a time.
//!
//! Signal: F0 at every readout for a unit magnetisation (see [`crate::program`]), averaged over the slice profile.
//! Reference: Weigel 2015; Hennig 1991. Exact for all states, or for the orders below a limit; then [`simulate`]
//! returns a bound on the error: the pass of a stage never enlarges a state, so an echo is off by at most the sum of
//! what was pushed out before it, less the longitudinal decay since. States below 1e-30 of M0 count as zero.

pub mod adjoint;
mod block;
pub(crate) mod math;
mod plan;
#[cfg(test)]
mod reference;
mod sink;
mod states;

pub use plan::Plan;
pub use sink::{Basis, Output};
pub use states::Parameter;

use crate::atoms;
use block::Block;
use math::rotation;
use plan::{Kind, Read, Stage};
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Error, Job, Result};
use states::{Factors, SETS, States};
use std::f64::consts::TAU;
use std::sync::{Mutex, PoisonError};

/// Parameters of atoms, one entry each; the last three may be empty: 1, 0 and 0 for all.
#[derive(Clone, Copy, Debug)]
pub struct Atoms<'a, T> {
    /// s
    pub t1: &'a [T],
    /// s
    pub t2: &'a [T],
    /// Relative to nominal.
    pub b1: &'a [T],
    /// Hz
    pub off_resonance: &'a [T],
    /// mm²/s
    pub diffusion: &'a [T],
}

impl<T: Real> Atoms<'_, T> {
    fn check(&self) -> Result<()> {
        let optional = [("b1", self.b1), ("off_resonance", self.off_resonance), ("diffusion", self.diffusion)];
        let given = optional.into_iter().filter(|(_, values)| !values.is_empty());
        let columns: Vec<_> = [("t1", self.t1), ("t2", self.t2)].into_iter().chain(given).collect();
        atoms::check(self.t1.len(), &columns)
    }
}

/// Atoms that one task simulates.
const TASK: usize = 64;

/// Simulates all atoms into `output`; returns the bound on what a limit on states costs any echo (0 without one).
pub fn simulate<T: Real>(
    plan: &Plan,
    atoms: &Atoms<'_, T>,
    derivatives: &[Parameter],
    output: Output<'_, T>,
    job: &Job,
) -> Result<f64> {
    atoms.check()?;
    let unseen = plan.is_real && derivatives.contains(&Parameter::OffResonance);
    if derivatives.len() >= SETS || unseen || output.rank().is_some() && !derivatives.is_empty() {
        return Err(Error::invalid("derivatives", "these cannot be had of this sequence in one pass"));
    }
    let pulses = uniform(atoms.b1).map(|b1| Pulses::new(plan, b1));
    let tasks = output.tasks(atoms.t1.len(), (1 + derivatives.len()) * plan.echoes, TASK)?;
    let bound = Mutex::new(0.0f64);
    job.for_each(tasks, |(first, output)| {
        let lost = dispatch(Simulate { plan, atoms, derivatives, pulses: pulses.as_ref(), first, output });
        let mut bound = bound.lock().unwrap_or_else(PoisonError::into_inner);
        *bound = bound.max(lost);
    })?;
    Ok(bound.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The B1 that all atoms share, if they do.
fn uniform<T: Real>(b1: &[T]) -> Option<f64> {
    let first = b1.first().map_or(1.0, |b| b.to_f64());
    b1.iter().all(|b| b.to_f64() == first).then_some(first)
}

/// Sine and 1 - cosine of every stage's rotation, for every position across the slice.
struct Pulses<T> {
    turns: Vec<[T; 2]>,
    stages: usize,
}

impl<T: Real> Pulses<T> {
    fn new(plan: &Plan, b1: f64) -> Self {
        let turn = |(profile, stage): (&f64, &Stage)| {
            let angle = stage.angle() * b1 * profile;
            [angle.sin(), 2.0 * (0.5 * angle).sin().powi(2)].map(T::from_f64)
        };
        let turns = plan.profile.iter().flat_map(|p| plan.stages.iter().map(move |s| (p, s))).map(turn).collect();
        Self { turns, stages: plan.stages.len() }
    }
}

struct Simulate<'a, T> {
    plan: &'a Plan,
    atoms: &'a Atoms<'a, T>,
    derivatives: &'a [Parameter],
    pulses: Option<&'a Pulses<T>>,
    /// Number of the first atom of `output`.
    first: usize,
    output: Output<'a, T>,
}

impl<T: Real> Kernel<T> for Simulate<'_, T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) -> f64 {
        // SAFETY: `dispatch` chose S.
        unsafe { if self.plan.is_real { self.blocks::<S, 1>() } else { self.blocks::<S, 2>() } }
    }
}

impl<T: Real> Simulate<'_, T> {
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    unsafe fn blocks<S: Simd<T = T>, const C: usize>(mut self) -> f64 {
        let sets = 1 + self.derivatives.len();
        let mut states = States::new(self.plan.states, sets, C, S::N);
        let mut echoes = vec![T::default(); self.plan.echoes * sets * C * S::N];
        let mut block = Block::new(self.plan, !self.atoms.diffusion.is_empty(), S::N);
        let mut bound = 0.0f64;
        let n = self.atoms.t1.len().min(self.first + TASK);
        for first in (self.first..n).step_by(S::N) {
            let count = S::N.min(n - first);
            echoes.fill(T::default());
            // SAFETY: by contract; the buffers were made for these lanes.
            unsafe {
                block.load::<S>(self.plan, self.atoms, first);
                for position in 0..self.plan.profile.len() {
                    bound = bound.max(self.position::<S, C>(position, &block, &mut states, &mut echoes));
                }
                self.output.write::<S, C>(&echoes, (first - self.first, count), sets, self.plan.echoes);
            }
        }
        bound
    }

    /// Adds the echoes of one position across the slice.
    ///
    /// # Safety
    /// The processor has `S`; all buffers were made for its lanes and `C` components.
    #[inline(always)]
    unsafe fn position<S: Simd<T = T>, const C: usize>(
        &self,
        position: usize,
        block: &Block<T>,
        states: &mut States<T>,
        echoes: &mut [T],
    ) -> f64 {
        let Self { plan, derivatives, .. } = self;
        let sets = 1 + derivatives.len();
        let mut next = 0;
        let mut widest = [T::default(); 16];
        // SAFETY: by contract.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            let profile = plan.profile[position];
            let zero = real(0.0);
            let (mut lost, mut most) = (zero, zero);
            let mut alive = 1;
            states.reset::<S, C>();
            for (n, stage) in plan.stages.iter().enumerate() {
                if !matches!(stage.kind, Kind::Rotate(_)) {
                    self.prepare::<S, C>(stage, block, states);
                    continue;
                }
                let angle = stage.angle() * profile;
                let (sine, versine) = match self.pulses {
                    Some(pulses) => {
                        let [sine, versine] = pulses.turns[position * pulses.stages + n];
                        (S::splat(sine), S::splat(versine))
                    }
                    None => rotation::<S>(S::mul(S::load(block.b1.as_ptr()), real(angle))),
                };
                let turn = (sine, versine, real(angle));
                for read in &stage.reads {
                    let to = echoes.as_mut_ptr().add(next * sets * C * S::N);
                    self.receive::<S, C>(read, turn, block, states, to);
                    next += 1;
                }
                let time = real(plan.intervals[stage.interval].time());
                let (decay, (slow, fast)) = (block.decays::<S>(stage.interval), block.squared::<S>());
                let factors = Factors::<S> {
                    rotation: turn,
                    decay,
                    precession: if C == 1 { (zero, zero) } else { block.stage_precession::<S>(plan, stage) },
                    rates: (S::mul(time, slow), S::mul(time, fast)),
                    cycle: S::mul(time, real(TAU)),
                };
                lost = S::sub(lost, S::mul(lost, decay.0));
                let before = stage.before.min(alive);
                alive = before + usize::from(stage.shift != 0);
                let out = (stage.truncated && before == stage.before).then_some(&mut lost);
                let span = (before, stage.after.min(alive), stage.shift);
                states.pass::<S, C>(span, &factors, derivatives, block.diffusion(plan, stage.interval), out);
                most = S::max(most, lost);
                if n % block.flush_every == 0 {
                    alive = states.flush::<S, C>(stage.after.min(alive)).max(1);
                }
            }
            S::store(widest.as_mut_ptr(), most);
        }
        widest.iter().fold(0.0, |most, x| most.max(x.to_f64()))
    }

    /// Inverts, prepares or crushes.
    ///
    /// # Safety
    /// As `position`.
    #[inline(always)]
    unsafe fn prepare<S: Simd<T = T>, const C: usize>(&self, stage: &Stage, block: &Block<T>, states: &mut States<T>) {
        // SAFETY: by contract.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            states.crush::<S, C>(stage.before);
            match stage.kind {
                Kind::Scale(factor) => states.scale::<S, C>(stage.before, real(factor), None),
                Kind::Prepare => {
                    let driven = self.derivatives.iter().position(|p| *p == Parameter::T2);
                    let time = real(self.plan.intervals[stage.interval].time());
                    let rate = S::mul(time, block.squared::<S>().1);
                    let kept = S::sub(real(1.0), block.decays::<S>(stage.interval).1);
                    states.scale::<S, C>(stage.before, kept, driven.map(|set| (1 + set, rate)));
                }
                _ => {}
            }
        }
    }

    /// Adds one readout, and what it changes by with every parameter, to `to`.
    ///
    /// # Safety
    /// As `position`; `to` has room for all sets and components.
    #[inline(always)]
    unsafe fn receive<S: Simd<T = T>, const C: usize>(
        &self,
        read: &Read,
        rotation: (S::V, S::V, S::V),
        block: &Block<T>,
        states: &mut States<T>,
        to: *mut T,
    ) {
        // SAFETY: by contract.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            let time = self.plan.intervals[read.interval].time();
            let weight = real(1.0 / self.plan.profile.len() as f64);
            let kept = S::mul(weight, S::sub(real(1.0), block.decays::<S>(read.interval).1));
            let (sine, cosine) = if C == 2 && block.precesses() {
                let (sine, versine) = block.precession::<S>(time, read.turn.1.atan2(read.turn.0));
                (sine, S::sub(real(1.0), versine))
            } else {
                (real(read.turn.1), real(read.turn.0))
            };
            let mut signal = [real(0.0); C];
            for set in 0..=self.derivatives.len() {
                let parameter = set.checked_sub(1).map(|t| self.derivatives[t]);
                let mut f = states.echo::<S, C>(set, parameter, rotation);
                match parameter {
                    None => signal = f,
                    Some(Parameter::T2) => {
                        let rate = S::mul(real(time), block.squared::<S>().1);
                        f = std::array::from_fn(|c| S::fma(rate, signal[c], f[c]));
                    }
                    Some(Parameter::OffResonance) => {
                        let cycle = real(TAU * time);
                        f[0] = S::sub(f[0], S::mul(cycle, signal[C - 1]));
                        f[C - 1] = S::fma(cycle, signal[0], f[C - 1]);
                    }
                    Some(_) => {}
                }
                let f = f.map(|f| S::mul(f, kept));
                let (re, im) = (f[0], f[C - 1]);
                let turned = if C == 1 {
                    [S::mul(cosine, re); 2]
                } else {
                    [S::sub(S::mul(cosine, re), S::mul(sine, im)), S::fma(cosine, im, S::mul(sine, re))]
                };
                for (c, f) in turned.into_iter().enumerate().take(C) {
                    let to = to.add((set * C + c) * S::N);
                    S::store(to, S::add(f, S::load(to)));
                }
            }
        }
    }
}
