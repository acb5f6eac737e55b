//! Tallies of photon transport: what is asked for, and what has been counted.

use crate::error::to_python;
use crate::matter::{Mixture, material};
use numpy::{Element, IntoPyArray, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use spinray_core::Result;
use spinray_transport::detector::{Detector, Response};
use spinray_transport::tally::{
    Bins, Crossings, Dose, Escapes, Estimator, Image, Interaction, Interactions, Leaving, Quantity, Rectangle, Scores,
    Target, TrackLength,
};
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
    Flights(Quantity, Target, Bins),
    Crossings(Rectangle, Quantity, Bins),
    Interactions(Option<Vec<bool>>),
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

/// Energy transferred to electrons in each cell, by the lengths of flights, keV.
#[pyfunction]
fn track_length_tally() -> Tally {
    Tally { wanted: Wanted::TrackLength }
}

/// Length of flights, or that times E mu_tr / rho of a material.
fn quantity(mixture: Option<Mixture>) -> PyResult<Quantity> {
    Ok(match mixture {
        Some(mixture) => Quantity::kerma(&material(mixture)?),
        None => Quantity::length(),
    })
}

fn bins(edges: Option<Vec<f64>>) -> PyResult<Bins> {
    edges.map_or(Ok(Bins::default()), |edges| Bins::new(&edges).map_err(to_python))
}

/// Lengths of flights in mm, or times E mu_tr / rho of a mixture, keV mm3/g: (bin of energies, cell), or (bin) in
/// all cells of a region together. `energies` are edges in keV.
#[pyfunction]
#[pyo3(signature = (mixture = None, energies = None, region = None))]
fn flight_tally(
    mixture: Option<Mixture>,
    energies: Option<Vec<f64>>,
    region: Option<PyReadonlyArray1<'_, bool>>,
) -> PyResult<Tally> {
    let target = region.map_or(Target::Cells, |mask| Target::Region(mask.as_array().to_vec()));
    Ok(Tally { wanted: Wanted::Flights(quantity(mixture)?, target, bins(energies)?) })
}

/// The same per volume, by photons that cross a rectangle: 1/mm2, or keV/g. `axes` lead along its sides of `size` mm
/// and along its normal.
#[pyfunction]
#[pyo3(signature = (centre, axes, size, mixture = None, energies = None))]
fn crossing_tally(
    centre: [f64; 3],
    axes: [[f64; 3]; 3],
    size: [f64; 2],
    mixture: Option<Mixture>,
    energies: Option<Vec<f64>>,
) -> PyResult<Tally> {
    let rectangle = Rectangle::new(centre, axes, size).map_err(to_python)?;
    Ok(Tally { wanted: Wanted::Crossings(rectangle, quantity(mixture)?, bins(energies)?) })
}

/// Interactions one by one, in the cells of a region: histories, orders, positions (n, 3), cells, energies deposited
/// and before, weights, processes (photoelectric, Compton, Rayleigh, pair), and numbers of emissions before.
#[pyfunction]
#[pyo3(signature = (region = None))]
fn interaction_tally(region: Option<PyReadonlyArray1<'_, bool>>) -> Tally {
    Tally { wanted: Wanted::Interactions(region.map(|mask| mask.as_array().to_vec())) }
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
    Crossings(Crossings),
    Interactions(Interactions),
    Leaving(Escapes),
    Image(Box<Image>),
}

impl Filled {
    /// Nothing counted yet.
    pub fn new(wanted: &Tally, plan: &Plan) -> Result<Self> {
        Ok(match &wanted.wanted {
            Wanted::Dose => Self::Dose(Dose::new(plan)),
            Wanted::TrackLength => Self::TrackLength(TrackLength::dose(plan)?),
            Wanted::Flights(quantity, target, bins) => {
                Self::TrackLength(TrackLength::new(plan, quantity.clone(), target.clone(), bins.clone())?)
            }
            Wanted::Crossings(rectangle, quantity, bins) => {
                Self::Crossings(Crossings::new(plan, *rectangle, quantity.clone(), bins.clone())?)
            }
            Wanted::Interactions(region) => Self::Interactions(Interactions::new(region.clone())),
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
            Self::Crossings(crossings) => crossings,
            Self::Interactions(interactions) => interactions,
            Self::Leaving(escapes) => escapes,
            Self::Image(image) => &**image,
        }
    }

    /// Its sums, if it counts by cell.
    pub fn scores(&self) -> Vec<&Scores> {
        match self {
            Self::Dose(dose) => vec![dose.scores()],
            Self::TrackLength(length) => vec![length.scores()],
            Self::Crossings(crossings) => vec![crossings.scores()],
            Self::Leaving(_) | Self::Interactions(_) => Vec::new(),
            Self::Image(image) => vec![image.primary(), image.scatter()],
        }
    }

    /// The largest x that histories score, on average of their squares: a photon deposits its energy once, and crosses
    /// a cell or a surface a few times at most.
    pub fn bound(&self) -> f64 {
        if matches!(self, Self::TrackLength(_) | Self::Crossings(_)) { 4.0 } else { 1.0 }
    }

    /// Its list, as columns with a row for each entry, if it keeps one.
    pub fn columns<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        match self {
            Self::Leaving(escapes) => leaving(py, &escapes.photons()),
            Self::Interactions(interactions) => listed(py, &interactions.list()),
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

/// The columns of `interaction_tally`.
fn listed<'py>(py: Python<'py>, list: &[Interaction]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    Ok(vec![
        column(py, list, |one| one.history),
        column(py, list, |one| one.order),
        rows(py, list, |one| one.position)?,
        column(py, list, |one| one.cell),
        column(py, list, |one| one.deposit),
        column(py, list, |one| one.energy),
        column(py, list, |one| one.weight),
        column(py, list, |one| one.process),
        column(py, list, |one| one.emission),
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
    module.add_function(wrap_pyfunction!(crossing_tally, module)?)?;
    module.add_function(wrap_pyfunction!(dose_tally, module)?)?;
    module.add_function(wrap_pyfunction!(escape_tally, module)?)?;
    module.add_function(wrap_pyfunction!(flight_tally, module)?)?;
    module.add_function(wrap_pyfunction!(image_tally, module)?)?;
    module.add_function(wrap_pyfunction!(interaction_tally, module)?)?;
    module.add_function(wrap_pyfunction!(track_length_tally, module)?)
}
