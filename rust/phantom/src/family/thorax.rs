//! The chest.

use super::common::{LONG, blob, bone, masses, ribs, solid, spine};
use crate::draw::Draw;
use crate::render::Part;
use crate::solid::Blob;
use crate::tissue::{FAT, GAS, HEART, LUNG, MUSCLE, Paint, SKIN, SOFT, VESSEL};
use crate::vessels::{Root, grow};

pub fn parts(draw: &mut Draw, height: f32) -> Vec<Part> {
    let a = draw.within(145.0, 182.0);
    let b = a * draw.within(0.6, 0.74);
    let level = draw.within(-55.0, 55.0);
    let (side_fat, front_fat) = (draw.within(6.0, 26.0), draw.within(5.0, 22.0));
    let (wall_a, wall_b) = (a - side_fat, b - front_fat);
    let thickness = draw.within(17.0, 24.0);
    let (inner_a, inner_b) = (wall_a - 1.4 * thickness, wall_b - thickness);
    let inner = Blob::new([0.0, 2.0, 0.0], [inner_a, inner_b, LONG]).lobed(draw, [0.02, 0.02, 0.04]);
    let contents = chest(inner_a, inner_b, level, height, draw);
    let cavity = solid(inner, &[(0.0, SOFT), (1.5, FAT)], draw).with(contents).part();
    let sternum = Blob::new([0.0, inner_b + 6.0, level - 20.0], [draw.within(16.0, 25.0), 6.5, 95.0]);
    let scapulae = [-1.0, 1.0].map(|side| {
        let centre = [side * 0.68 * wall_a, -0.72 * wall_b, level + 70.0];
        bone(Blob::new(centre, [32.0, 5.0, 75.0]).turned(side * draw.within(0.4, 0.9)), 1.5, draw)
    });
    let mut inside = Vec::from(scapulae);
    inside.extend([ribs(thickness - 5.5, draw), cavity, bone(sternum, 1.5, draw)]);
    inside.extend(spine(-inner_b + draw.within(10.0, 20.0), 1.0, draw));
    let wall = Blob::new([0.0, 0.0, 0.0], [wall_a, wall_b, LONG]).lobed(draw, [0.03, 0.02, 0.03]);
    let muscles = solid(wall, &[(0.0, MUSCLE)], draw).rough(3, 1.5).rough(2, 2.0).clefts(3, 7.0, 0.12).with(inside);
    let body = Blob::new([0.0; 3], [a, b, LONG]).lobed(draw, [0.03, 0.02, 0.03]);
    vec![solid(body, &[(0.0, SKIN), (draw.within(1.2, 2.2), FAT)], draw).with([muscles.part()]).part()]
}

/// Lungs, heart and what lies between them, in a cavity of half axes a and b.
fn chest(a: f32, b: f32, level: f32, height: f32, draw: &mut Draw) -> Vec<Part> {
    let mut parts = Vec::new();
    for side in [-1.0, 1.0] {
        let width = a * draw.within(0.44, 0.5);
        let outline = Blob::new([side * (a - width), -0.03 * b, level], [width, 0.97 * b, 150.0]);
        parts.push(lung(outline.lobed(draw, [0.06, 0.06, 0.08]), side, width, b, level, height, draw));
    }
    parts.extend(heart(a, b, level, draw));
    parts.extend(great_vessels(b, level, draw));
    parts
}

fn lung(outline: Blob, side: f32, width: f32, b: f32, level: f32, height: f32, draw: &mut Draw) -> Part {
    let mut trees = Vec::new();
    for (radius, thinnest, slenderness) in [(8.0, 0.5, 3.4), (7.0, 0.5, 3.6), (6.0, 0.5, 4.0)] {
        let start = [side * 0.15 * width, draw.within(-0.1, 0.1) * b, level + draw.within(-25.0, 25.0)];
        let direction = [side, draw.within(-0.3, 0.3), draw.within(-0.5, 0.5)];
        let root = Root { start, direction, radius, thinnest, slenderness };
        trees.push(Part::Vessels(grow(&root, &outline, height, draw), Paint::new(VESSEL, draw)));
    }
    // Bronchi: the same kind of tree, gas in a wall.
    let start = [side * 0.1 * width, 0.0, level + 15.0];
    let root = Root { start, direction: [side, 0.0, -0.5], radius: 5.5, thinnest: 1.3, slenderness: 5.0 };
    let airway = grow(&root, &outline, height, draw);
    let walls = airway.iter().map(|segment| segment.thicker(1.1)).collect();
    trees.push(Part::Vessels(walls, Paint::new(SOFT, draw)));
    trees.push(Part::Vessels(airway, Paint::new(GAS, draw)));
    let number = draw.count(0, 4);
    let nodules = masses(&outline, number, [2.5, 11.0], draw);
    solid(outline, &[(0.0, LUNG)], draw).rough(2, 3.0).rough(3, 1.5).with(trees).with(nodules).part()
}

fn heart(a: f32, b: f32, level: f32, draw: &mut Draw) -> Vec<Part> {
    let centre = [-a * draw.within(0.1, 0.22), b * draw.within(0.18, 0.34), level - draw.within(25.0, 60.0)];
    let size = draw.within(0.85, 1.15);
    let angle = draw.within(0.3, 0.8);
    let outline = Blob::new(centre, [58.0 * size, 42.0 * size, 62.0 * size]).turned(angle);
    let mut chamber = |along: f32, across: f32, radii: [f32; 3]| {
        let (sine, cosine) = angle.sin_cos();
        let at = [centre[0] + cosine * along - sine * across, centre[1] + sine * along + cosine * across, centre[2]];
        let cavity = Blob::new(at, radii.map(|r| r * size)).turned(angle).lobed(draw, [0.1, 0.12, 0.1]);
        solid(cavity, &[(0.0, VESSEL)], draw).rough(4, 1.0).part()
    };
    let chambers = [
        chamber(-18.0, -12.0, [26.0, 15.0, 36.0]),
        chamber(-12.0, 20.0, [28.0, 12.0, 38.0]),
        chamber(32.0, -10.0, [17.0, 17.0, 26.0]),
        chamber(30.0, 20.0, [16.0, 14.0, 28.0]),
    ];
    let layers = [(0.0, FAT), (draw.within(1.5, 6.0), HEART)];
    vec![solid(outline.lobed(draw, [0.05, 0.06, 0.05]), &layers, draw).rough(3, 1.0).with(chambers).part()]
}

fn great_vessels(b: f32, level: f32, draw: &mut Draw) -> Vec<Part> {
    let wall = |radius: f32, at: [f32; 2], tissue: usize, draw: &mut Draw| {
        let outline = Blob::new([at[0], at[1], level + 60.0], [radius, radius * draw.within(0.85, 1.15), 130.0]);
        let layers = [(0.0, SOFT), (draw.within(0.8, 1.8), tissue)];
        solid(outline.lobed(draw, [0.06, 0.06, 0.0]), &layers, draw).part()
    };
    let back = -0.52 * b;
    let aorta = [draw.within(-26.0, -18.0), back + draw.within(-5.0, 5.0)];
    let radius = draw.within(10.0, 14.0);
    let descending = blob([aorta[0], aorta[1], 0.0], [radius, radius, LONG], &[(0.0, SOFT), (1.2, VESSEL)], draw);
    let ascending = wall(draw.within(13.0, 18.0), [draw.within(8.0, 16.0), 0.3 * b], VESSEL, draw);
    let cava = wall(draw.within(7.0, 11.0), [draw.within(28.0, 36.0), 0.2 * b], VESSEL, draw);
    let trunk = wall(draw.within(11.0, 15.0), [draw.within(-24.0, -14.0), 0.28 * b], VESSEL, draw);
    let trachea = wall(draw.within(8.0, 10.5), [draw.within(-3.0, 6.0), -0.12 * b], GAS, draw);
    let at = [draw.within(-8.0, 2.0), back + 14.0, 0.0];
    let lumen = blob(at, [3.0, 1.6, 60.0], &[(0.0, GAS)], draw);
    let oesophagus = solid(Blob::new(at, [9.0, 6.0, LONG]), &[(0.0, SOFT)], draw).with([lumen]).part();
    vec![descending, ascending, cava, trunk, trachea, oesophagus]
}
