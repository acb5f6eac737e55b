//! Every atom times every voxel, and the best of it, in one pass: the matrix of scores never exists.
//!
//! ```text
//! s(a, y) = |<a, y>| / (|a| |y|) = sqrt((a.u)^2 + (a.v)^2)          (u, v: see `rows::split`)
//! ```
//!
//! Sixteen voxels lie in the lanes, eight atoms are broadcast, and 16 accumulators stay in registers; of their scores
//! only the largest is compared with the voxels' bars, and only the few that pass are looked at one by one. Sums are
//! in blocks of [`CHUNK`] terms, so that the rounding error of a score is at most (CHUNK + width / CHUNK + 4) units.

use super::best::Best;
use super::rows::{LANES, Rows, split};
use spinray_core::Job;
use spinray_core::simd::{Kernel, Real, Simd};

/// Terms added up before they join the total.
pub const CHUNK: usize = 128;
/// Bytes of voxels, and of atoms, that are worked on together.
const VOXEL_BYTES: usize = 768 << 10;
const ATOM_BYTES: usize = 16 << 10;
/// Vectors of voxels worked on together, at most.
const VECTORS: usize = 8;

/// Atoms in memory: blocks of [`LANES`] unit atoms side by side, or plain rows with their inverse norms.
#[derive(Clone, Copy)]
pub enum Source<'a, T> {
    /// Entry k of the atom in lane l of block b at (b width + k) LANES + l; `index` says which atom that is.
    Blocks {
        /// The blocks; lanes beyond `index` are zero.
        entries: &'a [T],
        /// The atoms.
        index: &'a [u32],
    },
    /// Entry k of atom i at i width + k.
    Rows {
        /// The rows.
        entries: &'a [T],
        /// 1 / |a|.
        inverse: &'a [T],
    },
}

impl<T: Real> Source<'_, T> {
    fn count(&self) -> usize {
        match self {
            Self::Blocks { index, .. } => index.len(),
            Self::Rows { inverse, .. } => inverse.len(),
        }
    }

    fn atom(&self, i: usize) -> u32 {
        match self {
            Self::Blocks { index, .. } => index[i],
            Self::Rows { .. } => i as u32,
        }
    }

    /// Where the first entry of M atoms from `i` on is, and how far the next one: beyond the last atom, the last again.
    #[inline(always)]
    fn group<const M: usize>(&self, i: usize, width: usize) -> ([*const T; M], usize) {
        let mut group = [std::ptr::null(); M];
        for (j, atom) in group.iter_mut().enumerate() {
            *atom = match self {
                Self::Blocks { entries, .. } => entries[i / LANES * width * LANES + i % LANES + j..].as_ptr(),
                Self::Rows { entries, inverse } => entries[(i + j).min(inverse.len() - 1) * width..].as_ptr(),
            };
        }
        (group, if let Self::Blocks { .. } = self { LANES } else { 1 })
    }
}

/// How many voxels a piece of work should have.
pub fn voxels_at_once<T>(width: usize) -> usize {
    (VOXEL_BYTES / (2 * width * LANES * size_of::<T>())).clamp(1, VECTORS) * LANES
}

/// Offers every atom to the best of every voxel of `signals`, s squared as the score.
pub struct Product<'a, T> {
    /// The atoms.
    pub source: Source<'a, T>,
    /// Whether an atom's entries are (re, im) pairs.
    pub atoms_complex: bool,
    /// Reals in an atom.
    pub width: usize,
    /// The voxels.
    pub signals: Rows<'a, T>,
    /// |y| of each; voxels with norm zero are left alone.
    pub norms: &'a [f64],
    /// One for each voxel.
    pub best: &'a mut [Best<T>],
    /// Looked at now and then; a cancelled product stops half way.
    pub job: &'a Job,
}

impl<T: Real> Kernel<T> for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(self) {
        // As many accumulators as the registers hold.
        // SAFETY: the caller vouches for S.
        unsafe { if S::N == 16 { self.groups_of::<S, 8>() } else { self.groups_of::<S, 4>() } }
    }
}

impl<T: Real> Product<'_, T> {
    #[inline(always)]
    unsafe fn groups_of<S: Simd<T = T>, const M: usize>(self) {
        let (panels, mut bars) = (self.panels(S::N), self.bars(S::N));
        let panel_len = 2 * self.width * S::N;
        let count = self.source.count();
        let chunk = (ATOM_BYTES / (self.width * size_of::<T>())).next_multiple_of(LANES).max(LANES);
        for first in (0..count).step_by(chunk) {
            if self.job.check().is_err() {
                return;
            }
            for (p, bars) in bars.chunks_exact_mut(S::N).enumerate() {
                let panel = &panels[p * panel_len..][..panel_len];
                let voxels = &mut self.best[p * S::N..];
                for i in (first..(first + chunk).min(count)).step_by(M) {
                    let (atoms, step) = self.source.group::<M>(i, self.width);
                    // SAFETY: S by the caller's word; panel and atoms have `width` entries each.
                    unsafe {
                        let scores = scores::<S, M>(atoms, step, panel.as_ptr(), self.width);
                        let (scores, peak) = squares::<S, M>(scores, &self.source, i);
                        let passed = S::at_least(peak, S::load(bars.as_ptr()));
                        if passed != 0 {
                            offer::<S, M>(passed, scores, bars, voxels, |j| {
                                (i + j < count).then(|| self.source.atom(i + j))
                            });
                        }
                    }
                }
            }
        }
    }

    /// Voxels in lanes: entry k of u at 2 k N, of v at (2 k + 1) N.
    #[inline(always)]
    fn panels(&self, lanes: usize) -> Vec<T> {
        let mut panels = vec![T::default(); self.norms.len().next_multiple_of(lanes) * 2 * self.width];
        let (mut u, mut v) = (vec![T::default(); self.width], vec![T::default(); self.width]);
        for (voxel, &norm) in self.norms.iter().enumerate().filter(|&(_, &norm)| norm > 0.0) {
            split(self.signals.row(voxel), self.signals.complex, self.atoms_complex, norm, &mut u, &mut v);
            let panel = &mut panels[voxel / lanes * lanes * 2 * self.width + voxel % lanes..];
            for k in 0..self.width {
                panel[2 * k * lanes] = u[k];
                panel[(2 * k + 1) * lanes] = v[k];
            }
        }
        panels
    }

    /// What a score must reach: anything at first, and out of reach where there is no voxel or no signal.
    fn bars(&self, lanes: usize) -> Vec<T> {
        let mut bars = vec![T::from_f64(f64::INFINITY); self.norms.len().next_multiple_of(lanes)];
        for (bar, &norm) in bars.iter_mut().zip(self.norms).filter(|&(_, &norm)| norm > 0.0) {
            *bar = T::from_f64(if norm > 0.0 { -1.0 } else { f64::INFINITY });
        }
        bars
    }
}

/// a.u and a.v of M atoms and the voxels of a panel.
///
/// # Safety
/// The processor has S; `atoms[j][k step]` and `panel[..2 width N]` can be read.
#[inline(always)]
pub unsafe fn scores<S: Simd, const M: usize>(
    atoms: [*const S::T; M],
    step: usize,
    panel: *const S::T,
    width: usize,
) -> [[S::V; 2]; M] {
    // SAFETY: by this function's contract.
    unsafe {
        let zero = S::splat(S::T::default());
        let mut total = [[zero; 2]; M];
        for start in (0..width).step_by(CHUNK) {
            let mut sums = [[zero; 2]; M];
            for k in start..(start + CHUNK).min(width) {
                let (u, v) = (S::load(panel.add(2 * k * S::N)), S::load(panel.add((2 * k + 1) * S::N)));
                for j in 0..M {
                    let a = S::splat(*atoms[j].add(k * step));
                    sums[j] = [S::fma(a, u, sums[j][0]), S::fma(a, v, sums[j][1])];
                }
            }
            if width <= CHUNK {
                return sums;
            }
            for j in 0..M {
                total[j] = [S::add(total[j][0], sums[j][0]), S::add(total[j][1], sums[j][1])];
            }
        }
        total
    }
}

/// s squared from the two parts, and the largest. Loops, not `map`: its closure would not be compiled for S.
#[inline(always)]
unsafe fn squares<S: Simd, const M: usize>(
    parts: [[S::V; 2]; M],
    source: &Source<'_, S::T>,
    i: usize,
) -> ([S::V; M], S::V) {
    // SAFETY: the caller vouches for S.
    unsafe {
        let mut peak = S::splat(S::T::default());
        let mut squares = [peak; M];
        for j in 0..M {
            let [mut re, mut im] = parts[j];
            if let Source::Rows { inverse, .. } = source {
                let inverse = S::splat(inverse[(i + j).min(inverse.len() - 1)]);
                (re, im) = (S::mul(re, inverse), S::mul(im, inverse));
            }
            squares[j] = S::fma(re, re, S::mul(im, im));
            peak = S::max(peak, squares[j]);
        }
        (squares, peak)
    }
}

/// Offers the scores of the lanes that passed.
#[inline(always)]
unsafe fn offer<S: Simd, const M: usize>(
    mut passed: u32,
    scores: [S::V; M],
    bars: &mut [S::T],
    voxels: &mut [Best<S::T>],
    atom: impl Fn(usize) -> Option<u32>,
) {
    let mut stored = [[S::T::default(); LANES]; M];
    for (stored, score) in stored.iter_mut().zip(scores) {
        // SAFETY: N <= LANES.
        unsafe { S::store(stored.as_mut_ptr(), score) };
    }
    while passed != 0 {
        let lane = passed.trailing_zeros() as usize;
        passed &= passed - 1;
        for (j, stored) in stored.iter().enumerate() {
            if stored[lane] >= bars[lane]
                && let Some(atom) = atom(j)
            {
                voxels[lane].offer(stored[lane], atom);
                bars[lane] = voxels[lane].bar().unwrap_or(bars[lane]);
            }
        }
    }
}
