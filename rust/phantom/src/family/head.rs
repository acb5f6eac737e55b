//! The head.

use super::common::{blob, bone, masses, solid};
use crate::draw::Draw;
use crate::render::Part;
use crate::solid::Blob;
use crate::tissue::{CORTICAL, FAT, FLUID, GAS, GREY, MUSCLE, SKIN, SOFT, SPONGIOSA, VESSEL, WHITE};

pub fn parts(draw: &mut Draw) -> Vec<Part> {
    let (a, b) = (draw.within(66.0, 78.0), draw.within(84.0, 96.0));
    // Height of the slice z = 0 above the middle of the brain.
    let level = draw.within(-40.0, 45.0);
    let centre = [0.0, 0.0, -level];
    let scalp = draw.within(3.5, 7.0);
    let table = draw.within(1.6, 2.4);
    let diploe = draw.within(1.5, 4.0);
    let skull = [0.0, table, table + diploe, 2.0 * table + diploe, 2.0 * table + diploe + 1.0];
    let shrink = |depth: f32| [a - depth, b - depth, 92.0 - depth];
    let vault = Blob::new(centre, shrink(scalp)).lobed(draw, [0.02, 0.02, 0.01]);
    let layers: Vec<_> = skull.into_iter().zip([CORTICAL, SPONGIOSA, CORTICAL, SOFT, FLUID]).collect();
    let inner = shrink(scalp + skull[4] + draw.within(0.5, 3.0));
    let skull = solid(vault, &layers, draw).rough(3, 0.5).with(brain(centre, inner, draw));
    let mut inside = vec![skull.part()];
    inside.extend(face(a, b, level, draw));
    let body = Blob::new([0.0, 0.0, -level], [a, b, 100.0]).lobed(draw, [0.02, 0.02, 0.02]);
    let neck = Blob::new([0.0, -0.1 * b, -level - 70.0], [0.85 * a, 0.92 * b, 90.0]);
    let layers = [(0.0, SKIN), (draw.within(1.2, 2.0), FAT), (0.7 * scalp, MUSCLE)];
    let neck = solid(neck.lobed(draw, [0.05, 0.05, 0.05]), &layers, draw).rough(3, 1.0).clefts(4, 5.0, 0.15).part();
    vec![neck, solid(body, &layers, draw).with(inside).part()]
}

/// Cortex folded around white matter, ventricles, deep nuclei, the cleft between the halves.
fn brain(centre: [f32; 3], radii: [f32; 3], draw: &mut Draw) -> Vec<Part> {
    let at = |x: f32, y: f32, z: f32| [x, centre[1] + y, centre[2] + z];
    let mut inside = Vec::new();
    let size = draw.within(0.7, 1.5);
    for side in [-1.0, 1.0] {
        let nucleus = Blob::new(at(side * 21.0, 8.0, 2.0), [8.0, 17.0, 12.0]).turned(side * 0.3);
        inside.push(solid(nucleus.lobed(draw, [0.12, 0.12, 0.1]), &[(0.0, GREY)], draw).rough(4, 0.8).part());
        let thalamus = Blob::new(at(side * 10.0, -8.0, 0.0), [8.0, 13.0, 10.0]);
        inside.push(solid(thalamus.lobed(draw, [0.1, 0.1, 0.1]), &[(0.0, GREY)], draw).part());
        for (y, turn) in [(22.0, -0.35), (-24.0, 0.5)] {
            let horn = Blob::new(at(side * 9.0 * size.sqrt(), y, 14.0), [4.0 * size, 17.0, 13.0 * size]);
            let horn = horn.turned(side * turn).lobed(draw, [0.15, 0.15, 0.1]);
            inside.push(solid(horn, &[(0.0, FLUID)], draw).part());
        }
    }
    inside.push(blob(at(0.0, -2.0, 3.0), [1.8 * size, 14.0, 12.0], &[(0.0, FLUID)], draw));
    let number = draw.count(0, 2);
    inside.extend(masses(&Blob::new(centre, radii), number, [3.0, 16.0], draw));
    inside.push(blob(at(0.0, -28.0, 2.0), [2.0, 2.0, 3.0], &[(0.0, CORTICAL)], draw));
    let tissue = solid(Blob::new(centre, radii), &[(0.0, GREY), (draw.within(2.8, 4.0), WHITE)], draw);
    let tissue = tissue.clefts(3, 15.0, 0.35).clefts(4, 7.0, 0.25).rough(3, 0.8).with(inside).part();
    let above = centre[2] + 45.0;
    let cleft = blob([0.0, centre[1], above], [1.3, radii[1] + 4.0, 62.0], &[(0.0, FLUID), (0.7, SOFT)], draw);
    let sinus = blob(at(0.0, -radii[1] + 2.0, 20.0), [4.5, 4.5, 60.0], &[(0.0, VESSEL)], draw);
    vec![tissue, cleft, sinus]
}

/// Eyes, air cells and the bone about them, the base of the skull: what lower slices meet.
fn face(a: f32, b: f32, level: f32, draw: &mut Draw) -> Vec<Part> {
    let base = -level - 48.0;
    let front = Blob::new([0.0, 0.6 * b, base - 22.0], [0.82 * a, 0.42 * b, 36.0]).lobed(draw, [0.08, 0.08, 0.05]);
    let mut parts = vec![solid(front, &[(0.0, SOFT), (2.0, MUSCLE)], draw).rough(3, 1.5).clefts(4, 8.0, 0.3).part()];
    for side in [-1.0, 1.0] {
        let petrous = Blob::new([side * 0.52 * a, -0.12 * b, base], [0.4 * a, 12.0, 13.0]).turned(side * 0.7);
        parts.push(bone(petrous.lobed(draw, [0.1, 0.15, 0.15]), 2.5, draw));
        let cells = Blob::new([side * 0.75 * a, -0.3 * b, base - 4.0], [8.0, 11.0, 14.0]);
        parts.push(cavity(cells, 4, 3.0, draw));
        let orbit = Blob::new([side * 0.45 * a, 0.66 * b, base + 4.0], [0.27 * a, 24.0, 18.0]);
        let globe = Blob::new([side * 0.45 * a, 0.72 * b, base + 4.0], [12.0, 12.0, 12.0]);
        let globe = solid(globe, &[(0.0, SOFT), (1.2, FLUID)], draw).part();
        let nerve = Blob::new([side * 0.36 * a, 0.5 * b, base + 4.0], [2.5, 20.0, 2.5]).turned(-side * 0.3);
        let nerve = solid(nerve, &[(0.0, MUSCLE)], draw).part();
        parts.push(solid(orbit, &[(0.0, CORTICAL), (1.6, FAT)], draw).with([nerve, globe]).part());
        let maxillary = Blob::new([side * 0.36 * a, 0.55 * b, base - 26.0], [15.0, 17.0, 16.0]);
        parts.push(cavity(maxillary.lobed(draw, [0.15, 0.15, 0.1]), 4, 1.0, draw));
        let frontal = [side * draw.within(6.0, 12.0), b - draw.within(11.0, 14.0), base + 32.0];
        let radii = [draw.within(5.0, 14.0), draw.within(2.5, 5.5), draw.within(5.0, 15.0)];
        parts.push(cavity(Blob::new(frontal, radii).lobed(draw, [0.2, 0.2, 0.1]), 5, 0.6, draw));
    }
    let ethmoid = Blob::new([0.0, 0.55 * b, base], [13.0, 26.0, 17.0]).lobed(draw, [0.1, 0.1, 0.1]);
    parts.push(cavity(ethmoid, 4, 4.5, draw));
    let clivus = Blob::new([0.0, 0.05 * b, base - 4.0], [14.0, 20.0, 12.0]).lobed(draw, [0.15, 0.15, 0.1]);
    parts.push(bone(clivus, 1.5, draw));
    parts
}

/// Air cells walled by thin bone, cut up by clefts.
fn cavity(outline: Blob, octave: usize, clefts: f32, draw: &mut Draw) -> Part {
    let layers = [(0.0, CORTICAL), (1.4, SOFT), (1.4 + draw.within(0.4, 2.0), GAS)];
    solid(outline, &layers, draw).clefts(octave, clefts, 0.4).part()
}
