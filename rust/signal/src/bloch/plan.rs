//! A program with shaped pulses, as steps that refer to tables: distinct intervals, distinct dephasings.

use super::pulse::Shape;
use crate::program::{Op, Program};
use spinray_core::{Error, Result};

/// Code of a shaped pulse: (its number, phase).
const SHAPED: f64 = 7.0;

/// One step; times and dephasings by their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A hard pulse.
    Turn {
        /// rad
        angle: f64,
        /// rad
        phase: f64,
    },
    /// A shaped pulse.
    Play {
        /// Its number.
        shape: usize,
        /// rad, added to that of its waveform.
        phase: f64,
    },
    /// Relaxation and precession.
    Wait(usize),
    /// A gradient along the voxel.
    Dephase(usize),
    /// Z times this, F becomes 0.
    Scale(f64),
    /// Z decays by T2 for so many seconds, F becomes 0.
    Prepare(f64),
    /// The signal, less this receiver phase.
    Read(f64),
}

/// A program ready to run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order of time.
    pub steps: Vec<Step>,
    /// Shaped pulses.
    pub shapes: Vec<Shape>,
    /// s, distinct.
    pub intervals: Vec<f64>,
    /// Turns of 2 pi over the voxel, distinct.
    pub turns: Vec<i32>,
    /// Number of readouts.
    pub echoes: usize,
}

fn number<T: Copy + PartialEq>(table: &mut Vec<T>, entry: T) -> usize {
    table.iter().rposition(|known| *known == entry).unwrap_or_else(|| {
        table.push(entry);
        table.len() - 1
    })
}

impl Plan {
    /// From three columns as those of [`Program::new`], and code 7: play the shape of number a with phase b.
    pub fn new(code: &[f64], a: &[f64], b: &[f64], shapes: Vec<Shape>) -> Result<Self> {
        if code.len() != a.len() || code.len() != b.len() {
            return Err(Error::invalid("seq", "needs instructions of three columns"));
        }
        let hard = |column: &[f64]| -> Vec<f64> {
            column.iter().zip(code).filter(|(_, code)| **code != SHAPED).map(|(x, _)| *x).collect()
        };
        let program = Program::new(&hard(code), &hard(a), &hard(b), &[1.0], 0.0)?;
        let mut ops = program.ops.iter();
        let mut plan = Self { shapes, echoes: program.echoes(), ..Self::default() };
        for ((&code, &a), &b) in code.iter().zip(a).zip(b) {
            if code != SHAPED {
                ops.next().into_iter().for_each(|op| plan.push(op));
            } else if a >= 0.0 && a < plan.shapes.len() as f64 && b.is_finite() {
                plan.steps.push(Step::Play { shape: a as usize, phase: b });
            } else {
                return Err(Error::invalid("seq", format!("has no shaped pulse {a} of phase {b}")));
            }
        }
        Ok(plan)
    }

    fn push(&mut self, op: &Op) {
        match *op {
            Op::Pulse { angle, phase } => self.steps.push(Step::Turn { angle, phase }),
            Op::Relax(time) => self.wait(time),
            Op::Shift { orders, duration } => {
                self.wait(duration);
                let turn = number(&mut self.turns, orders);
                self.steps.push(Step::Dephase(turn));
            }
            Op::Crush => self.steps.push(Step::Scale(1.0)),
            Op::Invert(efficiency) => self.steps.push(Step::Scale(-efficiency)),
            Op::Prepare(duration) => self.steps.push(Step::Prepare(duration)),
            Op::Read(phase) => self.steps.push(Step::Read(phase)),
        }
    }

    fn wait(&mut self, time: f64) {
        if time > 0.0 {
            let interval = number(&mut self.intervals, time);
            self.steps.push(Step::Wait(interval));
        }
    }
}
