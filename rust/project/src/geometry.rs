//! Scans in the frame of the kernels.
//!
//! World: x, y, z in mm, z the rotation axis. View angle t: column axis u = (cos t, sin t, 0), ray
//! direction d = (-sin t, cos t, 0), source at -sod d, detector centre at (sdd - sod) d. Voxel (k, j, i)
//! has its centre at origin + index * spacing.
//!
//! Every projector here walks its rays slab by slab. In index coordinates the in-plane direction of a
//! ray is (di, dj); the axis along which it is steeper is its driving axis, slab s is the row (or column)
//! of voxels with index s along it, and the ray crosses slab s at the transverse index
//! `alpha + beta s`, |beta| <= 1, after `length` mm per slab (Joseph 1982, "An improved algorithm for
//! reprojecting rays through pixel images"). A [`Column`] holds these numbers for all rays of one detector
//! column, which share a plane parallel to z.

use spinray_core::{Error, Result};

/// A uniform grid aligned with the world axes; arrays in (z, y, x) order.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Number of voxels (z, y, x).
    pub shape: [usize; 3],
    /// Distance of voxel centres in mm (z, y, x), positive.
    pub spacing: [f64; 3],
    /// Centre of voxel (0, 0, 0) in mm (z, y, x).
    pub origin: [f64; 3],
}

impl Grid {
    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the grid has no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index coordinate of the world coordinate `x` on `axis`.
    pub fn index(&self, axis: usize, x: f64) -> f64 {
        (x - self.origin[axis]) / self.spacing[axis]
    }

    /// Outer faces of the grid's box on `axis`, in mm.
    fn faces(&self, axis: usize) -> (f64, f64) {
        let half = 0.5 * self.spacing[axis];
        let low = self.origin[axis];
        (low - half, low + (self.shape[axis] as f64 - 1.0) * self.spacing[axis] + half)
    }
}

/// How the rays of a view spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beam {
    /// Along d, one line per detector column and row.
    Parallel,
    /// From a point source.
    Divergent {
        /// Source to rotation axis, mm.
        sod: f64,
        /// Source to detector, mm.
        sdd: f64,
        /// Whether the detector is a cylinder of radius `sdd` about the source axis.
        curved: bool,
    },
}

/// A circular scan: the grid, the views and the detector.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Where the image lives.
    pub grid: Grid,
    /// View angles in rad.
    pub angles: Vec<f64>,
    /// Detector elements (row, column).
    pub shape: [usize; 2],
    /// Their spacing (row, column) in mm (arc length on a curved detector).
    pub pitch: [f64; 2],
    /// Position of the detector's middle (row, column) in mm.
    pub offset: [f64; 2],
    /// How rays spread.
    pub beam: Beam,
}

/// Axis along which a ray is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Slabs are rows y = const, the transverse index runs along x.
    Y,
    /// Slabs are columns x = const, the transverse index runs along y.
    X,
}

/// All rays of one detector column in one view, in index coordinates.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Driving axis.
    pub axis: Axis,
    /// Transverse index on slab 0.
    pub alpha: f64,
    /// Its change per slab.
    pub beta: f64,
    /// In-plane path per slab, mm.
    pub length: f64,
    /// Driving index of the source; slabs at or behind it are not crossed.
    pub source: f64,
    /// Share of the way to the detector gained per slab (divergent beams).
    pub reach: f64,
    /// In-plane distance of source and detector column, mm (divergent beams).
    pub distance: f64,
    /// Slabs in front of the source: `first..last`.
    pub first: usize,
    /// See `first`.
    pub last: usize,
}

/// Sine and cosine of one view angle.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// cos t
    pub cos: f64,
    /// sin t
    pub sin: f64,
}

impl Scan {
    /// Refuses what no kernel can project.
    pub fn check(&self) -> Result<()> {
        let refuse = |argument, problem: String| Err(Error::invalid(argument, problem));
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if self.grid.is_empty() || !self.grid.spacing.iter().all(|&s| positive(s)) {
            return refuse("grid", format!("needs voxels and positive spacing, got {:?}", self.grid));
        }
        if self.angles.is_empty() || !self.angles.iter().all(|t| t.is_finite()) {
            return refuse("angles", "needs at least one view, all angles finite (radians)".into());
        }
        if self.shape.contains(&0) || !self.pitch.iter().all(|&p| positive(p)) {
            return refuse(
                "detector",
                format!("needs elements and positive spacing, got {:?} {:?}", self.shape, self.pitch),
            );
        }
        if let Beam::Divergent { sod, sdd, .. } = self.beam {
            if !positive(sod) || !sdd.is_finite() || sdd < sod {
                return refuse("sdd", format!("must be at least sod, and sod positive; got sod={sod}, sdd={sdd} mm"));
            }
            for view in 0..self.angles.len() {
                let (x, y) = self.source(self.view(view));
                let ((x0, x1), (y0, y1)) = (self.grid.faces(2), self.grid.faces(1));
                if (x0..=x1).contains(&x) && (y0..=y1).contains(&y) {
                    let problem = format!(
                        "the source lies inside the grid's box at view {view}; enlarge sod (now {sod} mm) or shrink the grid"
                    );
                    return refuse("sod", problem);
                }
            }
        }
        Ok(())
    }

    /// Whether one row of rays crosses one slice in its middle: a scan in two dimensions.
    pub fn is_planar(&self) -> bool {
        self.grid.shape[0] == 1 && self.shape[0] == 1 && self.grid.index(0, self.row_position(0)).abs() < 1e-9
    }

    /// Number of projection values.
    pub fn len(&self) -> usize {
        self.angles.len() * self.shape[0] * self.shape[1]
    }

    /// Whether there is nothing to measure.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// View number `v`.
    pub fn view(&self, v: usize) -> View {
        let (sin, cos) = self.angles[v].sin_cos();
        View { cos, sin }
    }

    /// Source position (x, y) in mm; meaningful for divergent beams.
    pub fn source(&self, view: View) -> (f64, f64) {
        match self.beam {
            Beam::Parallel => (0.0, 0.0),
            Beam::Divergent { sod, .. } => (sod * view.sin, -sod * view.cos),
        }
    }

    /// Detector coordinate of column `c` along u, mm.
    pub fn column_position(&self, c: usize) -> f64 {
        (c as f64 - 0.5 * (self.shape[1] as f64 - 1.0)) * self.pitch[1] + self.offset[1]
    }

    /// Detector coordinate of row `r` along z, mm.
    pub fn row_position(&self, r: usize) -> f64 {
        (r as f64 - 0.5 * (self.shape[0] as f64 - 1.0)) * self.pitch[0] + self.offset[0]
    }

    /// A point (x, y), the in-plane unit direction, and the in-plane distance to the detector.
    fn line(&self, view: View, position: f64) -> ([f64; 2], [f64; 2], f64) {
        let View { cos, sin } = view;
        match self.beam {
            Beam::Parallel => ([position * cos, position * sin], [-sin, cos], f64::INFINITY),
            Beam::Divergent { sod, sdd, curved } => {
                let (along, across, distance) = if curved {
                    let (s, c) = (position / sdd).sin_cos();
                    (c, s, sdd)
                } else {
                    let distance = (sdd * sdd + position * position).sqrt();
                    (sdd / distance, position / distance, distance)
                };
                ([sod * sin, -sod * cos], [-sin * along + cos * across, cos * along + sin * across], distance)
            }
        }
    }

    /// The rays of column `c` in `view`.
    pub fn column(&self, view: View, c: usize) -> Column {
        let ([px, py], [dx, dy], distance) = self.line(view, self.column_position(c));
        let (pi, pj) = (self.grid.index(2, px), self.grid.index(1, py));
        let (di, dj) = (dx / self.grid.spacing[2], dy / self.grid.spacing[1]);
        let (axis, along, across, source, transverse, slabs) = if dj.abs() >= di.abs() {
            (Axis::Y, dj, di, pj, pi, self.grid.shape[1])
        } else {
            (Axis::X, di, dj, pi, pj, self.grid.shape[2])
        };
        let beta = across / along;
        let parallel = self.beam == Beam::Parallel;
        let (first, last) = match (parallel, along > 0.0) {
            (true, _) => (0, slabs),
            (_, true) => ((source.floor() + 1.0).clamp(0.0, slabs as f64) as usize, slabs),
            (_, false) => (0, source.ceil().clamp(0.0, slabs as f64) as usize),
        };
        Column {
            axis,
            alpha: transverse - beta * source,
            beta,
            length: 1.0 / along.abs(),
            source,
            reach: 1.0 / (along * distance),
            distance,
            first,
            last,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn scan(beam: Beam, shape: [usize; 3], views: usize, detector: [usize; 2]) -> Scan {
        Scan {
            grid: Grid { shape, spacing: [1.3, 0.9, 1.1], origin: shape.map(|n| -0.45 * n as f64) },
            angles: (0..views).map(|v| 0.1 + 6.0 * v as f64 / views as f64).collect(),
            shape: detector,
            pitch: [1.7, 1.25],
            offset: [0.4, -0.8],
            beam,
        }
    }

    #[test]
    fn a_column_crosses_its_slabs_on_the_line_from_source_to_detector() {
        for curved in [false, true] {
            let scan = scan(Beam::Divergent { sod: 80.0, sdd: 130.0, curved }, [1, 20, 30], 9, [1, 41]);
            for v in 0..9 {
                let view = scan.view(v);
                for c in 0..41 {
                    let column = scan.column(view, c);
                    let p = scan.column_position(c);
                    let angle = if curved { p / 130.0 } else { (p / 130.0).atan() };
                    let t = scan.angles[v] - angle; // the ray's own d, turned from the view's
                    let (sx, sy) = (80.0 * view.sin, -80.0 * view.cos);
                    for slab in column.first..column.last {
                        let transverse = column.alpha + column.beta * slab as f64;
                        let (i, j) = match column.axis {
                            Axis::Y => (transverse, slab as f64),
                            Axis::X => (slab as f64, transverse),
                        };
                        let (x, y) = (scan.grid.origin[2] + 1.1 * i - sx, scan.grid.origin[1] + 0.9 * j - sy);
                        let sideways = x * t.cos() + y * t.sin();
                        assert!(sideways.abs() < 1e-9, "ray leaves its line by {sideways}");
                        let share = (slab as f64 - column.source) * column.reach;
                        assert!((share * column.distance - x.hypot(y)).abs() < 1e-9 && share > 0.0);
                    }
                }
            }
        }
    }

    #[test]
    fn a_source_inside_the_box_is_refused() {
        let mut inside = scan(Beam::Divergent { sod: 8.0, sdd: 130.0, curved: false }, [1, 20, 30], 9, [1, 41]);
        assert!(inside.check().is_err());
        inside.beam = Beam::Divergent { sod: 80.0, sdd: 79.0, curved: false };
        assert!(inside.check().is_err());
        inside.beam = Beam::Divergent { sod: 80.0, sdd: 80.0, curved: false };
        assert!(inside.check().is_ok());
    }
}
