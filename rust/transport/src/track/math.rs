//! Elementary functions of the loop, free of branches so that a plain loop over them becomes lanes.
//!
//! Only additions, products, quotients and square roots of single precision, never fused: every processor gives the
//! same bits. Relative accuracy 3e-7 (`ln` near 1 and `turn`: 2e-7 absolute).

const LN_2: f32 = std::f32::consts::LN_2;

/// ln x for normal x > 0: x = 2^k m with m in [0.707, 1.414), ln m = 2 artanh((m - 1)/(m + 1)) by its series.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3) as i32;
    let k = bits >> 23;
    let m = f32::from_bits((bits & 0x007f_ffff) as u32 + 0x3f35_04f3);
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = 2.0 + q * (2.0 / 3.0 + q * (2.0 / 5.0 + q * (2.0 / 7.0 + q * (2.0 / 9.0))));
    k as f32 * LN_2 + s * series
}

/// exp x for |x| < 80: 2^k exp r with |r| <= (ln 2)/2 and the Taylor polynomial of degree 7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 2^23: adding it rounds to an integer
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * 0.693_359_4) + k * 2.121_944_4e-4;
    let p = 1.0
        + r * (1.0
            + r * (0.5
                + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)))))));
    p * f32::from_bits(((k as i32 + 127) << 23) as u32)
}

/// (cos, sin) of a uniform angle from 32 random bits: 30 of them choose an angle in [-pi/4, pi/4), two a quarter turn.
#[inline(always)]
pub fn turn(bits: u32) -> (f32, f32) {
    let a = (bits as i32 >> 2) as f32 * (std::f32::consts::FRAC_PI_4 / 536_870_912.0);
    let q = a * a;
    let sine = a * (1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q * (1.0 / 5040.0 - q * (1.0 / 362_880.0)))));
    let cosine = 1.0 - q * (0.5 - q * (1.0 / 24.0 - q * (1.0 / 720.0 - q * (1.0 / 40_320.0))));
    let (c, s) = if bits & 1 == 0 { (cosine, sine) } else { (-sine, cosine) };
    let sign = (bits & 2) << 30;
    (f32::from_bits(c.to_bits() ^ sign), f32::from_bits(s.to_bits() ^ sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_double_precision() {
        for k in 0..200_000 {
            let x = 1e-10f32 * 1.0002f32.powi(k % 200_000 / 2);
            let error = f64::from(ln(x)) - f64::from(x).ln();
            assert!(error.abs() < 2e-7 + 2e-7 * f64::from(x).ln().abs(), "ln {x}");
            let y = (k as f32 - 100_000.0) * 6e-4;
            assert!((f64::from(exp(y)) / f64::from(y).exp() - 1.0).abs() < 3e-7, "exp {y}");
        }
    }

    #[test]
    fn turns_are_uniform_unit_vectors() {
        let n: i32 = 1 << 16;
        let mut octants = [0; 8];
        for i in 0..n {
            let (c, s) = turn((i as u32).wrapping_mul(0x9e37_79b9));
            assert!((f64::from(c).hypot(f64::from(s)) - 1.0).abs() < 2e-7);
            octants[((f64::from(s).atan2(f64::from(c)) / std::f64::consts::FRAC_PI_4).floor() + 4.0) as usize % 8] += 1;
        }
        assert!(octants.iter().all(|&count| (count - n / 8_i32).abs() < 20), "{octants:?}");
    }
}
