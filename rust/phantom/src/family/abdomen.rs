//! The belly.

use super::common::{LONG, blob, masses, ribs, solid, spine};
use crate::draw::Draw;
use crate::render::Part;
use crate::solid::Blob;
use crate::tissue::{BOWEL_WALL, CONTENT, FAT, GAS, KIDNEY, LIVER, MUSCLE, Paint, SKIN, SOFT, SPLEEN, VESSEL};
use crate::vessels::{Root, grow};

pub fn parts(draw: &mut Draw, height: f32) -> Vec<Part> {
    let a = draw.within(142.0, 190.0);
    let b = a * draw.within(0.62, 0.78);
    let level = draw.within(-60.0, 60.0);
    let (side_fat, front_fat) = (draw.within(8.0, 34.0), draw.within(8.0, 34.0));
    let (wall_a, wall_b) = (a - side_fat, b - front_fat);
    let thickness = draw.within(11.0, 17.0);
    let (inner_a, inner_b) = (wall_a - thickness, wall_b - thickness);
    let inner = Blob::new([0.0, 4.0, 0.0], [inner_a, inner_b, LONG]).lobed(draw, [0.02, 0.02, 0.05]);
    let mut contents = loops(inner_a, inner_b, draw);
    contents.extend(organs(inner_a, inner_b, level, height, draw));
    let cavity = solid(inner, &[(0.0, SOFT), (1.5, FAT)], draw).rough(3, 1.0).with(contents).part();
    let mut inside = Vec::new();
    if level < 20.0 {
        inside.push(ribs(thickness - 5.5, draw));
    }
    inside.push(cavity);
    let back = -inner_b + draw.within(14.0, 26.0);
    for side in [-1.0, 1.0] {
        let psoas =
            Blob::new([side * draw.within(36.0, 46.0), back + 2.0, 0.0], [draw.within(13.0, 22.0), 19.0, 300.0]);
        inside.push(solid(psoas.lobed(draw, [0.1, 0.1, 0.05]), &[(0.0, MUSCLE)], draw).rough(4, 0.8).part());
    }
    inside.extend(spine(back, 1.08, draw));
    let wall = Blob::new([0.0; 3], [wall_a, wall_b, LONG]).lobed(draw, [0.03, 0.02, 0.04]);
    let muscles = solid(wall, &[(0.0, MUSCLE)], draw).rough(3, 1.5).clefts(3, 6.0, 0.12).with(inside);
    let body = Blob::new([0.0; 3], [a, b, LONG]).lobed(draw, [0.03, 0.03, 0.04]);
    vec![solid(body, &[(0.0, SKIN), (draw.within(1.2, 2.2), FAT)], draw).with([muscles.part()]).part()]
}

fn organs(a: f32, b: f32, level: f32, height: f32, draw: &mut Draw) -> Vec<Part> {
    let mut parts = vec![pancreas(b, level, draw), stomach(a, b, level, draw)];
    let centre = [-0.7 * a, -0.3 * b, level + draw.within(0.0, 35.0)];
    let spleen = Blob::new(centre, [27.0, 42.0, 50.0]).turned(draw.within(-0.4, 0.1)).lobed(draw, [0.12, 0.15, 0.1]);
    parts.push(solid(spleen, &[(0.0, SPLEEN)], draw).rough(3, 1.5).part());
    for side in [-1.0, 1.0] {
        parts.push(kidney([side * 0.5 * a, -0.48 * b, level - draw.within(0.0, 45.0)], side, draw));
    }
    parts.push(liver(a, b, level, height, draw));
    for (x, y, radius) in [(-8.0, 0.0, draw.within(8.0, 12.0)), (20.0, 4.0, draw.within(9.0, 13.0))] {
        let at = [x + draw.within(-3.0, 3.0), -0.35 * b + y + draw.within(-3.0, 5.0), 0.0];
        let tube = Blob::new(at, [radius, radius * draw.within(0.7, 1.1), LONG]);
        parts.push(solid(tube, &[(0.0, SOFT), (1.0, VESSEL)], draw).part());
    }
    parts
}

fn liver(a: f32, b: f32, level: f32, height: f32, draw: &mut Draw) -> Part {
    let centre = [a * draw.within(0.36, 0.46), b * draw.within(0.02, 0.16), level + draw.within(15.0, 45.0)];
    let outline = Blob::new(centre, [0.62 * a, 0.72 * b, 88.0]).turned(draw.within(-0.5, 0.0));
    let outline = outline.lobed(draw, [0.12, 0.15, 0.12]);
    let mut veins = Vec::new();
    for (start, direction) in [
        ([centre[0] - 0.45 * a, centre[1] - 0.25 * b, centre[2] - 15.0], [1.0, 0.3, 0.2]),
        ([centre[0] - 0.3 * a, centre[1] - 0.55 * b, centre[2] + 25.0], [0.6, 0.8, -0.3]),
    ] {
        let root = Root { start, direction, radius: draw.within(5.5, 7.5), thinnest: 0.8, slenderness: 4.5 };
        veins.push(Part::Vessels(grow(&root, &outline, height, draw), Paint::new(VESSEL, draw)));
    }
    let number = draw.count(0, 4);
    let lesions = masses(&outline, number, [4.0, 18.0], draw);
    solid(outline, &[(0.0, LIVER)], draw).rough(2, 3.0).rough(3, 1.5).with(veins).with(lesions).part()
}

fn kidney(centre: [f32; 3], side: f32, draw: &mut Draw) -> Part {
    let size = draw.within(0.9, 1.15);
    let outline = Blob::new(centre, [29.0, 24.0, 56.0].map(|r| r * size)).turned(side * draw.within(0.2, 0.9));
    let hilum = [centre[0] - side * 15.0 * size, centre[1] + 5.0, centre[2]];
    let sinus = Blob::new(hilum, [19.0, 9.0, 30.0].map(|r| r * size)).lobed(draw, [0.2, 0.25, 0.2]);
    let pelvis = blob(hilum, [7.0, 4.0, 15.0], &[(0.0, VESSEL)], draw);
    let sinus = solid(sinus, &[(0.0, FAT)], draw).rough(4, 2.5).with([pelvis]).part();
    let layers = [(0.0, KIDNEY), (draw.within(5.0, 8.0), KIDNEY)];
    solid(outline.lobed(draw, [0.05, 0.08, 0.05]), &layers, draw).rough(3, 1.0).with([sinus]).part()
}

fn stomach(a: f32, b: f32, level: f32, draw: &mut Draw) -> Part {
    let centre = [-a * draw.within(0.3, 0.42), b * draw.within(0.3, 0.45), level + draw.within(0.0, 40.0)];
    let radii = [draw.within(32.0, 52.0), draw.within(24.0, 36.0), 55.0];
    let bubble = blob([centre[0], centre[1] + draw.within(0.4, 1.3) * radii[1], centre[2]], radii, &[(0.0, GAS)], draw);
    let outline = Blob::new(centre, radii).turned(draw.within(0.0, 0.7)).lobed(draw, [0.12, 0.15, 0.1]);
    let layers = [(0.0, BOWEL_WALL), (draw.within(2.5, 5.0), CONTENT)];
    solid(outline, &layers, draw).rough(4, 1.5).with([bubble]).part()
}

fn pancreas(b: f32, level: f32, draw: &mut Draw) -> Part {
    let centre = [-20.0, -0.1 * b, level + draw.within(-20.0, 20.0)];
    let outline = Blob::new(centre, [50.0, 11.0, 14.0]).turned(draw.within(-0.5, -0.1)).lobed(draw, [0.15, 0.2, 0.2]);
    solid(outline, &[(0.0, SOFT)], draw).rough(4, 2.5).part()
}

/// Loops of bowel in front of the rest, some with gas.
fn loops(a: f32, b: f32, draw: &mut Draw) -> Vec<Part> {
    let mut bowel = |_| {
        let radius = draw.within(11.0, 24.0);
        let centre = [draw.within(-0.8, 0.8) * a, draw.within(-0.25, 0.8) * b, draw.within(-40.0, 40.0)];
        let radii = [radius * draw.within(0.8, 1.7), radius * draw.within(0.8, 1.2), radius * draw.within(1.0, 3.0)];
        let outline = Blob::new(centre, radii).turned(draw.within(0.0, 3.1)).lobed(draw, [0.15, 0.15, 0.12]);
        let mut inside = Vec::new();
        if draw.chance(0.35) {
            let above = [centre[0], centre[1] + draw.within(0.1, 0.9) * radius, centre[2]];
            inside.push(blob(above, radii.map(|r| r * draw.within(0.6, 1.1)), &[(0.0, GAS)], draw));
        }
        let layers = [(0.0, BOWEL_WALL), (draw.within(1.5, 3.0), CONTENT)];
        solid(outline, &layers, draw).rough(4, 1.0).with(inside).part()
    };
    (0..14).map(&mut bowel).collect()
}
