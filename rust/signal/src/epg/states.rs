//! Configuration states of a block of atoms, one atom per lane, and the pass that carries them through a stage.
//!
//! With w = 1 - cos a, s = sin a, p = F+ + F-, the rotation about the axis of the frame is
//!
//!   Q = s Z - w p / 2,    F+' = F+ + Q,    F-' = F- + Q,    Z' = Z - w Z - s p / 2,
//!   dQ/da = Z',           dZ'/da = -(Q + p / 2),
//!
//! and relaxation subtracts (1 - e^{-t/T}) times a state from it: small angles and short times lose no digits.
//! Rotation, relaxation, precession, diffusion and shift are one pass, in place; derivatives ride along as further sets
//! of states, driven by those of the signal.

use super::plan::Interval;
use spinray_core::buffer::zeros;
use spinray_core::simd::{Real, Simd};
use std::f64::consts::TAU;

/// What a signal can be derived by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Longitudinal relaxation time.
    T1,
    /// Transverse relaxation time.
    T2,
    /// Relative B1.
    B1,
    /// Off-resonance frequency.
    OffResonance,
}

/// Sets of states: the signal's and those of its derivatives.
pub const SETS: usize = 5;

/// F+, F-, Z of every set, order and component (1: real, 2: complex), in lanes.
pub struct States<T> {
    data: Vec<T>,
    start: usize,
    orders: usize,
    sets: usize,
}

/// Factors of one stage, in lanes.
pub struct Factors<S: Simd> {
    /// sin and 1 - cos of the flip angle, and the nominal angle: its derivative by B1.
    pub rotation: (S::V, S::V, S::V),
    /// 1 - e^{-t/T1}, 1 - e^{-t/T2}.
    pub decay: (S::V, S::V),
    /// sin and 1 - cos of what F+ precesses by.
    pub precession: (S::V, S::V),
    /// t/T1² and t/T2².
    pub rates: (S::V, S::V),
    /// 2 pi t
    pub cycle: S::V,
}

/// By what diffusion multiplies states in an interval: for every order F+, F-, Z, in lanes.
pub type Diffusion<T> = *const T;

impl<T: Real> States<T> {
    /// In equilibrium.
    pub fn new(orders: usize, sets: usize, components: usize, lanes: usize) -> Self {
        // Lanes begin on a cache line.
        let line = 64 / size_of::<T>();
        let data: Vec<T> = zeros(sets * 3 * orders * components * lanes + line);
        let start = data.as_ptr().align_offset(64).min(line);
        Self { data, start, orders, sets }
    }

    /// The states of a set: 0 F+, 1 F-, 2 Z.
    fn part<S: Simd<T = T>, const C: usize>(&mut self, set: usize, which: usize) -> *mut T {
        let offset = (set * 3 + which) * self.orders * C * S::N;
        self.data[self.start + offset..][..self.orders * C * S::N].as_mut_ptr()
    }

    /// Back to equilibrium.
    ///
    /// # Safety
    /// The processor has `S`; the states were made for `C` components of its lanes.
    #[inline(always)]
    pub unsafe fn reset<S: Simd<T = T>, const C: usize>(&mut self) {
        self.data.fill(T::default());
        // SAFETY: by contract.
        unsafe { S::store(self.part::<S, C>(0, 2), S::splat(T::from_f64(1.0))) };
    }

    /// Multiplies Z of the first `orders` by `factor`, whose derivative is `slope` times itself in set `driven`.
    ///
    /// # Safety
    /// As `reset`.
    #[inline(always)]
    pub unsafe fn scale<S: Simd<T = T>, const C: usize>(
        &mut self,
        orders: usize,
        factor: S::V,
        driven: Option<(usize, S::V)>,
    ) {
        // SAFETY: by contract.
        unsafe {
            for set in 0..self.sets {
                let z = self.part::<S, C>(set, 2);
                for k in 0..orders * C {
                    S::store(z.add(k * S::N), S::mul(factor, S::load(z.add(k * S::N))));
                }
            }
            if let Some((set, slope)) = driven {
                let (z, dz) = (self.part::<S, C>(0, 2), self.part::<S, C>(set, 2));
                for k in 0..orders * C {
                    let source = S::fma(slope, S::load(z.add(k * S::N)), S::load(dz.add(k * S::N)));
                    S::store(dz.add(k * S::N), source);
                }
            }
        }
    }

    /// Makes what is too small to matter zero, since numbers below the normal range are slow; returns how many of the
    /// first `orders` are left.
    ///
    /// # Safety
    /// As `reset`.
    #[inline(always)]
    pub unsafe fn flush<S: Simd<T = T>, const C: usize>(&mut self, orders: usize) -> usize {
        const TINY: f64 = 1.3e-23; // rounding swallows what is below 1e-30 beside it
        let parts = self.sets * 3;
        let mut left = 1;
        // SAFETY: by contract.
        unsafe {
            let tiny = S::splat(T::from_f64(TINY));
            for part in 0..parts {
                let states = self.part::<S, C>(part / 3, part % 3);
                for k in 0..orders * C {
                    let state = states.add(k * S::N);
                    S::store(state, S::sub(S::add(S::load(state), tiny), tiny));
                }
                let lanes = |k: usize| std::slice::from_raw_parts(states.add(k * C * S::N), C * S::N);
                let gone = |k: &usize| lanes(*k).iter().all(|x| *x == T::default());
                left = (left..orders).rev().take_while(gone).last().unwrap_or(orders);
            }
        }
        left
    }

    /// Leaves no transverse magnetisation in the first `orders`.
    ///
    /// # Safety
    /// As `reset`.
    #[inline(always)]
    pub unsafe fn crush<S: Simd<T = T>, const C: usize>(&mut self, orders: usize) {
        for set in 0..self.sets {
            for which in [0, 1] {
                let f = self.part::<S, C>(set, which);
                for k in 0..orders * C {
                    // SAFETY: by contract.
                    unsafe { S::store(f.add(k * S::N), S::splat(T::default())) };
                }
            }
        }
    }

    /// F0 of a set after the rotation of a stage, real and imaginary part, before anything else happens.
    ///
    /// # Safety
    /// As `reset`.
    #[inline(always)]
    pub unsafe fn echo<S: Simd<T = T>, const C: usize>(
        &mut self,
        set: usize,
        parameter: Option<Parameter>,
        rotation: (S::V, S::V, S::V),
    ) -> [S::V; C] {
        let (f, z) = (self.part::<S, C>(set, 0), self.part::<S, C>(set, 2));
        let (f0, z0) = (self.part::<S, C>(0, 0), self.part::<S, C>(0, 2));
        let (sine, versine, angle) = rotation;
        // SAFETY: by contract. At order 0 F- is the conjugate of F+: p = 2 Re F+.
        unsafe {
            let mut echo = std::array::from_fn(|c| S::load(f.add(c * S::N)));
            echo[0] = S::sub(S::fma(sine, S::load(z), echo[0]), S::mul(versine, echo[0]));
            if parameter == Some(Parameter::B1) {
                let (f, z) = (S::load(f0), S::load(z0));
                let turned = S::sub(S::sub(z, S::mul(versine, z)), S::mul(sine, f));
                echo[0] = S::fma(angle, turned, echo[0]);
            }
            echo
        }
    }

    /// One stage: `before` orders are looked at, `after` are kept. Adds the size of what the shift pushes out to `lost`.
    ///
    /// # Safety
    /// As `reset`; `diffusion` holds `before` orders; `shift` is -1, 0 or 1.
    #[inline(always)]
    pub unsafe fn pass<S: Simd<T = T>, const C: usize>(
        &mut self,
        (before, after, shift): (usize, usize, i32),
        factors: &Factors<S>,
        parameters: &[Parameter],
        diffusion: Option<Diffusion<T>>,
        lost: Option<&mut S::V>,
    ) {
        let (up, down) = if shift < 0 { (1, 0) } else { (0, 1) };
        let sets: [[*mut T; 3]; SETS] = std::array::from_fn(|set| {
            let set = set.min(self.sets - 1);
            [self.part::<S, C>(set, up), self.part::<S, C>(set, down), self.part::<S, C>(set, 2)]
        });
        // SAFETY: by contract; orders beyond `before` are written only where `after` says that they exist.
        unsafe {
            let real = |x: f64| S::splat(T::from_f64(x));
            let zero = real(0.0);
            let negative = |v: S::V| S::sub(zero, v);
            let (sine, versine, angle) = factors.rotation;
            let (half_sine, half_versine) = (S::mul(sine, real(-0.5)), S::mul(versine, real(-0.5)));
            let minus_versine = negative(versine);
            let (q1, q2) = (negative(factors.decay.0), negative(factors.decay.1));
            let turn = if shift < 0 { negative(factors.precession.0) } else { factors.precession.0 };
            let (back, less) = (negative(turn), negative(factors.precession.1));
            let cycle = if shift < 0 { negative(factors.cycle) } else { factors.cycle };
            let rotate = |a: S::V, b: S::V, z: S::V| {
                let p = S::add(a, b);
                let q = S::fma(sine, z, S::mul(half_versine, p));
                let turned = S::fma(minus_versine, z, S::fma(half_sine, p, z));
                (S::add(a, q), S::add(b, q), turned, q, p)
            };
            let relax = |f: [S::V; C], turn: S::V, back: S::V| -> [S::V; C] {
                let f = f.map(|f| S::fma(q2, f, f));
                if C == 1 {
                    return f;
                }
                let (re, im) = (f[0], f[C - 1]);
                let turned = [S::fma(less, re, S::fma(back, im, re)), S::fma(less, im, S::fma(turn, re, im))];
                std::array::from_fn(|c| turned[c])
            };
            let mut carry = [[zero; C]; SETS];
            for k in 0..before {
                let at = |p: *mut T, k: usize, c: usize| p.add((k * C + c) * S::N);
                let load = |p: *mut T| -> [S::V; C] { std::array::from_fn(|c| S::load(at(p, k, c))) };
                let spread = diffusion.map(|d| [0, 1, 2].map(|which| S::load(d.add((k * 3 + which) * S::N))));
                let (mut a0, mut d0, mut z0) = ([zero; C], [zero; C], [zero; C]);
                let (mut turned0, mut leaned0) = ([zero; C], [zero; C]);
                for (set, &[up, down, long]) in sets.iter().enumerate().take(1 + parameters.len()) {
                    let (a, b, z) = (load(up), load(down), load(long));
                    let (mut rise, mut fall, mut turned) = ([zero; C], [zero; C], [zero; C]);
                    for c in 0..C {
                        let (a, d, t, q, p) = rotate(a[c], b[c], z[c]);
                        (rise[c], fall[c], turned[c]) = (a, d, t);
                        if set == 0 {
                            (turned0[c], leaned0[c]) = (t, S::fma(real(0.5), p, q));
                        }
                    }
                    let parameter = if set == 0 { None } else { Some(parameters[set - 1]) };
                    if parameter == Some(Parameter::B1) {
                        for c in 0..C {
                            rise[c] = S::fma(angle, turned0[c], rise[c]);
                            fall[c] = S::fma(angle, turned0[c], fall[c]);
                            turned[c] = S::sub(turned[c], S::mul(angle, leaned0[c]));
                        }
                    }
                    rise = relax(rise, turn, back);
                    fall = relax(fall, back, turn);
                    let mut z = turned.map(|t| S::fma(q1, t, t));
                    if let Some(spread) = spread {
                        rise = rise.map(|f| S::mul(f, spread[if shift < 0 { 1 } else { 0 }]));
                        fall = fall.map(|f| S::mul(f, spread[if shift < 0 { 0 } else { 1 }]));
                        z = z.map(|z| S::mul(z, spread[2]));
                    }
                    match parameter {
                        None => (a0, d0, z0) = (rise, fall, z),
                        Some(Parameter::T1) => {
                            for c in 0..C {
                                z[c] = S::fma(factors.rates.0, z0[c], z[c]);
                            }
                        }
                        Some(Parameter::T2) => {
                            for c in 0..C {
                                rise[c] = S::fma(factors.rates.1, a0[c], rise[c]);
                                fall[c] = S::fma(factors.rates.1, d0[c], fall[c]);
                            }
                        }
                        Some(Parameter::OffResonance) => {
                            rise[0] = S::sub(rise[0], S::mul(cycle, a0[C - 1]));
                            rise[C - 1] = S::fma(cycle, a0[0], rise[C - 1]);
                            fall[0] = S::fma(cycle, d0[C - 1], fall[0]);
                            fall[C - 1] = S::sub(fall[C - 1], S::mul(cycle, d0[0]));
                        }
                        Some(Parameter::B1) => {}
                    }
                    for (c, carry) in carry[set].iter_mut().enumerate() {
                        S::store(at(long, k, c), z[c]);
                        if shift == 0 {
                            S::store(at(up, k, c), rise[c]);
                            S::store(at(down, k, c), fall[c]);
                        } else {
                            S::store(at(up, k, c), *carry);
                            *carry = rise[c];
                            if k > 0 {
                                S::store(at(down, k - 1, c), fall[c]);
                            }
                        }
                    }
                }
            }
            if let Some(lost) = lost {
                for f in carry[0] {
                    *lost = S::add(*lost, S::abs(f));
                }
            }
            for (set, &[up, down, long]) in sets.iter().enumerate().take(1 + parameters.len()) {
                let at = |p: *mut T, k: usize, c: usize| p.add((k * C + c) * S::N);
                if shift != 0 {
                    for (c, &carry) in carry[set].iter().enumerate() {
                        S::store(at(down, before - 1, c), zero);
                        if after > before {
                            S::store(at(up, before, c), carry);
                            S::store(at(down, before, c), zero);
                            S::store(at(long, before, c), zero);
                        }
                        let f = S::load(at(down, 0, c));
                        S::store(at(up, 0, c), if c == 0 { f } else { negative(f) });
                    }
                }
                let recovered = match (set, set.checked_sub(1).map(|t| parameters[t])) {
                    (0, _) => factors.decay.0,
                    (_, Some(Parameter::T1)) => S::sub(S::mul(factors.rates.0, factors.decay.0), factors.rates.0),
                    _ => continue,
                };
                S::store(long, S::add(S::load(long), recovered));
            }
        }
    }
}

/// What diffusion takes from ln F+, ln F- and ln Z of order `k` in an interval, per unit of D: q² t k² without gradient;
/// under one that shifts by n, q² t ((±k + n/2)² + n²/12) from F and q² t k² from Z (Weigel 2015).
pub fn spreading(interval: &Interval, k: usize, dephasing: f64) -> [f64; 3] {
    let (k, n) = (k as f64, f64::from(interval.orders));
    let transverse = |k: f64| {
        let during = (k + 0.5 * n) * (k + 0.5 * n) + n * n / 12.0;
        dephasing * dephasing * (k * k * interval.plain + during * interval.gradient)
    };
    [transverse(k), transverse(-k), dephasing * dephasing * k * k * interval.time()]
}

/// Frequency times duration as an angle in half a turn, from double precision.
pub fn precession(frequency: f64, time: f64) -> f64 {
    let cycles = frequency * time;
    TAU * (cycles - cycles.round())
}
