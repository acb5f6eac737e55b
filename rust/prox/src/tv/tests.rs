//! The blocked, in-place sweep against the iteration written out plainly, and the optimum against what defines it.

use super::*;
use spinray_core::philox::Stream;

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut stream = Stream::new(seed, 0);
    (0..n).map(|_| stream.normal()).collect()
}

/// (z, y, x) of the axes that exist.
fn axes(extent: &Extent) -> Vec<(usize, usize)> {
    let (plane, row) = (extent.plane(), extent.columns);
    let mut axes = vec![(1, extent.columns), (plane, extent.planes)];
    if extent.components == 3 {
        axes.push((row, extent.rows));
    }
    axes
}

/// Forward difference of voxel i along an axis of this stride and length.
fn difference(x: &[f64], i: usize, (stride, length): (usize, usize)) -> f64 {
    if (i / stride) % length + 1 < length { x[i + stride] - x[i] } else { 0.0 }
}

/// The iteration of Beck & Teboulle with whole arrays: the image after `n_iter` iterations from a dual of zeros.
fn plain(v: &[f64], extent: &Extent, tv: &TotalVariation, n_iter: usize) -> Vec<f64> {
    let (axes, scale) = (axes(extent), tv.stored_scale(extent));
    let lipschitz = 4.0 * scale.iter().map(|s| s * s).sum::<f64>();
    let image = |r: &[Vec<f64>]| -> Vec<f64> {
        let mut x = v.to_vec();
        for (c, &(stride, length)) in axes.iter().enumerate() {
            for i in 0..x.len() {
                let k = (i / stride) % length;
                let before = if k > 0 { r[c][i - stride] } else { 0.0 };
                let here = if k + 1 < length { r[c][i] } else { 0.0 };
                x[i] += tv.weight * scale[c] * (here - before);
            }
        }
        x.iter().map(|x| x.clamp(tv.bounds.0, tv.bounds.1)).collect()
    };
    let mut p = vec![vec![0.0; v.len()]; axes.len()];
    let (mut q, mut t) = (p.clone(), 1.0f64);
    for _ in 0..n_iter {
        let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
        let beta = (t - 1.0) / next;
        t = next;
        let mut r = p.clone();
        for c in 0..axes.len() {
            for i in 0..v.len() {
                r[c][i] += beta * (p[c][i] - q[c][i]);
            }
        }
        let x = image(&r);
        for i in 0..v.len() {
            let u: Vec<f64> = (0..axes.len())
                .map(|c| r[c][i] + scale[c] / (tv.weight * lipschitz) * difference(&x, i, axes[c]))
                .collect();
            let length = u.iter().map(|u| u * u).sum::<f64>().sqrt().max(1.0);
            for c in 0..axes.len() {
                q[c][i] = u[c] / length;
            }
        }
        std::mem::swap(&mut p, &mut q);
    }
    image(&p)
}

fn run<T: Real>(
    v: &[T],
    extent: &Extent,
    tv: &TotalVariation,
    stop: Stop,
    threads: usize,
) -> (Vec<T>, Vec<T>, Outcome) {
    let (mut dual, mut out) = (vec![T::from_f64(f64::NAN); extent.dual_len()], vec![T::default(); v.len()]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut spare = dual.clone();
    let duals = Duals { newest: &mut dual, spare: &mut spare, warm: false };
    let outcome = pool.install(|| prox(v, extent, tv, &stop, duals, &mut out, &Job::new())).unwrap();
    (out, dual, outcome)
}

fn fixed(n_iter: usize) -> Stop {
    Stop { n_iter, tolerance: None }
}

#[test]
fn the_sweep_is_the_plain_iteration() {
    // Many strips and slabs, ragged ends, single rows and columns; every number of levels in the last pass.
    for shape in [
        vec![40, 37],
        vec![1, 9],
        vec![9, 1],
        vec![130, 5],
        vec![37, 19, 6],
        vec![1, 5, 7],
        vec![66, 1, 3],
        vec![3, 900, 33],
    ] {
        let extent = Extent::new(&shape).unwrap();
        let mut tv = TotalVariation::new(0.7);
        tv.scale = [0.5, 1.0, 1.25];
        let v = noise(extent.voxels(), 7);
        for (n_iter, bounds) in [(1, f64::INFINITY), (4, 0.8), (11, 0.8), (14, f64::INFINITY)] {
            tv.bounds = (-bounds / 2.0, bounds);
            let expected = plain(&v, &extent, &tv, n_iter);
            for threads in [1, 3] {
                let (x, ..) = run(&v, &extent, &tv, fixed(n_iter), threads);
                let worst = x.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-13, "{shape:?}, {n_iter} iterations, {threads} threads: {worst}");
            }
            let single: Vec<f32> = v.iter().map(|&x| x as f32).collect();
            let (x, ..) = run(&single, &extent, &tv, fixed(n_iter), 1);
            let worst = x.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
            assert!(worst < 5e-6, "{shape:?}, {n_iter} iterations in f32: {worst}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let extent = Extent::new(&[70, 40, 33]).unwrap();
    let v: Vec<f32> = noise(extent.voxels(), 1).iter().map(|&x| x as f32).collect();
    let stop = Stop { n_iter: 37, tolerance: Some(1e-9) };
    let (one, dual, outcome) = run(&v, &extent, &TotalVariation::new(0.3), stop, 1);
    for threads in [2, 5] {
        let (x, p, other) = run(&v, &extent, &TotalVariation::new(0.3), stop, threads);
        assert!(x == one && p == dual && other.relative_gap == outcome.relative_gap);
    }
}

#[test]
fn the_gap_closes_and_bounds_the_distance() {
    let extent = Extent::new(&[24, 20, 18]).unwrap();
    let v = noise(extent.voxels(), 3);
    let mut tv = TotalVariation::new(0.4);
    tv.bounds = (-0.5, f64::INFINITY);
    let (best, ..) = run(&v, &extent, &tv, fixed(3000), 2);
    let (x, _, outcome) = run(&v, &extent, &tv, Stop { n_iter: 1000, tolerance: Some(1e-4) }, 2);
    assert!(outcome.n_iter < 1000 && outcome.relative_gap <= 1e-4, "{outcome:?}");
    let objective = value(&x, &extent, &tv, &Job::new()).unwrap()
        + x.iter().zip(&v).map(|(x, v)| (x - v) * (x - v) / 2.0).sum::<f64>();
    let distance = x.iter().zip(&best).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    assert!(distance / 2.0 <= outcome.relative_gap * objective && distance > 0.0);
    assert!(x.iter().all(|&x| x >= -0.5));
}

#[test]
fn a_kept_dual_is_a_warm_start() {
    let extent = Extent::new(&[30, 31]).unwrap();
    let (v, tv) = (noise(extent.voxels(), 4), TotalVariation::new(0.5));
    let stop = Stop { n_iter: 4000, tolerance: Some(1e-6) };
    let (x, mut dual, cold) = run(&v, &extent, &tv, stop, 1);
    let mut again = vec![0.0; v.len()];
    let mut spare = vec![0.0; dual.len()];
    let duals = Duals { newest: &mut dual, spare: &mut spare, warm: true };
    let warm = prox(&v, &extent, &tv, &stop, duals, &mut again, &Job::new()).unwrap();
    assert!(warm.n_iter * 4 <= cold.n_iter, "{} {}", warm.n_iter, cold.n_iter);
    assert!(x.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-2));
}

#[test]
fn an_even_image_stays_and_a_huge_weight_gives_the_mean() {
    let extent = Extent::new(&[8, 9, 10]).unwrap();
    let (x, ..) = run(&vec![2.5f32; extent.voxels()], &extent, &TotalVariation::new(3.0), fixed(20), 1);
    assert!(x.iter().all(|&x| x == 2.5));
    let v = noise(extent.voxels(), 5);
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    let (x, ..) = run(&v, &extent, &TotalVariation::new(1e3), fixed(20_000), 1);
    assert!(x.iter().all(|&x| (x - mean).abs() < 1e-6));
}

#[test]
fn no_weight_only_clamps() {
    let extent = Extent::new(&[2, 3]).unwrap();
    for weight in [0.0, 1e-300, 1e-42, 1e-25] {
        let tv = TotalVariation { bounds: (0.0, 1.0), ..TotalVariation::new(weight) };
        let (x, ..) = run(&[-1.0f32, 0.5, 2.0, 1.0, 0.0, 7.0], &extent, &tv, fixed(5), 1);
        assert_eq!(x, [0.0, 0.5, 1.0, 1.0, 0.0, 1.0]);
    }
}

#[test]
fn the_map_knows_no_units() {
    let extent = Extent::new(&[9, 8, 7]).unwrap();
    let v: Vec<f32> = noise(extent.voxels(), 8).iter().map(|&x| x as f32).collect();
    let (x, ..) = run(&v, &extent, &TotalVariation::new(0.3), fixed(40), 1);
    for unit in [2.0f32.powi(-90), 2.0f32.powi(80)] {
        let scaled: Vec<f32> = v.iter().map(|&v| v * unit).collect();
        let (y, ..) = run(&scaled, &extent, &TotalVariation::new(0.3 * f64::from(unit)), fixed(40), 1);
        assert!(x.iter().zip(&y).all(|(&x, &y)| x * unit == y));
    }
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    let extent = Extent::new(&[2, 2]).unwrap();
    let refused = |tv: TotalVariation| {
        let job = Job::new();
        let duals = Duals { newest: &mut [0.0; 8], spare: &mut [0.0; 8], warm: false };
        prox(&[0.0; 4], &extent, &tv, &fixed(1), duals, &mut [0.0; 4], &job).unwrap_err().to_string()
    };
    assert!(refused(TotalVariation::new(-1.0)).starts_with("weight"));
    assert!(refused(TotalVariation::new(1e308 * 2.0)).starts_with("weight"));
    assert!(refused(TotalVariation::new(f64::NAN)).starts_with("weight"));
    assert!(refused(TotalVariation { scale: [1.0, 0.0, 1.0], ..TotalVariation::new(1.0) }).starts_with("spacing"));
    assert!(refused(TotalVariation { bounds: (1.0, 0.0), ..TotalVariation::new(1.0) }).starts_with("bounds"));
    assert!(refused(TotalVariation { bounds: (f64::NAN, 0.0), ..TotalVariation::new(1.0) }).starts_with("bounds"));
    assert!(Extent::new(&[3]).is_err() && Extent::new(&[3, 0]).is_err());
}
