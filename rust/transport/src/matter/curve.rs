//! Curves that are straight lines in log-log between their points.

/// A curve on a logarithmic grid.
#[derive(Clone, Debug)]
pub struct Even {
    start: f64,
    per_step: f64,
    logs: Vec<f64>,
}

impl Even {
    /// Of `values` > 0 at points spread evenly in the logarithm from `first` to `last`.
    pub fn new(first: f64, last: f64, values: &[f32]) -> Self {
        let start = first.ln();
        let per_step = (values.len() - 1) as f64 / (last.ln() - start);
        Self { start, per_step, logs: values.iter().map(|&v| f64::from(v).max(f64::MIN_POSITIVE).ln()).collect() }
    }

    /// The value where the logarithm of the argument is `log`; beyond an end, its value there.
    #[inline]
    pub fn at_log(&self, log: f64) -> f64 {
        let position = ((log - self.start) * self.per_step).clamp(0.0, (self.logs.len() - 1) as f64);
        let i = (position as usize).min(self.logs.len() - 2);
        (self.logs[i] + (position - i as f64) * (self.logs[i + 1] - self.logs[i])).exp()
    }
}

/// A curve with jumps: a point given twice has the value below it first, and the value at and above it second.
#[derive(Clone, Debug)]
pub struct Broken {
    points: Vec<f64>,
    logs: Vec<(f64, f64)>,
}

impl Broken {
    /// Of `values` > 0 at points in order.
    pub fn new(points: &[f32], values: &[f32]) -> Self {
        let points: Vec<f64> = points.iter().map(|&p| f64::from(p)).collect();
        let logs =
            points.iter().zip(values).map(|(p, &v)| (p.ln(), f64::from(v).max(f64::MIN_POSITIVE).ln())).collect();
        Self { points, logs }
    }

    /// The value at `x`, whose logarithm is `log`; beyond an end, its value there.
    #[inline]
    pub fn at(&self, x: f64, log: f64) -> f64 {
        let after = self.points.partition_point(|&p| p <= x).clamp(1, self.points.len() - 1);
        let ((x0, y0), (x1, y1)) = (self.logs[after - 1], self.logs[after]);
        (y0 + ((log - x0) / (x1 - x0)).clamp(0.0, 1.0) * (y1 - y0)).exp()
    }

    /// The points given twice.
    pub fn jumps(&self) -> impl Iterator<Item = f64> {
        self.points.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_exact_between_its_points() {
        let values: Vec<f32> = (0..5).map(|i| 3.0 * 10f32.powi(-2 * i)).collect();
        let curve = Even::new(1.0, 1e4, &values);
        for x in [1.0, 7.0, 250.0, 9999.0, 1e4] {
            assert!((curve.at_log(f64::ln(x)) / (3.0 / (x * x)) - 1.0).abs() < 1e-5, "{x}");
        }
        assert_eq!(curve.at_log(-1.0), curve.at_log(0.0));
    }

    #[test]
    fn a_jump_belongs_to_the_side_above() {
        let curve = Broken::new(&[1.0, 2.0, 2.0, 4.0], &[8.0, 2.0, 6.0, 6.0]);
        let at = |x: f64| curve.at(x, x.ln());
        assert!((at(2.0) - 6.0).abs() < 1e-12 && (at(2.0 - 1e-12) - 2.0).abs() < 1e-9);
        assert!((at(2f64.sqrt()) - 4.0).abs() < 1e-6 && (at(9.0) - 6.0).abs() < 1e-12);
        assert_eq!(curve.jumps().collect::<Vec<_>>(), [2.0]);
    }
}
