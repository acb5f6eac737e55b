//! Tallies of photon transport: what is asked for, and what has been counted.

use crate::error::to_python;
use numpy::{Element, IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use spinray_core::Result;
use spinray_transport::detector::{Detector, Response};
use spinray_transport::tally::{Dose, Escapes, Estimator, Image, Leaving, Scores, TrackLength};
use spinray_transport::track::Plan;

/// What a simulation is to count.
#[pyclass(frozen, module = "spinray._core")]
pub struct Tally {
    wanted: Wanted,
}

#[derive(Clone)]
enum Wanted {
    Dose,
    TrackLength,
    Leaving,
    Image(Box<Picture>),
}

#[derive(Clone)]
struct Picture {
    detector: Detector,
    response: Response,
    estimator: Estimator,
}

/// Energy deposited in each cell at collisions, keV.
#[pyfunction]
fn dose_tally() -> Tally {
    Tally { wanted: Wanted::Dose }
}

/// Energy transferred to electrons in each voxel, by the lengths of flights, keV.
#[pyfunction]
fn track_length_tally() -> Tally {
    Tally { wanted: Wanted::TrackLength }
}

/// Photons that leave, one by one: histories, positions (n, 3) where they crossed the bounds, directions, energies,
/// weights, and numbers of Compton scatters, Rayleigh scatters and emissions (n, 3).
#[pyfunction]
fn escape_tally() -> Tally {
    Tally { wanted: Wanted::Leaving }
}

/// Images of a detector in keV, or in counts between `thresholds` (keV) with a resolution of `fwhm` keV: primary
/// (channel, row, column); and (Compton once, Rayleigh, other, all scatter; channel, row, column). `axes` lead along
/// rows, along columns and away from the source; `count` and `pitch` are of rows, of columns; `radius` is that of a
/// detector curved along its rows. By the photons that arrive, or by forced detection of so much `effort`.
#[pyfunction]
#[pyo3(signature = (centre, axes, count, pitch, radius = None, thresholds = None, fwhm = 0.0, effort = None))]
#[allow(clippy::too_many_arguments, reason = "keywords of one call in Python")]
fn image_tally(
    centre: [f64; 3],
    axes: [[f64; 3]; 3],
    count: [usize; 2],
    pitch: [f64; 2],
    radius: Option<f64>,
    thresholds: Option<Vec<f64>>,
    fwhm: f64,
    effort: Option<f64>,
) -> PyResult<Tally> {
    let detector = Detector::new(centre, axes, count, pitch, radius).map_err(to_python)?;
    let counting = |thresholds| Response::Counting { thresholds, resolution: fwhm };
    let response = thresholds.map_or(Response::Energy, counting);
    let estimator = effort.map_or(Estimator::Analogue, |effort| Estimator::Forced { effort });
    Ok(Tally { wanted: Wanted::Image(Box::new(Picture { detector, response, estimator })) })
}

/// A tally of a simulation under way.
pub enum Filled {
    Dose(Dose),
    TrackLength(TrackLength),
    Leaving(Escapes),
    Image(Box<Image>),
}

impl Filled {
    /// Nothing counted yet.
    pub fn new(wanted: &Tally, plan: &Plan) -> Result<Self> {
        Ok(match &wanted.wanted {
            Wanted::Dose => Self::Dose(Dose::new(plan)),
            Wanted::TrackLength => Self::TrackLength(TrackLength::dose(plan)?),
            Wanted::Leaving => Self::Leaving(Escapes::default()),
            Wanted::Image(picture) => {
                let Picture { detector, response, estimator } = &**picture;
                Self::Image(Box::new(Image::new(plan, *detector, response, *estimator)?))
            }
        })
    }

    /// As the tracking loop knows it.
    pub fn tally(&self) -> &dyn spinray_transport::tally::Tally {
        match self {
            Self::Dose(dose) => dose,
            Self::TrackLength(length) => length,
            Self::Leaving(escapes) => escapes,
            Self::Image(image) => &**image,
        }
    }

    /// Its sums, if it counts by cell.
    pub fn scores(&self) -> Vec<&Scores> {
        match self {
            Self::Dose(dose) => vec![dose.scores()],
            Self::TrackLength(length) => vec![length.scores()],
            Self::Leaving(_) => Vec::new(),
            Self::Image(image) => vec![image.primary(), image.scatter()],
        }
    }

    /// The largest x that histories score, on average of their squares: a photon deposits its energy once, and crosses
    /// a voxel a few times at most.
    pub fn bound(&self) -> f64 {
        if matches!(self, Self::TrackLength(_)) { 4.0 } else { 1.0 }
    }

    /// Its list, as columns with a row for each entry, if it keeps one.
    pub fn columns<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        match self {
            Self::Leaving(escapes) => leaving(py, &escapes.photons()),
            _ => Ok(Vec::new()),
        }
    }
}

/// The columns of `escape_tally`.
fn leaving<'py>(py: Python<'py>, photons: &[Leaving]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    Ok(vec![
        column(py, photons, |p| p.history),
        rows(py, photons, |p| p.position)?,
        rows(py, photons, |p| p.direction)?,
        column(py, photons, |p| p.energy),
        column(py, photons, |p| p.weight),
        rows(py, photons, |p| [p.orders.compton, p.orders.rayleigh, p.orders.emission])?,
    ])
}

/// An array with a number for each entry.
fn column<'py, R, T: Element>(py: Python<'py>, entries: &[R], number: impl Fn(&R) -> T) -> Bound<'py, PyAny> {
    entries.iter().map(number).collect::<Vec<_>>().into_pyarray(py).into_any()
}

/// An array with a row of N numbers for each entry.
fn rows<'py, R, T: Element, const N: usize>(
    py: Python<'py>,
    entries: &[R],
    row: impl Fn(&R) -> [T; N],
) -> PyResult<Bound<'py, PyAny>> {
    let numbers: Vec<T> = entries.iter().flat_map(row).collect();
    Ok(numbers.into_pyarray(py).reshape([entries.len(), N])?.into_any())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tally>()?;
    module.add_function(wrap_pyfunction!(dose_tally, module)?)?;
    module.add_function(wrap_pyfunction!(escape_tally, module)?)?;
    module.add_function(wrap_pyfunction!(image_tally, module)?)?;
    module.add_function(wrap_pyfunction!(track_length_tally, module)?)
}
