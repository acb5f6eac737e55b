//! A program as stages, each one pass over the configuration states: rotate, relax, precess, shift.
//!
//! Transverse states live in the frame of the last pulse, so that every rotation is about one axis and acts on real
//! and imaginary parts alike. If all pulses share that axis and nothing precesses, imaginary parts stay zero and are
//! left out: [`Plan::is_real`].
//!
//! The light cone: before a stage, order k is occupied only if as many shifts came before it, and seen only if as many
//! shifts and a readout follow. States outside are neither computed nor stored, which changes nothing.

use crate::program::{Op, Program};
use std::f64::consts::PI;

/// Time that passes in one piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Seconds without gradient.
    pub plain: f64,
    /// Seconds under the gradient that follows them.
    pub gradient: f64,
    /// By how many orders it dephases.
    pub orders: i32,
}

impl Interval {
    /// Seconds in all.
    pub fn time(&self) -> f64 {
        self.plain + self.gradient
    }
}

/// What a stage does besides waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A rotation by this angle (0: none), about the axis of the frame.
    Rotate(f64),
    /// All F become 0.
    Crush,
    /// Z times this, F become 0.
    Scale(f64),
    /// Z decays by T2 for the stage's interval, F become 0.
    Prepare,
}

/// A readout: from the beginning of its stage on, after the rotation.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Index of the interval until then.
    pub interval: usize,
    /// Cosine and sine of frame less receiver phase.
    pub turn: (f64, f64),
}

impl Stage {
    /// The flip angle.
    pub fn angle(&self) -> f64 {
        if let Kind::Rotate(angle) = self.kind { angle } else { 0.0 }
    }
}

/// One pass over the states.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its action.
    pub kind: Kind,
    /// Readouts after it.
    pub reads: Vec<Read>,
    /// Index of its interval.
    pub interval: usize,
    /// Phase of this frame less that of the next stage.
    pub turn: f64,
    /// Its sine and 1 - cosine.
    pub turned: [f64; 2],
    /// -1, 0 or 1.
    pub shift: i32,
    /// Orders to look at, before the shift.
    pub before: usize,
    /// Orders to keep, after it.
    pub after: usize,
    /// Whether the limit on states, not the light cone, makes `after` what it is.
    pub truncated: bool,
}

/// A program ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order of time.
    pub stages: Vec<Stage>,
    /// Distinct ones.
    pub intervals: Vec<Interval>,
    /// Number of readouts.
    pub echoes: usize,
    /// Orders ever kept.
    pub states: usize,
    /// Whether imaginary parts are left out.
    pub is_real: bool,
    /// Relative flip angles to average over.
    pub profile: Vec<f64>,
    /// rad/mm per order.
    pub dephasing: f64,
}

/// Whether two phases are the same or opposite: 1 or -1.
fn sign_between(a: f64, b: f64) -> Option<f64> {
    let half_turns = (a - b) / PI;
    let whole = half_turns.round();
    let tolerance = 1e-12 * (1.0 + a.abs().max(b.abs()));
    ((half_turns - whole).abs() <= tolerance).then_some(if whole.rem_euclid(2.0) == 0.0 { 1.0 } else { -1.0 })
}

fn turn(phase: f64) -> (f64, f64) {
    (phase.cos(), phase.sin())
}

struct Planner {
    plan: Plan,
    open: Stage,
    /// Time since the open stage began.
    elapsed: f64,
    frame: f64,
}

impl Planner {
    fn interval(&mut self, interval: Interval) -> usize {
        let known = self.plan.intervals.iter().rposition(|i| *i == interval);
        known.unwrap_or_else(|| {
            self.plan.intervals.push(interval);
            self.plan.intervals.len() - 1
        })
    }

    fn close(&mut self, interval: Interval, shift: i32, frame: f64, next: Kind) {
        self.open.interval = self.interval(interval);
        self.open.shift = shift;
        let turn = self.frame - frame;
        (self.open.turn, self.open.turned) = (turn, [turn.sin(), 2.0 * (0.5 * turn).sin().powi(2)]);
        self.frame = frame;
        self.elapsed = 0.0;
        let done = std::mem::replace(&mut self.open, stage(next));
        let idle = done.kind == Kind::Rotate(0.0) && done.reads.is_empty() && done.shift == 0;
        if !(idle && interval.time() == 0.0 && done.turn == 0.0) {
            self.plan.stages.push(done);
        }
    }

    fn wait(&mut self) -> Interval {
        Interval { plain: self.elapsed, gradient: 0.0, orders: 0 }
    }
}

fn stage(kind: Kind) -> Stage {
    Stage {
        kind,
        reads: vec![],
        interval: 0,
        turn: 0.0,
        turned: [0.0; 2],
        shift: 0,
        before: 0,
        after: 0,
        truncated: false,
    }
}

impl Plan {
    /// With at most `limit` orders; `precesses` if some atom is off resonance.
    pub fn new(program: &Program, limit: Option<usize>, precesses: bool) -> Self {
        let phases = |op: &Op| match *op {
            Op::Pulse { phase, .. } | Op::Read(phase) => Some(phase),
            _ => None,
        };
        let first = program.ops.iter().find_map(phases).unwrap_or(0.0);
        let alike = program.ops.iter().filter_map(phases).all(|phase| sign_between(phase, first).is_some());
        let plan = Self {
            stages: vec![],
            intervals: vec![],
            echoes: program.echoes(),
            states: 1,
            is_real: alike && !precesses,
            profile: program.profile.clone(),
            dephasing: program.dephasing,
        };
        let mut planner = Planner { plan, open: stage(Kind::Rotate(0.0)), elapsed: 0.0, frame: first };
        for op in &program.ops {
            planner.push(op);
        }
        let wait = planner.wait();
        let frame = planner.frame;
        planner.close(wait, 0, frame, Kind::Rotate(0.0));
        let mut plan = planner.plan;
        plan.limit(limit.unwrap_or(usize::MAX));
        plan
    }

    /// Lays the light cone over the stages.
    fn limit(&mut self, limit: usize) {
        // Orders that an echo can still see at the beginning of each stage.
        let mut seen = 0;
        let mut visible = vec![0; self.stages.len() + 1];
        for (n, stage) in self.stages.iter().enumerate().rev() {
            if seen > 0 && stage.shift != 0 {
                seen += 1;
            }
            seen = seen.max(usize::from(!stage.reads.is_empty()));
            visible[n] = seen;
        }
        let needed = visible.iter().rposition(|&v| v > 0).map_or(0, |last| last + 1);
        self.stages.truncate(needed);
        let mut occupied: usize = 1;
        for (n, stage) in self.stages.iter_mut().enumerate() {
            stage.before = occupied.min(visible[n]).min(limit);
            occupied += usize::from(stage.shift != 0);
            let after = occupied.min(visible[n + 1]);
            stage.after = after.min(limit);
            stage.truncated = after > limit && stage.shift != 0;
            self.states = self.states.max(stage.before).max(stage.after);
        }
    }
}

impl Planner {
    fn push(&mut self, op: &Op) {
        let wait = self.wait();
        match *op {
            Op::Pulse { angle, phase } => {
                let sign = if self.plan.is_real { sign_between(phase, self.frame) } else { None };
                let (frame, angle) = sign.map_or((phase, angle), |sign| (self.frame, sign * angle));
                self.close(wait, 0, frame, Kind::Rotate(angle));
            }
            Op::Relax(time) => self.elapsed += time,
            Op::Read(receiver) => {
                let interval = self.interval(wait);
                let turn = match sign_between(self.frame, receiver) {
                    Some(sign) => (sign, 0.0),
                    None => turn(self.frame - receiver),
                };
                self.open.reads.push(Read { interval, turn });
            }
            Op::Shift { orders: 0, duration } => self.elapsed += duration,
            Op::Shift { orders, duration } => {
                let interval = Interval { plain: self.elapsed, gradient: duration, orders };
                self.close(interval, orders.signum(), self.frame, Kind::Rotate(0.0));
                for _ in 1..orders.abs() {
                    let nothing = self.wait();
                    self.close(nothing, orders.signum(), self.frame, Kind::Rotate(0.0));
                }
            }
            Op::Crush => self.special(Kind::Crush, 0.0),
            Op::Invert(efficiency) => self.special(Kind::Scale(-efficiency), 0.0),
            Op::Prepare(duration) => self.special(Kind::Prepare, duration),
        }
    }

    /// A stage of its own.
    fn special(&mut self, kind: Kind, duration: f64) {
        let wait = self.wait();
        self.close(wait, 0, self.frame, kind);
        let interval = Interval { plain: duration, gradient: 0.0, orders: 0 };
        self.close(interval, 0, self.frame, Kind::Rotate(0.0));
    }
}
