//! Rays in a plane: parallel and fan beams, one image at a time.
//!
//! Integral: p = ∫ f along the ray. Discretisation (Joseph 1982): f is sampled where the ray crosses
//! each slab of its driving axis and interpolated linearly across it; the sum is multiplied by the path
//! per slab. Outside the grid f ramps linearly to 0 within one pixel.
//!
//!   forward:  p_k = len_k Σ_s Σ_i hat(alpha_k + beta_k s - i) f[s, i]        hat(t) = max(0, 1 - |t|)
//!   adjoint:  f[s, i] = Σ_views Σ_k hat(alpha_k + beta_k s - i) len_k p_k
//!
//! Both compute the crossing alpha_k + beta_k s by the same rounded expression, so the pair is adjoint
//! up to the rounding of sums. No gathers in the usual case: 16 neighbouring rays (forward) or pixels
//! (adjoint) touch fewer than 32 neighbouring entries, which two loads and a permute deliver. The adjoint
//! visits pixels and collects the few rays within one pixel of each, so no two threads write one pixel
//! and the bits do not depend on the number of threads.
//!
//! Lanes run along the transverse index; rays driven along x read (write) the transposed image.

mod adjoint;
mod candidates;
mod forward;
mod turns;

pub use adjoint::adjoint;
pub use forward::forward;

#[cfg(test)]
mod tests {
    use crate::geometry::{Beam, Scan, tests};
    use crate::plane;
    use crate::reference::{check, projector};
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

    projector!(Plane, plane);

    const FLAT: Beam = Beam::Divergent { sod: 90.0, sdd: 140.0, curved: false };
    const CURVED: Beam = Beam::Divergent { sod: 90.0, sdd: 90.0, curved: true };

    fn scan(beam: Beam, shape: [usize; 3], views: usize, detector: [usize; 2]) -> Scan {
        let mut scan = tests::scan(beam, shape, views, detector);
        (scan.grid.origin[0], scan.offset[0]) = (0.0, 0.0);
        scan
    }

    #[test]
    fn both_directions_are_the_joseph_model() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            for (shape, columns) in
                [([1, 33, 47], 61), ([1, 70, 64], 90), ([1, 1, 1], 1), ([1, 5, 2], 40), ([1, 40, 3], 2)]
            {
                check(&scan(beam, shape, 13, [1, columns]), &Plane);
            }
        }
    }

    #[test]
    fn bins_much_finer_or_coarser_than_pixels_take_the_gather_path() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            for (pitch, columns) in [(0.11, 300), (0.4, 120), (4.5, 17), (30.0, 5)] {
                let mut scan = scan(beam, [1, 37, 41], 7, [1, columns]);
                scan.pitch[1] = pitch;
                check(&scan, &Plane);
            }
        }
    }

    #[test]
    fn rays_along_axes_and_diagonals_agree() {
        for beam in [Beam::Parallel, FLAT] {
            let mut scan = scan(beam, [1, 24, 24], 8, [1, 37]);
            scan.grid.spacing = [1.0; 3];
            scan.grid.origin = [0.0, -11.5, -11.5];
            (scan.pitch, scan.offset) = ([1.0; 2], [0.0; 2]);
            scan.angles = (0..8).map(|k| k as f64 * FRAC_PI_4).collect();
            check(&scan, &Plane);
        }
    }

    #[test]
    fn a_source_beside_the_grid_sees_only_what_lies_ahead() {
        let mut wide: Scan = scan(Beam::Divergent { sod: 21.0, sdd: 40.0, curved: true }, [1, 20, 30], 5, [1, 90]);
        wide.grid.origin = [0.0, -9.0, -16.0];
        wide.angles = vec![0.0, 1.0, FRAC_PI_2 + 1e-8, 3.0, 3.0 * FRAC_PI_2 + 1e-9];
        check(&wide, &Plane);
    }

    #[test]
    fn blocks_that_pass_beside_a_corner_stay_inside_the_padding() {
        let mut beside = scan(Beam::Divergent { sod: 600.0, sdd: 900.0, curved: false }, [1, 288, 288], 4, [1, 400]);
        (beside.grid.spacing, beside.grid.origin) = ([0.8; 3], [0.0, -114.8, -114.8]);
        (beside.pitch, beside.offset) = ([1.2; 2], [0.0; 2]);
        beside.angles = [104.0f64, 194.0, 256.0, 346.0].map(f64::to_radians).to_vec();
        check(&beside, &Plane);
    }

    #[test]
    fn views_that_see_the_grid_alike_share_their_rays() {
        for beam in [Beam::Parallel, FLAT, CURVED] {
            for (ny, nx) in [(1, 1), (2, 2), (24, 24), (33, 33), (32, 24), (23, 38)] {
                // Half a turn, three quarters, one turn, more than one; then a view without a partner.
                for (views, start) in [(4, 0.3), (6, 0.3), (8, 0.0), (12, 0.1), (19, 0.3)] {
                    let mut centred = scan(beam, [1, ny, nx], views, [1, 2 * nx]);
                    centred.grid.spacing = [1.1; 3];
                    centred.grid.origin = [0.0, -0.55 * (ny as f64 - 1.0), -0.55 * (nx as f64 - 1.0)];
                    centred.angles =
                        (0..views).map(|v| start - FRAC_PI_4 * (v as f64 + (v / 18) as f64 * 0.1)).collect();
                    check(&centred, &Plane);
                }
            }
        }
    }
}
