//! The three ways a NIfTI-1 header places its voxels, and how a new header says it.
//!
//! sform: the rows of the affine as they are. qform: x = R diag(d1, d2, qfac d3) i + q with R the
//! rotation of the unit quaternion (a, b, c, d), a = sqrt(1 - b^2 - c^2 - d^2). Neither: voxel sizes
//! only, which nibabel takes as a radiological image centred on the origin, and so do we.

use crate::Affine;
use nifti::NiftiHeader;

/// How far b^2 + c^2 + d^2 may exceed 1 by the rounding of float32 (nibabel's bound).
const QUATERNION_SLACK: f64 = 3.0 * f32::EPSILON as f64;

/// How far the columns of an affine may be from orthogonal, as a cosine, to be written as a qform.
const ORTHOGONAL: f64 = 1e-5;

/// The affine in millimetres, by the precedence sform, qform, voxel sizes.
pub fn of_header(header: &NiftiHeader) -> Result<Affine, String> {
    let (name, mut affine) = if header.sform_code > 0 {
        ("sform", sform(header))
    } else if header.qform_code > 0 {
        ("qform", qform(header)?)
    } else {
        ("pixdim", voxel_sizes_only(header))
    };
    let unit = millimetres_per_unit(header.xyzt_units);
    affine[..3].iter_mut().flatten().for_each(|x| *x *= unit);
    if affine.iter().flatten().any(|x| !x.is_finite()) {
        return Err(format!("its affine ({name}) is not finite: {:?}", &affine[..3]));
    }
    if is_singular(&affine) {
        return Err(format!("its affine ({name}) is singular: {:?}; the header is damaged", &affine[..3]));
    }
    Ok(affine)
}

/// Writes `affine` (millimetres) into the header: always as sform, and as qform too where the axes are orthogonal.
pub fn into_header(affine: &Affine, header: &mut NiftiHeader) -> Result<(), String> {
    if affine[3] != [0.0, 0.0, 0.0, 1.0] {
        return Err(format!("its last row must be (0, 0, 0, 1), got {:?}", affine[3]));
    }
    if affine.iter().flatten().any(|&x| !(x as f32).is_finite()) {
        return Err(format!("its entries must be finite in float32, got {affine:?}"));
    }
    if is_singular(affine) {
        return Err(format!("it is singular: {affine:?}; give every axis a length and a direction of its own"));
    }
    let rows = [&mut header.srow_x, &mut header.srow_y, &mut header.srow_z];
    for (row, entries) in rows.into_iter().zip(affine) {
        *row = entries.map(|x| x as f32);
    }
    (header.sform_code, header.qform_code) = (ALIGNED, 0);
    header.xyzt_units = MILLIMETRES;
    let lengths = [0, 1, 2].map(|j| length(column(affine, j)));
    header.pixdim = [1.0, lengths[0] as f32, lengths[1] as f32, lengths[2] as f32, 1.0, 1.0, 1.0, 1.0];

    let mut axes = [0, 1, 2].map(|j| column(affine, j).map(|x| x / lengths[j]));
    if [(0, 1), (0, 2), (1, 2)].iter().any(|&(a, b)| dot(axes[a], axes[b]).abs() > ORTHOGONAL) {
        return Ok(());
    }
    if dot(cross(axes[0], axes[1]), axes[2]) < 0.0 {
        axes[2] = axes[2].map(|x| -x);
        header.pixdim[0] = -1.0;
    }
    let [b, c, d] = quaternion(&axes);
    (header.quatern_b, header.quatern_c, header.quatern_d) = (b as f32, c as f32, d as f32);
    [header.quatern_x, header.quatern_y, header.quatern_z] = [0, 1, 2].map(|i| affine[i][3] as f32);
    header.qform_code = ALIGNED;
    Ok(())
}

/// NIFTI_XFORM_ALIGNED_ANAT: coordinates aligned to another file or to anatomy; nibabel writes it for new images.
const ALIGNED: i16 = 2;
/// NIFTI_UNITS_MM.
const MILLIMETRES: u8 = 2;

fn millimetres_per_unit(xyzt_units: u8) -> f64 {
    match xyzt_units & 7 {
        1 => 1e3,
        3 => 1e-3,
        _ => 1.0,
    }
}

fn sform(header: &NiftiHeader) -> Affine {
    [header.srow_x.map(f64::from), header.srow_y.map(f64::from), header.srow_z.map(f64::from), [0.0, 0.0, 0.0, 1.0]]
}

fn qform(header: &NiftiHeader) -> Result<Affine, String> {
    let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
    let remainder = 1.0 - (b * b + c * c + d * d);
    if remainder.is_nan() || remainder < -QUATERNION_SLACK {
        return Err(format!(
            "its qform quaternion (b, c, d) = ({b}, {c}, {d}) is longer than 1; the header is damaged"
        ));
    }
    let a = remainder.max(0.0).sqrt();
    let n = 2.0 / (a * a + b * b + c * c + d * d);
    let rotation = [
        [1.0 - n * (c * c + d * d), n * (b * c - a * d), n * (b * d + a * c)],
        [n * (b * c + a * d), 1.0 - n * (b * b + d * d), n * (c * d - a * b)],
        [n * (b * d - a * c), n * (c * d + a * b), 1.0 - n * (b * b + c * c)],
    ];
    let [dx, dy, dz] = voxel_sizes(header);
    // The standard reserves -1 for a left-handed frame; 0 means 1.
    let qfac = if header.pixdim[0] == -1.0 { -1.0 } else { 1.0 };
    let offset = [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from);
    let row = |i: usize| [rotation[i][0] * dx, rotation[i][1] * dy, rotation[i][2] * dz * qfac, offset[i]];
    Ok([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]])
}

fn voxel_sizes_only(header: &NiftiHeader) -> Affine {
    let [dx, dy, dz] = voxel_sizes(header);
    let half = |axis: usize| {
        let n = if axis <= usize::from(header.dim[0]) { f64::from(header.dim[axis]) } else { 1.0 };
        (n - 1.0) / 2.0
    };
    [[-dx, 0.0, 0.0, dx * half(1)], [0.0, dy, 0.0, -dy * half(2)], [0.0, 0.0, dz, -dz * half(3)], [0.0, 0.0, 0.0, 1.0]]
}

/// Sizes along x, y, z: the sign carries no meaning there, and axes that do not exist are often left 0.
fn voxel_sizes(header: &NiftiHeader) -> [f64; 3] {
    [1, 2, 3].map(|axis| match f64::from(header.pixdim[axis]).abs() {
        0.0 => 1.0,
        size => size,
    })
}

/// Whether the three axes span no volume, relative to their own lengths.
fn is_singular(affine: &Affine) -> bool {
    let axes = [0, 1, 2].map(|j| column(affine, j));
    let volume = dot(cross(axes[0], axes[1]), axes[2]).abs();
    let box_volume: f64 = axes.map(length).iter().product();
    volume.is_nan() || volume <= 1e-6 * box_volume
}

/// (b, c, d) of the unit quaternion with a >= 0 of the rotation with these columns
/// (S. W. Shepperd 1978, "Quaternion from rotation matrix": starting from the largest component avoids cancellation).
fn quaternion(columns: &[[f64; 3]; 3]) -> [f64; 3] {
    let r = |i: usize, j: usize| columns[j][i];
    let squares = [
        1.0 + r(0, 0) + r(1, 1) + r(2, 2),
        1.0 + r(0, 0) - r(1, 1) - r(2, 2),
        1.0 - r(0, 0) + r(1, 1) - r(2, 2),
        1.0 - r(0, 0) - r(1, 1) + r(2, 2),
    ];
    // Each row is 4 q_k (a, b, c, d).
    let products = [
        [squares[0], r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)],
        [r(2, 1) - r(1, 2), squares[1], r(1, 0) + r(0, 1), r(0, 2) + r(2, 0)],
        [r(0, 2) - r(2, 0), r(1, 0) + r(0, 1), squares[2], r(2, 1) + r(1, 2)],
        [r(1, 0) - r(0, 1), r(0, 2) + r(2, 0), r(2, 1) + r(1, 2), squares[3]],
    ];
    let largest = (1..4).fold(0, |best, k| if squares[k] > squares[best] { k } else { best });
    let q = products[largest];
    let scale = q.iter().map(|x| x * x).sum::<f64>().sqrt().copysign(q[0]);
    [q[1] / scale, q[2] / scale, q[3] / scale]
}

fn column(affine: &Affine, j: usize) -> [f64; 3] {
    [affine[0][j], affine[1][j], affine[2][j]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn difference(a: &Affine, b: &Affine) -> f64 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    }

    /// Rotation by `angle` about `axis` (Rodrigues), written without quaternions.
    fn rotation(axis: [f64; 3], angle: f64) -> [[f64; 3]; 3] {
        let [x, y, z] = axis.map(|u| u / length(axis));
        let (s, c) = angle.sin_cos();
        let t = 1.0 - c;
        [
            [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
            [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
            [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
        ]
    }

    proptest! {
        #[test]
        fn qform_and_sform_say_the_same(
            axis in [-1.0..1.0f64, -1.0..1.0, 0.01..1.0],
            // Half turns, where a = 0, are included by the rounding below.
            angle in prop_oneof![-3.15..3.15f64, Just(std::f64::consts::PI), Just(0.0)],
            size in [0.1..5.0f64, 0.1..5.0, 0.1..5.0],
            offset in [-300.0..300.0f64, -300.0..300.0, -300.0..300.0],
            mirrored: bool,
        ) {
            let (r, sign) = (rotation(axis, angle), if mirrored { -1.0 } else { 1.0 });
            let row = |i: usize| [r[i][0] * size[0], r[i][1] * size[1], r[i][2] * size[2] * sign, offset[i]];
            let affine = [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]];
            let mut header = NiftiHeader::default();
            into_header(&affine, &mut header).unwrap();
            prop_assert!(header.qform_code > 0 && header.sform_code > 0);
            prop_assert!(difference(&of_header(&header).unwrap(), &affine) < 1e-4);
            header.sform_code = 0;
            // float32 quaternions: a = sqrt(1 - ...) loses half the digits near a half turn.
            prop_assert!(difference(&of_header(&header).unwrap(), &affine) < 5e-3);
        }
    }

    #[test]
    fn a_tilted_gantry_is_an_sform_only() {
        let affine = [[0.5, 0.0, 0.0, 1.0], [0.0, 0.47, 0.0, 2.0], [0.0, -0.16, 4.0, 3.0], [0.0, 0.0, 0.0, 1.0]];
        let mut header = NiftiHeader::default();
        into_header(&affine, &mut header).unwrap();
        assert_eq!((header.sform_code > 0, header.qform_code), (true, 0));
        assert!(difference(&of_header(&header).unwrap(), &affine) < 1e-6);
    }

    #[test]
    fn lengths_in_metres_and_micrometres_become_millimetres() {
        let mut header = NiftiHeader { dim: [3, 1, 1, 1, 1, 1, 1, 1], ..NiftiHeader::default() };
        for (code, size) in [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)] {
            // Bits 3 to 5 hold the unit of time.
            header.xyzt_units = code | 8;
            let affine = of_header(&header).unwrap();
            assert_eq!([affine[0][0], affine[1][1], affine[2][2], affine[3][3]], [size, size, size, 1.0]);
        }
    }

    #[test]
    fn damaged_orientations_are_refused() {
        let zero = NiftiHeader { srow_y: [0.0; 4], ..NiftiHeader::default() };
        assert!(of_header(&zero).unwrap_err().contains("singular"));
        let nan = NiftiHeader { srow_y: [f32::NAN; 4], ..NiftiHeader::default() };
        assert!(of_header(&nan).unwrap_err().contains("not finite"));
        let long = NiftiHeader { sform_code: 0, quatern_b: 0.9, quatern_c: 0.9, ..NiftiHeader::default() };
        assert!(of_header(&long).unwrap_err().contains("quaternion"));
        let nan = NiftiHeader { sform_code: 0, quatern_b: f32::NAN, ..NiftiHeader::default() };
        assert!(of_header(&nan).unwrap_err().contains("quaternion"));
    }
}
