//! Isochromats against configuration states and closed forms.

use super::*;
use crate::epg;
use crate::program::Program;

const PI: f64 = std::f64::consts::PI;

/// Code, a, b of every instruction.
type Rows = Vec<[f64; 3]>;

fn column(rows: &Rows, k: usize) -> Vec<f64> {
    rows.iter().map(|row| row[k]).collect()
}

/// T1, T2, B1, off-resonance, T2'.
type Atom = [f64; 5];

fn bloch<T: Real>(rows: &Rows, shapes: Vec<Shape>, atoms: &[Atom], voxel: Voxel<'_>) -> Vec<(f64, f64)> {
    let plan = Plan::new(&column(rows, 0), &column(rows, 1), &column(rows, 2), shapes).unwrap();
    let all: [Vec<T>; 5] = std::array::from_fn(|k| atoms.iter().map(|atom| T::from_f64(atom[k])).collect());
    let [t1, t2, b1, off_resonance, t2_prime] = &all;
    let atoms = Atoms { t1, t2, b1, off_resonance, t2_prime };
    let mut out = vec![T::default(); 2 * plan.echoes * t1.len()];
    simulate(&plan, &atoms, &voxel, &mut out, &Job::new()).unwrap();
    out.chunks_exact(2).map(|f| (f[0].to_f64(), f[1].to_f64())).collect()
}

fn graphs(rows: &Rows, atoms: &[Atom], profile: &[f64]) -> Vec<(f64, f64)> {
    let program = Program::new(&column(rows, 0), &column(rows, 1), &column(rows, 2), profile, 0.0).unwrap();
    let plan = epg::Plan::new(&program, None, true);
    let all: [Vec<f64>; 4] = std::array::from_fn(|k| atoms.iter().map(|atom| atom[k]).collect());
    let [t1, t2, b1, off_resonance] = &all;
    let atoms = epg::Atoms { t1, t2, b1, off_resonance, diffusion: &[] };
    let mut out = vec![0.0; 2 * plan.echoes * t1.len()];
    epg::simulate(&plan, &atoms, &[], epg::Output::signals(&mut out, true), &Job::new()).unwrap();
    out.chunks_exact(2).map(|f| (f[0], f[1])).collect()
}

fn apart(found: &[(f64, f64)], expected: &[(f64, f64)]) -> f64 {
    assert!(found.len() == expected.len() && !found.is_empty());
    found.iter().zip(expected).map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1)).fold(0.0, f64::max)
}

fn middle(isochromats: usize) -> Voxel<'static> {
    Voxel { isochromats, positions: &[0.0], profile: &[1.0] }
}

/// Every instruction there is, with phases of all kinds.
fn everything() -> Rows {
    let mut rows = vec![[4.0, 0.95, 0.0], [1.0, 0.3, 0.0]];
    for n in 0..30 {
        let n_ = f64::from(n);
        rows.push([0.0, 0.3 + 0.05 * n_, 0.4 * n_ * n_]);
        rows.push([1.0, 0.003, 0.0]);
        rows.push([6.0, 0.7 * n_, 0.0]);
        rows.push([2.0, if n % 4 == 3 { -2.0 } else { 1.0 }, 0.005]);
        match n {
            11 => rows.push([3.0, 0.0, 0.0]),
            17 => rows.push([5.0, 0.04, 0.0]),
            23 => rows.push([4.0, 0.5, 0.0]),
            _ => {}
        }
    }
    rows
}

#[test]
fn isochromats_are_configuration_states() {
    let atoms = [[1.0, 0.1, 1.0, 0.0, f64::INFINITY], [0.5, 0.04, 0.8, 31.0, f64::INFINITY]];
    let profile = [1.0, 0.7, 0.2];
    let expected = graphs(&everything(), &atoms, &profile);
    let voxel = Voxel { isochromats: 129, positions: &[0.0; 3], profile: &profile };
    let (double, single) = (
        apart(&bloch::<f64>(&everything(), vec![], &atoms, voxel), &expected),
        apart(&bloch::<f32>(&everything(), vec![], &atoms, voxel), &expected),
    );
    assert!(double < 1e-13 && single < 2e-6, "{double} {single}");
    // Fewer isochromats than orders is something else.
    let coarse = bloch::<f64>(&everything(), vec![], &atoms, Voxel { isochromats: 3, ..voxel });
    assert!(apart(&coarse, &expected) > 1e-3);
}

#[test]
fn a_constant_pulse_turns_about_the_effective_field() {
    // Rotation by W t about the field (0, w, Ω), W² = w² + Ω², from z.
    let (w, t, frequency, slow): (f64, f64, f64, f64) = (900.0, 2e-3, 120.0, 1e9);
    let omega = TAU * frequency;
    let total = w.hypot(omega);
    let (s, v) = ((total * t).sin(), 1.0 - (total * t).cos());
    let expected = [(w / total * s, w * omega / (total * total) * v)];
    let shape = |samples: usize| Shape { waveform: vec![[w, 0.0]; samples], dt: t / samples as f64, gradient: 0.0 };
    let rows = vec![[7.0, 0.0, 0.9], [6.0, 0.9, 0.0]];
    for samples in [1, 50] {
        let found =
            bloch::<f64>(&rows, vec![shape(samples)], &[[slow, slow, 1.0, frequency, f64::INFINITY]], middle(1));
        assert!(apart(&found, &expected) < 1e-10, "{found:?} {expected:?}");
        let found =
            bloch::<f32>(&rows, vec![shape(samples)], &[[slow, slow, 1.0, frequency, f64::INFINITY]], middle(1));
        assert!(apart(&found, &expected) < 2e-5, "{found:?} {expected:?}");
    }
}

#[test]
fn lanes_of_positions_and_lanes_of_isochromats_play_the_same_pulse() {
    // Off-resonance from a gradient and a position, or from a Lorentzian so narrow that all frequencies are one.
    let waveform = (0..64).map(|k| [2000.0 * (PI * f64::from(k) / 64.0).sin(), 300.0]).collect();
    let shape = Shape { waveform, dt: 1e-5, gradient: 500.0 };
    let rows = vec![[7.0, 0.0, 0.3], [2.0, 1.0, 0.004], [7.0, 0.0, 1.2], [2.0, 1.0, 0.004], [6.0, 0.0, 0.0]];
    let positions: Vec<f64> = (0..21).map(|k| 0.3 * f64::from(k) - 2.0).collect();
    let voxel = Voxel { isochromats: 40, positions: &positions, profile: &[1.0; 21] };
    let play = |t2_prime: f64| bloch::<f64>(&rows, vec![shape.clone()], &[[0.8, 0.09, 1.1, 20.0, t2_prime]], voxel);
    let each: Vec<_> = (0..21)
        .map(|k| {
            let voxel = Voxel { positions: &positions[k..=k], profile: &[1.0], ..voxel };
            bloch::<f64>(&rows, vec![shape.clone()], &[[0.8, 0.09, 1.1, 20.0, f64::INFINITY]], voxel)[0]
        })
        .collect();
    let mean = each.iter().fold((0.0, 0.0), |m, f| (m.0 + f.0 / 21.0, m.1 + f.1 / 21.0));
    assert!(apart(&play(f64::INFINITY), &[mean]) < 1e-13);
    assert!(apart(&play(1e12), &[mean]) < 1e-9);
}

#[test]
fn a_lorentzian_decays_after_a_pulse_and_refocuses_in_an_echo() {
    let (t2, t2_prime) = (0.08, 0.03);
    let mut rows = vec![[0.0, PI / 2.0, 0.0]];
    for _ in 0..20 {
        rows.extend([[1.0, 0.002, 0.0], [6.0, 0.0, 0.0]]);
    }
    rows.extend([[0.0, PI, PI / 2.0], [1.0, 0.04, 0.0], [6.0, 0.0, 0.0]]);
    let found = bloch::<f64>(&rows, vec![], &[[1.0, t2, 1.0, 0.0, t2_prime]], middle(1000));
    for (n, f) in found[..20].iter().enumerate() {
        let t = 0.002 * (n + 1) as f64;
        let expected = (-t / t2 - t / t2_prime).exp();
        assert!((f.0 - expected).hypot(f.1) < 1e-2, "{t}: {f:?} {expected}");
    }
    let echo = (-0.08f64 / t2).exp();
    assert!((found[20].0 - echo).hypot(found[20].1) < 1e-10, "{:?} {echo}", found[20]);
}

#[test]
fn frequencies_and_orders_are_independent() {
    // Against the product of 256 isochromats and 20,000 frequencies.
    let rows: Rows = (0..12)
        .flat_map(|n| [[0.0, 0.7, f64::from(n * n)], [1.0, 0.003, 0.0], [6.0, 0.0, 0.0], [2.0, 1.0, 0.007]])
        .collect();
    let atom = [1.0, 0.07, 1.0, 0.0, 0.05];
    let n = 20_000;
    let mut expected = vec![(0.0, 0.0); 12];
    let lines: Vec<Atom> = (0..n)
        .map(|k| {
            let frequency = (PI * ((f64::from(k) + 0.5) / f64::from(n) - 0.5)).tan() / (TAU * atom[4]);
            [atom[0], atom[1], atom[2], frequency, f64::INFINITY]
        })
        .collect();
    for chunk in graphs(&rows, &lines, &[1.0]).chunks_exact(12) {
        for (sum, f) in expected.iter_mut().zip(chunk) {
            *sum = (sum.0 + f.0 / f64::from(n), sum.1 + f.1 / f64::from(n));
        }
    }
    let error = |m: usize| apart(&bloch::<f64>(&rows, vec![], &[atom], middle(m)), &expected);
    assert!(error(1000) < 1e-2 && error(8000) < 2e-3, "{} {}", error(1000), error(8000));
}
