//! Extended phase graphs from the definition, in double precision: what the kernel is tested against.

use crate::program::{Op, Program};
use std::f64::consts::TAU;

/// (re, im)
pub type Complex = (f64, f64);

fn mul(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn add(a: Complex, b: Complex) -> Complex {
    (a.0 + b.0, a.1 + b.1)
}

fn polar(r: f64, phase: f64) -> Complex {
    (r * phase.cos(), r * phase.sin())
}

/// T1, T2, relative B1, off-resonance, diffusion coefficient.
pub type Atom = [f64; 5];

/// All echoes of one atom.
pub fn signal(program: &Program, atom: Atom) -> Vec<Complex> {
    let mut echoes = vec![(0.0, 0.0); program.echoes()];
    for profile in &program.profile {
        for (sum, echo) in echoes.iter_mut().zip(at_position(program, atom, *profile)) {
            *sum = add(*sum, mul(echo, (1.0 / program.profile.len() as f64, 0.0)));
        }
    }
    echoes
}

fn at_position(program: &Program, [t1, t2, b1, frequency, diffusion]: Atom, profile: f64) -> Vec<Complex> {
    let shifts = program.ops.iter().map(|op| if let Op::Shift { orders, .. } = op { orders.abs() } else { 0 });
    let most = 1 + shifts.sum::<i32>();
    let orders: Vec<i32> = (-most..=most).collect();
    let at = |k: i32| (k + most) as usize;
    let mut f = vec![(0.0, 0.0); orders.len()];
    let mut z = f.clone();
    z[at(0)] = (1.0, 0.0);
    let mut echoes = vec![];
    for op in &program.ops {
        let wait = |f: &mut Vec<Complex>, z: &mut Vec<Complex>, time: f64, n: i32| {
            for &k in &orders {
                let (k_, n) = (f64::from(k), f64::from(n));
                let q = diffusion * program.dephasing * program.dephasing * time;
                let spread = (-q * ((k_ + n / 2.0) * (k_ + n / 2.0) + n * n / 12.0)).exp();
                f[at(k)] = mul(f[at(k)], polar((-time / t2).exp() * spread, TAU * frequency * time));
                z[at(k)] = mul(z[at(k)], ((-time / t1).exp() * (-q * k_ * k_).exp(), 0.0));
            }
            z[at(0)].0 += 1.0 - (-time / t1).exp();
        };
        match *op {
            Op::Pulse { angle, phase } => {
                let a = angle * b1 * profile;
                let (c, s) = ((a / 2.0).cos().powi(2), (a / 2.0).sin().powi(2));
                let (old_f, old_z) = (f.clone(), z.clone());
                for &k in &orders {
                    let (plus, back) = (old_f[at(k)], old_f[at(-k)]);
                    let minus = (back.0, -back.1);
                    let half = polar(-0.5 * a.sin(), -phase);
                    f[at(k)] = add(
                        add(mul((c, 0.0), plus), mul(polar(-s, 2.0 * phase), minus)),
                        mul(polar(a.sin(), phase), old_z[at(k)]),
                    );
                    z[at(k)] =
                        add(add(mul(half, plus), mul((half.0, -half.1), minus)), mul((a.cos(), 0.0), old_z[at(k)]));
                }
            }
            Op::Relax(time) => wait(&mut f, &mut z, time, 0),
            Op::Shift { orders: n, duration } => {
                wait(&mut f, &mut z, duration, n);
                let old = f.clone();
                for &k in &orders {
                    f[at(k)] = if (k - n).abs() <= most { old[at(k - n)] } else { (0.0, 0.0) };
                }
            }
            Op::Crush => f.fill((0.0, 0.0)),
            Op::Invert(efficiency) => {
                f.fill((0.0, 0.0));
                z.iter_mut().for_each(|z| *z = mul(*z, (-efficiency, 0.0)));
            }
            Op::Prepare(time) => {
                f.fill((0.0, 0.0));
                z.iter_mut().for_each(|z| *z = mul(*z, ((-time / t2).exp(), 0.0)));
            }
            Op::Read(receiver) => echoes.push(mul(f[at(0)], polar(1.0, -receiver))),
        }
    }
    echoes
}

pub mod tests {
    use super::*;
    use crate::epg::{Atoms, Output, Parameter, Plan, simulate};
    use spinray_core::Job;
    use spinray_core::philox::Stream;
    use spinray_core::simd::Real;

    /// A sequence of anything in any order.
    pub fn random(seed: u64, real: bool) -> Program {
        let mut stream = Stream::new(seed, 0);
        let mut ops = vec![];
        for _ in 0..40 {
            let u = |stream: &mut Stream| stream.uniform();
            let phase =
                if real { std::f64::consts::PI * f64::from(u(&mut stream) < 0.5) } else { 6.0 * u(&mut stream) };
            ops.push(match (u(&mut stream) * 16.0) as usize {
                0..=4 => Op::Pulse { angle: 3.0 * u(&mut stream), phase },
                5 | 6 => Op::Relax(0.02 * u(&mut stream)),
                7..=9 => Op::Shift { orders: 1, duration: 0.01 },
                10 => Op::Shift { orders: (u(&mut stream) * 6.0) as i32 - 3, duration: 0.004 },
                11 if seed.is_multiple_of(3) => Op::Crush,
                12 if seed % 3 == 1 => Op::Invert(0.9),
                12 if seed % 3 == 2 => Op::Prepare(0.03),
                _ => Op::Read(phase),
            });
        }
        ops.push(Op::Read(0.0));
        let profile = if seed.is_multiple_of(4) { vec![1.0, 0.8, 0.3] } else { vec![1.0] };
        Program { ops, profile, dephasing: 200.0 }
    }

    fn atoms(n: usize, seed: u64, precess: bool, diffuse: bool) -> Vec<Atom> {
        (0..n as u64)
            .map(|k| {
                let mut stream = Stream::new(seed, 100 + k);
                let t2 = 0.02 + 0.2 * stream.uniform();
                let b1 = if seed.is_multiple_of(2) { 1.0 } else { 0.7 + 0.6 * stream.uniform() };
                let frequency = if precess { 200.0 * stream.uniform() - 100.0 } else { 0.0 };
                [t2 + 2.0 * stream.uniform(), t2, b1, frequency, if diffuse { 2e-3 * stream.uniform() } else { 0.0 }]
            })
            .collect()
    }

    /// Signals (atom, set, echo) of the kernel.
    fn run<T: Real>(
        program: &Program,
        atoms: &[Atom],
        derivatives: &[Parameter],
        limit: Option<usize>,
    ) -> (Vec<Complex>, f64) {
        let column = |k: usize| -> Vec<T> { atoms.iter().map(|a| T::from_f64(a[k])).collect() };
        let all: Vec<Vec<T>> = (0..5).map(column).collect();
        let any = |k: usize| if atoms.iter().any(|a| a[k] != 0.0) { &all[k][..] } else { &[] };
        let precesses = atoms.iter().any(|a| a[3] != 0.0) || derivatives.contains(&Parameter::OffResonance);
        let off_resonance = if precesses { &all[3][..] } else { &[] };
        let plan = Plan::new(program, limit, precesses);
        let parameters = Atoms { t1: &all[0], t2: &all[1], b1: &all[2], off_resonance, diffusion: any(4) };
        let mut out = vec![T::default(); atoms.len() * (1 + derivatives.len()) * plan.echoes * 2];
        let bound = simulate(&plan, &parameters, derivatives, Output::signals(&mut out, true), &Job::new()).unwrap();
        (out.chunks_exact(2).map(|z| (z[0].to_f64(), z[1].to_f64())).collect(), bound)
    }

    fn apart(found: &[Complex], expected: &[Complex]) -> f64 {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1)).fold(0.0, f64::max)
    }

    #[test]
    fn every_sequence_gives_the_signal_of_the_definition() {
        for seed in 0..60 {
            let program = random(seed, seed % 5 < 2);
            let atoms = atoms(19, seed, seed % 5 > 2, seed % 7 > 4);
            let expected: Vec<Complex> = atoms.iter().flat_map(|&atom| signal(&program, atom)).collect();
            let largest = expected.iter().fold(1e-3, |m: f64, z| m.max(z.0.hypot(z.1)));
            let double = apart(&run::<f64>(&program, &atoms, &[], None).0, &expected) / largest;
            let single = apart(&run::<f32>(&program, &atoms, &[], None).0, &expected) / largest;
            assert!(double < 1e-13 && single < 3e-6, "seed {seed}: {double} {single}");
        }
    }

    #[test]
    fn derivatives_are_those_of_the_definition() {
        let parameters = [Parameter::T1, Parameter::T2, Parameter::B1, Parameter::OffResonance];
        for seed in 0..30 {
            let program = random(seed, false);
            let atoms = atoms(3, seed, true, seed % 7 > 4);
            let (found, _) = run::<f64>(&program, &atoms, &parameters, None);
            let echoes = program.echoes();
            for (atom, rows) in atoms.iter().zip(found.chunks_exact(5 * echoes)) {
                for (p, h) in [1e-4, 1e-5, 1e-4, 1e-2].into_iter().enumerate() {
                    let moved = |step: f64| {
                        let mut atom = *atom;
                        atom[p] += step;
                        signal(&program, atom)
                    };
                    let near: Vec<Complex> = moved(h)
                        .iter()
                        .zip(moved(-h))
                        .map(|(a, b)| ((a.0 - b.0) / h / 2.0, (a.1 - b.1) / h / 2.0))
                        .collect();
                    let largest = near.iter().fold(1e-3, |m: f64, z| m.max(z.0.hypot(z.1)));
                    let error = apart(&rows[(1 + p) * echoes..][..echoes], &near) / largest;
                    assert!(error < 1e-5, "seed {seed}, {:?}: {error}", parameters[p]);
                }
            }
        }
    }

    #[test]
    fn a_limit_on_states_costs_no_more_than_its_bound() {
        let mut cost = 0.0;
        for seed in 0..40 {
            let program = random(seed, seed.is_multiple_of(2));
            let atoms = atoms(16, seed, false, false);
            let (exact, none) = run::<f64>(&program, &atoms, &[], None);
            let (near, bound) = run::<f64>(&program, &atoms, &[], Some(2));
            assert!(
                none == 0.0 && apart(&near, &exact) <= bound + 1e-15,
                "seed {seed}: {} > {bound}",
                apart(&near, &exact)
            );
            cost = f64::max(cost, apart(&near, &exact));
        }
        assert!(cost > 1e-2);
    }
}
