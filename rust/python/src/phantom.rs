//! What photons travel through: the bindings of `spinray_transport::geometry`.

use crate::error::to_python;
use crate::matter::{Mixture, material};
use crate::run::run;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use spinray_core::Result;
use spinray_transport::geometry::{self, Bounds, Labels, Mesh, Shape, Solid, Solids, Voxels, frame};
use spinray_transport::matter::Material;
use spinray_transport::source::Source;
use spinray_transport::track::{Physics, Plan, Problem};
use std::sync::{Arc, Mutex, PoisonError};

/// Voxels or solids with their materials; made by `voxel_geometry` and `solid_geometry`.
#[pyclass(frozen, module = "spinray._core")]
pub struct Geometry {
    pub kernel: Arc<geometry::Geometry>,
    /// The last plan there was: the next one shares its tables.
    last: Mutex<Option<Plan>>,
}

impl Geometry {
    fn new(geometry: geometry::Geometry) -> Self {
        Self { kernel: Arc::new(geometry), last: Mutex::default() }
    }

    /// The plan of a source.
    pub fn plan(&self, source: &Arc<Source>, physics: Physics) -> Result<Plan> {
        // Never locked while threads are at work for it, which may be given another call's plan to make.
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let plan = match last.filter(|plan| plan.problem().physics == physics) {
            Some(plan) => plan.with_source(Arc::clone(source))?,
            None => Plan::new(Problem { geometry: Arc::clone(&self.kernel), source: Arc::clone(source), physics })?,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
        Ok(plan)
    }
}

fn materials(mixtures: Vec<Mixture>) -> PyResult<Vec<Material>> {
    mixtures.into_iter().map(material).collect()
}

/// The entries of an array of a certain dtype, copied.
fn copied<T: numpy::Element + Copy>(array: &Bound<'_, PyAny>) -> Option<Vec<T>> {
    array.cast::<PyArrayDyn<T>>().ok()?.try_readonly().ok()?.as_slice().ok().map(<[T]>::to_vec)
}

/// Material, density and cell of points.
type Places<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<i64>>);

/// Voxels of `shape` with their first centre at `origin` and `spacing` in mm, all (z, y, x). `labels` (uint8 or
/// uint16) and `density` (float32, g/cm3, or None) are C-contiguous; `surround` = (material, reach beyond the
/// grid in mm).
#[pyfunction]
#[pyo3(signature = (shape, spacing, origin, mixtures, labels, density = None, surround = None))]
#[allow(clippy::too_many_arguments)] // a phantom has that many parts; Python passes them by name
fn voxel_geometry(
    py: Python<'_>,
    shape: [usize; 3],
    spacing: [f64; 3],
    origin: [f64; 3],
    mixtures: Vec<Mixture>,
    labels: &Bound<'_, PyAny>,
    density: Option<Bound<'_, PyAny>>,
    surround: Option<(usize, f64)>,
) -> PyResult<Geometry> {
    let labels = copied(labels).map(Labels::Byte).or_else(|| copied(labels).map(Labels::Word));
    let labels = labels.ok_or_else(|| PyTypeError::new_err("labels: expected contiguous uint8 or uint16"))?;
    let wrong = || PyTypeError::new_err("density: expected contiguous float32");
    let density = density.map(|d| copied(&d).ok_or_else(wrong)).transpose()?;
    let materials = materials(mixtures)?;
    let voxels = run(py, None, |_| Voxels::new(shape, spacing, origin, materials, labels, density, surround))?;
    Ok(Geometry::new(geometry::Geometry::Voxels(voxels)))
}

/// Kind, numbers of its shape, material, density in g/cm3, priority.
type Row = (String, Vec<f64>, usize, f64, i32);

fn shape(kind: &str, p: &[f64]) -> Option<Shape> {
    match (kind, p) {
        ("box", &[a, b, c, d, e, f]) => Some(Shape::Box { low: [a, b, c], high: [d, e, f] }),
        ("sphere", &[a, b, c, radius]) => Some(Shape::Sphere { centre: [a, b, c], radius }),
        ("cylinder", &[a, b, c, u, v, w, radius, half]) => {
            Some(Shape::Cylinder { centre: [a, b, c], axes: frame([u, v, w]), radius, half })
        }
        _ => None,
    }
}

/// Solids in a world of one material, (x, y, z) in mm. A solid is (kind, numbers, material, density, priority):
/// "box" (low, high), "sphere" (centre, radius), "cylinder" (centre, direction, radius, half its length). `world` =
/// (material, density), `bounds` = (low, high), `mesh` = (boxes along x, y, z, lower corner, spacing).
#[pyfunction]
#[pyo3(signature = (solids, mixtures, world, bounds = None, mesh = None))]
fn solid_geometry(
    solids: Vec<Row>,
    mixtures: Vec<Mixture>,
    world: (usize, f64),
    bounds: Option<([f64; 3], [f64; 3])>,
    mesh: Option<([usize; 3], [f64; 3], [f64; 3])>,
) -> PyResult<Geometry> {
    let solid = |(kind, numbers, material, density, priority): Row| {
        let shape =
            shape(&kind, &numbers).ok_or_else(|| PyTypeError::new_err(format!("solids: no {kind} of {numbers:?}")))?;
        Ok(Solid { shape, material, density, priority })
    };
    let solids = solids.into_iter().map(solid).collect::<PyResult<Vec<_>>>()?;
    let bounds = bounds.map(|(low, high)| Bounds::new(low, high)).transpose().map_err(to_python)?;
    let mesh = mesh.map(|(count, low, spacing)| Mesh { count, low, spacing });
    let solids = Solids::new(solids, materials(mixtures)?, world, bounds, mesh).map_err(to_python)?;
    Ok(Geometry::new(geometry::Geometry::Solids(solids)))
}

#[pymethods]
impl Geometry {
    /// Number of scoring cells: voxels and what surrounds them; or solids, the world, and the mesh.
    #[getter]
    fn cells(&self) -> usize {
        self.kernel.cells()
    }

    /// Corners (x, y, z) in mm of the box outside of which there is nothing.
    #[getter]
    fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        (self.kernel.bounds().low, self.kernel.bounds().high())
    }

    /// Volume of each cell in mm3.
    fn volumes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(run(py, None, |_| Ok(self.kernel.volumes()))?.into_pyarray(py))
    }

    /// Mass of each cell in g.
    fn masses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(run(py, None, |_| Ok(self.kernel.masses()))?.into_pyarray(py))
    }

    /// Material, density in g/cm3 and cell (-1: outside) at `points` (n, 3), (x, y, z) in mm.
    fn locate<'py>(&self, py: Python<'py>, points: PyReadonlyArray2<'py, f64>) -> Places<'py> {
        let low = self.kernel.bounds().low;
        let places: Vec<_> = points
            .as_array()
            .rows()
            .into_iter()
            .map(|p| self.kernel.place((p[0] - low[0]) as f32, (p[1] - low[1]) as f32, (p[2] - low[2]) as f32))
            .collect();
        let cell = |cell| if cell == geometry::OUTSIDE { -1 } else { i64::from(cell) };
        (
            places.iter().map(|p| p.material).collect::<Vec<_>>().into_pyarray(py),
            places.iter().map(|p| p.density).collect::<Vec<_>>().into_pyarray(py),
            places.iter().map(|p| cell(p.cell)).collect::<Vec<_>>().into_pyarray(py),
        )
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Geometry>()?;
    module.add_function(wrap_pyfunction!(solid_geometry, module)?)?;
    module.add_function(wrap_pyfunction!(voxel_geometry, module)?)?;
    Ok(())
}
