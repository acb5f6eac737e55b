//! The spins of a voxel, and what a block of them needs in lanes.

use super::plan::Plan;
use super::pulse::{ENTRIES, Shape, write_map};
use crate::epg::math::rotation;
use spinray_core::simd::{Real, Simd};
use std::f64::consts::{PI, TAU};

/// Isochromats, padded with some of no weight to whole lanes of any instruction set.
#[derive(Debug)]
pub struct Isochromats<T> {
    /// 1, or 0 for padding.
    pub weight: Vec<T>,
    /// Off-resonance in half widths of a Lorentzian.
    pub quantile: Vec<f64>,
    /// Cosine and sine for every dephasing of a plan.
    pub turns: Vec<[Vec<T>; 2]>,
}

fn coprime(a: usize, b: usize) -> bool {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// The number nearest to n / golden ratio that shares no factor with n.
fn generator(n: usize) -> usize {
    let wish = (n as f64 / 1.618_033_988_749_895).round() as usize;
    (0..n).flat_map(|step| [wish.saturating_sub(step), wish + step]).find(|&g| g > 0 && coprime(g, n)).unwrap_or(1)
}

impl<T: Real> Isochromats<T> {
    /// `n` of them.
    pub fn new(plan: &Plan, n: usize) -> Self {
        let padded = n.next_multiple_of(16);
        let g = generator(n) as u64;
        let quantile = |j: usize| {
            let share = (((j as u64 % n as u64) * g % n as u64) as f64 + 0.5) / n as f64;
            (PI * (share - 0.5)).tan()
        };
        let turn = |turns: i32| {
            let angle = |j: usize| {
                let steps = (i128::from(turns) * j as i128).rem_euclid(n as i128);
                TAU * steps as f64 / n as f64
            };
            let table = |f: fn(f64) -> f64| (0..padded).map(|j| T::from_f64(f(angle(j)))).collect();
            [table(f64::cos), table(f64::sin)]
        };
        Self {
            weight: (0..padded).map(|j| T::from_f64(f64::from(u8::from(j < n)))).collect(),
            quantile: (0..padded).map(quantile).collect(),
            turns: plan.turns.iter().map(|&turns| turn(turns)).collect(),
        }
    }
}

/// Frequency times duration as an angle in half a turn, from double precision.
fn precession(frequency: f64, time: f64) -> f64 {
    let cycles = frequency * time;
    TAU * (cycles - cycles.round())
}

/// What intervals do to lanes: for every one of them F + (d + is) F and Z + q (1 - Z), as d, s, q.
#[derive(Debug, Default)]
pub struct Waits<T>(Vec<T>);

impl<T: Real> Waits<T> {
    /// Fills in the intervals for lanes of these frequencies in Hz.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    pub unsafe fn load<S: Simd<T = T>>(&mut self, intervals: &[f64], [t1, t2]: [f64; 2], frequency: &[f64; 16]) {
        self.0.resize(intervals.len() * 3 * S::N, T::default());
        for (&time, lanes) in intervals.iter().zip(self.0.chunks_exact_mut(3 * S::N)) {
            let angles: [T; 16] = std::array::from_fn(|k| T::from_f64(precession(frequency[k], time)));
            let lost = -(-time / t2).exp_m1();
            // SAFETY: by contract.
            unsafe {
                let real = |x: f64| S::splat(T::from_f64(x));
                let (sine, versine) = rotation::<S>(S::load(angles.as_ptr()));
                let (kept, lost) = (real(1.0 - lost), real(lost));
                let d = S::sub(real(0.0), S::fma(kept, versine, lost));
                for (k, v) in [d, S::mul(kept, sine), real(-(-time / t1).exp_m1())].into_iter().enumerate() {
                    S::store(lanes.as_mut_ptr().add(k * S::N), v);
                }
            }
        }
    }

    /// d, s, q of an interval.
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    pub unsafe fn of<S: Simd<T = T>>(&self, interval: usize) -> [S::V; 3] {
        let lanes = &self.0[interval * 3 * S::N..][..3 * S::N];
        // SAFETY: by contract.
        std::array::from_fn(|k| unsafe { S::load(lanes.as_ptr().add(k * S::N)) })
    }
}

/// The maps of all shaped pulses, for lanes of frequencies.
#[derive(Debug, Default)]
pub struct Maps<T> {
    entries: Vec<T>,
    /// The lane that holds for all spins, where it is not each its own.
    pub shared: Option<usize>,
}

impl<T: Real> Maps<T> {
    /// Makes the maps; lanes have a frequency in Hz and a position in mm.
    ///
    /// # Safety
    /// The processor has `S`.
    #[inline(always)]
    pub unsafe fn load<S: Simd<T = T>>(
        &mut self,
        shapes: &[Shape],
        b1: f64,
        times: [f64; 2],
        (frequency, position): (&[f64; 16], &[f64; 16]),
    ) {
        self.entries.resize(shapes.len() * ENTRIES * S::N, T::default());
        for (shape, map) in shapes.iter().zip(self.entries.chunks_exact_mut(ENTRIES * S::N)) {
            let angular = std::array::from_fn(|k| TAU * frequency[k] + shape.gradient * position[k]);
            // SAFETY: by contract.
            unsafe { write_map::<S>(shape, b1, times, &angular, map.as_mut_ptr()) };
        }
    }

    /// M of lanes after a pulse.
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    pub unsafe fn apply<S: Simd<T = T>>(&self, shape: usize, m: [S::V; 3]) -> [S::V; 3] {
        let map = &self.entries[shape * ENTRIES * S::N..][..ENTRIES * S::N];
        // SAFETY: by contract.
        unsafe {
            let entry = |k: usize| match self.shared {
                Some(lane) => S::splat(map[k * S::N + lane]),
                None => S::load(map.as_ptr().add(k * S::N)),
            };
            std::array::from_fn(|row| {
                let at = 4 * row;
                let sum = S::fma(entry(at), m[0], entry(at + 3));
                S::fma(entry(at + 1), m[1], S::fma(entry(at + 2), m[2], sum))
            })
        }
    }
}
