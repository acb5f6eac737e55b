//! Long atoms: a few orthonormal vectors P that nearly span them tell which ones must be scored at full length.
//!
//! For a unit atom a and a unit signal y
//!
//! ```text
//! | <a, y> - <P a, P y> |  <=  |a - P'P a| |y - P'P y|  =  e r,
//! ```
//!
//! so that s + e r and s - e r, s = |<P a, P y>|, enclose the score. The tree (over P a, with slack e) finds all atoms
//! whose upper end reaches the k-th highest lower end; these, the highest first, are scored at full length until no
//! upper end reaches the k-th best score. The best of all atoms at full length is proven, whatever P is; a good P makes
//! them few. P grows by the sampled atom it represents worst (Gram-Schmidt with pivoting: the reduced basis of Maday &
//! Patera), which leaves errors close to those of the singular value decomposition.

use super::best::Best;
use super::product::CHUNK;
use super::rows::{LANES, Rows, dot, scattered, unit_roundoff};
use super::search::{Keep, score_error};
use rayon::prelude::*;
use spinray_core::simd::{Kernel, Portable, Real, Simd, dispatch};
use spinray_core::{Job, Result};
use std::cmp::Ordering;

/// Vectors of P, at most.
const RANK: usize = 32;
/// Atoms it is made from.
const SAMPLE: usize = 1024;
/// Slack that is small enough.
const SLACK: f64 = 1e-5;
/// Below which a slack cannot be told from rounding in double.
const LEAST_SLACK: f64 = 1e-13;
/// Vectors of a projection kept in registers.
const VECTORS: usize = 4;

/// The orthonormal vectors P.
pub struct Screen {
    /// Real dimensions.
    pub rank: usize,
    /// `rank`, filled up to whole groups of lanes.
    padded: usize,
    /// Component j of P x is the sum over k of `projector[k padded + j]` x_k.
    projector: Vec<f64>,
}

/// What the tree is built from.
pub struct Projected<T> {
    /// P a of every unit atom.
    pub points: Vec<T>,
    /// e of every unit atom.
    pub slack: Vec<T>,
}

impl Screen {
    /// From a sample of the atoms, whose norms are given.
    pub fn new<T: Real>(atoms: Rows<'_, T>, norms: &[f64], job: &Job) -> Result<Self> {
        let mut rest: Vec<Vec<f64>> = scattered(atoms.count(), SAMPLE)
            .map(|i| atoms.row(i).iter().map(|x| x.to_f64() / norms[i]).collect())
            .collect();
        let mut basis: Vec<Vec<f64>> = Vec::new();
        while basis.len() < RANK * (1 + usize::from(atoms.complex)) {
            job.check()?;
            let sizes: Vec<f64> = rest.par_iter().map(|r| dot(r, r)).collect();
            let (worst, size) = sizes
                .iter()
                .enumerate()
                .fold((0, 0.0), |most, (i, &size)| if size > most.1 { (i, size) } else { most });
            if size < SLACK * SLACK {
                break;
            }
            let mut fresh = rest[worst].clone();
            for _ in 0..2 {
                basis.iter().for_each(|b| subtract(&mut fresh, b));
                let norm = dot(&fresh, &fresh).sqrt();
                fresh.iter_mut().for_each(|x| *x /= norm);
            }
            let turned = atoms.complex.then(|| fresh.chunks_exact(2).flat_map(|z| [-z[1], z[0]]).collect::<Vec<_>>());
            for b in [Some(fresh), turned].into_iter().flatten() {
                rest.par_iter_mut().for_each(|r| subtract(r, &b));
                basis.push(b);
            }
        }
        Ok(Self::from_basis(&basis, atoms.width()))
    }

    fn from_basis(basis: &[Vec<f64>], width: usize) -> Self {
        let padded = basis.len().next_multiple_of(VECTORS * Portable::<f64>::N);
        let mut projector = vec![0.0; width * padded];
        for (j, b) in basis.iter().enumerate() {
            b.iter().enumerate().for_each(|(k, &b)| projector[k * padded + j] = b);
        }
        Self { rank: basis.len(), padded, projector }
    }

    /// P x for two vectors, in double.
    #[inline(always)]
    pub fn project<T: Real>(&self, x: [&[T]; 2], out: [&mut [f64]; 2]) {
        type Lanes = Portable<f64>;
        const N: usize = Lanes::N;
        // SAFETY: portable lanes need no instruction set; a row of the projector and of `out` has `padded` entries.
        unsafe {
            for first in (0..self.padded).step_by(VECTORS * N) {
                let mut sums = [[Lanes::splat(0.0); 2]; VECTORS];
                for (k, row) in self.projector.chunks_exact(self.padded).enumerate() {
                    let x = [Lanes::splat(x[0][k].to_f64()), Lanes::splat(x[1][k].to_f64())];
                    for (n, [even, odd]) in sums.iter_mut().enumerate() {
                        let p = Lanes::load(row.as_ptr().add(first + n * N));
                        (*even, *odd) = (Lanes::fma(x[0], p, *even), Lanes::fma(x[1], p, *odd));
                    }
                }
                for (n, [even, odd]) in sums.into_iter().enumerate() {
                    Lanes::store(out[0].as_mut_ptr().add(first + n * N), even);
                    Lanes::store(out[1].as_mut_ptr().add(first + n * N), odd);
                }
            }
        }
    }

    /// Room for a projection.
    pub fn room(&self) -> Vec<f64> {
        vec![0.0; self.padded]
    }

    /// |x - P'P x| from |x| squared and |P x| squared, not less than it is.
    pub fn left_over(whole: f64, kept: f64) -> f64 {
        ((whole - kept).max(0.0) + LEAST_SLACK).sqrt()
    }

    /// P a and e of all atoms.
    pub fn atoms<T: Real>(&self, atoms: Rows<'_, T>, norms: &[f64], job: &Job) -> Result<Projected<T>> {
        const BLOCK: usize = 256;
        let mut points = vec![T::default(); norms.len() * self.rank];
        let mut slack = vec![T::default(); norms.len()];
        let pieces = points.par_chunks_mut(BLOCK * self.rank.max(1)).zip(slack.par_chunks_mut(BLOCK)).enumerate();
        job.for_each(pieces, |(block, (points, slack))| {
            dispatch::<f64, _>(ProjectAtoms { screen: self, atoms, norms, first: block * BLOCK, points, slack });
        })?;
        Ok(Projected { points, slack })
    }
}

/// Takes the part along the unit vector b out of r.
fn subtract(r: &mut [f64], b: &[f64]) {
    let along = dot(r, b);
    r.iter_mut().zip(b).for_each(|(r, b)| *r -= along * b);
}

struct ProjectAtoms<'a, T> {
    screen: &'a Screen,
    atoms: Rows<'a, T>,
    norms: &'a [f64],
    first: usize,
    points: &'a mut [T],
    slack: &'a mut [T],
}

impl<T: Real> Kernel<f64> for ProjectAtoms<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = f64>>(self) {
        let rank = self.screen.rank;
        let (mut even, mut odd) = (self.screen.room(), self.screen.room());
        for i in (0..self.slack.len()).step_by(2) {
            let two = [i, (i + 1).min(self.slack.len() - 1)];
            self.screen.project(two.map(|i| self.atoms.row(self.first + i)), [&mut even, &mut odd]);
            for (i, kept) in two.into_iter().zip([&mut even, &mut odd]) {
                kept.iter_mut().for_each(|x| *x /= self.norms[self.first + i]);
                let left_over = Screen::left_over(1.0, dot(kept, kept));
                self.slack[i] = T::from_f64(left_over * (1.0 + 4.0 * unit_roundoff::<T>()));
                let point = &mut self.points[i * rank..][..rank];
                point.iter_mut().zip(kept.iter()).for_each(|(p, &x)| *p = T::from_f64(x));
            }
        }
    }
}

/// Keeps the atoms that may be among the k best at full length.
pub struct Survivors<T> {
    /// Lower ends.
    lows: Best<f64>,
    /// (s + e r, atom), not yet all of those that drop out.
    offered: Vec<(T, u32)>,
    rest: f64,
    /// How much the computed s may be off.
    error: f64,
    bar: T,
}

impl<T: Real> Survivors<T> {
    /// Of `k`, from a screen of `rank`.
    pub fn new(k: usize, rank: usize) -> Self {
        let error = score_error::<T>(rank) + 8.0 * unit_roundoff::<T>();
        Self { lows: Best::new(k), offered: Vec::new(), rest: 0.0, error, bar: T::from_f64(-1.0) }
    }

    /// Begins a voxel with |y - P'P y| = `rest`.
    pub fn clear(&mut self, rest: f64) {
        self.lows.clear();
        self.offered.clear();
        (self.rest, self.bar) = (rest, T::from_f64(-1.0));
    }

    /// The k best of those at full length; how many were scored, `limit` at most.
    ///
    /// # Safety
    /// The processor has S.
    #[inline(always)]
    pub unsafe fn settle<S: Simd<T = T>>(&mut self, full: &Full<'_, T>, best: &mut Best<f64>, limit: u64) -> u64 {
        let bar = self.bar;
        self.offered.retain(|&(high, _)| high >= bar);
        let descending = |a: &(T, u32), b: &(T, u32)| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal);
        self.offered.sort_unstable_by(|a, b| descending(a, b).then(a.1.cmp(&b.1)));
        // Errors of both scores, the screen's and the full one.
        let error = self.error + score_error::<T>(CHUNK / 2);
        let mut scored = 0;
        for &(high, atom) in &self.offered {
            if scored == limit || best.bar().is_some_and(|bar| high.to_f64() + error < bar) {
                break;
            }
            // SAFETY: by this function's contract.
            best.offer(unsafe { full.score::<S>(atom) }, atom);
            scored += 1;
        }
        scored
    }
}

impl<T: Real> Keep<T> for Survivors<T> {
    const SLACK: bool = true;

    #[inline(always)]
    fn bar(&self) -> T {
        self.bar
    }

    #[inline(always)]
    fn node_bar(&self) -> T {
        self.bar
    }

    #[inline(always)]
    fn offer(&mut self, high: T, atom: u32, slack: T) -> bool {
        let low = high.to_f64() - 2.0 * self.rest * slack.to_f64();
        let first = self.lows.offer(low, atom);
        if let Some(bar) = self.lows.bar() {
            self.bar = T::from_f64(bar - 2.0 * self.error);
        }
        self.offered.push((high, atom));
        first
    }
}

/// Scores at full length.
pub struct Full<'a, T> {
    /// The atoms.
    pub atoms: Rows<'a, T>,
    /// 1 / |a|.
    pub inverse: &'a [T],
    /// The signal; see `rows::split`.
    pub u: &'a [T],
    /// See `u`.
    pub v: &'a [T],
}

impl<T: Real> Full<'_, T> {
    /// |<a, y>| / |a|. Sums of CHUNK / 2 terms at most, these added in double.
    #[inline(always)]
    unsafe fn score<S: Simd<T = T>>(&self, atom: u32) -> f64 {
        const SUMS: usize = 4;
        let a = self.atoms.row(atom as usize);
        let (mut re, mut im) = (0.0, 0.0);
        let step = SUMS * S::N;
        let whole = a.len() / step * step;
        let mut lanes = [T::default(); LANES];
        for start in (0..whole).step_by(CHUNK / 2 * step) {
            // SAFETY: S by the caller's word; `whole` entries are there to read, and N <= LANES.
            unsafe {
                let mut sums = [[S::splat(T::default()); 2]; SUMS];
                for k in (start..(start + CHUNK / 2 * step).min(whole)).step_by(step) {
                    for (n, [re, im]) in sums.iter_mut().enumerate() {
                        let x = S::load(a.as_ptr().add(k + n * S::N));
                        *re = S::fma(x, S::load(self.u.as_ptr().add(k + n * S::N)), *re);
                        *im = S::fma(x, S::load(self.v.as_ptr().add(k + n * S::N)), *im);
                    }
                }
                for [real, imaginary] in sums {
                    S::store(lanes.as_mut_ptr(), real);
                    re += lanes[..S::N].iter().map(|x| x.to_f64()).sum::<f64>();
                    S::store(lanes.as_mut_ptr(), imaginary);
                    im += lanes[..S::N].iter().map(|x| x.to_f64()).sum::<f64>();
                }
            }
        }
        re += dot(&a[whole..], &self.u[whole..]);
        im += dot(&a[whole..], &self.v[whole..]);
        re.hypot(im) * self.inverse[atom as usize].to_f64()
    }
}
