//! From a model to voxels, row by row.
//!
//! Parts are painted in their order, each over what is there: a voxel becomes s v + (1 - s) (what it was), with s the
//! share of the voxel that the part fills, 1/2 - distance / h cut to 0 ... 1 (the share of a voxel of side h on a plane
//! surface along an axis), and v the paint: mean and texture. Layers of one solid share the voxel exactly: their shares
//! add up to that of the solid. Parts of a solid fill at most what the solid fills. Everything but vessels is bent by
//! slow random fields, p -> p + w(p). The label is that of the last paint which fills half of the voxel.
//!
//! A voxel depends on (seed, index) and its place alone: any number of threads gives the same bits. In z voxels are
//! points: an image is a thin slice, and so is each slice of a volume.

use crate::Family;
use crate::family::Model;
use crate::noise::{Field, LATTICE, Taps};
use crate::solid::{Bars, Blob};
use crate::tissue::Paint;
use crate::vessels::Segment;
use rayon::prelude::*;
use spinray_core::simd::{Kernel, Simd, dispatch};
use spinray_core::{Error, Job, Result};

/// Voxels treated together.
const LANES: usize = 16;
/// Farther from a surface than any voxel is, mm; its square is finite.
const FAR: f32 = 1e6;
/// Lattice points of the finest texture, at most: it fills the volume however far apart slices are.
const MOST_NODES: f64 = (1u64 << 29) as f64;
/// Rows of a task.
const ROWS: usize = 8;
/// Lattice constants in mm of the fields that bend, and their standard deviations over the model's.
const BENDS: [(f32, f32); 2] = [(96.0, 1.0), (36.0, 0.35)];
/// First numbers of the fields that bend, beyond those of the octaves.
const BEND_TAG: u32 = 16;

/// The voxels asked for, centred on the origin, by (z, y, x).
#[derive(Clone, Debug)]
pub struct Extent {
    /// Number of voxels.
    pub shape: [usize; 3],
    /// Their distance in mm.
    pub spacing: [f64; 3],
}

impl Extent {
    /// Checks sizes, and that no more fields are needed than memory holds.
    pub fn new(shape: [usize; 3], spacing: [f64; 3]) -> Result<Self> {
        if shape.contains(&0) {
            return Err(Error::invalid("shape", format!("expected at least one voxel along each axis, got {shape:?}")));
        }
        let size: [f64; 3] = std::array::from_fn(|axis| shape[axis] as f64 * spacing[axis]);
        if !spacing.iter().all(|&s| s > 0.0) || !size.iter().all(|&s| s <= 4000.0) {
            let problem = format!("expected voxels that fill at most 4000 mm along each axis, got {size:?} mm");
            return Err(Error::invalid("spacing", problem));
        }
        let h = spacing[1].max(spacing[2]);
        let finest = LATTICE.into_iter().map(f64::from).filter(|&lattice| lattice >= h).fold(f64::INFINITY, f64::min);
        if size.iter().map(|s| s / finest + 4.0).product::<f64>() > MOST_NODES {
            let problem =
                format!("expected a volume whose texture fits into memory, got {size:?} mm. Draw it in parts");
            return Err(Error::invalid("spacing", problem));
        }
        Ok(Self { shape, spacing })
    }

    /// Centre of voxel `i` along an axis in mm.
    fn centre(&self, axis: usize, i: usize) -> f32 {
        ((i as f64 - (self.shape[axis] - 1) as f64 / 2.0) * self.spacing[axis]) as f32
    }

    /// Furthest voxel centres along x, y, z.
    fn reach(&self) -> [f32; 3] {
        [2, 1, 0].map(|axis| self.centre(axis, self.shape[axis] - 1))
    }

    fn voxels(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What a solid is bounded by.
pub enum Outline {
    Blob(Blob),
    /// Bars in the wall that the parent is.
    Bars(Bars),
}

/// Unevenness of an outline: an octave of the noise, in mm.
pub struct Rough {
    pub octave: usize,
    pub amplitude: f32,
    /// Zero: the field itself. Else clefts of the depth of the amplitude where the field is below this: sulci.
    pub cleft: f32,
}

/// A solid of layers, each from its depth inwards, and the parts within the last.
pub struct Solid {
    pub outline: Outline,
    pub rough: Vec<Rough>,
    pub layers: Vec<(f32, Paint)>,
    pub parts: Vec<Part>,
}

/// A thing to paint.
pub enum Part {
    Solid(Solid),
    Vessels(Vec<Segment>, Paint),
}

/// Writes phantoms `first`, `first + 1`, ... of a family under `seed`: attenuation in 1/mm and labels, as many as fit.
pub fn textured(
    family: Family,
    extent: &Extent,
    (seed, first): (u64, u64),
    attenuation: &mut [f32],
    labels: &mut [u8],
    job: &Job,
) -> Result<()> {
    let n = extent.voxels();
    let phantoms = attenuation.par_chunks_mut(n).zip(labels.par_chunks_mut(n)).enumerate().with_max_len(1);
    phantoms.try_for_each(|(k, (attenuation, labels))| {
        job.check()?;
        let scene = Scene::new(family, extent, seed, first.wrapping_add(k as u64));
        let per_task = ROWS * extent.shape[2];
        let tasks = attenuation.par_chunks_mut(per_task).zip(labels.par_chunks_mut(per_task)).enumerate();
        job.for_each(tasks, |(task, (attenuation, labels))| scene.rows(task * ROWS, attenuation, labels))
    })
}

/// A model and its fields over an extent.
struct Scene<'a> {
    extent: &'a Extent,
    model: Model,
    /// Voxel centres, padded to whole lanes.
    xs: Vec<f32>,
    /// Side of a voxel, mm.
    h: f32,
    octaves: Vec<Option<(Field, Taps)>>,
    bends: Vec<(Field, Taps)>,
}

/// A row on its way.
struct Row<'a> {
    y: f32,
    z: f32,
    h: f32,
    xs: &'a [f32],
    /// Bent coordinates x, y, z.
    bent: [Vec<f32>; 3],
    /// By octave; empty where voxels are too large for it.
    noise: Vec<Vec<f32>>,
    attenuation: Vec<f32>,
    labels: Vec<u8>,
}

/// The solid that parts lie in: distance from its surface, and what it fills of each voxel.
struct Parent<'a> {
    distance: &'a [f32],
    share: &'a [f32],
}

impl<'a> Scene<'a> {
    fn new(family: Family, extent: &'a Extent, seed: u64, index: u64) -> Self {
        let high = extent.reach();
        let low = high.map(|c| -c);
        let model = family.model(seed, index, high[2] + extent.spacing[0] as f32);
        let h = extent.spacing[1].max(extent.spacing[2]) as f32;
        let padded = extent.shape[2].next_multiple_of(LANES);
        let xs: Vec<f32> = (0..padded).map(|i| extent.centre(2, i)).collect();
        let high = [xs[padded - 1], high[1], high[2]];
        let with_taps = |tag, lattice| {
            let field = Field::new(model.key, tag, lattice, low, high);
            let taps = field.taps(&xs);
            (field, taps)
        };
        let octave = |(tag, lattice): (usize, f32)| (lattice >= h).then(|| with_taps(tag as u32, lattice));
        let octaves = LATTICE.into_iter().enumerate().map(octave).collect();
        let bends =
            BENDS.iter().enumerate().flat_map(|(i, &(lattice, _))| (0..3).map(move |axis| (3 * i + axis, lattice)));
        let bends = bends.map(|(tag, lattice)| with_taps(BEND_TAG + tag as u32, lattice)).collect();
        Self { extent, model, h, octaves, bends, xs }
    }

    /// Writes rows from number `first` on, as many as fit.
    fn rows(&self, first: usize, attenuation: &mut [f32], labels: &mut [u8]) {
        let [_, n_rows, n] = self.extent.shape;
        for (k, (attenuation, labels)) in attenuation.chunks_mut(n).zip(labels.chunks_mut(n)).enumerate() {
            let (slice, line) = ((first + k) / n_rows, (first + k) % n_rows);
            let row = self.row(self.extent.centre(1, line), self.extent.centre(0, slice));
            attenuation.copy_from_slice(&row.attenuation[..n]);
            labels.copy_from_slice(&row.labels[..n]);
        }
    }

    fn row(&self, y: f32, z: f32) -> Row<'_> {
        let n = self.xs.len();
        let mut line = Vec::new();
        let mut along = |(field, taps): &(Field, Taps), out: &mut [f32]| {
            dispatch::<f32, _>(Along { field, taps, y, z, line: &mut line, out });
        };
        let mut bent = [self.xs.clone(), vec![y; n], vec![z; n]];
        let mut bend = vec![0.0; n];
        for (i, field) in self.bends.iter().enumerate() {
            along(field, &mut bend);
            let amplitude = self.model.bend * BENDS[i / 3].1;
            for (p, bend) in bent[i % 3].iter_mut().zip(&bend) {
                *p += amplitude * bend;
            }
        }
        let mut octave = |field: &Option<(Field, Taps)>| {
            let mut noise = vec![0.0; if field.is_some() { n } else { 0 }];
            if let Some(field) = field {
                along(field, &mut noise);
            }
            noise
        };
        let noise = self.octaves.iter().map(&mut octave).collect();
        let mut row = Row { y, z, h: self.h, xs: &self.xs, bent, noise, attenuation: vec![0.0; n], labels: vec![0; n] };
        let whole = Parent { distance: &vec![0.0; n], share: &vec![1.0; n] };
        for part in &self.model.parts {
            part.paint(&mut row, &whole);
        }
        row
    }
}

impl Part {
    fn paint(&self, row: &mut Row<'_>, parent: &Parent<'_>) {
        match self {
            Part::Solid(solid) => solid.paint(row, parent),
            Part::Vessels(segments, paint) => {
                let mut share = vec![0.0; row.xs.len()];
                let mut any = false;
                for segment in segments {
                    let ((y0, y1), (z0, z1)) = (segment.span_of(1), segment.span_of(2));
                    if row.y + row.h < y0 || row.y - row.h > y1 || row.z + row.h < z0 || row.z - row.h > z1 {
                        continue;
                    }
                    let lanes = row.lanes(segment.span_of(0));
                    any |= !lanes.is_empty();
                    let (p, h) = ([row.y, row.z], row.h);
                    dispatch::<f32, _>(Cover { segment, xs: &row.xs[lanes.clone()], p, h, share: &mut share[lanes] });
                }
                if any {
                    share.iter_mut().zip(parent.share).for_each(|(share, clip)| *share *= clip);
                    row.blend(0..row.xs.len(), &[(share, paint)]);
                }
            }
        }
    }
}

impl Solid {
    fn paint(&self, row: &mut Row<'_>, parent: &Parent<'_>) {
        let n = row.xs.len();
        let lanes = match &self.outline {
            Outline::Blob(blob) => match blob.span(row.y, row.z) {
                Some(span) => row.lanes(span),
                None => return,
            },
            Outline::Bars(_) => 0..n,
        };
        let mut distance = vec![FAR; n]; // beyond the lanes
        let wall = &parent.distance[lanes.clone()];
        let bent = row.bent.each_ref().map(|axis| &axis[lanes.clone()]);
        dispatch::<f32, _>(Distances { outline: &self.outline, bent, wall, out: &mut distance[lanes.clone()] });
        for rough in &self.rough {
            for (d, noise) in
                distance[lanes.clone()].iter_mut().zip(row.noise[rough.octave].get(lanes.clone()).unwrap_or_default())
            {
                *d += rough.at(*noise);
            }
        }
        let share_of = |depth: f32| -> Vec<f32> {
            let mut share = vec![0.0; n];
            let pairs = distance[lanes.clone()].iter().zip(&parent.share[lanes.clone()]);
            for (share, (d, clip)) in share[lanes.clone()].iter_mut().zip(pairs) {
                *share = clip * (0.5 - (d + depth) / row.h).clamp(0.0, 1.0);
            }
            share
        };
        let shares: Vec<_> = self.layers.iter().map(|(depth, paint)| (share_of(*depth), paint)).collect();
        row.blend(lanes, &shares);
        if let Some((share, _)) = shares.last()
            && share.iter().any(|&share| share > 0.0)
        {
            let inside = Parent { distance: &distance, share };
            self.parts.iter().for_each(|part| part.paint(row, &inside));
        }
    }
}

impl Rough {
    #[inline(always)]
    fn at(&self, noise: f32) -> f32 {
        if self.cleft == 0.0 {
            self.amplitude * noise
        } else {
            self.amplitude * (1.0 - noise.abs() / self.cleft).max(0.0)
        }
    }
}

impl Row<'_> {
    /// Voxels between two x, in whole lanes.
    fn lanes(&self, (low, high): (f32, f32)) -> std::ops::Range<usize> {
        let step = self.xs[1] - self.xs[0];
        let place = |x: f32| ((x - self.xs[0]) / step).max(0.0) as usize;
        let last = (place(high + 2.0 * step)).next_multiple_of(LANES).min(self.xs.len());
        (place(low - step) / LANES * LANES).min(last)..last
    }

    /// Paints layers from the outside to the inside, each with its share of every voxel.
    fn blend(&mut self, lanes: std::ops::Range<usize>, layers: &[(Vec<f32>, &Paint)]) {
        let none = vec![0.0; self.xs.len()];
        for (mu, share) in self.attenuation[lanes.clone()].iter_mut().zip(&layers[0].0[lanes.clone()]) {
            *mu *= 1.0 - share;
        }
        for (k, (share, paint)) in layers.iter().enumerate() {
            let inner = layers.get(k + 1).map_or(&none, |(share, _)| share);
            let noise: Vec<(f32, &[f32])> = paint
                .weights
                .into_iter()
                .zip(&self.noise)
                .filter(|(w, n)| *w != 0.0 && !n.is_empty())
                .map(|(w, n)| (w, n.as_slice()))
                .collect();
            let (attenuation, labels) = (&mut self.attenuation, &mut self.labels);
            let lanes = lanes.clone();
            dispatch::<f32, _>(Blend { paint, noise: &noise, share, inner, lanes, attenuation, labels });
        }
    }
}

/// A field along a row.
struct Along<'a> {
    field: &'a Field,
    taps: &'a Taps,
    y: f32,
    z: f32,
    line: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl Kernel<f32> for Along<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd<T = f32>>(self) {
        self.field.along(self.y, self.z, self.taps, self.line, self.out);
    }
}

/// Distances from an outline along a row.
struct Distances<'a> {
    outline: &'a Outline,
    bent: [&'a [f32]; 3],
    wall: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel<f32> for Distances<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd<T = f32>>(self) {
        let [x, y, z] = self.bent;
        let points = x.iter().zip(y).zip(z).map(|((x, y), z)| [*x, *y, *z]);
        match self.outline {
            Outline::Blob(blob) => self.out.iter_mut().zip(points).for_each(|(out, p)| *out = blob.distance(p)),
            Outline::Bars(bars) => {
                let points = points.zip(self.wall);
                self.out.iter_mut().zip(points).for_each(|(out, (p, wall))| *out = bars.distance(p, *wall));
            }
        }
    }
}

/// What a segment covers of the voxels of a row, where it is more than others do.
struct Cover<'a> {
    segment: &'a Segment,
    xs: &'a [f32],
    p: [f32; 2],
    h: f32,
    share: &'a mut [f32],
}

impl Kernel<f32> for Cover<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd<T = f32>>(self) {
        for (share, x) in self.share.iter_mut().zip(self.xs) {
            *share = share.max(self.segment.coverage([*x, self.p[0], self.p[1]], self.h));
        }
    }
}

/// One layer of paint.
struct Blend<'a> {
    paint: &'a Paint,
    noise: &'a [(f32, &'a [f32])],
    share: &'a [f32],
    /// Share of the next layer, which takes it from this one's.
    inner: &'a [f32],
    lanes: std::ops::Range<usize>,
    attenuation: &'a mut [f32],
    labels: &'a mut [u8],
}

impl Kernel<f32> for Blend<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd<T = f32>>(self) {
        for start in self.lanes.step_by(LANES) {
            let here = start..start + LANES;
            let (share, inner) = (&self.share[here.clone()], &self.inner[here.clone()]);
            let own: [f32; LANES] = std::array::from_fn(|i| share[i] - inner[i]);
            if own == [0.0; LANES] {
                continue;
            }
            let mut value = [self.paint.mean; LANES];
            for (weight, noise) in self.noise {
                let noise = &noise[here.clone()];
                for i in 0..LANES {
                    value[i] += weight * noise[i];
                }
            }
            let (attenuation, labels) = (&mut self.attenuation[here.clone()], &mut self.labels[here]);
            for i in 0..LANES {
                attenuation[i] += own[i] * value[i].max(0.0);
                labels[i] = if share[i] >= 0.5 { self.paint.label } else { labels[i] };
            }
        }
    }
}
