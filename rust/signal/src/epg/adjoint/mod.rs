//! The gradient, by every flip angle, of a function of signals and of their derivatives: an exact reverse sweep.
//!
//! A stage takes the states x of the signal, and the tangents x_p by T1, T2 and B1, with R the rotation by the angle
//! a = angle B1 profile (see [`super::states`]), E relaxation and precession, S the shift, to
//!
//!   x' = S E R x + recovery,      x_p' = S (E R x_p + dE/dp R x + [p = B1] E da/dB1 dR/da x) + d recovery/dp.
//!
//! All of it is linear in (x, x_p). The sweep carries cotangents back through the transposes of S, E and R, and at each
//! pulse collects <cotangent, d(R x, R x_p)/da>, with d²R/da² where B1 is among the parameters. States, as many as the
//! light cone leaves, are kept at every √n-th of n stages and simulated again from there: the memory is that of 2√n
//! stages. Double precision, all orders, on resonance, without diffusion.
//!
//! Reference: Griewank and Walther 2008, "Evaluating derivatives", 3.2 (reverse mode) and 12.1 (checkpoints).

mod level;
mod sweep;

use super::plan::{Plan, Stage};
use super::{Atoms, Parameter};
use crate::program::{Op, Program};
use spinray_core::simd::{Kernel, Simd, dispatch};
use spinray_core::{Error, Job, Result};
use sweep::Sweep;

/// Writes, for every atom, the gradient by the angle of each pulse of Re Σ conj(c) y to a row of `out`; `cotangents` c
/// are as the signals and derivatives y they belong to: (atom, 1 + derivatives, echo, re and im).
pub fn flip_gradient(
    program: &Program,
    atoms: &Atoms<'_, f64>,
    derivatives: &[Parameter],
    cotangents: &[f64],
    out: &mut [f64],
    job: &Job,
) -> Result<()> {
    atoms.check()?;
    let resonant = !derivatives.contains(&Parameter::OffResonance) && atoms.off_resonance.is_empty();
    if !(resonant && atoms.diffusion.is_empty()) {
        return Err(Error::invalid("derivatives", "gradients by flip angles are on resonance and without diffusion"));
    }
    let model = Model::new(program, derivatives);
    let (n, pulses) = (atoms.t1.len(), model.angles.len());
    let size = (1 + derivatives.len()) * model.plan.echoes * 2;
    if cotangents.len() != n * size || out.len() != n * pulses {
        return Err(Error::invalid("cotangents", format!("expected {n} x {size} numbers, got {}", cotangents.len())));
    }
    if size == 0 || pulses == 0 {
        return Ok(());
    }
    let rows: Vec<_> = out.chunks_mut(pulses).zip(cotangents.chunks(size)).enumerate().collect();
    job.for_each(rows, |(k, (gradient, cotangent))| {
        let b1 = atoms.b1.get(k).copied().unwrap_or(1.0);
        dispatch(Atom { model: &model, t1: atoms.t1[k], t2: atoms.t2[k], b1, cotangent, gradient, job });
    })
}

/// What all atoms share.
struct Model<'a> {
    plan: Plan,
    /// Nominal flip angles of all pulses.
    angles: Vec<f64>,
    /// Of every stage: its pulse, and 1 or -1 for the sense it turns in the stage's frame.
    pulses: Vec<Option<(usize, f64)>>,
    derivatives: &'a [Parameter],
}

impl<'a> Model<'a> {
    fn new(program: &Program, derivatives: &'a [Parameter]) -> Self {
        // With an angle of 1 in each pulse no pulse is left out for turning by nothing, and a stage shows its sense.
        let mut marked = program.clone();
        let mut angles = vec![];
        for op in &mut marked.ops {
            if let Op::Pulse { angle, .. } = op {
                angles.push(std::mem::replace(angle, 1.0));
            }
        }
        let plan = Plan::new(&marked, None, false);
        let mut next = 0..angles.len();
        let pulse = |stage: &Stage| if stage.angle() == 0.0 { None } else { Some((next.next()?, stage.angle())) };
        let pulses = plan.stages.iter().map(pulse).collect();
        Self { plan, angles, pulses, derivatives }
    }

    /// The set of states of a tangent.
    fn tangent(&self, parameter: Parameter) -> Option<usize> {
        self.derivatives.iter().position(|p| *p == parameter).map(|p| 1 + p)
    }
}

struct Atom<'a> {
    model: &'a Model<'a>,
    t1: f64,
    t2: f64,
    b1: f64,
    /// (set, echo, re and im)
    cotangent: &'a [f64],
    /// One entry per pulse.
    gradient: &'a mut [f64],
    job: &'a Job,
}

impl Kernel<f64> for Atom<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = f64>>(self) {
        // The loops below are compiled for the instruction set of `S`.
        if self.model.plan.is_real { self.positions::<1>() } else { self.positions::<2>() }
    }
}

impl Atom<'_> {
    #[inline(always)]
    fn positions<const C: usize>(self) {
        let stages = &self.model.plan.stages;
        let apart = (stages.len() as f64).sqrt().ceil().max(1.0) as usize;
        let mut states = vec![vec![]; apart];
        let (mut between, mut cotangent) = (vec![], vec![]);
        for &profile in &self.model.plan.profile {
            let sweep = Sweep::<C>::new(&self, profile);
            let checkpoints = sweep.checkpoints(apart, &mut between);
            cotangent.clear();
            let mut read = self.model.plan.echoes;
            for (k, checkpoint) in checkpoints.into_iter().enumerate().rev() {
                if self.job.check().is_err() {
                    return;
                }
                let (first, last) = (k * apart, stages.len().min((k + 1) * apart));
                states[0] = checkpoint;
                for n in first..last - 1 {
                    let (old, new) = states.split_at_mut(n + 1 - first);
                    sweep.advance(n, &old[n - first], &mut between, &mut new[0]);
                }
                for n in (first..last).rev() {
                    sweep.retreat(n, &cotangent, &mut between, &mut read);
                    std::mem::swap(&mut cotangent, &mut between);
                    let slope = sweep.unrotate(n, &states[n - first], &mut cotangent);
                    if let Some((pulse, sense)) = self.model.pulses[n] {
                        self.gradient[pulse] += sense * profile * slope;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epg::reference::tests::random;
    use crate::epg::{Output, simulate};
    use spinray_core::philox::Stream;

    /// T1, T2 and B1 of one entry per atom.
    struct Table([Vec<f64>; 3]);

    impl Table {
        fn atoms(&self) -> Atoms<'_, f64> {
            let [t1, t2, b1] = &self.0;
            Atoms { t1, t2, b1, off_resonance: &[], diffusion: &[] }
        }
    }

    fn signals(program: &Program, atoms: &Atoms<'_, f64>, derivatives: &[Parameter]) -> Vec<f64> {
        let plan = Plan::new(program, None, false);
        let mut out = vec![0.0; atoms.t1.len() * (1 + derivatives.len()) * plan.echoes * 2];
        simulate(&plan, atoms, derivatives, Output::signals(&mut out, true), &Job::new()).unwrap();
        out
    }

    fn moved(program: &Program, pulse: usize, by: f64) -> Program {
        let mut program = program.clone();
        let angles = program.ops.iter_mut().filter_map(|op| match op {
            Op::Pulse { angle, .. } => Some(angle),
            _ => None,
        });
        *angles.into_iter().nth(pulse).unwrap() += by;
        program
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let table = Table([vec![0.9, 0.3], vec![0.08, 0.05], vec![1.1, 0.8]]);
        let atoms = table.atoms();
        let all = [Parameter::B1, Parameter::T2, Parameter::T1];
        for seed in 0..60 {
            let mut program = random(seed, seed % 5 < 2);
            if let Some(Op::Pulse { angle, .. }) = program.ops.iter_mut().find(|op| matches!(op, Op::Pulse { .. })) {
                *angle = 0.0;
            }
            let derivatives = &all[seed as usize % 4..];
            let mut stream = Stream::new(seed, 7);
            let n = signals(&program, &atoms, derivatives).len();
            let cotangents: Vec<f64> = (0..n).map(|_| stream.uniform() - 0.5).collect();
            let value = |program: &Program| -> Vec<f64> {
                let products: Vec<f64> =
                    signals(program, &atoms, derivatives).iter().zip(&cotangents).map(|(y, c)| y * c).collect();
                products.chunks(n / 2).map(|row| row.iter().sum()).collect()
            };
            let pulses = program.ops.iter().filter(|op| matches!(op, Op::Pulse { .. })).count();
            let mut found = vec![0.0; 2 * pulses];
            flip_gradient(&program, &atoms, derivatives, &cotangents, &mut found, &Job::new()).unwrap();
            let largest = found.iter().fold(1e-3, |m: f64, g| m.max(g.abs()));
            for pulse in 0..pulses {
                let h = 1e-4;
                let (high, low) = (value(&moved(&program, pulse, h)), value(&moved(&program, pulse, -h)));
                for atom in 0..2 {
                    let expected = (high[atom] - low[atom]) / h / 2.0;
                    let error = (found[atom * pulses + pulse] - expected).abs() / largest;
                    assert!(error < 1e-6, "seed {seed}, pulse {pulse}: {error}");
                }
            }
        }
    }

    #[test]
    fn what_the_sweep_cannot_do_is_refused() {
        let table = Table([vec![0.9], vec![0.08], vec![1.0]]);
        let program = random(0, true);
        let n = 2 * program.echoes();
        let ask = |atoms: &Atoms<'_, f64>, by: &[Parameter], n: usize| {
            let pulses = program.ops.iter().filter(|op| matches!(op, Op::Pulse { .. })).count();
            flip_gradient(&program, atoms, by, &vec![0.0; n], &mut vec![0.0; pulses], &Job::new())
        };
        ask(&table.atoms(), &[], n).unwrap();
        assert!(ask(&table.atoms(), &[], n - 1).is_err());
        assert!(ask(&table.atoms(), &[Parameter::OffResonance], 2 * n).is_err());
        assert!(ask(&Atoms { diffusion: &[1e-3], ..table.atoms() }, &[], n).is_err());
    }
}
