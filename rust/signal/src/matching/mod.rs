//! Exact matching of fingerprints: for every voxel y the atom a of a dictionary that maximises
//!
//! ```text
//! s(a, y) = |<a, y>| / |a|,        <a, y> = sum conj(a) y,
//! ```
//!
//! and the complex least-squares scale <a, y> / |a|^2. The answer is that of scoring every atom in the precision of the
//! dictionary; among equal computed scores the lowest index wins. Ways there:
//!
//! - [`tree`] and [`search`]: acos s / |y| is a metric, so balls of atoms are ruled out by their centres;
//! - [`screen`]: atoms longer than [`LONG`] are found through the few dimensions that nearly span them, and those that
//!   may be the best are scored at full length;
//! - [`product`]: where nothing can be ruled out (a random dictionary), every atom is scored, a voxel in each lane. The
//!   choice is made by searching for a few of the voxels first.
//!
//! For atoms up to `LONG` search and product agree to the bit. Beyond, their scores differ by rounding (1e-7 relative
//! in single precision). Memory: twice the dictionary (its compressed part, if long), and the results. The same bits
//! for any number of threads.
//!
//! References: McGivney et al. 2014, IEEE Trans. Med. Imaging 33:2311 (compressed dictionaries); Cauley et al. 2015,
//! Magn. Reson. Med. 74:523 (groups of atoms, there without the bound that makes the answer exact).

use rayon::prelude::*;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Error, Job, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

mod best;
mod product;
mod rows;
mod screen;
mod search;
#[cfg(test)]
mod tests;
mod tree;

use best::Best;
use product::{Product, Source, voxels_at_once};
pub use rows::{Rows, Shared};
use rows::{dot, inner, norm, scattered, split, unit_roundoff};
use screen::{Full, Projected, Screen, Survivors};
use search::{Descent, Nearest, Query, Visits};
use tree::{Points, Tree};

/// Numbers of an atom beyond which it is screened before it is scored.
pub const LONG: usize = 40;
/// Voxels searched one after the other, each from where the one before ended.
const VOXELS: usize = 256;
/// Voxels searched for to choose the way, at most: one in so many.
const PROBES: usize = 32;
const PROBED: usize = 32;

/// A dictionary ready to be matched.
pub struct Matcher<T> {
    atoms: Shared<T>,
    length: usize,
    complex: bool,
    norms: Vec<f64>,
    tree: Tree<T>,
    long: Option<Long<T>>,
}

/// What long atoms have besides.
struct Long<T> {
    screen: Screen,
    inverse: Vec<T>,
}

/// Room for the results, `top_k` for each voxel, best first; a voxel without signal gets index -1 and zeros.
pub struct Found<'a, T> {
    /// Number of atoms wanted.
    pub top_k: usize,
    /// The atoms.
    pub index: &'a mut [i64],
    /// |<a, y>| / |a|.
    pub score: &'a mut [T],
    /// <a, y> / |a|^2 as (re, im).
    pub product: &'a mut [T],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Search,
    Product,
}

impl<T: Real> Matcher<T> {
    /// From atoms of `length` numbers, complex ones as (re, im) pairs, not normalised.
    pub fn new(atoms: Shared<T>, length: usize, complex: bool, job: &Job) -> Result<Self> {
        let rows = Rows { entries: (*atoms).as_ref(), length, complex };
        if rows.count() == 0 || u32::try_from(rows.count()).is_err() {
            return Err(Error::invalid("atoms", format!("{} given; 1 to {} are accepted", rows.count(), u32::MAX)));
        }
        let norms = norms("atoms", rows, job)?;
        let least = if size_of::<T>() == 4 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
        if let Some(i) = norms.iter().position(|&norm| norm < least) {
            return Err(Error::invalid("atoms", format!("atom {i} is zero; every atom needs a signal to be matched")));
        }
        if complex && rows.entries.par_chunks(1 << 16).all(|piece| piece.chunks(2).all(|z| z[1] == T::default())) {
            let real: Vec<T> = rows.entries.par_iter().step_by(2).copied().collect();
            return Self::with_norms(Arc::new(real), length, false, norms, job);
        }
        Self::with_norms(atoms, length, complex, norms, job)
    }

    fn with_norms(atoms: Shared<T>, length: usize, complex: bool, norms: Vec<f64>, job: &Job) -> Result<Self> {
        let rows = Rows { entries: (*atoms).as_ref(), length, complex };
        let (tree, long) = if length <= LONG {
            let (points, slack) = (units(rows, &norms), vec![T::default(); norms.len()]);
            (Tree::new(Points { entries: &points, width: rows.width(), complex, slack: &slack }, job)?, None)
        } else {
            let screen = Screen::new(rows, &norms, job)?;
            let Projected { points, slack } = screen.atoms(rows, &norms, job)?;
            let points = Points { entries: &points, width: screen.rank, complex, slack: &slack };
            let inverse = norms.iter().map(|norm| T::from_f64(1.0 / norm)).collect();
            (Tree::new(points, job)?, Some(Long { screen, inverse }))
        };
        Ok(Self { atoms, length, complex, norms, tree, long })
    }

    /// Number of atoms.
    pub fn count(&self) -> usize {
        self.norms.len()
    }

    /// Numbers of an atom.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Finds the best atoms of every signal; returns the mean fraction of atoms whose score was computed.
    pub fn find(&self, signals: Rows<'_, T>, found: Found<'_, T>, job: &Job) -> Result<f64> {
        self.check(signals, found.top_k)?;
        let norms = norms("signals", signals, &Job::new())?;
        let way = self.way(signals, &norms, found.top_k, job)?;
        self.find_by(way, signals, &norms, found, job)
    }

    fn check(&self, signals: Rows<'_, T>, top_k: usize) -> Result<()> {
        if signals.length != self.length {
            let problem = format!("{} numbers each; the dictionary's atoms have {}", signals.length, self.length);
            return Err(Error::invalid("signals", problem));
        }
        if !(1..=self.count()).contains(&top_k) {
            return Err(Error::invalid("top_k", format!("{top_k} given; 1 to {} atoms can be had", self.count())));
        }
        Ok(())
    }

    fn find_by(&self, way: Way, signals: Rows<'_, T>, norms: &[f64], found: Found<'_, T>, job: &Job) -> Result<f64> {
        let k = found.top_k;
        let voxels = if way == Way::Search { VOXELS } else { voxels_at_once::<T>(self.rows().width()) };
        let scored = AtomicU64::new(0);
        let outputs = found.index.par_chunks_mut(voxels * k).zip(found.score.par_chunks_mut(voxels * k));
        let outputs = outputs.zip(found.product.par_chunks_mut(2 * voxels * k));
        let inputs = signals.entries.par_chunks(voxels * signals.width()).zip(norms.par_chunks(voxels));
        job.for_each(inputs.zip(outputs), |((entries, norms), ((index, score), product))| {
            let piece = Piece {
                matcher: self,
                signals: Rows { entries, ..signals },
                norms,
                found: Found { top_k: k, index, score, product },
                limit: u64::MAX,
                job,
            };
            let atoms = match way {
                Way::Search => dispatch(piece).atoms,
                Way::Product => piece.by_product(),
            };
            scored.fetch_add(atoms, Relaxed);
        })?;
        Ok(scored.into_inner() as f64 / (norms.len().max(1) as f64 * self.count() as f64))
    }

    fn rows(&self) -> Rows<'_, T> {
        Rows { entries: (*self.atoms).as_ref(), length: self.length, complex: self.complex }
    }

    /// Searches for a few voxels, and compares the cycles that takes with those of the product: a block of atoms takes
    /// about one for each entry there, four here, where sums wait for one another.
    fn way(&self, signals: Rows<'_, T>, norms: &[f64], k: usize, job: &Job) -> Result<Way> {
        let wanted = PROBES.min(norms.len().div_ceil(PROBED));
        let probes: Vec<usize> = scattered(norms.len(), wanted).filter(|&i| norms[i] > 0.0).collect();
        // As many scores at full length cost as much as the product.
        let limit = self.count().div_ceil(4) as u64;
        let probe = |&i: &usize| {
            job.check()?;
            let found = Found { top_k: k, index: &mut vec![0; k], score: &mut room(k), product: &mut room(2 * k) };
            let signals = Rows { entries: signals.row(i), ..signals };
            Ok(dispatch(Piece { matcher: self, signals, norms: &norms[i..=i], found, limit, job }))
        };
        let visits = probes.par_iter().map(probe).collect::<Result<Vec<Visits>>>()?;
        let blocks: u64 = visits.iter().map(|visits| visits.blocks).sum();
        let settled: u64 = visits.iter().map(|visits| visits.settled).sum();
        let width = self.rows().width();
        let search = blocks as usize * (4 * self.tree.width + 30) + settled as usize * width / 4;
        let product = probes.len() * self.count().div_ceil(rows::LANES) * width;
        Ok(if search > product { Way::Product } else { Way::Search })
    }
}

fn room<T: Real>(n: usize) -> Vec<T> {
    vec![T::default(); n]
}

/// Norms of rows, all finite.
fn norms<T: Real>(argument: &'static str, rows: Rows<'_, T>, job: &Job) -> Result<Vec<f64>> {
    const BLOCK: usize = 512;
    let mut norms = vec![0.0; rows.count()];
    job.for_each(norms.par_chunks_mut(BLOCK).enumerate(), |(block, norms)| {
        for (i, size) in norms.iter_mut().enumerate() {
            *size = norm(rows.row(block * BLOCK + i));
        }
    })?;
    match norms.iter().position(|norm| !norm.is_finite()) {
        None => Ok(norms),
        Some(i) => Err(Error::invalid(argument, format!("row {i} holds NaN, infinite or too large numbers"))),
    }
}

/// Rows scaled to unit norm.
fn units<T: Real>(rows: Rows<'_, T>, norms: &[f64]) -> Vec<T> {
    let mut units = room(rows.entries.len());
    let width = rows.width();
    units.par_chunks_mut(width).zip(rows.entries.par_chunks(width)).zip(norms).for_each(|((unit, row), norm)| {
        unit.iter_mut().zip(row).for_each(|(unit, x)| *unit = T::from_f64(x.to_f64() / norm));
    });
    units
}

/// Some voxels, and where their results go.
struct Piece<'a, T> {
    matcher: &'a Matcher<T>,
    signals: Rows<'a, T>,
    norms: &'a [f64],
    found: Found<'a, T>,
    /// Scores at full length for a voxel; with fewer than it needs, the results are not to be used.
    limit: u64,
    /// Looked at for every voxel; once it is cancelled, the results are not to be used.
    job: &'a Job,
}

impl<T: Real> Kernel<T> for Piece<'_, T> {
    type Output = Visits;

    /// The search.
    #[inline(always)]
    unsafe fn run<S: Simd<T = T>>(mut self) -> Visits {
        // SAFETY: the caller vouches for S.
        match &self.matcher.long {
            None => unsafe { self.short::<S>() },
            Some(long) => unsafe { self.long::<S>(long) },
        }
    }
}

impl<T: Real> Piece<'_, T> {
    #[inline(always)]
    unsafe fn short<S: Simd<T = T>>(&mut self) -> Visits {
        let tree = &self.matcher.tree;
        let (mut u, mut v) = (room(tree.width), room(tree.width));
        let mut descent = Descent::default();
        let mut nearest = Nearest::new(self.found.top_k, tree.width);
        let norm = above::<T>(1.0);
        for voxel in 0..self.norms.len() {
            if self.job.check().is_err() {
                break;
            }
            nearest.clear();
            if self.norms[voxel] > 0.0 {
                self.split(voxel, &mut u, &mut v);
                let query = Query { u: &u, v: &v, norm, rest: T::default() };
                // SAFETY: the caller vouches for S.
                unsafe { descent.search::<S, _>(tree, &query, &mut nearest) };
            }
            self.write(voxel, nearest.best.entries().iter().map(|&(_, atom)| atom));
        }
        descent.visits
    }

    #[inline(always)]
    unsafe fn long<S: Simd<T = T>>(&mut self, long: &Long<T>) -> Visits {
        let (tree, screen, rows) = (&self.matcher.tree, &long.screen, self.matcher.rows());
        let (mut u, mut v) = (room(rows.width()), room(rows.width()));
        let (mut pu, mut pv) = (screen.room(), screen.room());
        let (mut short_u, mut short_v) = (room(screen.rank), room(screen.rank));
        let mut descent = Descent::default();
        let mut survivors = Survivors::new(self.found.top_k, screen.rank);
        let mut best = Best::new(self.found.top_k);
        for voxel in 0..self.norms.len() {
            if self.job.check().is_err() {
                break;
            }
            best.clear();
            if self.norms[voxel] > 0.0 {
                self.split(voxel, &mut u, &mut v);
                screen.project([&u, &v], [&mut pu, &mut pv]);
                short_u.iter_mut().zip(&pu).for_each(|(short, &p)| *short = T::from_f64(p));
                short_v.iter_mut().zip(&pv).for_each(|(short, &p)| *short = T::from_f64(p));
                // Of complex atoms u alone is the signal; of real ones u and v are its two parts.
                let both = if rows.complex { 0.0 } else { 1.0 };
                let (whole, kept) = (dot(&u, &u) + both * dot(&v, &v), dot(&pu, &pu) + both * dot(&pv, &pv));
                let (norm, rest) = (above::<T>(kept.sqrt()), above::<T>(Screen::left_over(whole, kept)));
                survivors.clear(rest.to_f64());
                let query = Query { u: &short_u, v: &short_v, norm, rest };
                let full = Full { atoms: rows, inverse: &long.inverse, u: &u, v: &v };
                // SAFETY: the caller vouches for S.
                unsafe {
                    descent.search::<S, _>(tree, &query, &mut survivors);
                    descent.visits.settled += survivors.settle::<S>(&full, &mut best, self.limit);
                }
            }
            self.write(voxel, best.entries().iter().map(|&(_, atom)| atom));
        }
        descent.visits
    }

    /// Scores every atom; how many scores that were.
    fn by_product(mut self) -> u64 {
        let (tree, rows) = (&self.matcher.tree, self.matcher.rows());
        let source = match &self.matcher.long {
            None => Source::Blocks { entries: &tree.blocks, index: &tree.index },
            Some(long) => Source::Rows { entries: rows.entries, inverse: &long.inverse },
        };
        let mut best = vec![Best::new(self.found.top_k); self.norms.len()];
        dispatch(Product {
            source,
            atoms_complex: rows.complex,
            width: rows.width(),
            signals: self.signals,
            norms: self.norms,
            best: &mut best,
            job: self.job,
        });
        for (voxel, best) in best.iter().enumerate() {
            self.write(voxel, best.entries().iter().map(|&(_, atom)| atom));
        }
        (self.norms.iter().filter(|&&norm| norm > 0.0).count() * self.matcher.count()) as u64
    }

    #[inline(always)]
    fn split(&self, voxel: usize, u: &mut [T], v: &mut [T]) {
        split(self.signals.row(voxel), self.signals.complex, self.matcher.complex, self.norms[voxel], u, v);
    }

    /// The results of a voxel in double, from its atoms, best first by the scores that found them.
    #[inline(always)]
    fn write(&mut self, voxel: usize, best: impl Iterator<Item = u32>) {
        let k = self.found.top_k;
        let none = (0.0, (0.0, 0.0), -1);
        let (rows, y) = (self.matcher.rows(), self.signals.row(voxel));
        let mut last = f64::INFINITY;
        let results = best.map(|atom| {
            let norm = self.matcher.norms[atom as usize];
            let (re, im) = inner(rows.row(atom as usize), rows.complex, y, self.signals.complex);
            // Scores that rounding has put in order stay in it.
            last = last.min(re.hypot(im) / norm);
            (last, (re / (norm * norm), im / (norm * norm)), i64::from(atom))
        });
        for (i, (score, (re, im), index)) in results.chain(std::iter::repeat(none)).take(k).enumerate() {
            let at = voxel * k + i;
            self.found.index[at] = index;
            self.found.score[at] = T::from_f64(score);
            (self.found.product[2 * at], self.found.product[2 * at + 1]) = (T::from_f64(re), T::from_f64(im));
        }
    }
}

/// The number, not rounded down.
fn above<T: Real>(x: f64) -> T {
    T::from_f64(x * (1.0 + 4.0 * unit_roundoff::<T>()))
}
