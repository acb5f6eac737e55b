//! The two formulas of an iteration, a row of voxels at a time.

use super::Extent;
use spinray_core::simd::{Real, Simd};

/// Constants of the functional as the row formulas use them, per component in stored order (x, z, y).
#[derive(Clone, Copy, Debug)]
pub(super) struct Model<T> {
    /// weight * scale: from the dual to the image.
    pub fall: [T; 3],
    /// scale / (weight L): from differences of the image to the dual.
    pub rise: [T; 3],
    pub lower: T,
    pub upper: T,
}

/// `row[i..i + N]`; past the end zeros (`FULL`: there is no need to look).
#[inline(always)]
unsafe fn get<S: Simd, const FULL: bool>(row: &[S::T], i: usize) -> S::V {
    if FULL {
        debug_assert!(i + S::N <= row.len());
        // SAFETY: the row holds a whole vector from i on.
        return unsafe { S::load(row.as_ptr().add(i)) };
    }
    let mut part = [S::T::default(); MOST];
    part[..row.len() - i].copy_from_slice(&row[i..]);
    // SAFETY: MOST >= N.
    unsafe { S::load(part.as_ptr()) }
}

/// Writes `row[i..i + N]`, as far as there is a row.
#[inline(always)]
unsafe fn put<S: Simd, const FULL: bool>(row: &mut [S::T], i: usize, lanes: S::V) {
    if FULL {
        debug_assert!(i + S::N <= row.len());
        // SAFETY: the row holds a whole vector from i on.
        return unsafe { S::store(row.as_mut_ptr().add(i), lanes) };
    }
    let mut part = [S::T::default(); MOST];
    // SAFETY: MOST >= N.
    unsafe { S::store(part.as_mut_ptr(), lanes) };
    let end = row.len();
    row[i..].copy_from_slice(&part[..end - i]);
}

/// No instruction set has more lanes.
const MOST: usize = 16;

/// A row of one component of the newest dual p and the one before it, q.
#[derive(Clone, Copy)]
struct Pair<'a, T> {
    p: &'a [T],
    q: &'a [T],
}

impl<T: Real> Pair<'_, T> {
    /// r = p + beta (p - q)
    #[inline(always)]
    unsafe fn ahead<S: Simd<T = T>, const FULL: bool>(&self, beta: S::V, i: usize) -> S::V {
        // SAFETY: as `get`.
        unsafe {
            let (p, q) = (get::<S, FULL>(self.p, i), get::<S, FULL>(self.q, i));
            S::fma(beta, S::sub(p, q), p)
        }
    }
}

/// The two newest duals of a block of planes, stored (plane, row, component, column).
#[derive(Clone, Copy)]
pub(super) struct Dual<'a, T> {
    pub extent: &'a Extent,
    pub p: &'a [T],
    pub q: &'a [T],
    /// A row of zeros: what stands before the first voxel of an axis.
    pub zeros: &'a [T],
}

impl<'a, T: Real> Dual<'a, T> {
    #[inline(always)]
    fn row(&self, z: usize, y: usize, component: usize) -> Pair<'a, T> {
        let n = self.extent.columns;
        let start = ((z * self.extent.rows + y) * self.extent.components + component) * n;
        Pair { p: &self.p[start..][..n], q: &self.q[start..][..n] }
    }

    #[inline(always)]
    fn nothing(&self) -> Pair<'a, T> {
        let zeros = &self.zeros[..self.extent.columns];
        Pair { p: zeros, q: zeros }
    }

    /// Row (z, y) of the image x(r) = clamp(v - w D'r), r = p + beta (p - q). `ahead`: room for a row and one.
    ///
    /// # Safety
    /// The processor has `S`'s instruction set.
    #[inline(always)]
    pub unsafe fn image_row<S: Simd<T = T>>(
        &self,
        model: &Model<T>,
        beta: T,
        (z, y): (usize, usize),
        v: &[T],
        ahead: &mut [T],
        out: &mut [T],
    ) {
        let n = self.extent.columns;
        let along_z = (self.row(z, y, 1), if z > 0 { self.row(z - 1, y, 1) } else { self.nothing() });
        // SAFETY: the caller's.
        unsafe {
            extrapolate::<S>(self.row(z, y, 0), beta, ahead);
            let (before, here) = (&ahead[..n], &ahead[1..=n]);
            if self.extent.components == 3 {
                let along_y = (self.row(z, y, 2), if y > 0 { self.row(z, y - 1, 2) } else { self.nothing() });
                descend::<S, true>(model, beta, (here, before), along_z, along_y, &v[..n], &mut out[..n]);
            } else {
                descend::<S, false>(model, beta, (here, before), along_z, along_z, &v[..n], &mut out[..n]);
            }
        }
    }
}

/// Runs `$whole` for each whole vector of a row of `$n`, then `$cut` for what is left. (A macro: a closure might
/// not be inlined, and would lose the instruction set.)
macro_rules! along_row {
    ($n:expr, |$i:ident| $whole:expr, $cut:expr) => {{
        let n = $n;
        let mut $i = 0;
        while $i + S::N <= n {
            $whole;
            $i += S::N;
        }
        if $i < n {
            $cut;
        }
    }};
}

/// Writes r of a row behind one zero, so that its differences need no special first.
#[inline(always)]
unsafe fn extrapolate<S: Simd>(row: Pair<'_, S::T>, beta: S::T, ahead: &mut [S::T]) {
    let n = row.p.len();
    ahead[0] = S::T::default();
    let ahead = &mut ahead[1..=n];
    // SAFETY: the caller's.
    unsafe {
        let beta = S::splat(beta);
        along_row!(
            n,
            |i| put::<S, true>(ahead, i, row.ahead::<S, true>(beta, i)),
            put::<S, false>(ahead, i, row.ahead::<S, false>(beta, i))
        );
    }
}

/// clamp(v - w D'r) from r of the row itself and of its neighbours before it. `Y`: there is a y component.
#[inline(always)]
unsafe fn descend<S: Simd, const Y: bool>(
    model: &Model<S::T>,
    beta: S::T,
    (x, x_before): (&[S::T], &[S::T]),
    (z, z_before): (Pair<'_, S::T>, Pair<'_, S::T>),
    (y, y_before): (Pair<'_, S::T>, Pair<'_, S::T>),
    v: &[S::T],
    out: &mut [S::T],
) {
    // SAFETY: the caller's.
    unsafe {
        let (beta, lower, upper) = (S::splat(beta), S::splat(model.lower), S::splat(model.upper));
        let fall = [S::splat(model.fall[0]), S::splat(model.fall[1]), S::splat(model.fall[2])];
        macro_rules! step {
            ($i:ident, $full:literal) => {{
                let mut sum = get::<S, $full>(v, $i);
                sum = S::fma(fall[0], S::sub(get::<S, $full>(x, $i), get::<S, $full>(x_before, $i)), sum);
                sum = S::fma(fall[1], S::sub(z.ahead::<S, $full>(beta, $i), z_before.ahead::<S, $full>(beta, $i)), sum);
                if Y {
                    let difference = S::sub(y.ahead::<S, $full>(beta, $i), y_before.ahead::<S, $full>(beta, $i));
                    sum = S::fma(fall[2], difference, sum);
                }
                put::<S, $full>(out, $i, S::min(S::max(sum, lower), upper));
            }};
        }
        along_row!(v.len(), |i| step!(i, true), step!(i, false));
    }
}

/// Rows of the image that a row of the new dual looks at.
pub(super) struct Image<'a, T> {
    /// The row itself, its last voxel repeated once.
    pub row: &'a [T],
    /// The next row along z (the row itself at the last).
    pub after: &'a [T],
    /// The next row along y (the row itself at the last).
    pub below: &'a [T],
}

/// Row of the new dual, P(r + D x / (w L)), written over q.
///
/// # Safety
/// The processor has `S`'s instruction set.
#[inline(always)]
pub(super) unsafe fn dual_row<S: Simd, const Y: bool>(
    model: &Model<S::T>,
    beta: S::T,
    p: &[S::T],
    q: &mut [S::T],
    image: &Image<'_, S::T>,
) {
    let n = image.row.len() - 1;
    let (x, right, after, below) = (&image.row[..n], &image.row[1..], &image.after[..n], &image.below[..n]);
    let (p_x, p) = p.split_at(n);
    let (p_z, p_y) = p.split_at(n);
    let (q_x, q) = q.split_at_mut(n);
    let (q_z, q_y) = q.split_at_mut(n);
    // SAFETY: the caller's.
    unsafe {
        let (beta, one) = (S::splat(beta), S::splat(S::T::from_f64(1.0)));
        let rise = [S::splat(model.rise[0]), S::splat(model.rise[1]), S::splat(model.rise[2])];
        macro_rules! r {
            ($p:ident, $q:ident, $i:ident, $full:literal) => {
                Pair { p: $p, q: $q }.ahead::<S, $full>(beta, $i)
            };
        }
        macro_rules! step {
            ($i:ident, $full:literal) => {{
                let here = get::<S, $full>(x, $i);
                let a = S::fma(rise[0], S::sub(get::<S, $full>(right, $i), here), r!(p_x, q_x, $i, $full));
                let b = S::fma(rise[1], S::sub(get::<S, $full>(after, $i), here), r!(p_z, q_z, $i, $full));
                let mut squares = S::fma(a, a, S::mul(b, b));
                let mut c = a;
                if Y {
                    c = S::fma(rise[2], S::sub(get::<S, $full>(below, $i), here), r!(p_y, q_y, $i, $full));
                    squares = S::fma(c, c, squares);
                }
                let shrink = S::div(one, S::max(S::sqrt(squares), one));
                put::<S, $full>(q_x, $i, S::mul(a, shrink));
                put::<S, $full>(q_z, $i, S::mul(b, shrink));
                if Y {
                    put::<S, $full>(q_y, $i, S::mul(c, shrink));
                }
            }};
        }
        along_row!(n, |i| step!(i, true), step!(i, false));
    }
}

/// Rows of the dual p and of v.
pub(super) type Against<'a, T> = (&'a [T], &'a [T]);

/// Sums along a row of the image: |D x| and, `against` given rows of p and v, |D x| - p . D x and (x - v)^2.
/// Lanes sum in their own precision, one row; the rows are for the caller to sum in double.
///
/// # Safety
/// The processor has `S`'s instruction set.
#[inline(always)]
pub(super) unsafe fn row_sums<S: Simd, const Y: bool>(
    scale: &[S::T; 3],
    image: &Image<'_, S::T>,
    against: Option<Against<'_, S::T>>,
) -> [f64; 3] {
    let n = image.row.len() - 1;
    let (x, right, after, below) = (&image.row[..n], &image.row[1..], &image.after[..n], &image.below[..n]);
    // SAFETY: the caller's.
    unsafe {
        let scale = [S::splat(scale[0]), S::splat(scale[1]), S::splat(scale[2])];
        let mut sums = [S::splat(S::T::default()); 3];
        macro_rules! step {
            ($i:ident, $full:literal) => {{
                let here = get::<S, $full>(x, $i);
                let a = S::mul(scale[0], S::sub(get::<S, $full>(right, $i), here));
                let b = S::mul(scale[1], S::sub(get::<S, $full>(after, $i), here));
                let c = if Y { S::mul(scale[2], S::sub(get::<S, $full>(below, $i), here)) } else { here };
                let squares = S::fma(a, a, S::mul(b, b));
                let length = S::sqrt(if Y { S::fma(c, c, squares) } else { squares });
                sums[0] = S::add(sums[0], length);
                if let Some((p, v)) = against {
                    let (p_x, p_z) = (&p[..n], &p[n..2 * n]);
                    let mut aligned = S::fma(a, get::<S, $full>(p_x, $i), S::mul(b, get::<S, $full>(p_z, $i)));
                    if Y {
                        aligned = S::fma(c, get::<S, $full>(&p[2 * n..], $i), aligned);
                    }
                    let off = S::sub(here, get::<S, $full>(v, $i));
                    sums[1] = S::add(sums[1], S::sub(length, aligned));
                    sums[2] = S::fma(off, off, sums[2]);
                }
            }};
        }
        along_row!(n, |i| step!(i, true), step!(i, false));
        let mut totals = [0.0; 3];
        for (total, lanes) in totals.iter_mut().zip(sums) {
            let mut part = [S::T::default(); MOST];
            S::store(part.as_mut_ptr(), lanes);
            *total = part[..S::N].iter().map(|x| x.to_f64()).sum();
        }
        totals
    }
}
