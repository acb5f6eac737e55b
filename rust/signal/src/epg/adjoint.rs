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

use super::plan::{Kind, Plan, Stage};
use super::{Atoms, Parameter};
use crate::program::{Op, Program};
use spinray_core::simd::{Kernel, Simd, dispatch};
use spinray_core::{Error, Job, Result};

/// F+, F-, Z of the signal, then of every tangent; each with its orders of one component, then those of the other.
type Level = Vec<f64>;

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

/// Over an interval: e^{-t/T1} and e^{-t/T2}, and their relative derivatives t/T1² and t/T2².
struct Decay {
    kept: (f64, f64),
    rates: (f64, f64),
}

/// One atom at one position across the slice, with C components of a state: real, or real and imaginary part.
struct Sweep<'a, const C: usize> {
    model: &'a Model<'a>,
    decays: Vec<Decay>,
    b1: f64,
    profile: f64,
    cotangent: &'a [f64],
    /// Sets of the tangents.
    by: [Option<usize>; 3],
}

/// One of the 3 parts of a set, of `width` numbers.
#[inline(always)]
fn part(level: &[f64], width: usize, set: usize, which: usize) -> &[f64] {
    &level[(3 * set + which) * width..][..width]
}

#[inline(always)]
fn part_mut(level: &mut [f64], width: usize, set: usize, which: usize) -> &mut [f64] {
    &mut level[(3 * set + which) * width..][..width]
}

/// F+, F-, Z of a set.
#[inline(always)]
fn parts(level: &[f64], width: usize, set: usize) -> [&[f64]; 3] {
    [0, 1, 2].map(|which| part(level, width, set, which))
}

/// F+, F-, Z of a set.
#[inline(always)]
fn parts_mut(level: &mut [f64], width: usize, set: usize) -> [&mut [f64]; 3] {
    let (a, rest) = level[3 * set * width..][..3 * width].split_at_mut(width);
    let (b, z) = rest.split_at_mut(width);
    [a, b, z]
}

/// Sets states to a function of what they are.
// One slice an argument: only then does the compiler know that they do not overlap, and vectorises.
#[inline(always)]
fn each(a: &mut [f64], b: &mut [f64], z: &mut [f64], change: impl Fn([f64; 3]) -> [f64; 3]) {
    let n = a.len();
    let (b, z) = (&mut b[..n], &mut z[..n]);
    for k in 0..n {
        [a[k], b[k], z[k]] = change([a[k], b[k], z[k]]);
    }
}

/// Sets the states at `to` to a function of those at `from` and of what they are.
#[inline(always)]
fn update(
    from: [&[f64]; 3],
    a: &mut [f64],
    b: &mut [f64],
    z: &mut [f64],
    change: impl Fn([f64; 3], [f64; 3]) -> [f64; 3],
) {
    let n = a.len();
    let ([fa, fb, fz], b, z) = (from.map(|x| &x[..n]), &mut b[..n], &mut z[..n]);
    for k in 0..n {
        [a[k], b[k], z[k]] = change([fa[k], fb[k], fz[k]], [a[k], b[k], z[k]]);
    }
}

/// y += factor x
#[inline(always)]
fn add(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// Complex numbers (all real parts, then all imaginary parts) times cos + i sin.
#[inline(always)]
fn turn(f: &mut [f64], (cos, sin): (f64, f64)) {
    let (re, im) = f.split_at_mut(f.len() / 2);
    for (re, im) in re.iter_mut().zip(im) {
        (*re, *im) = (cos * *re - sin * *im, cos * *im + sin * *re);
    }
}

impl<'a, const C: usize> Sweep<'a, C> {
    fn new(atom: &Atom<'a>, profile: f64) -> Self {
        let decay = |time: f64| Decay {
            kept: ((-time / atom.t1).exp(), (-time / atom.t2).exp()),
            rates: (time / atom.t1 / atom.t1, time / atom.t2 / atom.t2),
        };
        Self {
            model: atom.model,
            decays: atom.model.plan.intervals.iter().map(|i| decay(i.time())).collect(),
            b1: atom.b1,
            profile,
            cotangent: atom.cotangent,
            by: [Parameter::T1, Parameter::T2, Parameter::B1].map(|p| atom.model.tangent(p)),
        }
    }

    fn sets(&self) -> usize {
        1 + self.model.derivatives.len()
    }

    fn equilibrium(&self) -> Level {
        let mut state = vec![0.0; self.sets() * 3 * C];
        state[2 * C] = 1.0;
        state
    }

    /// The states at the beginning of every so many stages.
    #[inline(always)]
    fn checkpoints(&self, apart: usize, between: &mut Level) -> Vec<Level> {
        let (mut state, mut next) = (self.equilibrium(), vec![]);
        let mut checkpoints = vec![state.clone()];
        for n in 0..self.model.plan.stages.len().saturating_sub(1) / apart * apart {
            self.advance(n, &state, between, &mut next);
            std::mem::swap(&mut state, &mut next);
            if (n + 1) % apart == 0 {
                checkpoints.push(state.clone());
            }
        }
        checkpoints
    }

    /// By how much a stage turns, and its derivative by B1.
    fn angle(&self, n: usize) -> (f64, f64) {
        let nominal = self.model.pulses[n].map_or(0.0, |(pulse, sense)| sense * self.model.angles[pulse]);
        (nominal * self.profile * self.b1, nominal * self.profile)
    }

    /// By what F+ turns in a stage.
    fn precession(&self, stage: &Stage) -> Option<(f64, f64)> {
        (C == 2 && stage.turned != [0.0; 2]).then_some((1.0 - stage.turned[1], stage.turned[0]))
    }

    /// Writes the states at the beginning of stage n + 1 to `to`.
    #[inline(always)]
    fn advance(&self, n: usize, x: &[f64], between: &mut Level, to: &mut Level) {
        let stage = &self.model.plan.stages[n];
        between.resize(x.len(), 0.0);
        if matches!(stage.kind, Kind::Rotate(_)) {
            self.rotate(n, x, between);
            self.relax(stage, between);
        } else {
            self.crush(stage, x, between);
        }
        self.shift(stage, between, to);
    }

    /// Writes the cotangent of what stage n rotates to (of what it begins with, if it does not rotate) to `y`, from
    /// that of stage n + 1 and of the readouts before number `read`.
    #[inline(always)]
    fn retreat(&self, n: usize, after: &[f64], y: &mut Level, read: &mut usize) {
        let stage = &self.model.plan.stages[n];
        self.unshift(stage, after, y);
        if matches!(stage.kind, Kind::Rotate(_)) {
            self.unrelax(stage, y);
            *read -= stage.reads.len();
            self.unread(stage, *read, y);
        } else {
            self.uncrush(stage, y);
        }
    }

    #[inline(always)]
    fn rotate(&self, n: usize, x: &[f64], y: &mut [f64]) {
        let width = x.len() / self.sets() / 3;
        let (angle, slope) = self.angle(n);
        let (sin, cos) = angle.sin_cos();
        let (half_sin, half_versine) = (0.5 * sin, (0.5 * angle).sin().powi(2));
        for set in 0..self.sets() {
            let [to_a, to_b, to_z] = parts_mut(y, width, set);
            update(parts(x, width, set), to_a, to_b, to_z, |[a, b, z], _| {
                let p = a + b;
                let q = sin * z - half_versine * p;
                [a + q, b + q, cos * z - half_sin * p]
            });
        }
        if let Some(set) = self.by[2] {
            let [to_a, to_b, to_z] = parts_mut(y, width, set);
            update(parts(x, width, 0), to_a, to_b, to_z, |[a, b, z], to| {
                let p = a + b;
                let turned = slope * (cos * z - half_sin * p);
                [to[0] + turned, to[1] + turned, to[2] - slope * (sin * z + 0.5 * cos * p)]
            });
        }
    }

    /// Takes the cotangent of what stage n rotates the states `x` to back to that of `x`; returns the derivative by
    /// the angle, times that of the angle by its nominal value at the centre of the slice.
    #[inline(always)]
    fn unrotate(&self, n: usize, x: &[f64], cotangent: &mut Level) -> f64 {
        if !matches!(self.model.plan.stages[n].kind, Kind::Rotate(_)) {
            return 0.0;
        }
        let width = x.len() / self.sets() / 3;
        let (angle, slope) = self.angle(n);
        let (sin, cos) = angle.sin_cos();
        let (half_sin, half_cos, half_versine) = (0.5 * sin, 0.5 * cos, (0.5 * angle).sin().powi(2));
        let mut slopes = 0.0;
        for set in 0..self.sets() {
            slopes += self.b1 * slopes_along(cotangent, set, x, set, width, (cos, sin))[0];
        }
        let driven = self.by[2].map(|set| {
            let [first, second] = slopes_along(cotangent, set, x, 0, width, (cos, sin));
            slopes += first + self.b1 * slope * second;
            parts(cotangent, width, set).map(<[f64]>::to_vec)
        });
        for set in 0..self.sets() {
            let [a, b, z] = parts_mut(cotangent, width, set);
            each(a, b, z, |[a, b, z]| {
                let p = a + b;
                let q = half_versine * p + half_sin * z;
                [a - q, b - q, sin * p + cos * z]
            });
        }
        if let Some([ca, cb, cz]) = driven {
            let [a, b, z] = parts_mut(cotangent, width, 0);
            update([&ca, &cb, &cz], a, b, z, |[ca, cb, cz], [a, b, z]| {
                let p = ca + cb;
                let q = slope * (half_sin * p + half_cos * cz);
                [a - q, b - q, z + slope * (cos * p - sin * cz)]
            });
        }
        slopes
    }
}

/// Sums kept apart so that they vectorise.
const LANES: usize = 8;

/// <c, dR/da x> and <c, d²R/da² x> of the cotangents c of one set and the states x of another.
#[inline(always)]
fn slopes_along(c: &[f64], set: usize, x: &[f64], from: usize, width: usize, (cos, sin): (f64, f64)) -> [f64; 2] {
    let term = |[a, b, z]: [f64; 3], [ca, cb, cz]: [f64; 3]| {
        let (p, cp) = (a + b, ca + cb);
        let (turned, lost) = (cos * z - 0.5 * sin * p, sin * z + 0.5 * cos * p);
        (cp * turned - cz * lost, cp * lost + cz * turned)
    };
    let (x, c) = (parts(x, width, from), parts(c, width, set));
    let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
    let [(xs, x_rest), (cs, c_rest)] = [x, c].map(|parts| {
        let cut = parts.map(|part| part.as_chunks::<LANES>());
        (cut.map(|(chunks, _)| chunks), cut.map(|(_, rest)| rest))
    });
    for k in 0..width / LANES {
        let (x, c) = (xs.map(|chunks| &chunks[k]), cs.map(|chunks| &chunks[k]));
        for lane in 0..LANES {
            let (slope, bend) = term(x.map(|x| x[lane]), c.map(|c| c[lane]));
            first[lane] += slope;
            second[lane] -= bend;
        }
    }
    for k in 0..width % LANES {
        let (slope, bend) = term(x_rest.map(|x| x[k]), c_rest.map(|c| c[k]));
        first[k] += slope;
        second[k] -= bend;
    }
    [first, second].map(|lanes| lanes.iter().sum::<f64>())
}

impl<const C: usize> Sweep<'_, C> {
    #[inline(always)]
    fn relax(&self, stage: &Stage, y: &mut [f64]) {
        let width = y.len() / self.sets() / 3;
        let Decay { kept: (e1, e2), rates: (r1, r2) } = self.decays[stage.interval];
        for set in 0..self.sets() {
            let [a, b, z] = parts_mut(y, width, set);
            z.iter_mut().for_each(|z| *z *= e1);
            a.iter_mut().chain(b.iter_mut()).for_each(|f| *f *= e2);
            if let Some((cos, sin)) = self.precession(stage) {
                turn(a, (cos, sin));
                turn(b, (cos, -sin));
            }
        }
        let (signal, tangents) = y.split_at_mut(3 * width);
        if let Some(set) = self.by[0] {
            let z = part_mut(tangents, width, set - 1, 2);
            add(z, r1, part(signal, width, 0, 2));
            z[0] -= r1 * e1;
        }
        if let Some(set) = self.by[1] {
            add(&mut tangents[3 * (set - 1) * width..][..2 * width], r2, &signal[..2 * width]);
        }
        signal[2 * width] += 1.0 - e1;
    }

    /// Cotangents of what `relax` was given.
    #[inline(always)]
    fn unrelax(&self, stage: &Stage, y: &mut [f64]) {
        let width = y.len() / self.sets() / 3;
        let Decay { kept: (e1, e2), rates: (r1, r2) } = self.decays[stage.interval];
        let (signal, tangents) = y.split_at_mut(3 * width);
        if let Some(set) = self.by[0] {
            add(part_mut(signal, width, 0, 2), r1, part(tangents, width, set - 1, 2));
        }
        if let Some(set) = self.by[1] {
            add(&mut signal[..2 * width], r2, &tangents[3 * (set - 1) * width..][..2 * width]);
        }
        for set in 0..self.sets() {
            let [a, b, z] = parts_mut(y, width, set);
            z.iter_mut().for_each(|z| *z *= e1);
            a.iter_mut().chain(b.iter_mut()).for_each(|f| *f *= e2);
            if let Some((cos, sin)) = self.precession(stage) {
                turn(a, (cos, -sin));
                turn(b, (cos, sin));
            }
        }
    }

    /// What remains of Z after an inversion, a preparation or a spoiler, and by how much T2 changes the logarithm of it.
    fn remains(&self, stage: &Stage) -> (f64, f64) {
        let decay = &self.decays[stage.interval];
        match stage.kind {
            Kind::Prepare => (decay.kept.1, decay.rates.1),
            Kind::Scale(factor) => (factor, 0.0),
            _ => (1.0, 0.0),
        }
    }

    #[inline(always)]
    fn crush(&self, stage: &Stage, x: &[f64], y: &mut [f64]) {
        let width = x.len() / self.sets() / 3;
        let (kept, rate) = self.remains(stage);
        y.fill(0.0);
        for set in 0..self.sets() {
            add(part_mut(y, width, set, 2), kept, part(x, width, set, 2));
        }
        if let Some(set) = self.by[1] {
            add(part_mut(y, width, set, 2), kept * rate, part(x, width, 0, 2));
        }
    }

    /// Cotangents of what `crush` was given.
    #[inline(always)]
    fn uncrush(&self, stage: &Stage, y: &mut [f64]) {
        let width = y.len() / self.sets() / 3;
        let (kept, rate) = self.remains(stage);
        if let Some(set) = self.by[1] {
            let (signal, tangents) = y.split_at_mut(3 * width);
            add(part_mut(signal, width, 0, 2), rate, part(tangents, width, set - 1, 2));
        }
        for set in 0..self.sets() {
            let [a, b, z] = parts_mut(y, width, set);
            a.fill(0.0);
            b.fill(0.0);
            z.iter_mut().for_each(|z| *z *= kept);
        }
    }

    /// Moves states by one order, as a stage does, and keeps those that an echo can still see.
    #[inline(always)]
    fn shift(&self, stage: &Stage, y: &[f64], to: &mut Level) {
        let (before, after) = (stage.before, stage.after);
        to.resize(self.sets() * 3 * C * after, 0.0);
        for set in 0..self.sets() {
            for (which, by) in moves(stage) {
                let (from, to) = (part(y, C * before, set, which), part_mut(to, C * after, set, which));
                for (from, to) in from.chunks_exact(before).zip(to.chunks_exact_mut(after)) {
                    place(from, to, by);
                }
            }
            if let Some((up, down)) = crossing(stage) {
                for c in 0..C {
                    let f = part(to, C * after, set, down)[c * after];
                    part_mut(to, C * after, set, up)[c * after] = conjugate(c, f);
                }
            }
        }
    }

    /// Cotangents of what `shift` was given.
    #[inline(always)]
    fn unshift(&self, stage: &Stage, cotangent: &[f64], y: &mut Level) {
        let (before, after) = (stage.before, stage.after);
        y.resize(self.sets() * 3 * C * before, 0.0);
        if after == 0 {
            return y.fill(0.0);
        }
        for set in 0..self.sets() {
            for (which, by) in moves(stage) {
                let (from, to) = (part(cotangent, C * after, set, which), part_mut(y, C * before, set, which));
                for (from, to) in from.chunks_exact(after).zip(to.chunks_exact_mut(before)) {
                    place(from, to, -by);
                }
            }
            if let (Some((up, down)), true) = (crossing(stage), before > 1) {
                for c in 0..C {
                    let f = part(cotangent, C * after, set, up)[c * after];
                    part_mut(y, C * before, set, down)[c * before + 1] += conjugate(c, f);
                }
            }
        }
    }

    /// Adds the cotangents that readouts from number `read` on bring to F+ of order 0.
    #[inline(always)]
    fn unread(&self, stage: &Stage, read: usize, y: &mut [f64]) {
        let width = y.len() / self.sets() / 3;
        let echoes = self.model.plan.echoes;
        for (echo, receive) in (read..).zip(&stage.reads) {
            let Decay { kept, rates } = &self.decays[receive.interval];
            let weight = kept.1 / self.model.plan.profile.len() as f64;
            let (cos, sin) = receive.turn;
            for set in 0..self.sets() {
                let c = &self.cotangent[(set * echoes + echo) * 2..][..2];
                let f = [weight * (cos * c[0] + sin * c[1]), weight * (cos * c[1] - sin * c[0])];
                for (component, f) in f.into_iter().enumerate().take(C) {
                    let at = component * (width / C);
                    part_mut(y, width, set, 0)[at] += f;
                    if self.by[1] == Some(set) {
                        part_mut(y, width, 0, 0)[at] += rates.1 * f;
                    }
                }
            }
        }
    }
}

/// The parts of a set and by how many orders a stage moves each.
fn moves(stage: &Stage) -> [(usize, isize); 3] {
    let shift = stage.shift as isize;
    [(0, shift), (1, -shift), (2, 0)]
}

/// The part that moves up and the part that moves down: across order 0 the latter becomes the former.
fn crossing(stage: &Stage) -> Option<(usize, usize)> {
    match stage.shift {
        0 => None,
        n if n > 0 => Some((0, 1)),
        _ => Some((1, 0)),
    }
}

/// Component `c` of the conjugate.
fn conjugate(c: usize, f: f64) -> f64 {
    if c == 0 { f } else { -f }
}

/// Fills `to` with `from`, moved by `by` entries, and zeros.
#[inline(always)]
fn place(from: &[f64], to: &mut [f64], by: isize) {
    let (skip, start) = (by.min(0).unsigned_abs().min(from.len()), (by.max(0) as usize).min(to.len()));
    let end = start + (from.len() - skip).min(to.len() - start);
    to[..start].fill(0.0);
    to[start..end].copy_from_slice(&from[skip..skip + end - start]);
    to[end..].fill(0.0);
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
