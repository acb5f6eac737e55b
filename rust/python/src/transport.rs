//! Photon transport: the bindings of `spinray-transport::track` and its tallies.

use crate::error::to_python;
use crate::phantom::Geometry;
use crate::run::run;
use crate::sources::Source;
use numpy::{Element, IntoPyArray, PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use spinray_core::Error;
use spinray_transport::geometry::Bounds;
use spinray_transport::tally::{Leaving, Request, Scores, Tallies};
use spinray_transport::track::{Physics, Plan, Problem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A simulation: its tables, made once, and what all histories simulated so far have scored, for each of `requests`
/// ("analogue" and "track_length" dose, "leaving" photons).
#[pyclass(frozen, module = "spinray._core")]
pub struct Transport {
    plan: Plan,
    tallies: Tallies,
    requests: Vec<Request>,
    done: AtomicU64,
}

fn request(name: &str) -> PyResult<Request> {
    match name {
        "analogue" => Ok(Request::Dose),
        "track_length" => Ok(Request::TrackLength),
        "leaving" => Ok(Request::Leaving),
        _ => Err(PyValueError::new_err(format!("requests: expected analogue, track_length or leaving, got {name}"))),
    }
}

fn out_of_reach(bounds: &Bounds) -> Error {
    let (low, high) = (bounds.low, bounds.high());
    let problem = format!(
        "expected photons that meet the phantom, which lies between {low:?} and {high:?}, got none that does. \
         Position and direction are (x, y, z) in mm"
    );
    Error::invalid("source", problem)
}

impl Transport {
    fn scores(&self, tally: usize) -> PyResult<&Scores> {
        let request = self.requests.get(tally).ok_or_else(|| PyIndexError::new_err("tally: no such one"))?;
        let scores = match request {
            Request::Dose => self.tallies.dose(),
            Request::TrackLength => self.tallies.track_length(),
            Request::Leaving => None,
        };
        scores.ok_or_else(|| PyIndexError::new_err("tally: not asked for"))
    }
}

#[pymethods]
impl Transport {
    #[new]
    fn new(
        py: Python<'_>,
        phantom: &Geometry,
        source: &Source,
        requests: Vec<String>,
        doppler: bool,
    ) -> PyResult<Self> {
        let requests = requests.iter().map(|name| request(name)).collect::<PyResult<Vec<_>>>()?;
        let problem =
            Problem { geometry: phantom.kernel.clone(), source: source.kernel.clone(), physics: Physics { doppler } };
        if !source.kernel.reaches(problem.geometry.bounds()) {
            return Err(to_python(out_of_reach(problem.geometry.bounds())));
        }
        let (plan, tallies) = run(py, None, |_| {
            let plan = Plan::new(problem)?;
            let tallies = Tallies::new(&plan, &requests)?;
            Ok((plan, tallies))
        })?;
        Ok(Self { plan, tallies, requests, done: AtomicU64::new(0) })
    }

    /// Simulates histories from `start` to before `stop` of a seed; `progress`, if given, is called as
    /// progress(steps, all steps). What it or Ctrl-C raises ends the call in time: the first so many histories have
    /// then been simulated, whole, and count as `done`.
    #[pyo3(signature = (seed, start, stop, progress = None))]
    fn simulate(&self, py: Python<'_>, seed: u64, start: u64, stop: u64, progress: Option<Py<PyAny>>) -> PyResult<()> {
        run(py, progress, |job| {
            let done = self.plan.simulate(seed, start..stop, &self.tallies, job)?;
            self.done.fetch_add(done, Relaxed);
            Ok(())
        })
    }

    /// Histories simulated so far.
    #[getter]
    fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Sums of x and of x^2 by cell, of a dose in the order of `requests`, in units of 2^-32.
    fn sums<'py>(&self, py: Python<'py>, tally: usize) -> PyResult<[Bound<'py, PyArray1<u64>>; 2]> {
        let scores = self.scores(tally)?;
        Ok([scores.sums(), scores.squares()].map(|sums| sums.into_pyarray(py)))
    }

    /// The photons that have left so far, by history: their histories, positions (n, 3) where they crossed the
    /// bounds and directions, energies, weights, and numbers of Compton scatters, Rayleigh scatters and emissions
    /// (n, 3).
    fn leaving<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let photons = self.tallies.leaving().ok_or_else(|| PyIndexError::new_err("leaving: not asked for"))?;
        let orders = |p: &Leaving| [p.orders.compton, p.orders.rayleigh, p.orders.emission];
        Ok(vec![
            photons.iter().map(|p| p.history).collect::<Vec<_>>().into_pyarray(py).into_any(),
            rows(py, &photons, |p| p.position)?,
            rows(py, &photons, |p| p.direction)?,
            photons.iter().map(|p| p.energy).collect::<Vec<_>>().into_pyarray(py).into_any(),
            photons.iter().map(|p| p.weight).collect::<Vec<_>>().into_pyarray(py).into_any(),
            rows(py, &photons, orders)?,
        ])
    }

    /// The energy in keV that x = 1 stands for.
    fn scale(&self, tally: usize) -> PyResult<f64> {
        Ok(self.scores(tally)?.scale())
    }

    /// The largest x that histories score, on average of their squares: a photon deposits its energy once, and
    /// crosses a voxel a few times at most.
    fn bound(&self, tally: usize) -> PyResult<f64> {
        self.scores(tally)?;
        Ok(if self.requests[tally] == Request::TrackLength { 4.0 } else { 1.0 })
    }
}

/// An array with a row of N numbers for each photon.
fn rows<'py, T: Element, const N: usize>(
    py: Python<'py>,
    photons: &[Leaving],
    row: impl Fn(&Leaving) -> [T; N],
) -> PyResult<Bound<'py, PyAny>> {
    let entries: Vec<T> = photons.iter().flat_map(row).collect();
    Ok(entries.into_pyarray(py).reshape([photons.len(), N])?.into_any())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Transport>()
}
