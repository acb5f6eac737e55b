//! Photon transport: the bindings of `spinray-transport::track`.

use crate::error::to_python;
use crate::phantom::Geometry;
use crate::run::run;
use crate::sources::Source;
use crate::tallies::{Filled, Tally};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use spinray_core::Error;
use spinray_transport::geometry::Bounds;
use spinray_transport::tally::Scores;
use spinray_transport::track::{Biasing, Physics, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A simulation: its tables, made once, and what all histories simulated so far have scored.
#[pyclass(frozen, module = "spinray._core")]
pub struct Transport {
    plan: Plan,
    tallies: Vec<Filled>,
    done: AtomicU64,
    flights: AtomicU64,
}

fn out_of_reach(bounds: &Bounds) -> Error {
    let (low, high) = (bounds.low, bounds.high());
    let problem = format!(
        "expected photons that meet the phantom, which lies between {low:?} and {high:?}, got none that does. \
         Position and direction are (x, y, z) in mm"
    );
    Error::invalid("source", problem)
}

/// The entries of an array.
fn copied<T: Element + Copy>(array: PyReadonlyArray1<'_, T>) -> Vec<T> {
    array.as_array().to_vec()
}

impl Transport {
    fn tally(&self, k: usize) -> PyResult<&Filled> {
        self.tallies.get(k).ok_or_else(|| PyIndexError::new_err("tally: no such one"))
    }
}

/// Whether the first collision is forced; importance of every cell; how much more often energies, and voxels, are drawn.
type Biased<'py> =
    (bool, Option<PyReadonlyArray1<'py, f32>>, Option<PyReadonlyArray1<'py, f64>>, Option<PyReadonlyArray1<'py, f32>>);

/// Sums of x and of x^2 by cell.
type Sums<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

#[pymethods]
impl Transport {
    #[new]
    #[pyo3(signature = (phantom, source, tallies, doppler, biasing = None))]
    fn new(
        py: Python<'_>,
        phantom: &Geometry,
        source: &Source,
        tallies: Vec<PyRef<'_, Tally>>,
        doppler: bool,
        biasing: Option<Biased<'_>>,
    ) -> PyResult<Self> {
        let bounds = phantom.kernel.bounds();
        if !source.kernel.reaches(bounds) {
            return Err(to_python(out_of_reach(bounds)));
        }
        let wanted: Vec<&Tally> = tallies.iter().map(|tally| &**tally).collect();
        let (mut source, mut wishes) = (Arc::clone(&source.kernel), None);
        if let Some((force, importance, spectrum, activity)) = biasing {
            let (spectrum, activity) = (spectrum.map(copied), activity.map(copied));
            let drawn = (*source).clone().biased(spectrum.as_deref(), activity.as_deref());
            source = Arc::new(drawn.map_err(to_python)?);
            wishes = Some(Biasing { force, importance: importance.map(copied) });
        }
        let (plan, tallies) = run(py, None, |_| {
            let plan = phantom.plan(&source, Physics { doppler })?;
            let plan = match wishes {
                Some(biasing) => plan.biased(biasing)?,
                None => plan,
            };
            let tallies = wanted.iter().map(|wanted| Filled::new(wanted, &plan)).collect::<Result<_, Error>>()?;
            Ok((plan, tallies))
        })?;
        Ok(Self { plan, tallies, done: AtomicU64::new(0), flights: AtomicU64::new(0) })
    }

    /// Simulates histories from `start` to before `stop` of a seed; `progress`, if given, is called as
    /// progress(steps, all steps). What it or Ctrl-C raises ends the call in time: the first so many histories have
    /// then been simulated, whole, and count as `done`.
    #[pyo3(signature = (seed, start, stop, progress = None))]
    fn simulate(&self, py: Python<'_>, seed: u64, start: u64, stop: u64, progress: Option<Py<PyAny>>) -> PyResult<()> {
        run(py, progress, |job| {
            let tallies: Vec<_> = self.tallies.iter().map(Filled::tally).collect();
            let done = self.plan.simulate(seed, start..stop, &tallies, job)?;
            self.done.fetch_add(done.histories, Relaxed);
            self.flights.fetch_add(done.flights, Relaxed);
            Ok(())
        })
    }

    /// Histories simulated so far.
    #[getter]
    fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Flights of their photons: to collisions, real or not, or out.
    #[getter]
    fn flights(&self) -> u64 {
        self.flights.load(Relaxed)
    }

    /// Of each array of cells of a tally, in units of 2^-32: sums of x and of x^2.
    fn sums<'py>(&self, py: Python<'py>, tally: usize) -> PyResult<Vec<Sums<'py>>> {
        let scores = self.tally(tally)?.scores();
        let sums = run(py, None, |_| Ok(scores.iter().map(|s| (s.sums(), s.squares())).collect::<Vec<_>>()))?;
        Ok(sums.into_iter().map(|(first, second)| (first.into_pyarray(py), second.into_pyarray(py))).collect())
    }

    /// What x = 1 stands for in each array of cells of a tally, in keV or counts: a number, or one for each cell
    /// where importances differ.
    fn scales<'py>(&self, py: Python<'py>, tally: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let scale = |scores: &Scores| match scores.units() {
            [] => Ok(scores.scale().into_pyobject(py)?.into_any()),
            units => Ok(units.iter().map(|unit| scores.scale() / unit).collect::<Vec<_>>().into_pyarray(py).into_any()),
        };
        self.tally(tally)?.scores().into_iter().map(scale).collect()
    }

    /// The largest x that histories score in a tally, on average of their squares.
    fn bound(&self, tally: usize) -> PyResult<f64> {
        Ok(self.tally(tally)?.bound())
    }

    /// The largest sum in a tally.
    fn largest(&self, py: Python<'_>, tally: usize) -> PyResult<u64> {
        let scores = self.tally(tally)?.scores();
        run(py, None, |_| Ok(scores.iter().map(|scores| scores.largest()).max().unwrap_or(0)))
    }

    /// The list that a tally keeps, by history, as columns with a row for each entry.
    fn columns<'py>(&self, py: Python<'py>, tally: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.tally(tally)?.columns(py)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Transport>()
}
