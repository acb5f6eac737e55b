//! `spinray-project` and the CT part of `spinray-fourier`.

use crate::convert::{Scalar, by_dtype, entries, zeros};
use crate::error::to_python;
use crate::run::run;
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use spinray_project::geometry::{Beam, Grid, Scan};

/// A circular scan ready to project: arrays are (n, nz, ny, nx) and (n, views, rows, columns).
#[pyclass(frozen, module = "spinray._core")]
struct Projector {
    scan: Scan,
}

impl Projector {
    fn volume_shape(&self, n: usize) -> [usize; 4] {
        let [nz, ny, nx] = self.scan.grid.shape;
        [n, nz, ny, nx]
    }

    fn projection_shape(&self, n: usize) -> [usize; 4] {
        [n, self.scan.angles.len(), self.scan.shape[0], self.scan.shape[1]]
    }

    fn project<'py, T: Scalar>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyArrayDyn<T>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let x = entries(x)?;
        let (y, values) = zeros::<T>(py, &self.projection_shape(x.len() / self.scan.grid.len()));
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
        let (x, values) = zeros::<T>(py, &self.volume_shape(y.len() / self.scan.len()));
        run(py, progress, |job| spinray_project::adjoint(&self.scan, y, values, job))?;
        Ok(x)
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
    module.add_class::<Projector>()
}
