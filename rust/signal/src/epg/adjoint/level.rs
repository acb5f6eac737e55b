//! Arrays of configuration states, and loops over them that vectorise.

/// F+, F-, Z of the signal, then of every tangent; each with its orders of one component, then those of the other.
pub type Level = Vec<f64>;

/// One of the 3 parts of a set, of `width` numbers.
#[inline(always)]
pub fn part(level: &[f64], width: usize, set: usize, which: usize) -> &[f64] {
    &level[(3 * set + which) * width..][..width]
}

/// The same, to write.
#[inline(always)]
pub fn part_mut(level: &mut [f64], width: usize, set: usize, which: usize) -> &mut [f64] {
    &mut level[(3 * set + which) * width..][..width]
}

/// F+, F-, Z of a set.
#[inline(always)]
pub fn parts(level: &[f64], width: usize, set: usize) -> [&[f64]; 3] {
    [0, 1, 2].map(|which| part(level, width, set, which))
}

/// The same, to write.
#[inline(always)]
pub fn parts_mut(level: &mut [f64], width: usize, set: usize) -> [&mut [f64]; 3] {
    let (a, rest) = level[3 * set * width..][..3 * width].split_at_mut(width);
    let (b, z) = rest.split_at_mut(width);
    [a, b, z]
}

/// Sets states to a function of what they are.
// One slice an argument: only then does the compiler know that they do not overlap, and vectorises.
#[inline(always)]
pub fn each(a: &mut [f64], b: &mut [f64], z: &mut [f64], change: impl Fn([f64; 3]) -> [f64; 3]) {
    let n = a.len();
    let (b, z) = (&mut b[..n], &mut z[..n]);
    for k in 0..n {
        [a[k], b[k], z[k]] = change([a[k], b[k], z[k]]);
    }
}

/// Sets the states at `to` to a function of those at `from` and of what they are.
#[inline(always)]
pub fn update(
    from: [&[f64]; 3],
    a: &mut [f64],
    b: &mut [f64],
    z: &mut [f64],
    change: impl Fn([f64; 3], [f64; 3]) -> [f64; 3],
) {
    let n = a.len();
    let ([fa, fb, fz], b, z) = (from.map(|x| &x[..n]), &mut b[..n], &mut z[..n]);
    for k in 0..n {
        [a[k], b[k], z[k]] = change([fa[k], fb[k], fz[k]], [a[k], b[k], z[k]]);
    }
}

/// y += factor x
#[inline(always)]
pub fn add(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// Complex numbers (all real parts, then all imaginary parts) times cos + i sin.
#[inline(always)]
pub fn turn(f: &mut [f64], (cos, sin): (f64, f64)) {
    let (re, im) = f.split_at_mut(f.len() / 2);
    for (re, im) in re.iter_mut().zip(im) {
        (*re, *im) = (cos * *re - sin * *im, cos * *im + sin * *re);
    }
}

/// Sums kept apart so that they vectorise.
const LANES: usize = 8;

/// <c, dR/da x> and <c, d²R/da² x> of the cotangents c of one set and the states x of another.
#[inline(always)]
pub fn slopes_along(c: &[f64], set: usize, x: &[f64], from: usize, width: usize, (cos, sin): (f64, f64)) -> [f64; 2] {
    let term = |[a, b, z]: [f64; 3], [ca, cb, cz]: [f64; 3]| {
        let (p, cp) = (a + b, ca + cb);
        let (turned, lost) = (cos * z - 0.5 * sin * p, sin * z + 0.5 * cos * p);
        (cp * turned - cz * lost, cp * lost + cz * turned)
    };
    let (x, c) = (parts(x, width, from), parts(c, width, set));
    let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
    let [(xs, x_rest), (cs, c_rest)] = [x, c].map(|parts| {
        let cut = parts.map(|part| part.as_chunks::<LANES>());
        (cut.map(|(chunks, _)| chunks), cut.map(|(_, rest)| rest))
    });
    for k in 0..width / LANES {
        let (x, c) = (xs.map(|chunks| &chunks[k]), cs.map(|chunks| &chunks[k]));
        for lane in 0..LANES {
            let (slope, bend) = term(x.map(|x| x[lane]), c.map(|c| c[lane]));
            first[lane] += slope;
            second[lane] -= bend;
        }
    }
    for k in 0..width % LANES {
        let (slope, bend) = term(x_rest.map(|x| x[k]), c_rest.map(|c| c[k]));
        first[k] += slope;
        second[k] -= bend;
    }
    [first, second].map(|lanes| lanes.iter().sum::<f64>())
}

/// Component `c` of the conjugate.
pub fn conjugate(c: usize, f: f64) -> f64 {
    if c == 0 { f } else { -f }
}

/// Fills `to` with `from`, moved by `by` entries, and zeros.
#[inline(always)]
pub fn place(from: &[f64], to: &mut [f64], by: isize) {
    let (skip, start) = (by.min(0).unsigned_abs().min(from.len()), (by.max(0) as usize).min(to.len()));
    let end = start + (from.len() - skip).min(to.len() - start);
    to[..start].fill(0.0);
    to[start..end].copy_from_slice(&from[skip..skip + end - start]);
    to[end..].fill(0.0);
}
