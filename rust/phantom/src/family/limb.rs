//! Arms and legs.

use super::common::{bone, solid};
use crate::draw::Draw;
use crate::render::Part;
use crate::solid::Blob;
use crate::tissue::{CORTICAL, FAT, MUSCLE, SKIN, SOFT, SPONGIOSA, VESSEL};

pub fn parts(draw: &mut Draw) -> Vec<Part> {
    let a = draw.within(62.0, 92.0);
    let b = a * draw.within(0.88, 1.08);
    let fat = draw.within(4.0, 0.25 * a);
    let (inner_a, inner_b) = (a - fat, b - fat * draw.within(0.7, 1.2));
    let offset = [draw.within(-0.15, 0.15) * a, draw.within(-0.1, 0.25) * b];
    let mut inside = muscles(inner_a, inner_b, offset, draw);
    inside.extend(vessels(inner_a, inner_b, offset, draw));
    inside.extend(bones(a, offset, draw));
    let fascia = Blob::new([0.0; 3], [inner_a, inner_b, 600.0]).lobed(draw, [0.05, 0.05, 0.04]);
    let fascia = solid(fascia, &[(0.0, SOFT), (1.0, FAT)], draw).rough(2, 1.5).with(inside).part();
    let body = Blob::new([0.0; 3], [a, b, 600.0]).lobed(draw, [0.03, 0.03, 0.03]);
    vec![solid(body, &[(0.0, SKIN), (draw.within(1.2, 2.2), FAT)], draw).with([fascia]).part()]
}

/// Bellies around the bone, with fat between them.
fn muscles(a: f32, b: f32, offset: [f32; 2], draw: &mut Draw) -> Vec<Part> {
    let (number, deep) = (draw.count(7, 10), draw.count(3, 5));
    let first = draw.within(0.0, 6.0);
    let mut belly = |k: usize| {
        // The deep ones first, around the bone.
        let (k, number, out) = if k < deep { (k, deep, 0.3) } else { (k - deep, number, 0.65) };
        let angle = first + std::f32::consts::TAU * (k as f32 + draw.within(-0.2, 0.2)) / number as f32;
        let (sine, cosine) = angle.sin_cos();
        let out = out * draw.within(0.85, 1.1);
        let centre = [0.5 * offset[0] + out * a * cosine, 0.5 * offset[1] + out * b * sine, draw.within(-60.0, 60.0)];
        let width = 3.8 * out * a / number as f32;
        let radii = [draw.within(0.32, 0.42) * a, width * draw.within(0.9, 1.25), draw.within(150.0, 400.0)];
        let outline = Blob::new(centre, radii).turned(angle).lobed(draw, [0.12, 0.12, 0.1]);
        solid(outline, &[(0.0, FAT), (0.8, MUSCLE)], draw).rough(3, 1.2).clefts(4, 6.0, 0.1).part()
    };
    (0..deep + number).map(&mut belly).collect()
}

fn vessels(a: f32, b: f32, offset: [f32; 2], draw: &mut Draw) -> Vec<Part> {
    let mut bundle = Vec::new();
    for _ in 0..3 {
        let angle = draw.within(0.0, std::f32::consts::TAU);
        let out = draw.within(0.35, 0.6);
        let at = [0.5 * offset[0] + out * a * angle.cos(), 0.5 * offset[1] + out * b * angle.sin()];
        let sheath = Blob::new([at[0], at[1], 0.0], [draw.within(7.0, 12.0), draw.within(6.0, 10.0), 500.0]);
        let mut tube = |x: f32, radius: f32, tissue: usize| {
            let outline = Blob::new([at[0] + x, at[1], 0.0], [radius, radius * draw.within(0.7, 1.1), 500.0]);
            solid(outline, &[(0.0, SOFT), (0.7, tissue)], draw).part()
        };
        let tubes = [tube(-3.5, 3.4, VESSEL), tube(3.0, 3.9, VESSEL), tube(0.0, 2.0, SOFT)];
        bundle.push(solid(sheath, &[(0.0, FAT)], draw).with(tubes).part());
    }
    bundle
}

/// One bone or two: the shaft with its marrow, or near the joint, where spongiosa fills it.
fn bones(a: f32, offset: [f32; 2], draw: &mut Draw) -> Vec<Part> {
    let near_joint = draw.chance(0.35);
    let mut parts = Vec::new();
    let mut long_bone = |at: [f32; 2], radius: f32, draw: &mut Draw| {
        let wider = if near_joint { 1.9 } else { 1.0 };
        let radii = [radius * wider * draw.within(0.85, 1.25), radius * wider, 350.0];
        let outline =
            Blob::new([at[0], at[1], 0.0], radii).turned(draw.within(0.0, 3.1)).lobed(draw, [0.06, 0.1, 0.06]);
        let cortex = radius * draw.within(0.28, 0.5);
        parts.push(if near_joint {
            bone(outline, draw.within(0.9, 1.8), draw)
        } else {
            let layers = [(0.0, CORTICAL), (cortex, SPONGIOSA), (cortex + draw.within(0.5, 2.5), FAT)];
            solid(outline, &layers, draw).rough(4, 0.5).part()
        });
    };
    let radius = a * draw.within(0.15, 0.2);
    long_bone(offset, radius, draw);
    if draw.chance(0.5) {
        let angle = draw.within(0.0, std::f32::consts::TAU);
        let away = radius * if near_joint { 3.2 } else { 2.4 };
        long_bone([offset[0] + away * angle.cos(), offset[1] + away * angle.sin()], 0.55 * radius, draw);
    }
    parts
}
