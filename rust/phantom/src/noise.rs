//! Band-limited random fields: cubic B-splines with independent random coefficients on a lattice.
//!
//!   n(p) = c sum_ijk a_ijk B(x / l - i) B(y / l - j) B(z / l - k)
//!
//! with lattice constant l, and c such that the variance over all places is 1. Its spectrum is that of the spline,
//! sinc^8 along each axis: most of it lies below f = 1 / (2 l). One field for each octave of l makes any power law
//! (Perlin 1985, "An image synthesizer", with splines in place of gradients). The coefficient of a node depends on the
//! phantom's key, the field and the node alone, whichever part of the lattice is needed.

use spinray_core::philox::philox;

/// Number of octaves.
pub const OCTAVES: usize = 8;
/// Their lattice constants in mm.
pub const LATTICE: [f32; OCTAVES] = [128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0];

/// Mean square of cubic B-spline interpolation of unit white noise, per axis: the integral of B^4's own square.
const SPLINE_POWER: f32 = 151.0 / 315.0;

/// A random field over a box.
pub struct Field {
    spacing: f32,
    /// Lattice position of the world's origin.
    offset: [f32; 3],
    /// First node kept, (x, y, z).
    first: [i32; 3],
    /// Nodes kept, (x, y, z).
    nodes: [usize; 3],
    /// By z, y and x.
    coefficients: Vec<f32>,
}

/// Where a line of voxels meets the lattice: first node and spline weights of each.
pub struct Taps {
    nodes: Vec<u32>,
    weights: Vec<[f32; 4]>,
}

/// Cubic B-spline at the four nodes around a fraction 0 <= u < 1.
fn spline(u: f32) -> [f32; 4] {
    let v = 1.0 - u;
    let inner = |t: f32| 2.0 / 3.0 - t * t * (1.0 - t / 2.0);
    [v * v * v / 6.0, inner(u), inner(v), u * u * u / 6.0]
}

impl Field {
    /// Field number `tag` of a phantom's `key`, over the box from `low` to `high`, (x, y, z) in mm.
    pub fn new(key: [u32; 2], tag: u32, spacing: f32, low: [f32; 3], high: [f32; 3]) -> Self {
        // Counters of nodes end in an even number, that of the offset in an odd one.
        let shift = philox([0, 0, 0, 2 * tag + 1], key);
        let offset = std::array::from_fn(|axis| (shift[axis] >> 8) as f32 / (1 << 24) as f32);
        let node = |axis: usize, x: f32| (x / spacing + offset[axis]).floor() as i32;
        let first = std::array::from_fn(|axis| node(axis, low[axis]) - 1);
        let nodes: [usize; 3] = std::array::from_fn(|axis| (node(axis, high[axis]) + 3 - first[axis]) as usize);
        let mut coefficients = Vec::with_capacity(nodes.iter().product());
        for z in 0..nodes[2] {
            for y in 0..nodes[1] {
                let row = [first[0], first[1] + y as i32, first[2] + z as i32];
                append_row(&mut coefficients, key, tag, row, nodes[0]);
            }
        }
        Self { spacing, offset, first, nodes, coefficients }
    }

    fn place(&self, axis: usize, x: f32) -> (usize, [f32; 4]) {
        let t = x / self.spacing + self.offset[axis];
        let below = t.floor();
        ((below as i32 - 1 - self.first[axis]) as usize, spline(t - below))
    }

    /// Where voxels at these x meet the lattice.
    pub fn taps(&self, xs: &[f32]) -> Taps {
        let places = xs.iter().map(|&x| self.place(0, x));
        let (nodes, weights) = places.map(|(node, weights)| (node as u32, weights)).unzip();
        Taps { nodes, weights }
    }

    /// Writes the field along the line (y, z) at the voxels of `taps`; `line` is room for its nodes.
    #[inline(always)]
    pub fn along(&self, y: f32, z: f32, taps: &Taps, line: &mut Vec<f32>, out: &mut [f32]) {
        let ((j, wy), (k, wz)) = (self.place(1, y), self.place(2, z));
        let n = self.nodes[0];
        line.clear();
        line.resize(n, 0.0);
        for (dk, wz) in wz.iter().enumerate() {
            for (dj, wy) in wy.iter().enumerate() {
                let start = ((k + dk) * self.nodes[1] + j + dj) * n;
                let weight = wz * wy;
                for (line, coefficient) in line.iter_mut().zip(&self.coefficients[start..start + n]) {
                    *line += weight * coefficient;
                }
            }
        }
        for ((out, &node), w) in out.iter_mut().zip(&taps.nodes).zip(&taps.weights) {
            let c = &line[node as usize..node as usize + 4];
            *out = w[0] * c[0] + w[1] * c[1] + w[2] * c[2] + w[3] * c[3];
        }
    }
}

/// Appends the coefficients of a row of nodes; four nodes share one call of the generator.
fn append_row(coefficients: &mut Vec<f32>, key: [u32; 2], tag: u32, row: [i32; 3], n: usize) {
    let scale = (12.0 / SPLINE_POWER.powi(3)).sqrt();
    let mut block = [0; 4];
    for i in 0..n as i32 {
        let x = row[0] + i;
        if i == 0 || x.rem_euclid(4) == 0 {
            block = philox([x.div_euclid(4) as u32, row[1] as u32, row[2] as u32, 2 * tag], key);
        }
        let uniform = (block[x.rem_euclid(4) as usize] >> 8) as f32 / (1 << 24) as f32;
        coefficients.push(scale * (uniform - 0.5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(field: &Field, y: f32, xs: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; xs.len()];
        field.along(y, 0.3, &field.taps(xs), &mut Vec::new(), &mut out);
        out
    }

    #[test]
    fn a_field_has_mean_zero_and_variance_one() {
        let field = Field::new([1, 2], 5, 2.0, [0.0; 3], [2000.0, 2000.0, 1.0]);
        let xs: Vec<f32> = (0..1000).map(|i| i as f32 * 1.9).collect();
        let values: Vec<f32> = (0..500).flat_map(|j| row(&field, j as f32 * 3.7, &xs)).collect();
        let n = values.len() as f32;
        let (mean, square) = (values.iter().sum::<f32>() / n, values.iter().map(|v| v * v).sum::<f32>() / n);
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.07, "mean {mean}, mean square {square}");
    }

    #[test]
    fn a_part_of_the_lattice_gives_what_the_whole_gives() {
        let xs: Vec<f32> = (0..20).map(|i| 30.0 + i as f32 * 0.7).collect();
        let whole = Field::new([7, 9], 3, 4.0, [-100.0; 3], [100.0; 3]);
        let part = Field::new([7, 9], 3, 4.0, [30.0, 10.0, 0.0], [45.0, 12.0, 1.0]);
        assert_eq!(row(&whole, 11.0, &xs), row(&part, 11.0, &xs));
    }

    #[test]
    fn fields_are_smooth_and_differ_by_tag_and_key() {
        let xs: Vec<f32> = (0..400).map(|i| i as f32 * 0.01).collect();
        let at = |key, tag| row(&Field::new(key, tag, 1.0, [0.0; 3], [4.0, 1.0, 1.0]), 0.5, &xs);
        let one = at([1, 1], 0);
        assert!(one.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.1), "no jump at a node");
        assert!(one != at([1, 1], 1) && one != at([2, 1], 0));
    }
}
