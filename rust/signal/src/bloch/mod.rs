//! Signals by isochromats: the Bloch equations of every spin of a voxel, one spin per lane.
//!
//! Signal: the mean of F = Mx + iMy over M isochromats and P positions across the slice, less the receiver phase;
//! instructions as in [`crate::program`]. Isochromat j is turned by 2π n j / M where a gradient dephases the voxel by
//! n turns. The mean is that of a continuous voxel as long as no configuration state reaches order M; beyond, orders
//! alias modulo M.
//!
//! T2': isochromat j has the off-resonance tan(π (u - 1/2)) / (2π T2'), u = ((g j mod M) + 1/2) / M: the midpoints of M
//! equal shares of a Lorentzian of full width 1/(π T2'), so that tails end 2 M / π half widths away. With g near
//! M / golden ratio, frequencies are spread evenly over every fraction of the voxel (a lattice rule). A decay
//! e^{-t/T2'} comes out to 1.5 M^{-3/4} (0.008 of M0 for M = 1000): a sum of finitely many frequencies has no cusp.
//!
//! Positions: shaped pulses ([`pulse`]) see the gradient there, hard ones a relative flip angle.
//!
//! Reference: Bloch 1946; Hargreaves, Vasanawala, Pauly and Nishimura 2001 (rotation and relaxation as affine maps).

pub mod plan;
pub mod pulse;
mod spins;

pub use plan::Plan;
pub use pulse::Shape;

use crate::atoms;
use plan::Step;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Error, Job, Result};
use spins::{Isochromats, Maps, Waits};
use std::f64::consts::TAU;

/// Parameters of atoms, one entry each.
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
    /// s; infinite for none.
    pub t2_prime: &'a [T],
}

impl<T: Real> Atoms<'_, T> {
    fn check(&self) -> Result<()> {
        let all = [
            ("t1", self.t1),
            ("t2", self.t2),
            ("b1", self.b1),
            ("off_resonance", self.off_resonance),
            ("t2_prime", self.t2_prime),
        ];
        atoms::check(self.t1.len(), &all)
    }
}

/// Where spins are.
#[derive(Clone, Copy, Debug)]
pub struct Voxel<'a> {
    /// Isochromats at every position.
    pub isochromats: usize,
    /// mm across the slice.
    pub positions: &'a [f64],
    /// Relative flip angle of hard pulses at every position.
    pub profile: &'a [f64],
}

/// Positions that one task takes.
const TASK: usize = 16;

/// Simulates all atoms into `out` (atoms, echoes, (re, im)).
pub fn simulate<T: Real>(plan: &Plan, atoms: &Atoms<'_, T>, voxel: &Voxel<'_>, out: &mut [T], job: &Job) -> Result<()> {
    atoms.check()?;
    let (n, positions) = (atoms.t1.len(), voxel.positions.len());
    if positions == 0 || voxel.profile.len() != positions {
        return Err(Error::invalid("positions", "expected one relative flip angle for each"));
    }
    if !(1..=1 << 24).contains(&voxel.isochromats) {
        return Err(Error::invalid(
            "n_isochromats",
            format!("expected 1 to {} of them, got {}", 1 << 24, voxel.isochromats),
        ));
    }
    check_samples(plan, atoms, voxel)?;
    let width = 2 * plan.echoes;
    if out.len() != n * width {
        return Err(Error::invalid("out", format!("expected room for {n} rows of {width}")));
    }
    if out.is_empty() {
        return Ok(());
    }
    let isochromats = Isochromats::new(plan, voxel.isochromats);
    let pieces = positions.div_ceil(TASK);
    let share = 1.0 / (positions * voxel.isochromats) as f64;
    let mut parts = vec![T::default(); if pieces == 1 { 0 } else { pieces * out.len() }];
    let means = if pieces == 1 { &mut *out } else { &mut parts };
    let tasks: Vec<_> = means.chunks_mut(width).enumerate().collect();
    job.for_each(tasks, |(task, means)| {
        let first = task % pieces * TASK;
        let range = first..positions.min(first + TASK);
        let isochromats = &isochromats;
        dispatch(Simulate { plan, atoms, voxel, isochromats, atom: task / pieces, range, share, means, job });
    })?;
    // In the order of positions, whatever thread took them.
    for (row, parts) in out.chunks_mut(width).zip(parts.chunks(pieces * width)) {
        for (k, entry) in row.iter_mut().enumerate() {
            *entry = T::from_f64(parts.iter().skip(k).step_by(width).map(|x| x.to_f64()).sum());
        }
    }
    Ok(())
}

/// Refuses samples of shaped pulses so long that spins turn hundreds of times meanwhile.
fn check_samples<T: Real>(plan: &Plan, atoms: &Atoms<'_, T>, voxel: &Voxel<'_>) -> Result<()> {
    let most = |values: &[T], of: fn(f64) -> f64| values.iter().fold(0.0, |m: f64, x| m.max(of(x.to_f64())));
    let tail = most(atoms.t2_prime, |t| 1.0 / t) * voxel.isochromats as f64;
    let frequency = TAU * most(atoms.off_resonance, f64::abs) + tail;
    let b1 = most(atoms.b1, f64::abs);
    let reach = voxel.positions.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for shape in &plan.shapes {
        let strongest = shape.waveform.iter().fold(0.0, |m: f64, [re, im]| m.max(re.hypot(*im)));
        let angle = (frequency + b1 * strongest + shape.gradient.abs() * reach) * shape.dt;
        // NaN is refused too.
        if !(0.0..1e3).contains(&angle) {
            let problem = format!("spins turn by {angle:.0} rad within one sample of a pulse; expected below 1000");
            let fix = "Shorter samples, or positions nearer to the middle?";
            return Err(Error::invalid("dt", format!("{problem}. {fix}")));
        }
    }
    Ok(())
}

/// A step with the numbers of an atom; a phase as cosine and sine.
#[derive(Clone, Copy)]
enum Move<T> {
    Turn { sine: T, versine: T, phase: [T; 2] },
    Play { shape: usize, phase: [T; 2] },
    Wait(usize),
    Dephase(usize),
    Scale(T),
    Read([T; 2]),
}

fn moves<T: Real>(plan: &Plan, scale: f64, t2: f64) -> Vec<Move<T>> {
    let turn = |phase: f64| [phase.cos(), phase.sin()].map(T::from_f64);
    let of = |step: &Step| match *step {
        Step::Turn { angle, phase } => {
            let angle = angle * scale;
            let [sine, versine] = [angle.sin(), 2.0 * (0.5 * angle).sin().powi(2)].map(T::from_f64);
            Move::Turn { sine, versine, phase: turn(phase) }
        }
        Step::Play { shape, phase } => Move::Play { shape, phase: turn(phase) },
        Step::Wait(interval) => Move::Wait(interval),
        Step::Dephase(turns) => Move::Dephase(turns),
        Step::Scale(factor) => Move::Scale(T::from_f64(factor)),
        Step::Prepare(time) => Move::Scale(T::from_f64((-time / t2).exp())),
        Step::Read(phase) => Move::Read(turn(phase)),
    };
    plan.steps.iter().map(of).collect()
}

struct Simulate<'a, T> {
    plan: &'a Plan,
    atoms: &'a Atoms<'a, T>,
    voxel: &'a Voxel<'a>,
    isochromats: &'a Isochromats<T>,
    atom: usize,
    /// Of positions.
    range: std::ops::Range<usize>,
    /// What a spin is counted as.
    share: f64,
    /// (echo, (re, im)) of all spins there.
    means: &'a mut [T],
    job: &'a Job,
}

impl<T: Real> Kernel<T> for Simulate<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        let Self { plan, atoms, voxel, isochromats, atom, .. } = self;
        let of = |values: &[T]| values[atom].to_f64();
        let (times, b1, frequency) = ([of(atoms.t1), of(atoms.t2)], of(atoms.b1), of(atoms.off_resonance));
        let half_width = 1.0 / (TAU * of(atoms.t2_prime));
        let spectral = half_width > 0.0;
        let mut lanes = vec![T::default(); self.means.len() * S::N];
        let (mut waits, mut maps) = (Waits::default(), Maps::default());
        let (mut steps, mut played) = (vec![], f64::NAN);
        for group in self.range.clone().step_by(S::N) {
            let last = self.range.end - 1;
            let across = std::array::from_fn(|k| voxel.positions[(group + k).min(last)]);
            if !spectral {
                // SAFETY: `dispatch` chose S.
                unsafe {
                    waits.load::<S>(&plan.intervals, times, &[frequency; 16]);
                    maps.load::<S>(&plan.shapes, b1, times, (&[frequency; 16], &across));
                }
            }
            for position in group..self.range.end.min(group + S::N) {
                maps.shared = (!spectral).then_some(position - group);
                if voxel.profile[position] != played {
                    played = voxel.profile[position];
                    steps = moves::<T>(plan, b1 * played, times[1]);
                }
                for first in (0..isochromats.weight.len()).step_by(S::N) {
                    if self.job.check().is_err() {
                        return;
                    }
                    // SAFETY: `dispatch` chose S; isochromats fill whole lanes.
                    unsafe {
                        if spectral {
                            let quantile = |k: usize| isochromats.quantile[first + k.min(S::N - 1)];
                            let spread = std::array::from_fn(|k| frequency + half_width * quantile(k));
                            waits.load::<S>(&plan.intervals, times, &spread);
                            let here = [voxel.positions[position]; 16];
                            maps.load::<S>(&plan.shapes, b1, times, (&spread, &here));
                        }
                        follow::<S>(&steps, (&waits, &maps), (isochromats, first), &mut lanes);
                    }
                }
            }
        }
        for (mean, lanes) in self.means.iter_mut().zip(lanes.chunks_exact(S::N)) {
            *mean = T::from_f64(self.share * lanes.iter().map(|x| x.to_f64()).sum::<f64>());
        }
    }
}

/// Takes the isochromats of one block through all steps, and adds what is read to `echoes`.
///
/// # Safety
/// The processor has `S`; there are isochromats for all lanes, and `echoes` has two numbers for every readout in lanes.
#[inline(always)]
unsafe fn follow<S: Simd>(
    steps: &[Move<S::T>],
    (waits, maps): (&Waits<S::T>, &Maps<S::T>),
    (isochromats, first): (&Isochromats<S::T>, usize),
    echoes: &mut [S::T],
) {
    // SAFETY: by contract.
    unsafe {
        let zero = S::splat(S::T::default());
        let one = S::splat(S::T::from_f64(1.0));
        let weight = S::load(isochromats.weight[first..][..S::N].as_ptr());
        // (x + iy)(c + is)
        let turned =
            |x: S::V, y: S::V, c: S::V, s: S::V| (S::sub(S::mul(c, x), S::mul(s, y)), S::fma(c, y, S::mul(s, x)));
        let (mut x, mut y, mut z) = (zero, zero, one);
        let mut echoes = echoes.chunks_exact_mut(2 * S::N);
        for step in steps {
            match *step {
                Move::Turn { sine, versine, phase } => {
                    let ([c, s], sine, versine) = (phase.map(|p| S::splat(p)), S::splat(sine), S::splat(versine));
                    let u = S::fma(c, x, S::mul(s, y));
                    let q = S::sub(S::mul(sine, z), S::mul(versine, u));
                    z = S::sub(z, S::fma(versine, z, S::mul(sine, u)));
                    (x, y) = (S::fma(c, q, x), S::fma(s, q, y));
                }
                Move::Play { shape, phase } => {
                    let [c, s] = phase.map(|p| S::splat(p));
                    let (u, v) = turned(x, y, c, S::sub(zero, s));
                    let [u, v, w] = maps.apply::<S>(shape, [u, v, z]);
                    z = w;
                    (x, y) = turned(u, v, c, s);
                }
                Move::Wait(interval) => {
                    let [d, s, q] = waits.of::<S>(interval);
                    let (dx, dy) = turned(x, y, d, s);
                    (x, y) = (S::add(x, dx), S::add(y, dy));
                    z = S::fma(q, S::sub(one, z), z);
                }
                Move::Dephase(turns) => {
                    let [c, s] = &isochromats.turns[turns];
                    (x, y) = turned(x, y, S::load(c[first..][..S::N].as_ptr()), S::load(s[first..][..S::N].as_ptr()));
                }
                Move::Scale(factor) => {
                    (x, y) = (zero, zero);
                    z = S::mul(S::splat(factor), z);
                }
                Move::Read(phase) => {
                    let [c, s] = phase.map(|p| S::splat(p));
                    let (re, im) = turned(x, y, c, S::sub(zero, s));
                    let Some(lanes) = echoes.next() else { return };
                    let to = lanes.as_mut_ptr();
                    S::store(to, S::fma(weight, re, S::load(to)));
                    let to = to.add(S::N);
                    S::store(to, S::fma(weight, im, S::load(to)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
