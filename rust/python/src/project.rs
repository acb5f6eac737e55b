//! `spinray-project` and the CT part of `spinray-fourier`.

use crate::convert::{Scalar, by_dtype};
use crate::error::to_python;
use crate::linear_operator::{LinearKernel, call, capsule};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use spinray_core::{Job, Result};
use spinray_fourier::filter::{Float, RowFilter, Weigh};
use spinray_project::geometry::{Beam, Grid, Scan};
use spinray_project::voxel;
use std::sync::Arc;

/// A circular scan ready to project: arrays are (n, nz, ny, nx) and (n, views, rows, columns).
#[pyclass(frozen, module = "spinray._core")]
struct Projector {
    scan: Arc<Scan>,
}

fn projection_shape(scan: &Scan) -> Vec<usize> {
    vec![scan.angles.len(), scan.shape[0], scan.shape[1]]
}

impl LinearKernel for Scan {
    fn domain(&self) -> Vec<usize> {
        self.grid.shape.to_vec()
    }

    fn range(&self) -> Vec<usize> {
        projection_shape(self)
    }

    fn forward<T: Scalar + Float>(&self, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
        spinray_project::forward(self, x, y, job)
    }

    fn adjoint<T: Scalar + Float>(&self, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
        spinray_project::adjoint(self, y, x, job)
    }
}

/// Voxel-driven back-projection, and the rows it is given filtered first or as they are.
struct Backprojector {
    scan: Scan,
    filter: Option<RowFilter>,
}

impl LinearKernel for Backprojector {
    fn domain(&self) -> Vec<usize> {
        projection_shape(&self.scan)
    }

    fn range(&self) -> Vec<usize> {
        self.scan.grid.shape.to_vec()
    }

    fn forward<T: Scalar + Float>(&self, y: &[T], x: &mut [T], job: &Job) -> Result<()> {
        let [rows, columns] = self.scan.shape;
        let view = |v: usize, n: usize| &y[v * rows * columns..][..n];
        let Some(filter) = &self.filter else {
            return voxel::backproject(&self.scan, |v, q: &mut [T]| q.copy_from_slice(view(v, q.len())), x, job);
        };
        let filter = filter.plan(Weigh::Before)?;
        voxel::backproject(&self.scan, |v, q: &mut [T]| filter.rows(v * rows, view(v, q.len()), q), x, job)
    }

    fn adjoint<T: Scalar + Float>(&self, x: &[T], y: &mut [T], job: &Job) -> Result<()> {
        let Some(filter) = &self.filter else {
            return voxel::spread_onto_views(&self.scan, x, y, job);
        };
        let mut spread = spinray_core::buffer::zeros(y.len());
        voxel::spread_onto_views(&self.scan, x, &mut spread, job)?;
        filter.adjoint(&spread, y, job)
    }
}

/// Voxel-driven back-projection, with or without what filtered back-projection does to the rows before.
#[pyclass(frozen, module = "spinray._core")]
struct Backprojection {
    kernel: Arc<Backprojector>,
}

#[pymethods]
impl Backprojection {
    /// Of rows as they are, or filtered first: with weights per (view, column) and (row, column), and a response on
    /// a transform of `length`.
    #[new]
    #[pyo3(signature = (projector, view_weights = None, row_weights = None, response = None, length = 0))]
    fn new(
        projector: &Projector,
        view_weights: Option<PyReadonlyArray2<'_, f64>>,
        row_weights: Option<PyReadonlyArray2<'_, f64>>,
        response: Option<PyReadonlyArray1<'_, f64>>,
        length: usize,
    ) -> PyResult<Self> {
        let scan = (*projector.scan).clone();
        let filter = match (view_weights, row_weights, response) {
            (Some(view_weights), Some(row_weights), Some(response)) => {
                let filter = RowFilter {
                    shape: [scan.angles.len(), scan.shape[0], scan.shape[1]],
                    view_weights: view_weights.as_slice()?.to_vec(),
                    row_weights: row_weights.as_slice()?.to_vec(),
                    response: response.as_slice()?.to_vec(),
                    length,
                };
                filter.check().map_err(to_python)?;
                Some(filter)
            }
            _ => None,
        };
        Ok(Self { kernel: Arc::new(Backprojector { scan, filter }) })
    }

    /// Back-projects y.
    #[pyo3(signature = (y, progress = None))]
    fn forward<'py>(&self, y: &Bound<'py, PyAny>, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(y, |y| call(&*self.kernel, false, y, progress))
    }

    /// The exact adjoint of `forward`.
    #[pyo3(signature = (x, progress = None))]
    fn adjoint<'py>(&self, x: &Bound<'py, PyAny>, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(x, |x| call(&*self.kernel, true, x, progress))
    }

    /// The kernel for native code.
    fn capsule<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        capsule(py, &self.kernel)
    }
}

#[pymethods]
impl Projector {
    /// Grid (shape, spacing, origin) and detector (shape, pitch, offset) in (z, y, x) and (row, column)
    /// order, mm. `sod` and `sdd` make a divergent beam; without them the beam is parallel.
    #[new]
    #[pyo3(signature = (shape, spacing, origin, angles, detector_shape, detector_pitch, detector_offset, sod = None, sdd = None, curved = false))]
    #[allow(clippy::too_many_arguments)] // the geometry has that many numbers; Python passes them by name
    fn new(
        shape: [usize; 3],
        spacing: [f64; 3],
        origin: [f64; 3],
        angles: Vec<f64>,
        detector_shape: [usize; 2],
        detector_pitch: [f64; 2],
        detector_offset: [f64; 2],
        sod: Option<f64>,
        sdd: Option<f64>,
        curved: bool,
    ) -> PyResult<Self> {
        let beam = match (sod, sdd) {
            (Some(sod), Some(sdd)) => Beam::Divergent { sod, sdd, curved },
            _ => Beam::Parallel,
        };
        let grid = Grid { shape, spacing, origin };
        let scan = Scan { grid, angles, shape: detector_shape, pitch: detector_pitch, offset: detector_offset, beam };
        scan.check().map_err(to_python)?;
        Ok(Self { scan: Arc::new(scan) })
    }

    /// Line integrals of x.
    #[pyo3(signature = (x, progress = None))]
    fn forward<'py>(&self, x: &Bound<'py, PyAny>, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(x, |x| call(&*self.scan, false, x, progress))
    }

    /// The exact adjoint of `forward`.
    #[pyo3(signature = (y, progress = None))]
    fn adjoint<'py>(&self, y: &Bound<'py, PyAny>, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(y, |y| call(&*self.scan, true, y, progress))
    }

    /// The kernel for native code.
    fn capsule<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        capsule(py, &self.scan)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Projector>()?;
    module.add_class::<Backprojection>()
}
