//! What the parameters of atoms may be, for every signal model.

use spinray_core::simd::Real;
use spinray_core::{Error, Result};

/// Refuses columns, by name, that do not hold `n` usable numbers.
pub(crate) fn check<T: Real>(n: usize, columns: &[(&'static str, &[T])]) -> Result<()> {
    for &(name, values) in columns {
        if values.len() != n {
            return Err(Error::invalid(name, format!("expected {n} entries, got {}", values.len())));
        }
        let (wanted, usable): (_, fn(f64) -> bool) = match name {
            "t1" | "t2" => ("positive times in s", |x| x > 0.0 && x.is_finite()),
            "t2_prime" => ("at least 1e-9 s, or infinity", |x| x >= 0.5e-9),
            "off_resonance" => ("frequencies in Hz below 1e9", |x| x.abs() < 1e9),
            _ => ("numbers in [0, 1e6)", |x| (0.0..1e6).contains(&x)),
        };
        if let Some(bad) = values.iter().find(|x| !usable(x.to_f64())) {
            return Err(Error::invalid(name, format!("expected {wanted}, got {bad:?}")));
        }
    }
    Ok(())
}
