//! `spinray-project` and the CT part of `spinray-fourier`.

use crate::convert::{Scalar, by_dtype, entries, zeros};
use crate::error::to_python;
use crate::run::run;
use numpy::{PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use spinray_fourier::filter::{Float, RowFilter, Weigh};
use spinray_project::geometry::{Beam, Grid, Scan};
use spinray_project::voxel;

/// A circular scan ready to project: arrays are (n, nz, ny, nx) and (n, views, rows, columns).
#[pyclass(frozen, module = "spinray._core")]
struct Projector {
    scan: Scan,
}

fn volume_shape(scan: &Scan, n: usize) -> [usize; 4] {
    let [nz, ny, nx] = scan.grid.shape;
    [n, nz, ny, nx]
}

fn projection_shape(scan: &Scan, n: usize) -> [usize; 4] {
    [n, scan.angles.len(), scan.shape[0], scan.shape[1]]
}

impl Projector {
    fn project<'py, T: Scalar>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyArrayDyn<T>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let x = entries(x)?;
        let (y, values) = zeros::<T>(py, &projection_shape(&self.scan, x.len() / self.scan.grid.len()))?;
        run(py, progress, |job| spinray_project::forward(&self.scan, x, values, job))?;
        Ok(y)
    }

    fn backproject<'py, T: Scalar>(
        &self,
        py: Python<'py>,
        y: &Bound<'py, PyArrayDyn<T>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let y = entries(y)?;
        let (x, values) = zeros::<T>(py, &volume_shape(&self.scan, y.len() / self.scan.len()))?;
        run(py, progress, |job| spinray_project::adjoint(&self.scan, y, values, job))?;
        Ok(x)
    }
}

/// What filtered back-projection does to the rows before it back-projects them.
#[pyclass(frozen, module = "spinray._core")]
struct FilteredBackprojection {
    scan: Scan,
    filter: RowFilter,
}

impl FilteredBackprojection {
    fn reconstruct<'py, T: Scalar + Float>(
        &self,
        py: Python<'py>,
        y: &Bound<'py, PyArrayDyn<T>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let y = entries(y)?;
        let (x, values) = zeros::<T>(py, &volume_shape(&self.scan, y.len() / self.scan.len()))?;
        run(py, progress, |job| {
            let filter = self.filter.plan(Weigh::Before)?;
            let [_, rows, columns] = self.filter.shape;
            let view = |v: usize, q: &mut [T]| filter.rows(v * rows, &y[v * rows * columns..][..q.len()], q);
            voxel::backproject(&self.scan, view, values, job)
        })?;
        Ok(x)
    }

    fn transpose<'py, T: Scalar + Float>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyArrayDyn<T>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let x = entries(x)?;
        let (y, values) = zeros::<T>(py, &projection_shape(&self.scan, x.len() / self.scan.grid.len()))?;
        run(py, progress, |job| {
            let mut spread = spinray_core::buffer::zeros(values.len());
            voxel::spread_onto_views(&self.scan, x, &mut spread, job)?;
            self.filter.adjoint(&spread, values, job)
        })?;
        Ok(y)
    }
}

#[pymethods]
impl FilteredBackprojection {
    /// Weights per (view, column) and (row, column), and the filter's response on a transform of `length`.
    #[new]
    fn new(
        projector: &Projector,
        view_weights: PyReadonlyArray2<'_, f64>,
        row_weights: PyReadonlyArray2<'_, f64>,
        response: PyReadonlyArray1<'_, f64>,
        length: usize,
    ) -> PyResult<Self> {
        let scan = projector.scan.clone();
        let filter = RowFilter {
            shape: [scan.angles.len(), scan.shape[0], scan.shape[1]],
            view_weights: view_weights.as_slice()?.to_vec(),
            row_weights: row_weights.as_slice()?.to_vec(),
            response: response.as_slice()?.to_vec(),
            length,
        };
        filter.check().map_err(to_python)?;
        Ok(Self { scan, filter })
    }

    /// Filters and back-projects y.
    #[pyo3(signature = (y, progress = None))]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        y: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(y, |y| self.reconstruct(py, y, progress))
    }

    /// The exact adjoint of `forward`.
    #[pyo3(signature = (x, progress = None))]
    fn adjoint<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(x, |x| self.transpose(py, x, progress))
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
        Ok(Self { scan })
    }

    /// Line integrals of x.
    #[pyo3(signature = (x, progress = None))]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(x, |x| self.project(py, x, progress))
    }

    /// The exact adjoint of `forward`.
    #[pyo3(signature = (y, progress = None))]
    fn adjoint<'py>(
        &self,
        py: Python<'py>,
        y: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        by_dtype!(y, |y| self.backproject(py, y, progress))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Projector>()?;
    module.add_class::<FilteredBackprojection>()
}
