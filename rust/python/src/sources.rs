//! Where photons come from: the bindings of `spinray_transport::source`.

use crate::convert::zeros;
use crate::error::to_python;
use crate::matter::{Mixture, material};
use crate::phantom::Geometry;
use numpy::{PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use spinray_core::Error;
use spinray_transport::random::Numbers;
use spinray_transport::source::{self, Bowtie, Emission, Field, Pencil, Point, Profile, Volume};
use std::sync::Arc;

/// A beam or a volume of activity, with its energies; made by the functions below.
#[pyclass(frozen, module = "spinray._core")]
pub struct Source {
    pub kernel: Arc<source::Source>,
}

/// Energies in keV, photon numbers in any unit, width of the bins in keV (0: lines).
type Energies = (Vec<f64>, Vec<f64>, f64);

fn source((energies, weights, width): Energies, emission: Result<Emission, Error>) -> PyResult<Source> {
    let make = || source::Source::new(emission?, source::Spectrum::new(&energies, &weights, width)?);
    Ok(Source { kernel: Arc::new(make().map_err(to_python)?) })
}

fn profile(name: &str) -> Result<Profile, Error> {
    match name {
        "square" => Ok(Profile::Square),
        "disc" => Ok(Profile::Disc),
        "gaussian" => Ok(Profile::Gaussian),
        _ => Err(Error::invalid("profile", format!("expected square, disc or gaussian, got {name:?}"))),
    }
}

/// Parallel photons about `position` along `direction`, (x, y, z) in mm; `width` = two lengths across it.
#[pyfunction]
fn pencil_source(
    energies: Energies,
    position: [f64; 3],
    direction: [f64; 3],
    width: [f64; 2],
    profile: &str,
) -> PyResult<Source> {
    let pencil = self::profile(profile).and_then(|profile| Pencil::new(position, direction, width, profile));
    source(energies, pencil.map(|pencil| Emission::Pencils(vec![pencil])))
}

/// A rectangle: middle, unit vectors along two edges and the beam, lengths of the edges.
type Sheet = ([f64; 3], [[f64; 3]; 3], [f64; 2]);

/// Parallel photons over rectangles, each as likely as any other: (middle, unit vectors along two edges and the
/// beam, lengths of the edges).
#[pyfunction]
fn parallel_source(energies: Energies, sheets: Vec<Sheet>) -> PyResult<Source> {
    let pencil = |(position, axes, width)| Pencil::along(position, axes, width, Profile::Square);
    source(energies, sheets.into_iter().map(pencil).collect::<Result<_, _>>().map(Emission::Pencils))
}

/// Photons from a point, into all directions or into a cone of `opening` rad from edge to edge.
#[pyfunction]
#[pyo3(signature = (energies, position, cone = None))]
fn point_source(energies: Energies, position: [f64; 3], cone: Option<([f64; 3], f64)>) -> PyResult<Source> {
    source(energies, Point::new(position, cone).map(Emission::Point))
}

/// Focal spot, unit vectors along rows, along columns and towards the detector, its distance, and its edges along the
/// first two.
type Detector = ([f64; 3], [[f64; 3]; 3], f64, [f64; 2], [f64; 2]);

/// Photons from focal spots onto their detectors, each as likely as any other: (focal spot, unit vectors along rows,
/// along columns and towards the detector, distance, edges along the first two in mm). `bowtie` = (material, fan angles
/// in rad, thickness at each in mm).
#[pyfunction]
#[pyo3(signature = (energies, detectors, curved, bowtie = None))]
fn field_source(
    energies: Energies,
    detectors: Vec<Detector>,
    curved: bool,
    bowtie: Option<(Mixture, Vec<f64>, Vec<f64>)>,
) -> PyResult<Source> {
    let field =
        |(focus, axes, distance, columns, rows): Detector| Field::new(focus, axes, distance, columns, rows, curved);
    let fields = detectors.into_iter().map(field).collect::<Result<Vec<_>, _>>();
    let Some((mixture, angles, thickness)) = bowtie else {
        return source(energies, fields.map(Emission::Fields));
    };
    let bowtie = Bowtie::new(material(mixture)?, angles, thickness).map_err(to_python)?;
    source(energies, fields.map(|fields| Emission::Filtered(fields, bowtie)))
}

/// Photons from voxels of `shape` with their first centre at `origin` and `spacing` in mm, all (z, y, x), in
/// proportion to `activity` (float32, C-contiguous).
#[pyfunction]
fn volume_source(
    energies: Energies,
    shape: [usize; 3],
    spacing: [f64; 3],
    origin: [f64; 3],
    activity: &Bound<'_, PyAny>,
) -> PyResult<Source> {
    let wrong = || PyTypeError::new_err("activity: expected contiguous float32");
    let activity = activity.cast::<PyArrayDyn<f32>>().map_err(|_| wrong())?.try_readonly()?;
    let activity = activity.as_slice().map_err(|_| wrong())?;
    source(energies, Volume::new(shape, spacing, origin, activity).map(Emission::Volume))
}

#[pymethods]
impl Source {
    /// The largest energy in keV.
    #[getter]
    fn max_energy(&self) -> f64 {
        self.kernel.max_energy()
    }

    /// Solid angle in sr that the photons fill; 0 for parallel photons.
    #[getter]
    fn solid_angle(&self) -> f64 {
        self.kernel.solid_angle()
    }

    /// Part of the photons sent into the solid angle that get through a bowtie filter; 1 without one.
    #[getter]
    fn transmission(&self) -> f64 {
        self.kernel.transmission()
    }

    /// Whether any photon of some thousand meets the bounds of a geometry.
    fn reaches(&self, geometry: &Geometry) -> bool {
        self.kernel.reaches(geometry.kernel.bounds())
    }

    /// The photons of the first `n` histories under `seed`, (n, 7): x, y, z in mm, direction, energy in keV.
    fn sample<'py>(&self, py: Python<'py>, n: usize, seed: u64) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let (array, rows) = zeros::<f64>(py, &[n, 7])?;
        for (history, row) in (0..).zip(rows.chunks_exact_mut(7)) {
            let photon = self.kernel.sample(&mut Numbers::new(seed, history, 0));
            row[..3].copy_from_slice(&photon.position);
            row[3..6].copy_from_slice(&photon.direction);
            row[6] = f64::from(photon.energy);
        }
        Ok(array)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Source>()?;
    module.add_function(wrap_pyfunction!(field_source, module)?)?;
    module.add_function(wrap_pyfunction!(parallel_source, module)?)?;
    module.add_function(wrap_pyfunction!(pencil_source, module)?)?;
    module.add_function(wrap_pyfunction!(point_source, module)?)?;
    module.add_function(wrap_pyfunction!(volume_source, module)?)?;
    Ok(())
}
