//! Lanes of the two functions a signal needs, to the precision of the lane type.

use spinray_core::simd::{Real, Simd};

/// Σ c_k x^k by Horner's rule.
///
/// # Safety
/// The processor has `S`.
#[inline(always)]
unsafe fn polynomial<S: Simd, const N: usize>(coefficients: [f64; N], x: S::V) -> S::V {
    // SAFETY: by contract.
    unsafe {
        let mut sum = S::splat(S::T::from_f64(coefficients[N - 1]));
        for c in coefficients.iter().rev().skip(1) {
            sum = S::fma(sum, x, S::splat(S::T::from_f64(*c)));
        }
        sum
    }
}

/// 1 / first, 1 / (first (first + step)), ... : each term divided by the next `step` factors, with alternating signs if asked.
const fn inverse_factorials<const N: usize>(first: usize, step: usize, sign: f64) -> [f64; N] {
    let mut terms = [1.0; N];
    let (mut k, mut factor) = (0, 1);
    let mut term = 1.0;
    while factor <= first {
        term /= factor as f64;
        factor += 1;
    }
    while k < N {
        terms[k] = term;
        let mut s = 0;
        while s < step {
            term /= factor as f64;
            factor += 1;
            s += 1;
        }
        term *= sign;
        k += 1;
    }
    terms
}

/// 1 - e^{-x} for x >= 0, accurate relative to itself however small x is.
///
/// # Safety
/// The processor has `S`.
#[inline(always)]
pub unsafe fn decay<S: Simd>(x: S::V) -> S::V {
    const TAYLOR: [f64; 13] = inverse_factorials(1, 1, 1.0);
    const LN2_HIGH: f64 = 0.693_145_751_953_125; // exact in 15 bits: its multiples are exact in single precision
    const LN2_LOW: f64 = 1.428_606_820_309_417_2e-6;
    // SAFETY: by contract.
    unsafe {
        let real = |x: f64| S::splat(S::T::from_f64(x));
        let x = S::min(x, real(80.0));
        let halvings = S::trunc(S::fma(x, real(std::f64::consts::LOG2_E), real(0.5)));
        let n = S::real(halvings);
        // x = n ln 2 - y
        let y = S::fma(n, real(LN2_LOW), S::sub(S::mul(n, real(LN2_HIGH)), x));
        let growth = S::mul(y, polynomial::<S, 13>(TAYLOR, y));
        let scale = S::pow2(S::negate(halvings));
        S::sub(S::sub(real(1.0), scale), S::mul(scale, growth))
    }
}

/// sin a and 1 - cos a, each accurate relative to itself, for |a| < 1e4.
///
/// # Safety
/// The processor has `S`.
#[inline(always)]
pub unsafe fn rotation<S: Simd>(angle: S::V) -> (S::V, S::V) {
    const SINE: [f64; 11] = inverse_factorials(1, 2, -1.0);
    const COSINE: [f64; 12] = inverse_factorials(0, 2, -1.0);
    const PI_HIGH: f64 = 3.140_625; // exact in 11 bits
    const PI_MIDDLE: f64 = 9.670_257_568_359_375e-4; // exact in 11 bits
    const PI_LOW: f64 = std::f64::consts::PI - PI_HIGH - PI_MIDDLE;
    // SAFETY: by contract.
    unsafe {
        let real = |x: f64| S::splat(S::T::from_f64(x));
        let half = S::mul(angle, real(0.5));
        // Half turns off half the angle: they change the sign of both its sine and its cosine, and of neither result.
        let turns = S::mul(S::abs(half), real(std::f64::consts::FRAC_1_PI));
        let n = S::real(S::trunc(S::add(turns, real(0.5))));
        let magnitude = S::abs(half);
        let h = S::sub(magnitude, S::mul(n, real(PI_HIGH)));
        let h = S::sub(S::sub(h, S::mul(n, real(PI_MIDDLE))), S::mul(n, real(PI_LOW)));
        let square = S::mul(h, h);
        let sine = S::mul(h, polynomial::<S, 11>(SINE, square));
        let cosine = polynomial::<S, 12>(COSINE, square);
        let positive = S::mul(S::mul(sine, cosine), real(2.0));
        let versine = S::mul(S::mul(sine, sine), real(2.0));
        // By what the squares exceed 1: else every pulse of a train lengthens magnetisation by the same rounding.
        let excess = S::fma(sine, sine, S::fma(cosine, cosine, real(-1.0)));
        let shortened = |v: S::V| S::sub(v, S::mul(v, excess));
        let tiny = real(1e-30);
        let sign = S::div(half, S::max(magnitude, tiny));
        (S::mul(shortened(positive), sign), shortened(versine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinray_core::simd::{Kernel, dispatch};

    struct Evaluate<T>(Vec<T>);
    impl<T: Real> Kernel<T> for Evaluate<T> {
        type Output = Vec<[T; 3]>;
        #[inline(always)]
        unsafe fn run<S: Simd<T = T>>(self) -> Self::Output {
            let mut results = vec![];
            for &x in &self.0 {
                let mut lanes = [[T::default(); 16]; 3];
                // SAFETY: `dispatch` chose S.
                unsafe {
                    let (sine, versine) = rotation::<S>(S::splat(x));
                    let decay = decay::<S>(S::abs(S::splat(x)));
                    for (lanes, v) in lanes.iter_mut().zip([sine, versine, decay]) {
                        S::store(lanes.as_mut_ptr(), v);
                    }
                }
                results.push(lanes.map(|l| l[0]));
            }
            results
        }
    }

    fn worst<T: Real>() -> f64 {
        let small = (0..60).map(|k| 10f64.powf(-8.0 + 0.15 * f64::from(k)));
        let x: Vec<T> = small.flat_map(|x| [T::from_f64(x), T::from_f64(-x)]).chain([T::default()]).collect();
        let mut worst = 0.0;
        for (x, found) in x.iter().zip(dispatch(Evaluate(x.clone()))) {
            let x = x.to_f64();
            let expected = [x.sin(), 2.0 * (0.5 * x).sin().powi(2), -(-x.abs()).exp_m1()];
            for (found, expected) in found.iter().zip(expected) {
                // Near multiples of pi a sine is as good as the angle.
                let unit = expected.abs().max(x.abs().min(1.0) * 1e-3).max(1e-300);
                worst = f64::max(worst, (found.to_f64() - expected).abs() / unit / (1.0 + x.abs()));
            }
        }
        worst
    }

    #[test]
    fn rotations_keep_lengths() {
        let angles: Vec<f32> = (0..20_000).map(|k| 1.6e-4 * k as f32).collect();
        let excess: Vec<f64> = dispatch(Evaluate(angles))
            .iter()
            .map(|[sine, versine, _]| f64::from(*sine).powi(2) + (1.0 - f64::from(*versine)).powi(2) - 1.0)
            .collect();
        let worst = excess.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
        let mean = excess.iter().sum::<f64>() / excess.len() as f64;
        assert!(worst < 4e-7 && mean.abs() < 2e-9, "{worst} {mean}");
    }

    #[test]
    fn both_functions_are_accurate_in_both_precisions() {
        let (single, double) = (worst::<f32>(), worst::<f64>());
        assert!(single < 3e-7 && double < 1e-12, "{single} {double}");
    }
}
