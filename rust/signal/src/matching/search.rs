//! The best atoms of one voxel, found by descending the ball tree depth first, nearest child first.
//!
//! With s = |<y, c>| for a child's centre c, m = |y| within the space of the tree and r the rest of y outside it, every
//! atom a of the child (|a| <= 1, slack e) scores at most
//!
//! ```text
//! s cos(rho) + sqrt(m^2 - s^2) sin(rho) + r e          (m + r e  where  s >= m cos(rho)),
//! ```
//!
//! which is m cos(max(0, theta - rho)) without trigonometry. What the bound of s can be wrong by is added before the
//! bound is taken, so that rounding never hides the winner: the result is that of scoring every atom, to the bit.

use super::best::Best;
use super::product::CHUNK;
use super::rows::{LANES, unit_roundoff};
use super::tree::Tree;
use spinray_core::simd::{Real, Simd};

/// One voxel.
pub struct Query<'a, T> {
    /// See `rows::split`.
    pub u: &'a [T],
    /// See `rows::split`.
    pub v: &'a [T],
    /// |y| within the space of the tree, not less.
    pub norm: T,
    /// |y| outside it, not less.
    pub rest: T,
}

/// How far the computed |<a, y>| of two vectors of norm <= 1 may be off.
pub fn score_error<T: Real>(width: usize) -> f64 {
    let terms = width.min(CHUNK) + width / CHUNK + 12;
    1.5 * terms as f64 * unit_roundoff::<T>()
}

/// What a search is for.
pub trait Keep<T: Real> {
    /// Whether s + r e decides, and not s squared.
    const SLACK: bool;
    /// Below which s + r e (or s squared) of an atom is of no interest.
    fn bar(&self) -> T;
    /// Below which the bound of a node is of no interest.
    fn node_bar(&self) -> T;
    /// Takes in s + r e (or s squared) of an atom; whether it is the best yet.
    fn offer(&mut self, score: T, atom: u32, slack: T) -> bool;
}

/// Keeps the k atoms of largest s squared, where the tree holds whole atoms.
pub struct Nearest<T> {
    /// The atoms.
    pub best: Best<T>,
    bar: T,
    node_bar: T,
    error: f64,
}

impl<T: Real> Nearest<T> {
    /// Room for `k`.
    pub fn new(k: usize, width: usize) -> Self {
        let none = T::from_f64(-1.0);
        Self { best: Best::new(k), bar: none, node_bar: none, error: 2.0 * score_error::<T>(width) }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.best.clear();
        (self.bar, self.node_bar) = (T::from_f64(-1.0), T::from_f64(-1.0));
    }
}

impl<T: Real> Keep<T> for Nearest<T> {
    const SLACK: bool = false;

    #[inline(always)]
    fn bar(&self) -> T {
        self.bar
    }

    #[inline(always)]
    fn node_bar(&self) -> T {
        self.node_bar
    }

    #[inline(always)]
    fn offer(&mut self, score: T, atom: u32, _: T) -> bool {
        let first = self.best.offer(score, atom);
        if let Some(bar) = self.best.bar() {
            (self.bar, self.node_bar) = (bar, T::from_f64(bar.to_f64().sqrt() - self.error));
        }
        first
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits {
    /// Atoms scored.
    pub atoms: u64,
    /// Blocks of atoms or of centres.
    pub blocks: u64,
    /// Atoms scored again at full length.
    pub settled: u64,
}

/// The stack of a descent, and where the last one ended.
#[derive(Default)]
pub struct Descent<T> {
    stack: Vec<(T, u32)>,
    start: Option<u32>,
    /// Counted over all searches.
    pub visits: Visits,
}

impl<T: Real> Descent<T> {
    /// Offers to `keep` every atom that can matter. Begins with the leaf where the search before found its best: voxels
    /// next to each other are alike.
    ///
    /// # Safety
    /// The processor has S.
    #[inline(always)]
    pub unsafe fn search<S: Simd<T = T>, K: Keep<T>>(&mut self, tree: &Tree<T>, query: &Query<'_, T>, keep: &mut K) {
        let start = self.start;
        self.stack.clear();
        self.stack.push((T::from_f64(f64::INFINITY), 0));
        if let Some(start) = start {
            // SAFETY: by this function's contract.
            unsafe { self.leaf::<S, K>(tree, start, query, keep) };
        }
        while let Some((bound, node)) = self.stack.pop() {
            if bound < keep.node_bar() {
                continue;
            }
            // SAFETY: by this function's contract.
            match tree.nodes[node as usize].branch {
                Some(branch) => unsafe { self.branch::<S>(tree, branch as usize, query, keep.node_bar()) },
                None if start != Some(node) => unsafe { self.leaf::<S, K>(tree, node, query, keep) },
                None => {}
            }
        }
    }

    /// Scores the atoms of a leaf.
    #[inline(always)]
    unsafe fn leaf<S: Simd<T = T>, K: Keep<T>>(
        &mut self,
        tree: &Tree<T>,
        node: u32,
        query: &Query<'_, T>,
        keep: &mut K,
    ) {
        let leaf = tree.nodes[node as usize];
        let mut scores = [T::default(); LANES];
        for block in leaf.first as usize..leaf.last as usize {
            let present = (tree.index.len() - block * LANES).min(LANES);
            self.visits.atoms += present as u64;
            self.visits.blocks += 1;
            // SAFETY: S by the caller's word; a block holds `width` times LANES entries.
            let mut passed = unsafe { atoms::<S, K>(tree, block, query, keep.bar(), &mut scores) };
            passed &= (1 << present) - 1;
            while passed != 0 {
                let lane = passed.trailing_zeros() as usize;
                passed &= passed - 1;
                let place = block * LANES + lane;
                if keep.offer(scores[lane], tree.index[place], tree.slack[place]) {
                    self.start = Some(node);
                }
            }
        }
    }

    /// Puts the children of a branch that can matter on the stack, the nearest on top.
    #[inline(always)]
    unsafe fn branch<S: Simd<T = T>>(&mut self, tree: &Tree<T>, branch: usize, query: &Query<'_, T>, bar: T) {
        let mut bounds = [T::default(); LANES];
        self.visits.blocks += 1;
        // SAFETY: S by the caller's word; a branch has a block of centres.
        let mut passed = unsafe { children::<S>(tree, branch, query, bar, &mut bounds) };
        let branch = &tree.branches[branch];
        passed &= (1 << branch.count) - 1;
        let floor = self.stack.len();
        while passed != 0 {
            let lane = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            let mut place = self.stack.len();
            self.stack.push((bounds[lane], branch.first + lane as u32));
            while place > floor && self.stack[place - 1].0 > self.stack[place].0 {
                self.stack.swap(place - 1, place);
                place -= 1;
            }
        }
    }
}

/// (a.u, a.v) of the N vectors that begin in `block`: the same sums, in the same order, as `product::scores`.
#[inline(always)]
unsafe fn parts<S: Simd>(block: *const S::T, u: &[S::T], v: &[S::T]) -> (S::V, S::V) {
    // SAFETY: the caller vouches for S and for u.len() rows of LANES entries.
    unsafe {
        let zero = S::splat(S::T::default());
        let (mut re, mut im) = (zero, zero);
        for (k, (&u, &v)) in u.iter().zip(v).enumerate() {
            let a = S::load(block.add(k * LANES));
            (re, im) = (S::fma(a, S::splat(u), re), S::fma(a, S::splat(v), im));
        }
        (re, im)
    }
}

/// Scores of a block of atoms; the lanes that reach the bar.
#[inline(always)]
unsafe fn atoms<S: Simd, K: Keep<S::T>>(
    tree: &Tree<S::T>,
    block: usize,
    query: &Query<'_, S::T>,
    bar: S::T,
    scores: &mut [S::T; LANES],
) -> u32 {
    let mut passed = 0;
    for lane in (0..LANES).step_by(S::N) {
        // SAFETY: the caller vouches for S; block and lane are within the tree.
        unsafe {
            let (re, im) = parts::<S>(tree.blocks.as_ptr().add(block * tree.width * LANES + lane), query.u, query.v);
            let mut score = S::fma(re, re, S::mul(im, im));
            if K::SLACK {
                let slack = S::load(tree.slack.as_ptr().add(block * LANES + lane));
                score = S::fma(S::splat(query.rest), slack, S::sqrt(score));
            }
            S::store(scores.as_mut_ptr().add(lane), score);
            passed |= S::at_least(score, S::splat(bar)) << lane;
        }
    }
    passed
}

/// Bounds of the children of a branch; the lanes that reach the bar.
#[inline(always)]
unsafe fn children<S: Simd>(
    tree: &Tree<S::T>,
    branch: usize,
    query: &Query<'_, S::T>,
    bar: S::T,
    bounds: &mut [S::T; LANES],
) -> u32 {
    let mut passed = 0;
    let centres = branch * tree.width * LANES;
    let branch = &tree.branches[branch];
    for lane in (0..LANES).step_by(S::N) {
        // SAFETY: the caller vouches for S; branch and lane are within the tree.
        unsafe {
            let (re, im) = parts::<S>(tree.centres.as_ptr().add(centres + lane), query.u, query.v);
            let (cos, sin) = (S::load(branch.cos.as_ptr().add(lane)), S::load(branch.sin.as_ptr().add(lane)));
            let (norm, error) = (S::splat(query.norm), S::splat(S::T::from_f64(score_error::<S::T>(tree.width))));
            let s = S::sqrt(S::fma(re, re, S::mul(im, im)));
            // Clamped at m cos(rho), the first case becomes the second.
            let edge = S::mul(norm, cos);
            let high = S::min(S::add(s, error), edge);
            let low = S::min(S::max(S::sub(s, error), S::splat(S::T::default())), edge);
            let across = S::sqrt(S::mul(S::sub(norm, low), S::add(norm, low)));
            let slack = S::mul(S::splat(query.rest), S::load(branch.slack.as_ptr().add(lane)));
            let bound = S::add(S::fma(high, cos, S::mul(across, sin)), slack);
            S::store(bounds.as_mut_ptr().add(lane), bound);
            passed |= S::at_least(bound, S::splat(bar)) << lane;
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::tree::Points;
    use spinray_core::Job;
    use spinray_core::philox::Stream;
    use spinray_core::simd::Portable;

    /// Copies of a few directions, so that balls have no radius and bounds no room but for rounding.
    #[test]
    fn no_atom_scores_more_than_its_ball_allows() {
        const WIDTH: usize = 13;
        let mut stream = Stream::new(3, 0);
        let mut unit = || {
            let x: Vec<f64> = (0..WIDTH).map(|_| stream.normal()).collect();
            let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            x.iter().map(|x| (x / norm) as f32).collect::<Vec<_>>()
        };
        let directions: Vec<Vec<f32>> = (0..5).map(|_| unit()).collect();
        let entries: Vec<f32> = (0..1000).flat_map(|i| directions[i % 5].clone()).collect();
        let points = Points { entries: &entries, width: WIDTH, complex: false, slack: &[0.0; 1000] };
        let tree = Tree::new(points, &Job::new()).unwrap();
        let nowhere = [0.0; WIDTH];
        for _ in 0..200 {
            let u = unit();
            let query = Query { u: &u, v: &nowhere, norm: 1.0 + 1e-6, rest: 0.0 };
            for (n, branch) in tree.branches.iter().enumerate() {
                let mut bounds = [0.0; LANES];
                // SAFETY: every processor has portable lanes; the branch is one of the tree's.
                unsafe { children::<Portable<f32>>(&tree, n, &query, -1.0, &mut bounds) };
                for (lane, node) in tree.nodes[branch.first as usize..][..branch.count as usize].iter().enumerate() {
                    let places = node.first as usize * LANES..(node.last as usize * LANES).min(tree.index.len());
                    for &atom in &tree.index[places] {
                        let atom = &entries[atom as usize * WIDTH..][..WIDTH];
                        let score: f64 = atom.iter().zip(&u).map(|(&a, &u)| f64::from(a) * f64::from(u)).sum();
                        assert!(f64::from(bounds[lane]) >= score.abs(), "{} under {}", score.abs(), bounds[lane]);
                    }
                }
            }
        }
    }
}
