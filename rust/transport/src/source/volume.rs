//! Activity in voxels: photons start uniformly within a voxel drawn in proportion to its activity, into all
//! directions.

use super::alias::Draw;
use super::{cap, finite};
use crate::random::Uniform;
use spinray_core::{Error, Result};

/// A volume of activity.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Voxels (x, y).
    count: [u32; 2],
    spacing: [f64; 3],
    /// Corner of the first voxel in the world (x, y, z).
    low: [f64; 3],
    /// Voxels with activity.
    voxels: Vec<u32>,
    activity: Vec<f64>,
    /// How many there are in all.
    given: usize,
    draw: Draw,
}

impl Volume {
    /// Voxels of `shape` (z, y, x) with their first centre at `origin` and `spacing` in mm (z, y, x), and the
    /// activity of each, in any unit.
    pub fn new(shape: [usize; 3], spacing: [f64; 3], origin: [f64; 3], activity: &[f32]) -> Result<Self> {
        let voxels = shape.iter().try_fold(1usize, |n, &m| n.checked_mul(m)).unwrap_or(usize::MAX);
        if voxels != activity.len() || voxels > i32::MAX as usize {
            return Err(Error::invalid("activity", format!("expected {voxels} values, got {}", activity.len())));
        }
        if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err(Error::invalid("grid", format!("expected positive spacing, got {spacing:?}")));
        }
        finite("grid", &origin)?;
        if let Some(bad) = activity.iter().find(|a| !(a.is_finite() && **a >= 0.0)) {
            return Err(Error::invalid("activity", format!("expected finite numbers >= 0, got {bad}")));
        }
        let given = activity.len();
        let (voxels, activity): (Vec<_>, Vec<_>) =
            (0u32..).zip(activity).filter(|&(_, a)| *a > 0.0).map(|(i, a)| (i, f64::from(*a))).unzip();
        if voxels.is_empty() {
            return Err(Error::invalid("activity", "expected at least one voxel above 0"));
        }
        let [sz, sy, sx] = spacing;
        let low = [origin[2] - 0.5 * sx, origin[1] - 0.5 * sy, origin[0] - 0.5 * sz];
        let count = [shape[2] as u32, shape[1] as u32];
        let draw = Draw::new(&activity);
        Ok(Self { count, spacing: [sx, sy, sz], low, voxels, activity, given, draw })
    }

    /// The same photons, of which those of a voxel are drawn more often by its factor: one for each voxel.
    pub fn biased(mut self, factors: &[f32]) -> Result<Self> {
        if factors.len() != self.given {
            let problem = format!("expected one factor for each of {} voxels, got {}", self.given, factors.len());
            return Err(Error::invalid("activity", problem));
        }
        let factors: Vec<f64> = self.voxels.iter().map(|&i| f64::from(factors[i as usize])).collect();
        self.draw = Draw::biased(&self.activity, &factors, "activity")?;
        Ok(self)
    }

    /// The least and the most photons that one drawn stands for.
    pub fn photons(&self) -> [f32; 2] {
        self.draw.weights()
    }

    /// Position and direction of a photon, and how many photons it stands for.
    #[inline]
    pub fn sample<U: Uniform>(&self, random: &mut U) -> ([f64; 3], [f64; 3], f32) {
        let (i, weight) = self.draw.sample(random);
        let i = self.voxels[i];
        let [nx, ny] = self.count;
        let voxel = [i % nx, i / nx % ny, i / (nx * ny)];
        let position =
            std::array::from_fn(|k| self.low[k] + (f64::from(voxel[k]) + random.uniform()) * self.spacing[k]);
        (position, cap(-1.0, random), weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Numbers;
    use crate::source::tests::chi_square;

    #[test]
    fn voxels_emit_in_proportion_to_their_activity() {
        let activity: Vec<f32> = (0..24).map(|i| (i % 5) as f32).collect();
        let volume = Volume::new([2, 3, 4], [2.0, 1.0, 0.5], [10.0, 20.0, 30.0], &activity).unwrap();
        let (mut counts, mut within) = (vec![0.0; 24], vec![0.0; 8]);
        for history in 0..200_000 {
            let ([x, y, z], d, _) = volume.sample(&mut Numbers::new(9, history, 0));
            let t = [(x - 29.75) / 0.5, (y - 19.5) / 1.0, (z - 9.0) / 2.0];
            let i = t.map(|t| t.floor() as usize);
            counts[(i[2] * 3 + i[1]) * 4 + i[0]] += 1.0;
            within[(8.0 * t[0].fract()) as usize] += 1.0;
            assert!((d.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let total: f32 = activity.iter().sum();
        let (counts, shares): (Vec<_>, Vec<_>) =
            (0..24).filter(|&i| activity[i] > 0.0).map(|i| (counts[i], f64::from(activity[i] / total))).unzip();
        assert_eq!(counts.iter().sum::<f64>(), 200_000.0, "voxels without activity are silent");
        let chi = chi_square(&counts, &shares);
        assert!(chi < 45.0, "18 degrees of freedom: {chi}");
        assert!(chi_square(&within, &[0.125; 8]) < 25.0);
    }

    #[test]
    fn silent_negative_and_misshapen_volumes_are_refused() {
        let make = |activity: &[f32]| Volume::new([1, 1, 2], [1.0; 3], [0.0; 3], activity);
        assert!(make(&[0.0, 1.0]).is_ok());
        assert!(make(&[0.0, 0.0]).is_err());
        assert!(make(&[1.0, -1.0]).is_err());
        assert!(make(&[1.0, f32::NAN]).is_err());
        assert!(make(&[1.0]).is_err());
    }
}
