//! The Joseph model spelled out ray by ray in double precision: what the kernels are tested against.

use crate::geometry::{Beam, Scan};
use spinray_core::philox::Stream;

/// Weight of every voxel in every ray: (ray, voxel, mm), from the definition and nothing else.
pub fn weights(scan: &Scan) -> Vec<(usize, usize, f64)> {
    let [nz, ny, nx] = scan.grid.shape;
    let [n_rows, n_cols] = scan.shape;
    let mut weights = vec![];
    for (v, &t) in scan.angles.iter().enumerate() {
        let (u, d) = ([t.cos(), t.sin()], [-t.sin(), t.cos()]);
        for r in 0..n_rows {
            for c in 0..n_cols {
                let p = (c as f64 - (n_cols as f64 - 1.0) / 2.0) * scan.pitch[1] + scan.offset[1];
                let h = (r as f64 - (n_rows as f64 - 1.0) / 2.0) * scan.pitch[0] + scan.offset[0];
                // Start and an end of the ray, (x, y, z).
                let (a, b) = match scan.beam {
                    Beam::Parallel => ([p * u[0], p * u[1], h], [p * u[0] + d[0], p * u[1] + d[1], h]),
                    Beam::Divergent { sod, sdd, curved } => {
                        let (along, across) =
                            if curved { (sdd * (p / sdd).cos(), sdd * (p / sdd).sin()) } else { (sdd, p) };
                        let at = |k: usize| -sod * d[k] + along * d[k] + across * u[k];
                        ([-sod * d[0], -sod * d[1], 0.0], [at(0), at(1), h])
                    }
                };
                let index =
                    |q: [f64; 3]| [scan.grid.index(2, q[0]), scan.grid.index(1, q[1]), scan.grid.index(0, q[2])];
                let (a_index, b_index) = (index(a), index(b));
                let step = [0, 1, 2].map(|k| b_index[k] - a_index[k]);
                let mm = [0, 1, 2].map(|k| b[k] - a[k]).iter().map(|x| x * x).sum::<f64>().sqrt();
                let drive = if step[1].abs() >= step[0].abs() { 1 } else { 0 };
                let slabs = if drive == 1 { ny } else { nx };
                for s in 0..slabs {
                    let share = (s as f64 - a_index[drive]) / step[drive];
                    if scan.beam != Beam::Parallel && share <= 0.0 {
                        continue;
                    }
                    let across = a_index[1 - drive] + share * step[1 - drive];
                    let up = a_index[2] + share * step[2];
                    for i in [across.floor(), across.floor() + 1.0] {
                        for k in [up.floor(), up.floor() + 1.0] {
                            let (x, y) = if drive == 1 { (i, s as f64) } else { (s as f64, i) };
                            let inside = |q: f64, n: usize| q >= 0.0 && q < n as f64;
                            if inside(x, nx) && inside(y, ny) && inside(k, nz) {
                                let hat = (1.0 - (across - i).abs()) * (1.0 - (up - k).abs());
                                let voxel = (k as usize * ny + y as usize) * nx + x as usize;
                                weights.push(((v * n_rows + r) * n_cols + c, voxel, hat * mm / step[drive].abs()));
                            }
                        }
                    }
                }
            }
        }
    }
    weights
}

/// `A x` by the weights above.
pub fn forward(weights: &[(usize, usize, f64)], x: &[f64], rays: usize) -> Vec<f64> {
    let mut y = vec![0.0; rays];
    weights.iter().for_each(|&(ray, voxel, w)| y[ray] += w * x[voxel]);
    y
}

/// `A' y` by the weights above.
pub fn adjoint(weights: &[(usize, usize, f64)], y: &[f64], voxels: usize) -> Vec<f64> {
    let mut x = vec![0.0; voxels];
    weights.iter().for_each(|&(ray, voxel, w)| x[voxel] += w * y[ray]);
    x
}

/// Reproducible normal numbers.
pub fn noise(n: usize, seed: u64) -> Vec<f64> {
    (0..n as u64).map(|i| Stream::new(seed, i).normal()).collect()
}

/// Largest difference over largest value.
pub fn error(found: impl IntoIterator<Item = f64>, expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(1e-30, |m: f64, x| m.max(x.abs()));
    found.into_iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

/// Checks both directions of a projector, in both precisions, against the reference.
pub fn check(scan: &Scan, projector: &dyn Projector) {
    scan.check().unwrap();
    let weights = weights(scan);
    let (x, y) = (noise(2 * scan.grid.len(), 1), noise(2 * scan.len(), 2));
    let expected: Vec<f64> = x.chunks(scan.grid.len()).flat_map(|x| forward(&weights, x, scan.len())).collect();
    let back: Vec<f64> = y.chunks(scan.len()).flat_map(|y| adjoint(&weights, y, scan.grid.len())).collect();
    let single = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let name = format!("{:?} {:?} {:?} {:?}", scan.beam, scan.grid.shape, scan.shape, scan.pitch);
    let e = error(projector.forward64(scan, &x), &expected);
    assert!(e < 1e-12, "forward f64 {name}: {e}");
    let e = error(projector.forward32(scan, &single(&x)).into_iter().map(f64::from), &expected);
    assert!(e < 3e-5, "forward f32 {name}: {e}");
    let e = error(projector.adjoint64(scan, &y), &back);
    assert!(e < 1e-12, "adjoint f64 {name}: {e}");
    let e = error(projector.adjoint32(scan, &single(&y)).into_iter().map(f64::from), &back);
    assert!(e < 3e-5, "adjoint f32 {name}: {e}");
}

/// A projector's kernels in both precisions.
pub trait Projector {
    fn forward32(&self, scan: &Scan, x: &[f32]) -> Vec<f32>;
    fn forward64(&self, scan: &Scan, x: &[f64]) -> Vec<f64>;
    fn adjoint32(&self, scan: &Scan, y: &[f32]) -> Vec<f32>;
    fn adjoint64(&self, scan: &Scan, y: &[f64]) -> Vec<f64>;
}

/// Implements [`Projector`] by a module's generic `forward` and `adjoint`.
macro_rules! projector {
    ($name:ident, $module:ident) => {
        struct $name;
        impl crate::reference::Projector for $name {
            fn forward32(&self, scan: &crate::geometry::Scan, x: &[f32]) -> Vec<f32> {
                let mut y = vec![0.0; x.len() / scan.grid.len() * scan.len()];
                $module::forward(scan, x, &mut y, &spinray_core::Job::new()).unwrap();
                y
            }
            fn forward64(&self, scan: &crate::geometry::Scan, x: &[f64]) -> Vec<f64> {
                let mut y = vec![0.0; x.len() / scan.grid.len() * scan.len()];
                $module::forward(scan, x, &mut y, &spinray_core::Job::new()).unwrap();
                y
            }
            fn adjoint32(&self, scan: &crate::geometry::Scan, y: &[f32]) -> Vec<f32> {
                let mut x = vec![0.0; y.len() / scan.len() * scan.grid.len()];
                $module::adjoint(scan, y, &mut x, &spinray_core::Job::new()).unwrap();
                x
            }
            fn adjoint64(&self, scan: &crate::geometry::Scan, y: &[f64]) -> Vec<f64> {
                let mut x = vec![0.0; y.len() / scan.len() * scan.grid.len()];
                $module::adjoint(scan, y, &mut x, &spinray_core::Job::new()).unwrap();
                x
            }
        }
    };
}
pub(crate) use projector;
