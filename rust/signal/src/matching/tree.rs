//! A ball tree over the directions of atoms.
//!
//! theta(a, b) = acos(|<a, b>| / (|a| |b|)) is a metric on directions (Fubini-Study), so every atom of a ball with
//! centre c and radius rho obeys, for any y,
//!
//! ```text
//! |<a, y>| <= |a| |y| cos(max(0, theta(y, c) - rho)).
//! ```
//!
//! A branch has up to 16 children, whose centres lie side by side in the lanes of one block; a leaf is 1 to 4 blocks
//! of 16 atoms. Children come from repeated bisection at the median between two far atoms. Radii are computed in
//! double from the centres as stored, and enlarged. The tree depends on the dictionary alone, not on the threads.

use super::rows::{LANES, dot};
use rayon::prelude::*;
use spinray_core::buffer::zeros;
use spinray_core::simd::{Kernel, Real, Simd, dispatch};
use spinray_core::{Job, Result};
use std::ops::Range;

/// Blocks of a leaf, at most and where they are split off a larger node.
const LEAF_BLOCKS: usize = 4;
const SPLIT_BLOCKS: usize = 2;
/// Added to radii: far above the error of acos in double, far below any radius that matters.
const MARGIN: f64 = 1e-7;
/// Steps of a centre towards its farthest atom (Badoiu & Clarkson 2003).
const STEPS: usize = 6;
/// Atoms from which a node is bisected by two threads.
const PARALLEL: usize = 4096;

/// A set of atoms: those of blocks `first..last`.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// First block.
    pub first: u32,
    /// One past the last block.
    pub last: u32,
    /// What it branches into; a leaf does not.
    pub branch: Option<u32>,
}

/// Children of a node: consecutive nodes, with their balls in lanes.
#[derive(Clone, Debug)]
pub struct Branch<T> {
    /// The first child.
    pub first: u32,
    /// Number of children.
    pub count: u32,
    /// Cosine and sine of the radii.
    pub cos: [T; LANES],
    /// See `cos`.
    pub sin: [T; LANES],
    /// Largest slack of an atom of the child.
    pub slack: [T; LANES],
}

/// The tree, its atoms in the order of the leaves.
pub struct Tree<T> {
    /// Reals in an atom.
    pub width: usize,
    /// Entry k of the atom in lane l of block b at (b width + k) LANES + l.
    pub blocks: Vec<T>,
    /// Which atom is in lane l of block b, at b LANES + l; what the last block lacks is missing.
    pub index: Vec<u32>,
    /// Slack of these atoms: the norm of what `blocks` leaves out of them.
    pub slack: Vec<T>,
    /// Node 0 is the root.
    pub nodes: Vec<Node>,
    /// Referred to by nodes.
    pub branches: Vec<Branch<T>>,
    /// Centres of branch b in the layout of `blocks`.
    pub centres: Vec<T>,
}

/// Vectors of norm at most 1, one after the other.
#[derive(Clone, Copy)]
pub struct Points<'a, T> {
    /// All entries.
    pub entries: &'a [T],
    /// Reals in a vector.
    pub width: usize,
    /// Whether they are (re, im) pairs.
    pub complex: bool,
    /// Slack of each.
    pub slack: &'a [T],
}

impl<'a, T: Real> Points<'a, T> {
    fn row(&self, i: u32) -> &'a [T] {
        &self.entries[i as usize * self.width..][..self.width]
    }

    /// <c, p_i> as (re, im).
    #[inline(always)]
    fn inner(&self, c: &[f64], i: u32) -> (f64, f64) {
        let p = self.row(i);
        if !self.complex {
            return (dot(p, c), 0.0);
        }
        let pairs = p.chunks_exact(2).zip(c.chunks_exact(2));
        pairs.fold((0.0, 0.0), |(re, im), (p, c)| {
            let (pr, pi) = (p[0].to_f64(), p[1].to_f64());
            (re + c[0] * pr + c[1] * pi, im + c[0] * pi - c[1] * pr)
        })
    }

    /// |<c, p_i>| squared.
    #[inline(always)]
    fn closeness(&self, c: &[f64], i: u32) -> f64 {
        let (re, im) = self.inner(c, i);
        re * re + im * im
    }

    fn double(&self, i: u32) -> Vec<f64> {
        self.row(i).iter().map(|x| x.to_f64()).collect()
    }

    /// The atom of `order` whose direction is farthest from c, and |<c, p>| / |p| there.
    #[inline(always)]
    fn farthest(&self, c: &[f64], order: &[u32]) -> (u32, f64) {
        let (mut least, mut far) = (f64::INFINITY, order[0]);
        for &i in order {
            let squared = dot(self.row(i), self.row(i));
            let closeness = if squared > 0.0 { self.closeness(c, i) / squared } else { 0.0 };
            if closeness < least || (closeness == least && i < far) {
                (least, far) = (closeness, i);
            }
        }
        (far, least.sqrt())
    }

    /// Adds weight p_i, turned to the phase of c, to `sum`.
    #[inline(always)]
    fn add_aligned(&self, c: &[f64], i: u32, weight: f64, sum: &mut [f64]) {
        let (re, im) = self.inner(c, i);
        let size = re.hypot(im);
        let (re, im) = if size > 0.0 { (weight * re / size, -weight * im / size) } else { (weight, 0.0) };
        let p = self.row(i);
        if !self.complex {
            sum.iter_mut().zip(p).for_each(|(sum, p)| *sum += re * p.to_f64());
            return;
        }
        for (sum, p) in sum.chunks_exact_mut(2).zip(p.chunks_exact(2)) {
            let (pr, pi) = (p[0].to_f64(), p[1].to_f64());
            sum[0] += re * pr - im * pi;
            sum[1] += re * pi + im * pr;
        }
    }
}

/// Scales to unit norm; false where there is nothing to scale.
fn normalise(c: &mut [f64]) -> bool {
    let norm = dot(c, c).sqrt();
    if norm > 0.0 {
        c.iter_mut().for_each(|c| *c /= norm);
    }
    norm > 0.0
}

/// A ball around the directions of some atoms.
struct Ball<T> {
    centre: Vec<T>,
    radius: f64,
    slack: T,
}

struct Enclose<'a, T> {
    points: Points<'a, T>,
    order: &'a [u32],
}

impl<T: Real> Enclose<'_, T> {
    /// A starting point: the mean direction, phases turned to that of the first atom.
    #[inline(always)]
    fn mean(&self) -> Vec<f64> {
        let reference = self.points.double(self.order[0]);
        let mut sum = vec![0.0; self.points.width];
        for &i in self.order {
            self.points.add_aligned(&reference, i, 1.0, &mut sum);
        }
        sum
    }
}

impl<T: Real> Kernel<f64> for Enclose<'_, T> {
    type Output = Ball<T>;

    #[inline(always)]
    unsafe fn run<S: Simd<T = f64>>(self) -> Ball<T> {
        let Self { points, order } = self;
        let mut centre = self.mean();
        let mut ball = (f64::NEG_INFINITY, vec![0.0; points.width]);
        for step in 0..=STEPS {
            if !normalise(&mut centre) {
                break;
            }
            // The radius is that of the centre as it is stored.
            let stored: Vec<f64> = centre.iter().map(|&c| T::from_f64(c).to_f64()).collect();
            let (far, cos) = points.farthest(&stored, order);
            let cos = cos / dot(&stored, &stored).sqrt();
            if cos > ball.0 {
                ball = (cos, stored);
            }
            let mut pull = vec![0.0; points.width];
            points.add_aligned(&centre, far, 1.0, &mut pull);
            let weight = 1.0 / (step + 2) as f64;
            centre.iter_mut().zip(&pull).for_each(|(c, p)| *c += weight * (p - *c));
        }
        let slack = order.iter().fold(T::default(), |most, &i| {
            let slack = points.slack[i as usize];
            if slack > most { slack } else { most }
        });
        Ball {
            centre: ball.1.iter().map(|&c| T::from_f64(c)).collect(),
            radius: ball.0.clamp(0.0, 1.0).acos() + MARGIN,
            slack,
        }
    }
}

/// How much nearer an atom is to the first of two far atoms than to the second.
struct Sides<'a, T> {
    points: Points<'a, T>,
    order: &'a [u32],
}

impl<T: Real> Kernel<f64> for Sides<'_, T> {
    type Output = Vec<(f64, u32)>;

    #[inline(always)]
    unsafe fn run<S: Simd<T = f64>>(self) -> Self::Output {
        let Self { points, order } = self;
        let (p, _) = points.farthest(&points.double(order[0]), order);
        let p = points.double(p);
        let (q, _) = points.farthest(&p, order);
        let q = points.double(q);
        order.iter().map(|&i| (points.closeness(&p, i) - points.closeness(&q, i), i)).collect()
    }
}

/// Orders atoms such that the first `head` lie on one side of the rest.
fn bisect<T: Real>(points: Points<'_, T>, order: &mut [u32], head: usize) {
    let mut sides = dispatch::<f64, _>(Sides { points, order });
    sides.select_nth_unstable_by(head, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.iter_mut().zip(sides).for_each(|(place, (_, i))| *place = i);
}

/// Orders atoms into `parts` of whole blocks, as equal as they can be; their lengths.
fn divide<T: Real>(points: Points<'_, T>, order: &mut [u32], parts: usize, job: &Job) -> Result<Vec<usize>> {
    if parts == 1 {
        return Ok(vec![order.len()]);
    }
    job.check()?;
    let (blocks, left) = (order.len().div_ceil(LANES), parts / 2);
    let head = blocks * left / parts * LANES;
    bisect(points, order, head);
    let parallel = order.len() > PARALLEL;
    let (a, b) = order.split_at_mut(head);
    let (lengths, rest) = if parallel {
        rayon::join(|| divide(points, a, left, job), || divide(points, b, parts - left, job))
    } else {
        (divide(points, a, left, job), divide(points, b, parts - left, job))
    };
    let mut lengths = lengths?;
    lengths.extend(rest?);
    Ok(lengths)
}

/// Into how many children a node goes; one that is a leaf, into none.
fn parts(atoms: usize) -> usize {
    let blocks = atoms.div_ceil(LANES);
    if blocks <= LEAF_BLOCKS { 0 } else { blocks.div_ceil(SPLIT_BLOCKS).min(LANES) }
}

impl<T: Real> Tree<T> {
    /// The tree over `points`.
    pub fn new(points: Points<'_, T>, job: &Job) -> Result<Self> {
        let count = points.slack.len();
        let mut order: Vec<u32> = (0..count as u32).collect();
        let mut tree = Self {
            width: points.width,
            blocks: Vec::new(),
            index: Vec::new(),
            slack: Vec::new(),
            nodes: vec![Node { first: 0, last: count.div_ceil(LANES) as u32, branch: None }],
            branches: Vec::new(),
            centres: Vec::new(),
        };
        let mut level = 0..1;
        while !level.is_empty() {
            let next = tree.nodes.len();
            tree.grow(points, &mut order, level, job)?;
            level = next..tree.nodes.len();
        }
        tree.index = order;
        tree.store(points);
        Ok(tree)
    }

    /// Divides the nodes of a level.
    fn grow(&mut self, points: Points<'_, T>, order: &mut [u32], level: Range<usize>, job: &Job) -> Result<()> {
        let count = order.len();
        let (mut rest, mut at, mut pieces) = (order, 0, Vec::new());
        for node in level {
            let Node { first, last, .. } = self.nodes[node];
            let (start, end) = (first as usize * LANES, (last as usize * LANES).min(count));
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(start - at).1.split_at_mut(end - start);
            (rest, at) = (after, end);
            if parts(piece.len()) > 0 {
                pieces.push((node, piece));
            }
        }
        let divide_one = |(node, piece): (usize, &mut [u32])| {
            job.check()?;
            let lengths = divide(points, piece, parts(piece.len()), job)?;
            let starts = lengths.iter().scan(0, |end, length| {
                *end += length;
                Some(*end - length)
            });
            let children: Vec<_> = starts.zip(&lengths).map(|(start, &length)| &piece[start..][..length]).collect();
            let balls = children.into_par_iter().map(|order| dispatch::<f64, _>(Enclose { points, order }));
            Ok((node, lengths, balls.collect::<Vec<_>>()))
        };
        for (node, lengths, balls) in pieces.into_par_iter().map(divide_one).collect::<Result<Vec<_>>>()? {
            self.adopt(node, &lengths, &balls);
        }
        Ok(())
    }

    /// Gives a node its children.
    fn adopt(&mut self, node: usize, lengths: &[usize], balls: &[Ball<T>]) {
        let zero = [T::default(); LANES];
        let (first, count) = (self.nodes.len() as u32, lengths.len() as u32);
        let mut branch = Branch { first, count, cos: zero, sin: zero, slack: zero };
        let centres = self.centres.len();
        self.centres.resize(centres + self.width * LANES, T::default());
        let mut block = self.nodes[node].first;
        for (lane, (length, ball)) in lengths.iter().zip(balls).enumerate() {
            let blocks = length.div_ceil(LANES) as u32;
            self.nodes.push(Node { first: block, last: block + blocks, branch: None });
            block += blocks;
            let radius = ball.radius.min(std::f64::consts::FRAC_PI_2);
            branch.cos[lane] = T::from_f64(radius.cos().max(0.0));
            branch.sin[lane] = T::from_f64(radius.sin());
            branch.slack[lane] = ball.slack;
            for (k, &c) in ball.centre.iter().enumerate() {
                self.centres[centres + k * LANES + lane] = c;
            }
        }
        self.nodes[node].branch = Some(self.branches.len() as u32);
        self.branches.push(branch);
    }

    /// Puts the atoms into blocks, in the order of the leaves.
    fn store(&mut self, points: Points<'_, T>) {
        let (width, block_len) = (self.width, self.width * LANES);
        self.slack = self.index.iter().map(|&i| points.slack[i as usize]).collect();
        self.slack.resize(self.index.len().next_multiple_of(LANES), T::default());
        self.blocks = zeros(self.index.len().div_ceil(LANES) * block_len);
        let atoms = self.index.par_chunks(LANES);
        self.blocks.par_chunks_mut(block_len).zip(atoms).for_each(|(block, atoms)| {
            for (lane, &atom) in atoms.iter().enumerate() {
                for (k, &x) in points.row(atom).iter().enumerate().take(width) {
                    block[k * LANES + lane] = x;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinray_core::philox::Stream;

    fn points(count: usize, width: usize, spread: f64) -> Vec<f32> {
        let mut stream = Stream::new(3, 0);
        let rows = (0..count).flat_map(|_| {
            let mut row: Vec<f64> =
                (0..width).map(|k| f64::from(u8::from(k == 0)) + spread * stream.normal()).collect();
            normalise(&mut row);
            row
        });
        rows.map(|x| x as f32).collect()
    }

    #[test]
    fn every_atom_is_in_one_leaf_and_in_the_balls_above_it() {
        for (count, complex) in [(1, false), (15, true), (65, false), (1000, true), (5000, false)] {
            let entries = points(count, 6, 0.3);
            let slack: Vec<f32> = (0..count).map(|i| (i % 7) as f32).collect();
            let points = Points { entries: &entries, width: 6, complex, slack: &slack };
            let tree = Tree::new(points, &Job::new()).unwrap();
            let mut atoms = tree.index.clone();
            atoms.sort_unstable();
            assert!(atoms.iter().enumerate().all(|(i, &atom)| i == atom as usize) && atoms.len() == count);
            let mut covered = 0;
            for node in &tree.nodes {
                let Some(b) = node.branch else {
                    covered += node.last - node.first;
                    continue;
                };
                let branch = &tree.branches[b as usize];
                for lane in 0..branch.count as usize {
                    let child = tree.nodes[branch.first as usize + lane];
                    let centre: Vec<f64> =
                        (0..6).map(|k| f64::from(tree.centres[(b as usize * 6 + k) * LANES + lane])).collect();
                    let last = (child.last as usize * LANES).min(count);
                    for &atom in &tree.index[child.first as usize * LANES..last] {
                        let cos = points.closeness(&centre, atom).sqrt() / dot(&centre, &centre).sqrt();
                        assert!(
                            cos >= f64::from(branch.cos[lane]) - 1e-6 && branch.slack[lane] >= slack[atom as usize]
                        );
                    }
                }
            }
            assert_eq!(covered as usize, count.div_ceil(LANES));
        }
    }
}
