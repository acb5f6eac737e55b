//! The passes of one stage, forward and back, each beside its transpose.

use super::super::Parameter;
use super::super::plan::{Kind, Stage};
use super::level::{Level, add, conjugate, each, part, part_mut, parts, parts_mut, place, slopes_along, turn, update};
use super::{Atom, Model};

/// Over an interval: e^{-t/T1} and e^{-t/T2}, and their relative derivatives t/T1² and t/T2².
struct Decay {
    kept: (f64, f64),
    rates: (f64, f64),
}

/// One atom at one position across the slice, with C components of a state: real, or real and imaginary part.
pub struct Sweep<'a, const C: usize> {
    model: &'a Model<'a>,
    decays: Vec<Decay>,
    b1: f64,
    profile: f64,
    cotangent: &'a [f64],
    /// Sets of the tangents.
    by: [Option<usize>; 3],
}

impl<'a, const C: usize> Sweep<'a, C> {
    pub fn new(atom: &Atom<'a>, profile: f64) -> Self {
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
    pub fn checkpoints(&self, apart: usize, between: &mut Level) -> Vec<Level> {
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
    pub fn advance(&self, n: usize, x: &[f64], between: &mut Level, to: &mut Level) {
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
    pub fn retreat(&self, n: usize, after: &[f64], y: &mut Level, read: &mut usize) {
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
    pub fn unrotate(&self, n: usize, x: &[f64], cotangent: &mut Level) -> f64 {
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
