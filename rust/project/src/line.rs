//! Linear resampling of one line, and its exact adjoint: the axial half of every 3-D projector.
//!
//!   sample:  out[r] = Σ_i hat(start + step r - i) line[i]       (linear interpolation at start + step r)
//!   spread:  out[i] = Σ_r hat(start + step r - i) line[r]
//!
//! with hat(t) = max(0, 1 - |t|) and step > 0. Entries of `line` beyond its ends are 0 and readable
//! [`PAD`] deep, since neighbouring outputs look up neighbouring entries through a window. Positions are
//! rounded to the precision of T relative to the length of the line.

use crate::rays::PAD;
use spinray_core::simd::{Real, Simd};

/// Positions start + step * r on a line.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Position of entry 0.
    pub start: f64,
    /// Distance of neighbours, positive.
    pub step: f64,
}

impl Positions {
    /// Entries r in 0..n whose position lies within one of 0..length: first and one past the last.
    #[inline(always)]
    pub fn reaching(&self, n: usize, length: usize) -> (usize, usize) {
        let per_step = 1.0 / self.step;
        let first = (-1.0 - self.start) * per_step;
        let last = (length as f64 - self.start) * per_step + 1.0;
        // Casts saturate: what lies before 0 becomes 0.
        ((first as usize).min(n), (last as usize).min(n))
    }
}

/// For entries `first..last` (whole vectors), calls `take(entry, interpolated value)`.
///
/// # Safety
/// The processor has `S`. `line` points at entry 0 of a line of `length`, readable from -PAD to length + PAD,
/// and entries first..last lie within one of it, or at most N - 1 entries past such a one.
#[inline(always)]
pub unsafe fn sample<S: Simd>(
    line: *const S::T,
    length: usize,
    at: Positions,
    (first, last): (usize, usize),
    mut take: impl FnMut(usize, S::V),
) {
    let real = |x: f64| unsafe { S::splat(S::T::from_f64(x)) };
    let narrow = (S::N - 1) as f64 * at.step + 2.01 < 2.0 * S::N as f64;
    // SAFETY: a narrow vector lies within 2N of the line; wide ones are clamped next to it.
    unsafe {
        let (step, start) = (real(at.step), real(at.start + PAD as f64));
        let (low, high) = (real(PAD as f64 - 2.0), real((PAD + length) as f64 + 1.0));
        let line = line.sub(PAD);
        let mut entry = S::add(S::iota(), real(first as f64));
        for r in (first..last).step_by(S::N) {
            let x = S::fma(entry, step, start);
            entry = S::add(entry, real(S::N as f64));
            let (left, right, fraction);
            if narrow {
                let i = S::trunc(x);
                fraction = S::sub(x, S::real(i));
                let base = S::first(i);
                let (i, line) = (S::offset(i, -base), line.offset(base as isize));
                (left, right) = (S::window(line, i), S::window(line, S::offset(i, 1)));
            } else {
                let x = S::min(S::max(x, low), high);
                let i = S::trunc(x);
                fraction = S::sub(x, S::real(i));
                (left, right) = (S::gather(line, i), S::gather(line.add(1), i));
            }
            take(r, S::fma(fraction, S::sub(right, left), left));
        }
    }
}

/// For outputs `first..last` (whole vectors), calls `give(output, Σ hat * line)` with the `length` entries of
/// `line` placed at the positions `at`.
///
/// # Safety
/// The processor has `S`. `line` points at entry 0 of a line of `length`, readable from -PAD to length + PAD,
/// and outputs first..last lie within one of it, or at most N - 1 past such a one.
#[inline(always)]
pub unsafe fn spread<S: Simd>(
    line: *const S::T,
    length: usize,
    at: Positions,
    (first, last): (usize, usize),
    mut give: impl FnMut(usize, S::V),
) {
    let real = |x: f64| unsafe { S::splat(S::T::from_f64(x)) };
    let per_output = 1.0 / at.step;
    // Entries within one output of an output.
    let reach = (2.0 * per_output - 1e-6).ceil().max(1.0);
    let narrow = (S::N - 1) as f64 * per_output + reach + 2.01 < 2.0 * S::N as f64;
    let span = (S::N as f64 + 2.0) * per_output < PAD as f64 - 4.0;
    // SAFETY: a narrow vector looks up entries within 2N of the line; wide ones are clamped next to it.
    unsafe {
        let (zero, one) = (real(0.0), real(1.0));
        let (step, back) = (real(at.step), real(-at.step));
        let line = line.sub(PAD);
        let mut output = S::add(S::iota(), real(first as f64));
        if narrow && span && (2.0 / 3.0..=4.0).contains(&at.step) {
            // The nearest entry and its neighbours, or, more than one output apart, the two around.
            let pairs = at.step >= 1.0;
            let start = real(-at.start * per_output + PAD as f64 + if pairs { 0.0 } else { 0.5 });
            let per_output = real(per_output);
            let rest = real(1.0 - at.step);
            let half = real(0.5);
            for i in (first..last).step_by(S::N) {
                let number = S::fma(output, per_output, start);
                output = S::add(output, real(S::N as f64));
                let entry = S::trunc(number);
                let past = S::sub(number, S::real(entry));
                let base = S::first(entry);
                if pairs {
                    let (entry, line) = (S::offset(entry, -base), line.offset(base as isize));
                    let left = S::mul(S::max(zero, S::fma(past, back, one)), S::window(line, entry));
                    let right = S::max(zero, S::fma(past, step, rest));
                    give(i, S::fma(right, S::window(line, S::offset(entry, 1)), left));
                } else {
                    let (entry, line) = (S::offset(entry, -base), line.offset(base as isize - 1));
                    let past = S::sub(past, half);
                    let middle = S::fma(S::abs(past), back, one);
                    let left = S::max(zero, S::fma(past, back, rest));
                    let right = S::max(zero, S::fma(past, step, rest));
                    let sum = S::mul(left, S::window(line, entry));
                    let sum = S::fma(middle, S::window(line, S::offset(entry, 1)), sum);
                    give(i, S::fma(right, S::window(line, S::offset(entry, 2)), sum));
                }
            }
        } else {
            let start = real((-1.0 - at.start) * per_output + PAD as f64 + 1.0);
            let per_output = real(per_output);
            let origin = real(at.start);
            let (low, high) = (real(PAD as f64 - 1.0), real((PAD + length) as f64));
            for i in (first..last).step_by(S::N) {
                let mut number = S::max(S::fma(output, per_output, start), low);
                let mut sum = zero;
                for _ in 0..(reach as usize).min(length + 2) {
                    let entry = S::trunc(S::min(number, high));
                    let distance = S::sub(S::fma(S::real(S::offset(entry, -(PAD as i32))), step, origin), output);
                    let hat = S::max(zero, S::sub(one, S::abs(distance)));
                    sum = S::fma(hat, S::gather(line, entry), sum);
                    number = S::add(number, one);
                }
                output = S::add(output, real(S::N as f64));
                give(i, sum);
            }
        }
    }
}

/// Arc tangent: two halvings of the angle, arctan t = 2 arctan(t / (1 + √(1 + t²))), then the power series.
///
/// # Safety
/// The processor has `S`.
#[inline(always)]
pub unsafe fn arctan<S: Simd>(t: S::V) -> S::V {
    // SAFETY: the caller's processor has S.
    unsafe {
        let real = |x: f64| S::splat(S::T::from_f64(x));
        let half = |t: S::V| S::div(t, S::add(real(1.0), S::sqrt(S::fma(t, t, real(1.0)))));
        let t = half(half(t));
        let square = S::mul(t, t);
        // |t| <= tan(pi / 8): 20 terms leave less than 1e-16.
        let mut sum = real(0.0);
        for k in (0..20).rev() {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sum = S::fma(sum, square, real(sign / (2 * k + 1) as f64));
        }
        S::mul(S::mul(sum, t), real(4.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{error, noise};
    use spinray_core::simd::{Kernel, dispatch};

    struct Both<'a> {
        at: Positions,
        line: &'a [f64],
        outputs: usize,
        adjoint: bool,
    }

    impl<T: Real> Kernel<T> for Both<'_> {
        type Output = Vec<f64>;
        #[inline(always)]
        unsafe fn run<S: Simd<T = T>>(self) -> Vec<f64> {
            let n = self.line.len();
            let mut padded = vec![T::default(); n + 2 * PAD];
            padded.iter_mut().skip(PAD).zip(self.line).for_each(|(p, &x)| *p = T::from_f64(x));
            let mut out = vec![T::default(); self.outputs + S::N];
            // SAFETY: `dispatch` chose S; the line is padded, the range as required.
            unsafe {
                let p = out.as_mut_ptr();
                let line = padded.as_ptr().add(PAD);
                if self.adjoint {
                    let first = (self.at.start - 1.0).floor().max(0.0) as usize;
                    let end = self.at.start + self.at.step * n as f64 + 1.0;
                    let last = (end.max(0.0) as usize).min(self.outputs);
                    spread::<S>(line, n, self.at, (first, last), |i, v| S::store(p.add(i), v));
                } else {
                    let range = self.at.reaching(self.outputs, n);
                    sample::<S>(line, n, self.at, range, |i, v| S::store(p.add(i), v));
                }
            }
            out[..self.outputs].iter().map(|x| x.to_f64()).collect()
        }
    }

    #[test]
    fn sampling_and_spreading_are_sums_of_hats() {
        for step in [0.03, 0.31, 0.67, 0.82, 0.999, 1.0, 1.18, 1.7, 2.4, 9.0] {
            for start in [-7.3, 0.0, 0.5, 11.25] {
                let (n, outputs) = (37, 60);
                let line = noise(n, 5);
                let at = Positions { start, step };
                let hat = |t: f64| (1.0 - t.abs()).max(0.0);
                let sampled: Vec<f64> = (0..outputs)
                    .map(|r| (0..n).map(|i| hat(start + step * r as f64 - i as f64) * line[i]).sum())
                    .collect();
                let spreaded: Vec<f64> = (0..outputs)
                    .map(|i| (0..n).map(|r| hat(start + step * r as f64 - i as f64) * line[r]).sum())
                    .collect();
                for (adjoint, expected) in [(false, &sampled), (true, &spreaded)] {
                    let kernel = || Both { at, line: &line, outputs, adjoint };
                    let e = error(dispatch::<f64, _>(kernel()), expected);
                    assert!(e < 1e-12, "f64 step {step} start {start} adjoint {adjoint}: {e}");
                    let e = error(dispatch::<f32, _>(kernel()), expected);
                    assert!(e < 3e-5, "f32 step {step} start {start} adjoint {adjoint}: {e}");
                }
            }
        }
    }

    #[test]
    fn arctan_is_exact_to_rounding() {
        struct Worst;
        impl Kernel<f64> for Worst {
            type Output = f64;
            #[inline(always)]
            unsafe fn run<S: Simd<T = f64>>(self) -> f64 {
                let mut out = [0.0; 8];
                let at = |x: f64| -> f64 {
                    // SAFETY: `dispatch` chose S; f64 has 8 lanes everywhere.
                    unsafe { S::store(out.as_mut_ptr(), arctan::<S>(S::splat(x))) };
                    (out[0] - x.atan()).abs()
                };
                (-400..400).map(|k| k as f64 * 0.03).map(at).fold(0.0, f64::max)
            }
        }
        assert!(dispatch(Worst) < 5e-16 * 4.0);
    }
}
