//! What families share: bodies with skin and fat, spines, vessels cut across, masses.

use crate::draw::Draw;
use crate::render::{Outline, Part, Rough, Solid};
use crate::solid::{Bars, Blob};
use crate::tissue::{CARTILAGE, CORTICAL, FLUID, NODULE, Paint, SOFT, SPONGIOSA};

/// Far enough along z to count as a cylinder.
pub const LONG: f32 = 900.0;

/// A blob of layers: depth in mm and tissue.
pub fn solid(outline: Blob, layers: &[(f32, usize)], draw: &mut Draw) -> Solid {
    let layers = layers.iter().map(|&(depth, label)| (depth, Paint::new(label, draw))).collect();
    Solid { outline: Outline::Blob(outline), rough: Vec::new(), layers, parts: Vec::new() }
}

impl Solid {
    /// With an uneven surface: octave of the noise and amplitude in mm.
    pub fn rough(mut self, octave: usize, amplitude: f32) -> Self {
        self.rough.push(Rough { octave, amplitude, cleft: 0.0 });
        self
    }

    /// With clefts from its surface inwards.
    pub fn clefts(mut self, octave: usize, depth: f32, width: f32) -> Self {
        self.rough.push(Rough { octave, amplitude: depth, cleft: width });
        self
    }

    /// With parts inside.
    pub fn with(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        self
    }

    /// As a part of something else.
    pub fn part(self) -> Part {
        Part::Solid(self)
    }
}

/// A simple blob as a part.
pub fn blob(centre: [f32; 3], radii: [f32; 3], layers: &[(f32, usize)], draw: &mut Draw) -> Part {
    solid(Blob::new(centre, radii), layers, draw).part()
}

/// Bone: a cortex of some thickness around spongiosa.
pub fn bone(outline: Blob, cortex: f32, draw: &mut Draw) -> Part {
    solid(outline, &[(0.0, CORTICAL), (cortex, SPONGIOSA)], draw).rough(4, 0.5).part()
}

/// Ribs in the wall that is the parent.
pub fn ribs(depth: f32, draw: &mut Draw) -> Part {
    let angle = draw.within(0.35, 0.75);
    let bars = Bars {
        depth,
        half: [draw.within(4.0, 5.5), draw.within(6.0, 8.0)],
        period: draw.within(24.0, 32.0),
        phase: draw.within(0.0, 32.0),
        slope: [angle.cos(), angle.sin()],
    };
    let layers = [(0.0, CORTICAL), (draw.within(1.2, 2.0), SPONGIOSA)];
    let layers = layers.map(|(depth, label)| (depth, Paint::new(label, draw))).to_vec();
    Part::Solid(Solid { outline: Outline::Bars(bars), rough: Vec::new(), layers, parts: Vec::new() })
}

/// A spine whose vertebral bodies are centred at `y`: discs, vertebrae one above the other, arches, canal with its cord.
pub fn spine(y: f32, size: f32, draw: &mut Draw) -> Vec<Part> {
    let (a, b) = (size * draw.within(20.0, 25.0), size * draw.within(15.0, 18.0));
    let (period, level) = (size * draw.within(26.0, 36.0), draw.within(0.0, 40.0));
    let (canal, reach) = (y - b - 8.0 * size, draw.within(22.0, 34.0) * size);
    let cortex = draw.within(1.0, 1.8);
    let bony = |centre: [f32; 2], radii: [f32; 3], angle: f32, draw: &mut Draw| {
        let outline = Blob::new([centre[0], centre[1], level], radii).turned(angle);
        bone(outline.lobed(draw, [0.08, 0.08, 0.05]).periodic(period), cortex, draw)
    };
    let high = 0.62 * period;
    let tilt = draw.within(0.2, 0.6);
    let mut parts = vec![blob([0.0, y, 0.0], [0.95 * a, 0.95 * b, LONG], &[(0.0, CARTILAGE)], draw)];
    parts.push(bony([0.0, canal - 5.0], [15.0 * size, 13.0 * size, 0.45 * period], 0.0, draw));
    parts.push(bony([0.0, canal - reach], [3.5 * size, 0.8 * reach, 0.3 * period], 0.0, draw));
    for side in [-1.0, 1.0] {
        let centre = [side * (12.0 + 0.5 * reach) * size, canal - 3.0];
        parts.push(bony(centre, [0.62 * reach, 4.0 * size, 0.28 * period], -side * tilt, draw));
    }
    parts.push(bony([0.0, y], [a, b, high], 0.0, draw));
    let cord = blob([0.0, canal, 0.0], [5.5 * size, 4.5 * size, LONG], &[(0.0, SOFT)], draw);
    let sac = Blob::new([0.0, canal, 0.0], [9.5 * size, 8.0 * size, LONG]);
    parts.push(solid(sac, &[(0.0, FLUID)], draw).with([cord]).part());
    parts
}

/// Round masses within an organ.
pub fn masses(organ: &Blob, number: usize, radii: [f32; 2], draw: &mut Draw) -> Vec<Part> {
    let mut mass = |_| {
        let radius = draw.within(radii[0], radii[1]);
        let outline = Blob::new(organ.point(draw, 0.8), [1.0, 1.0, 1.0].map(|_| radius * draw.within(0.75, 1.25)));
        let outline = outline.lobed(draw, [0.2, 0.2, 0.15]);
        solid(outline, &[(0.0, NODULE)], draw).rough(5, 0.08 * radius).part()
    };
    (0..number).map(&mut mass).collect()
}
