//! A shaped pulse as the affine map it is: M -> A M + b, for as many frequencies as there are lanes.
//!
//! In the rotating frame, with w = gamma B1 (complex, rad/s) and the angular frequency Ω of a spin in gradient and
//! field, dM/dt = v × M + relaxation, v = (-Im w, Re w, Ω): w > 0 tips z towards x. w is constant over a sample, whose
//! rotation is exact, R = 1 + sin φ/φ [v]× + (1 - cos φ)/φ² [v]×², φ = |v| dt; relaxation goes half before and half
//! after it (Strang 1968), an error of second order in dt. The map is made once and serves all isochromats alike.

use crate::epg::math::rotation;
use spinray_core::simd::{Real, Simd};

/// What is played while a shaped pulse lasts.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Real and imaginary part of gamma B1 in rad/s, for every sample.
    pub waveform: Vec<[f64; 2]>,
    /// s per sample
    pub dt: f64,
    /// rad/s/mm
    pub gradient: f64,
}

/// Numbers of a map: three rows (A, b).
pub const ENTRIES: usize = 12;

type Rows<V> = [[V; 4]; 3];

/// Writes the map of a pulse at lanes of angular frequency (rad/s) to `map`; `b1` is relative, times are in s.
///
/// # Safety
/// The processor has `S`; `map` has room for `ENTRIES` lanes.
#[inline(always)]
pub unsafe fn write_map<S: Simd>(shape: &Shape, b1: f64, [t1, t2]: [f64; 2], frequency: &[f64; 16], map: *mut S::T) {
    // SAFETY: by contract.
    unsafe {
        let real = |x: f64| S::splat(S::T::from_f64(x));
        let turns: [S::T; 16] = std::array::from_fn(|k| S::T::from_f64(frequency[k] * shape.dt));
        let along = S::load(turns.as_ptr());
        let lost = |time: f64| [real(-(-time / t1).exp_m1()), real(-(-time / t2).exp_m1())];
        let (half, whole) = (lost(0.5 * shape.dt), lost(shape.dt));
        let mut m: Rows<S::V> =
            std::array::from_fn(|row| std::array::from_fn(|column| real(f64::from(u8::from(row == column)))));
        for (n, w) in shape.waveform.iter().enumerate() {
            relax::<S>(&mut m, if n == 0 { half } else { whole });
            let [re, im] = w.map(|w| w * b1 * shape.dt);
            rotate::<S>(&mut m, [real(-im), real(re), along]);
        }
        relax::<S>(&mut m, half);
        for (k, entry) in m.iter().flatten().enumerate() {
            S::store(map.add(k * S::N), *entry);
        }
    }
}

/// # Safety
/// The processor has `S`.
#[inline(always)]
unsafe fn relax<S: Simd>(m: &mut Rows<S::V>, [q1, q2]: [S::V; 2]) {
    for (row, q) in m.iter_mut().zip([q2, q2, q1]) {
        for entry in row {
            // SAFETY: by contract.
            *entry = unsafe { S::sub(*entry, S::mul(q, *entry)) };
        }
    }
    // SAFETY: by contract.
    m[2][3] = unsafe { S::add(m[2][3], q1) };
}

/// # Safety
/// The processor has `S`.
#[inline(always)]
unsafe fn rotate<S: Simd>(m: &mut Rows<S::V>, [x, y, z]: [S::V; 3]) {
    // SAFETY: by contract.
    unsafe {
        let real = |x: f64| S::splat(S::T::from_f64(x));
        let square = S::fma(x, x, S::fma(y, y, S::mul(z, z)));
        // No rotation is one by a tiny angle.
        let square = S::max(square, real(1e-30));
        let angle = S::sqrt(square);
        let (sine, versine) = rotation::<S>(angle);
        let (s, c) = (S::div(sine, angle), S::div(versine, square));
        let [sx, sy, sz] = [x, y, z].map(|v| S::mul(s, v));
        let [cx, cy, cz] = [x, y, z].map(|v| S::mul(c, v));
        // R - 1: c (v v' - |v|²) + s [v]×
        let less = |a: S::V, b: S::V| S::sub(real(0.0), S::add(a, b));
        let (xy, xz, yz) = (S::mul(cx, y), S::mul(cx, z), S::mul(cy, z));
        let (xx, yy, zz) = (S::mul(cx, x), S::mul(cy, y), S::mul(cz, z));
        let turn = [
            [less(yy, zz), S::sub(xy, sz), S::add(xz, sy)],
            [S::add(xy, sz), less(xx, zz), S::sub(yz, sx)],
            [S::sub(xz, sy), S::add(yz, sx), less(xx, yy)],
        ];
        for column in 0..4 {
            let old = [m[0][column], m[1][column], m[2][column]];
            for (row, t) in m.iter_mut().zip(turn) {
                row[column] = S::fma(t[0], old[0], S::fma(t[1], old[1], S::fma(t[2], old[2], row[column])));
            }
        }
    }
}
