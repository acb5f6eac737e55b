//! Exact line integrals and volume averages of analytic shapes.
//!
//! The object is f(r) = sum_k v_k 1[r in S_k], and each S_k is a unit ball, box [-1, 1]^3 or cylinder
//! (x^2 + y^2 <= 1, |z| <= 1) seen through an affine map u = M_k (r - c_k). A plane shape has a zero third
//! row in M_k: it is the same shape, without end along z.
//!
//! - Line integral: p = sum_k v_k |{t : o + t d in S_k}| over the full line. Every S_k is an intersection of
//!   slabs and round walls, and a line meets each of those in one interval; the chord is the intersection of
//!   the intervals. Closed form in double: relative error some 1e-15 away from tangents. A line that runs
//!   inside a face counts half its chord there, so shapes that share a face add up to their union.
//! - Volume average: voxels that no surface can cut (by bounds on the voxel's reach in u) are 0 or v_k
//!   exactly; end planes parallel to voxel faces are factors in closed form, so aligned boxes are exact too. A cut voxel is the mean of
//!   s^2 (in the plane: s) exact chords along the voxel axis nearest to the surface normal, at midpoints:
//!   the error falls as 1/s^2 for smooth surfaces, and faster for the sum over a surface.
//!
//! The method of chords is that of Kak & Slaney 1988, "Principles of computerized tomographic imaging",
//! section 3.1; slabs as in Kay & Kajiya 1986, "Ray tracing complex scenes".

use rayon::prelude::*;
use spinray_core::simd::Real;
use spinray_core::{Error, Job, Result};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

type Vector = [f64; 3];

/// Rays of one piece of work.
const RAYS: usize = 1024;
/// Voxel rows of one piece of work.
const ROWS: usize = 16;
/// Local distances below this are rounding, not geometry.
const TOLERANCE: f64 = 1e-10;

/// The unit shape that the affine map is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// |u| <= 1
    Ball,
    /// |u_k| <= 1 for every k
    Box,
    /// u_x^2 + u_y^2 <= 1 and |u_z| <= 1
    Cylinder,
}

/// A homogeneous shape: `value` wherever `to_local (r - centre)` lies in the unit shape.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The unit shape.
    pub kind: Kind,
    /// What the shape adds to the object, 1/mm.
    pub value: f64,
    /// Centre (x, y, z) in mm.
    pub centre: Vector,
    /// Rows of the matrix from world (mm) to local coordinates, perpendicular to each other; the third is zero for
    /// plane shapes.
    pub to_local: [Vector; 3],
}

/// The voxels of a grid, sheared or rotated as they may be.
#[derive(Clone, Debug)]
pub struct Lattice {
    /// Number of voxels along (z, y, x).
    pub shape: [usize; 3],
    /// World position of the centre of voxel (0, 0, 0), mm.
    pub first: Vector,
    /// World steps along the z, y and x index, mm; zero along an axis that does not exist.
    pub steps: [Vector; 3],
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn along(o: Vector, t: f64, d: Vector) -> Vector {
    [o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]]
}

fn norm(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

/// Where a line is inside a convex set: between two parameters, and counted `weight` times (a half in a face).
#[derive(Clone, Copy, Debug)]
struct Chord {
    enter: f64,
    leave: f64,
    weight: f64,
}

impl Chord {
    const NONE: Self = Self { enter: 0.0, leave: 0.0, weight: 0.0 };

    /// The whole line, when it runs at `distance` from the middle of a wall pair `half` away on each side.
    fn parallel(distance: f64, half: f64) -> Self {
        let weight = if half < 0.0 || distance > half + TOLERANCE {
            0.0
        } else if distance < half - TOLERANCE {
            1.0
        } else {
            0.5
        };
        Self { enter: f64::NEG_INFINITY, leave: f64::INFINITY, weight }
    }

    fn and(self, other: Self) -> Self {
        Self {
            enter: self.enter.max(other.enter),
            leave: self.leave.min(other.leave),
            weight: self.weight * other.weight,
        }
    }

    fn is_empty(self) -> bool {
        self.weight == 0.0 || self.leave <= self.enter
    }

    fn length(self) -> f64 {
        if self.is_empty() { 0.0 } else { (self.leave - self.enter) * self.weight }
    }

    /// The part of it with t in [-1/2, 1/2].
    fn within_voxel(self) -> f64 {
        Self { enter: self.enter.max(-0.5), leave: self.leave.min(0.5), ..self }.length()
    }
}

/// The chord of o + t d in |u| <= half; components below `tiny` are rounding.
fn slab(o: f64, d: f64, half: f64, tiny: f64) -> Chord {
    if d.abs() <= tiny {
        return Chord::parallel(o.abs(), half);
    }
    let (middle, reach) = (-o / d, half / d.abs());
    Chord { enter: middle - reach, leave: middle + reach, weight: if half < 0.0 { 0.0 } else { 1.0 } }
}

/// The chord of o + t d in |u| <= radius; for a cylinder the axial components are zero.
fn round(o: Vector, d: Vector, radius: f64, tiny: f64) -> Chord {
    let dd = dot(d, d);
    if dd <= tiny * tiny {
        return Chord::parallel(norm(o), radius);
    }
    let middle = -dot(o, d) / dd;
    let nearest = along(o, middle, d);
    let squared = (radius * radius - dot(nearest, nearest)) / dd;
    if squared <= 0.0 || radius < 0.0 {
        return Chord::NONE;
    }
    let reach = squared.sqrt();
    Chord { enter: middle - reach, leave: middle + reach, weight: 1.0 }
}

impl Kind {
    /// The chord of o + t d in the unit shape with its walls moved outward by `reach`.
    ///
    /// `reach` is (ball: radius; cylinder: radius, -, z; box: x, y, z).
    #[inline]
    fn chord(self, o: Vector, d: Vector, reach: Vector) -> Chord {
        let tiny = TOLERANCE * d[0].abs().max(d[1].abs()).max(d[2].abs());
        match self {
            Kind::Ball => round(o, d, 1.0 + reach[0], tiny),
            Kind::Cylinder => {
                let side = round([o[0], o[1], 0.0], [d[0], d[1], 0.0], 1.0 + reach[0], tiny);
                if side.is_empty() { side } else { side.and(slab(o[2], d[2], 1.0 + reach[2], tiny)) }
            }
            Kind::Box => {
                let x = slab(o[0], d[0], 1.0 + reach[0], tiny);
                x.and(slab(o[1], d[1], 1.0 + reach[1], tiny)).and(slab(o[2], d[2], 1.0 + reach[2], tiny))
            }
        }
    }
}

impl Shape {
    /// A vector (not a position) in local coordinates.
    fn turn(&self, v: Vector) -> Vector {
        [dot(self.to_local[0], v), dot(self.to_local[1], v), dot(self.to_local[2], v)]
    }

    fn local(&self, r: Vector) -> Vector {
        self.turn(along(r, -1.0, self.centre))
    }

    /// Radius of a ball about the centre that holds the shape; infinite for plane shapes.
    fn bound(&self) -> f64 {
        let [a, b, c] = self.to_local.map(|row| 1.0 / norm(row));
        let radius = match self.kind {
            Kind::Ball => a.max(b).max(c),
            Kind::Box => norm([a, b, c]),
            Kind::Cylinder => a.max(b).hypot(c),
        };
        radius * (1.0 + TOLERANCE)
    }

    /// Length in mm of the line through `origin` along the unit vector `direction`; `bound` as above, squared.
    #[inline]
    fn length(&self, bound: f64, origin: Vector, direction: Vector) -> f64 {
        // Start beside the shape: a source far away would cost digits.
        let away = along(origin, -1.0, self.centre);
        let beside = along(away, -dot(away, direction), direction);
        if dot(beside, beside) > bound {
            return 0.0;
        }
        self.kind.chord(self.turn(beside), self.turn(direction), [0.0; 3]).length()
    }
}

fn vector(entries: &[f64], index: usize) -> Vector {
    [entries[3 * index], entries[3 * index + 1], entries[3 * index + 2]]
}

/// Integrals of the shapes along the full lines origin + t direction; three entries (x, y, z) a line.
///
/// # Errors
/// A direction that is not finite or has no length, an origin that is not finite.
pub fn line_integrals(shapes: &[Shape], origins: &[f64], directions: &[f64], out: &mut [f64], job: &Job) -> Result<()> {
    let bad = AtomicUsize::new(usize::MAX);
    let bounds: Vec<f64> = shapes.iter().map(|shape| shape.bound().powi(2)).collect();
    job.for_each(out.par_chunks_mut(RAYS).enumerate(), |(chunk, out)| {
        for (i, p) in out.iter_mut().enumerate() {
            let ray = chunk * RAYS + i;
            let (origin, direction) = (vector(origins, ray), vector(directions, ray));
            let length = norm(direction);
            if !(length.is_normal() && norm(origin).is_finite()) {
                bad.fetch_min(ray, Relaxed);
                continue;
            }
            let unit = direction.map(|x| x / length);
            let lengths =
                shapes.iter().zip(&bounds).map(|(shape, &bound)| shape.value * shape.length(bound, origin, unit));
            *p = lengths.sum();
        }
    })?;
    match bad.into_inner() {
        usize::MAX => Ok(()),
        ray => Err(Error::invalid(
            "rays",
            format!(
                "ray {ray} has a direction without length or a coordinate that is not finite; expected finite origins and unit directions"
            ),
        )),
    }
}

/// A shape as the voxels of a lattice see it.
struct Seen<'a> {
    shape: &'a Shape,
    /// Local steps along z, y and x.
    steps: [Vector; 3],
    /// How far a voxel reaches from its centre, in the sense of [`Kind::chord`].
    reach: Vector,
    /// Local axes along which a voxel is cut by planes parallel to its own faces: a factor in closed form.
    exact: [bool; 3],
    /// Steps and reach without those axes: what is left to sample.
    sampled_steps: [Vector; 3],
    sampled_reach: Vector,
}

impl<'a> Seen<'a> {
    fn new(shape: &'a Shape, lattice: &Lattice) -> Self {
        let steps = lattice.steps.map(|step| without_rounding(shape.turn(step)));
        let reach = reach(shape.kind, &steps);
        let exact: [bool; 3] = std::array::from_fn(|k| has_ends(shape.kind, k) && is_separate(&steps, k));
        let keep = |v: Vector| std::array::from_fn(|k| if exact[k] { 0.0 } else { v[k] });
        Self { shape, steps, reach, exact, sampled_steps: steps.map(keep), sampled_reach: keep(reach) }
    }

    /// Indices of the voxels of a row that the shape may touch, and among them those wholly inside.
    fn span(&self, start: Vector, n: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let kind = self.shape.kind;
        let (grown, shrunk) =
            (kind.chord(start, self.steps[2], self.reach), kind.chord(start, self.steps[2], self.reach.map(|r| -r)));
        let clamp = |t: f64| t.clamp(0.0, n as f64) as usize;
        if grown.is_empty() {
            return (0..0, 0..0);
        }
        // A voxel more on each side, and a grain less inside: bounds may round.
        let touched = clamp((grown.enter - 1e-6).ceil())..clamp((grown.leave + 1e-6).floor() + 1.0);
        if shrunk.is_empty() || shrunk.weight < 1.0 {
            return (touched.clone(), touched.end..touched.end);
        }
        let first = clamp((shrunk.enter + 1e-6).ceil()).clamp(touched.start, touched.end);
        let end = clamp((shrunk.leave - 1e-6).floor() + 1.0).clamp(first, touched.end);
        (touched, first..end)
    }

    /// The surface normal, in local coordinates, of the wall nearest to a voxel centred at `q`.
    fn normal(&self, q: Vector) -> Vector {
        let margin = |distance: f64, k: usize| {
            if self.sampled_reach[k] > 0.0 { (distance - 1.0) / self.sampled_reach[k] } else { f64::NEG_INFINITY }
        };
        let unit = |k: usize| std::array::from_fn(|i| f64::from(u8::from(i == k)));
        match self.shape.kind {
            Kind::Ball => q,
            Kind::Cylinder if margin(q[0].hypot(q[1]), 0) >= margin(q[2].abs(), 2) => [q[0], q[1], 0.0],
            Kind::Cylinder => unit(2),
            Kind::Box => {
                let margins: Vector = std::array::from_fn(|k| margin(q[k].abs(), k));
                unit((0..3).max_by(|&a, &b| margins[a].total_cmp(&margins[b])).unwrap_or(0))
            }
        }
    }

    /// The fraction of the voxel centred at `q` that the shape fills.
    fn filled(&self, mut q: Vector, supersampling: usize) -> f64 {
        let mut factor = 1.0;
        for k in (0..3).filter(|&k| self.exact[k]) {
            factor *= overlap(q[k], self.reach[k]);
            q[k] = 0.0;
        }
        if factor > 0.0 { factor * self.sampled(q, supersampling) } else { 0.0 }
    }

    /// The mean of chords through the voxel centred at `q`, along the voxel axis nearest to the surface normal.
    fn sampled(&self, q: Vector, supersampling: usize) -> f64 {
        let normal = self.normal(q);
        let facing = self.sampled_steps.map(|step| dot(step, normal).abs());
        let line = (0..3).max_by(|&a, &b| facing[a].total_cmp(&facing[b])).unwrap_or(2);
        let (a, b) = (self.sampled_steps[(line + 1) % 3], self.sampled_steps[(line + 2) % 3]);
        let samples = |step: Vector| if step == [0.0; 3] { 1 } else { supersampling };
        let (n_a, n_b) = (samples(a), samples(b));
        let midpoint = |i: usize, n: usize| (i as f64 + 0.5) / n as f64 - 0.5;
        let mut sum = 0.0;
        for i in 0..n_a {
            let edge = along(q, midpoint(i, n_a), a);
            for j in 0..n_b {
                let start = along(edge, midpoint(j, n_b), b);
                sum += self.shape.kind.chord(start, self.sampled_steps[line], [0.0; 3]).within_voxel();
            }
        }
        sum / (n_a * n_b) as f64
    }

    fn add_to(&self, row: &mut [f64], start: Vector, supersampling: usize) {
        let (touched, inside) = self.span(start, row.len());
        let value = self.shape.value;
        for i in (touched.start..inside.start).chain(inside.end..touched.end) {
            row[i] += value * self.filled(along(start, i as f64, self.steps[2]), supersampling);
        }
        row[inside].iter_mut().for_each(|x| *x += value);
    }
}

/// A step with the components that a rotation by a right angle left behind removed.
fn without_rounding(step: Vector) -> Vector {
    let largest = step[0].abs().max(step[1].abs()).max(step[2].abs());
    step.map(|x| if x.abs() <= TOLERANCE * largest { 0.0 } else { x })
}

/// Whether the shape is bounded along its local axis `k` by a pair of planes of their own.
fn has_ends(kind: Kind, k: usize) -> bool {
    kind == Kind::Box || (kind == Kind::Cylinder && k == 2)
}

/// Whether local axis `k` is a voxel axis, so that its cut is a factor of the filled fraction.
fn is_separate(steps: &[Vector; 3], k: usize) -> bool {
    let mut involved = steps.iter().filter(|step| step[k] != 0.0);
    let first = involved.next();
    involved.next().is_none() && first.is_none_or(|step| (0..3).all(|i| i == k || step[i] == 0.0))
}

/// How far from its centre a voxel with these local steps reaches, in the sense of [`Kind::chord`].
fn reach(kind: Kind, steps: &[Vector; 3]) -> Vector {
    let width = |k: usize| 0.5 * steps.iter().map(|step| step[k].abs()).sum::<f64>();
    let diagonal = |[x, y, z]: Vector| {
        let corner = |a: f64, b: f64| {
            let [u, v, w] = along(along(steps[0], a, steps[1]), b, steps[2]);
            0.5 * norm([x * u, y * v, z * w])
        };
        corner(1.0, 1.0).max(corner(1.0, -1.0)).max(corner(-1.0, 1.0)).max(corner(-1.0, -1.0))
    };
    match kind {
        Kind::Ball => [diagonal([1.0; 3]); 3],
        Kind::Cylinder => [diagonal([1.0, 1.0, 0.0]), 0.0, width(2)],
        Kind::Box => [width(0), width(1), width(2)],
    }
}

/// The fraction of [q - w, q + w] inside [-1, 1]; a point counts whole.
fn overlap(q: f64, w: f64) -> f64 {
    if w == 0.0 {
        return if q.abs() <= 1.0 { 1.0 } else { 0.0 };
    }
    (((q + w).min(1.0) - (q - w).max(-1.0)) / (2.0 * w)).clamp(0.0, 1.0)
}

/// Means of the shapes over every voxel of the lattice, with `supersampling` chords across a cut voxel per axis.
///
/// # Errors
/// No supersampling, or an output that is not of the lattice's size.
pub fn voxelise<T: Real>(
    shapes: &[Shape],
    lattice: &Lattice,
    supersampling: usize,
    out: &mut [T],
    job: &Job,
) -> Result<()> {
    let [nz, ny, nx] = lattice.shape;
    if supersampling == 0 {
        return Err(Error::invalid("supersampling", "0 given; expected an integer of at least 1"));
    }
    if out.len() != nz * ny * nx {
        return Err(Error::invalid("grid", format!("{} voxels do not fit an array of {}", nz * ny * nx, out.len())));
    }
    if out.is_empty() {
        return Ok(());
    }
    let seen: Vec<Seen> = shapes.iter().map(|shape| Seen::new(shape, lattice)).collect();
    job.for_each(out.par_chunks_mut(ROWS * nx).enumerate(), |(chunk, out)| {
        let mut row = vec![0.0; nx];
        for (k, out) in out.chunks_mut(nx).enumerate() {
            let (z, y) = ((chunk * ROWS + k) / ny, (chunk * ROWS + k) % ny);
            let start = along(along(lattice.first, z as f64, lattice.steps[0]), y as f64, lattice.steps[1]);
            row.fill(0.0);
            seen.iter().for_each(|seen| seen.add_to(&mut row, seen.shape.local(start), supersampling));
            out.iter_mut().zip(&row).for_each(|(out, &x)| *out = T::from_f64(x));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    fn shape(kind: Kind, half: Vector, centre: Vector) -> Shape {
        let to_local = std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 / half[i] } else { 0.0 }));
        Shape { kind, value: 1.0, centre, to_local }
    }

    fn integral(shapes: &[Shape], origin: Vector, direction: Vector) -> f64 {
        let mut out = [0.0];
        line_integrals(shapes, &origin, &direction, &mut out, &Job::new()).unwrap();
        out[0]
    }

    #[test]
    fn a_ball_has_the_chord_of_pythagoras() {
        let ball = [shape(Kind::Ball, [5.0; 3], [1.0, 2.0, 3.0])];
        assert!((integral(&ball, [1.0, 5.0, -1e4], [0.0, 0.0, 1.0]) - 8.0).abs() < 1e-12);
        assert_eq!(integral(&ball, [6.0, -9.0, 3.0], [0.0, 1.0, 0.0]), 0.0);
    }

    #[test]
    fn a_box_has_its_diagonal_and_half_its_face() {
        let cube = [shape(Kind::Box, [1.0; 3], [0.0; 3])];
        assert!((integral(&cube, [-7.0; 3], [1.0; 3]) - 12f64.sqrt()).abs() < 1e-12);
        assert_eq!(integral(&cube, [1.0, 0.3, -50.0], [0.0, 0.0, 1.0]), 1.0);
        assert_eq!(integral(&cube, [1.1, 0.3, -50.0], [0.0, 0.0, 1.0]), 0.0);
        let slanted = [6e-17, 0.0, 1.0];
        assert_eq!(integral(&cube, [1.0, 0.3, -50.0], slanted), 1.0);
    }

    #[test]
    fn a_cylinder_has_the_shorter_of_side_and_ends() {
        let cylinder = [shape(Kind::Cylinder, [2.0, 2.0, 3.0], [0.0; 3])];
        assert_eq!(integral(&cylinder, [1.0, 1.0, 9.0], [0.0, 0.0, -1.0]), 6.0);
        assert_eq!(integral(&cylinder, [-9.0, 0.0, 2.9], [1.0, 0.0, 0.0]), 4.0);
        assert_eq!(integral(&cylinder, [-9.0, 0.0, 3.1], [1.0, 0.0, 0.0]), 0.0);
        let across = integral(&cylinder, [-8.0, 0.0, -8.0], [1.0, 0.0, 1.0]);
        assert!((across - 32f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_direction_without_length_is_refused() {
        let ball = [shape(Kind::Ball, [1.0; 3], [0.0; 3])];
        for direction in [[0.0; 3], [f64::NAN, 0.0, 1.0]] {
            assert!(line_integrals(&ball, &[0.0; 3], &direction, &mut [0.0], &Job::new()).is_err());
        }
    }

    fn total(shape: &Shape, n: usize, supersampling: usize) -> f64 {
        let step = 4.0 / n as f64;
        let lattice = Lattice {
            shape: [n; 3],
            first: [0.5 * step - 2.0; 3],
            steps: [[0.0, 0.0, step], [0.0, step, 0.0], [step, 0.0, 0.0]],
        };
        let mut out = vec![0.0; n * n * n];
        voxelise(std::slice::from_ref(shape), &lattice, supersampling, &mut out, &Job::new()).unwrap();
        assert!(out.iter().all(|&x| (0.0..=1.0 + 1e-12).contains(&x)));
        out.iter().sum::<f64>() * step.powi(3)
    }

    #[test]
    fn voxels_add_up_to_the_volume() {
        let ball = total(&shape(Kind::Ball, [1.1, 0.9, 1.3], [0.1, -0.2, 0.05]), 24, 8);
        assert!((ball / (4.0 / 3.0 * PI * 1.1 * 0.9 * 1.3) - 1.0).abs() < 1e-4, "{ball}");
        let cylinder = total(&shape(Kind::Cylinder, [1.1, 0.9, 1.3], [0.1, -0.2, 0.05]), 24, 8);
        assert!((cylinder / (2.0 * PI * 1.1 * 0.9 * 1.3) - 1.0).abs() < 1e-4, "{cylinder}");
        let cube = total(&shape(Kind::Box, [1.1, 0.9, 1.3], [0.1, -0.2, 0.05]), 24, 1);
        assert!((cube - 8.0 * 1.1 * 0.9 * 1.3).abs() < 1e-12, "{cube}");
    }
}
