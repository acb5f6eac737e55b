//! The photons a worker follows side by side, one array for each of their properties.
//!
//! A slot holds one history at a time: its current photon here, its other photons on the slot's stack. Slots without a
//! history (at the end of a run) keep harmless values and go through the stages unheeded.

/// Photons in a bank: few enough that all arrays stay in the nearest cache, many enough to fill lanes after sorting.
pub const SLOTS: usize = 256;

/// A value for each slot.
pub type Lanes<T> = [T; SLOTS];

/// Current photons of all slots. Positions are local (mm from the lower corner of the bounds), energies in keV.
#[repr(C, align(64))]
pub struct Bank {
    /// Position.
    pub x: Lanes<f32>,
    /// Position.
    pub y: Lanes<f32>,
    /// Position.
    pub z: Lanes<f32>,
    /// Direction.
    pub u: Lanes<f32>,
    /// Direction.
    pub v: Lanes<f32>,
    /// Direction.
    pub w: Lanes<f32>,
    /// Energy.
    pub energy: Lanes<f32>,
    /// Statistical weight.
    pub weight: Lanes<f32>,
    /// What happened to the photon so far.
    pub orders: Lanes<Orders>,
    /// How the photon's flight begins.
    pub start: Lanes<Start>,
    /// Importance that the weight goes with, where photons are split.
    pub importance: Lanes<f32>,
    /// Low half of the history's number.
    pub low: Lanes<u32>,
    /// High half of the history's number.
    pub high: Lanes<u32>,
    /// Next unused block of the history's random numbers.
    pub block: Lanes<u32>,
    /// 1 if the slot holds a history.
    pub alive: Lanes<u32>,

    /// Length of the flight, ended by a collision or at the bounds.
    pub path: Lanes<f32>,
    /// Scoring cell at the end of the flight.
    pub cell: Lanes<u32>,
    /// Material at the end of the flight.
    pub material: Lanes<u32>,
    /// Density there in g/cm3.
    pub density: Lanes<f32>,
    /// Collisions per mm the flight was drawn with.
    pub majorant: Lanes<f32>,
    /// [`Fate`] at the end of the flight.
    pub fate: Lanes<u32>,
    /// 1 - cos(theta) of the scatter at the end of the flight, 0 if there was none.
    pub versine: Lanes<f32>,
    /// Random words of the step.
    pub words: [Lanes<u32>; 4],
}

/// Counts of scatters, and how many secondary emissions lie between the source and this photon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Compton scatters.
    pub compton: u8,
    /// Rayleigh scatters.
    pub rayleigh: u8,
    /// Fluorescence and annihilation.
    pub emission: u8,
}

/// A photon waiting on a slot's stack.
#[derive(Clone, Copy, Debug)]
pub struct Secondary {
    /// Local position.
    pub position: [f32; 3],
    /// Direction.
    pub direction: [f32; 3],
    /// Energy in keV.
    pub energy: f32,
    /// Statistical weight.
    pub weight: f32,
    /// What led to it.
    pub orders: Orders,
    /// How its first flight begins.
    pub start: Start,
    /// Importance that its weight goes with.
    pub importance: f32,
}

/// How a flight begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the source.
    Source,
    /// At the source, the part of a photon that is known to leave without a collision.
    Through,
    /// At the source, the part that is known to collide.
    Collides,
    /// Where the photon was emitted in the geometry.
    Emitted,
    /// At a scatter, or where the last one was cut.
    Goes,
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fate {
    /// Photoelectric absorption.
    Photoelectric,
    /// Incoherent scatter.
    Compton,
    /// Coherent scatter.
    Rayleigh,
    /// Pair production.
    Pair,
    /// No collision: the drawn one was not real, or the flight was cut at the end of a region.
    Virtual,
    /// The photon left the bounds.
    Leaves,
    /// The slot is empty.
    Empty,
}

/// Number of fates.
pub const FATES: usize = 7;

impl Default for Bank {
    fn default() -> Self {
        let (zeros, reals, ones) = ([0; SLOTS], [0.0; SLOTS], [1.0; SLOTS]);
        Self {
            x: reals,
            y: reals,
            z: reals,
            u: reals,
            v: reals,
            w: ones,
            energy: ones,
            weight: ones,
            orders: [Orders::default(); SLOTS],
            start: [Start::Goes; SLOTS],
            importance: ones,
            low: zeros,
            high: zeros,
            block: zeros,
            alive: zeros,
            path: reals,
            cell: zeros,
            material: zeros,
            density: reals,
            majorant: reals,
            fate: zeros,
            versine: reals,
            words: [zeros; 4],
        }
    }
}

impl Bank {
    /// Puts a photon into a slot.
    #[inline]
    pub fn place(&mut self, slot: usize, photon: &Secondary) {
        [self.x[slot], self.y[slot], self.z[slot]] = photon.position;
        [self.u[slot], self.v[slot], self.w[slot]] = photon.direction;
        self.energy[slot] = photon.energy;
        self.weight[slot] = photon.weight;
        self.orders[slot] = photon.orders;
        self.start[slot] = photon.start;
        self.importance[slot] = photon.importance;
    }

    /// The photon of a slot as it flies on.
    #[inline]
    pub fn photon(&self, slot: usize) -> Secondary {
        Secondary {
            position: self.position(slot),
            direction: self.direction(slot),
            energy: self.energy[slot],
            weight: self.weight[slot],
            orders: self.orders[slot],
            start: Start::Goes,
            importance: self.importance[slot],
        }
    }

    /// Local position of a slot's photon.
    #[inline]
    pub fn position(&self, slot: usize) -> [f32; 3] {
        [self.x[slot], self.y[slot], self.z[slot]]
    }

    /// Direction of a slot's photon.
    #[inline]
    pub fn direction(&self, slot: usize) -> [f32; 3] {
        [self.u[slot], self.v[slot], self.w[slot]]
    }

    /// Number of the history in a slot.
    #[inline]
    pub fn history(&self, slot: usize) -> u64 {
        u64::from(self.high[slot]) << 32 | u64::from(self.low[slot])
    }
}

/// Entry i of a table that the axis it was made on guarantees to be there: without the test, a loop becomes gathers.
#[inline(always)]
pub fn at<T: Copy>(table: &[T], i: usize) -> T {
    debug_assert!(i < table.len());
    // SAFETY: tables hold an entry for every interval of their axis and every material, and `Axis::place` names no other.
    unsafe { *table.get_unchecked(i) }
}
