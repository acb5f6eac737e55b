//! A pulse sequence as the list of instructions that every signal model follows.
//!
//! A pulse (angle a, phase p) tips the unit magnetisation so that F0 = sin(a) e^{ip}, Z = cos a; on configuration
//! states (Weigel 2015, "Extended phase graphs: dephasing, RF pulses, and echoes", with phases counted from y), with
//! F- at order k the conjugate of F at -k,
//!
//!   F+' = cos²(a/2) F+ - e^{2ip} sin²(a/2) F- + e^{ip} sin a Z,      F-' likewise with -p and F+, F- exchanged,
//!   Z'  = cos a Z - sin a (e^{-ip} F+ + e^{ip} F-) / 2.
//!
//! Relaxation for t multiplies F by e^{-t/T2} and Z by e^{-t/T1} and adds 1 - e^{-t/T1} to Z of order 0; precession
//! with f Hz multiplies F+ by e^{2πift}; a shift by n moves F of order k to k + n.

use spinray_core::{Error, Result};

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Radio-frequency pulse; times the atom's relative B1.
    Pulse {
        /// rad
        angle: f64,
        /// rad
        phase: f64,
    },
    /// Relaxation and precession for some seconds.
    Relax(f64),
    /// Dephasing by whole orders while `duration` seconds pass.
    Shift {
        /// Orders.
        orders: i32,
        /// s
        duration: f64,
    },
    /// An ideal spoiler: no transverse magnetisation of any order is left.
    Crush,
    /// An ideal inversion with this efficiency, crushed.
    Invert(f64),
    /// T2 preparation of this duration: Z decays with T2, crushed.
    Prepare(f64),
    /// The signal, less this receiver phase.
    Read(f64),
}

/// A sequence with the slice profile and the dephasing it is played with.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Instructions in the order of time.
    pub ops: Vec<Op>,
    /// Relative flip angles over the positions across the slice, whose signals are averaged; one entry of 1 if ideal.
    pub profile: Vec<f64>,
    /// rad/mm per order, for diffusion.
    pub dephasing: f64,
}

impl Program {
    /// From three columns: code and two numbers per instruction.
    pub fn new(code: &[f64], a: &[f64], b: &[f64], profile: &[f64], dephasing: f64) -> Result<Self> {
        let refuse = |problem: String| Err(Error::invalid("seq", problem));
        if code.len() != a.len() || code.len() != b.len() || profile.is_empty() {
            return refuse("needs instructions of three columns and a slice profile".into());
        }
        let numbers = a.iter().chain(b).chain(profile).chain(std::iter::once(&dephasing));
        if !numbers.into_iter().all(|x| x.is_finite()) {
            return refuse("needs finite angles, phases and times".into());
        }
        let mut ops = Vec::with_capacity(code.len());
        for ((&code, &a), &b) in code.iter().zip(a).zip(b) {
            ops.push(match code as i64 {
                0 => Op::Pulse { angle: a, phase: b },
                1 if a >= 0.0 => Op::Relax(a),
                2 if b >= 0.0 && a.abs() <= 1e4 => Op::Shift { orders: a as i32, duration: b },
                3 => Op::Crush,
                4 => Op::Invert(a),
                5 if a >= 0.0 => Op::Prepare(a),
                6 => Op::Read(a),
                _ => return refuse(format!("has no instruction {code} ({a}, {b})")),
            });
        }
        Ok(Self { ops, profile: profile.to_vec(), dephasing })
    }

    /// Number of readouts.
    pub fn echoes(&self) -> usize {
        self.ops.iter().filter(|op| matches!(op, Op::Read(_))).count()
    }
}
