//! The stages every photon goes through in a step, as plain loops over the bank.
//!
//! Flights are drawn by Woodcock's method (Woodcock et al. 1965, "Techniques used in the GEM code for Monte Carlo
//! neutronics calculations"): distances to a collision from a majorant of the attenuation, of which the local share is
//! real. One random number decides whether the collision is real and which process it is. Directions turn in the
//! orthonormal basis of Duff et al. 2017 ("Building an orthonormal basis, revisited", JCGT 6), which needs no branch.

use super::axis::ENERGY;
use super::bank::{Bank, FATES, Fate, Lanes, SLOTS, at};
use super::math::{ln, turn};
use super::regions::Regions;
use super::tables::Attenuation;
use crate::random::{blocks, unit};

/// The next block of random words for every slot.
#[inline(always)]
pub fn draw(bank: &mut Bank, key: [u32; 2]) {
    let Bank { block, low, high, words, .. } = bank;
    blocks(key, block, low, high, SLOTS, words);
    for next in block.iter_mut() {
        *next = next.wrapping_add(1);
    }
}

/// Flights with the majorant that holds about each photon: path, and whether it ends at the bounds or is cut.
#[inline(always)]
pub fn fly(bank: &mut Bank, regions: &Regions, edges: [f32; 3]) {
    if regions.is_whole() { fly_free(bank, &regions.majorants, edges) } else { fly_cut(bank, regions, edges) }
}

/// One majorant holds everywhere.
#[inline(always)]
fn fly_free(bank: &mut Bank, majorant: &[[f32; 2]], edges: [f32; 3]) {
    for i in 0..SLOTS {
        let (k, f) = ENERGY.place(bank.energy[i]);
        let [value, rise] = at(majorant, k);
        let most = value + f * rise;
        let drawn = -ln(unit(bank.words[0][i])) / most;
        let out = exit(0.0, edges[0], bank.x[i], bank.u[i], f32::INFINITY);
        let out = exit(0.0, edges[1], bank.y[i], bank.v[i], out);
        let out = exit(0.0, edges[2], bank.z[i], bank.w[i], out);
        let out = if bank.alive[i] == 1 { out } else { 0.0 };
        let collides = drawn < out;
        bank.path[i] = if collides { drawn } else { out };
        bank.majorant[i] = most;
        bank.fate[i] = if collides { Fate::Virtual } else { Fate::Leaves } as u32;
    }
}

/// A majorant holds within a cube of boxes.
#[inline(always)]
fn fly_cut(bank: &mut Bank, regions: &Regions, edges: [f32; 3]) {
    // Copies and slices: what the loop reads is then plainly not what it writes.
    let Regions { count, size, inverse, slack, .. } = *regions;
    let (boxes, majorants) = (&regions.boxes[..], &regions.majorants[..]);
    let last = count.map(|n| n as i32 - 1);
    let (row, slice) = (count[0] as i32, (count[0] * count[1]) as i32);
    for i in 0..SLOTS {
        let (p, d) = ([bank.x[i], bank.y[i], bank.z[i]], [bank.u[i], bank.v[i], bank.w[i]]);
        // A photon that was cut at a face, give or take rounding, is in the box it flies into.
        let b: [i32; 3] = std::array::from_fn(|k| {
            let ahead = (p[k] + slack[k].copysign(d[k])) * inverse[k];
            let ahead = if ahead > 0.0 { ahead } else { 0.0 };
            let ahead = if ahead < last[k] as f32 { ahead } else { last[k] as f32 };
            // SAFETY: between 0 and the number of boxes.
            unsafe { ahead.to_int_unchecked::<i32>() }
        });
        let found = at(boxes, (b[0] + row * b[1] + slice * b[2]) as usize);
        let (class, reach) = ((found & 255) as usize, (found >> 8) as i32);
        let (k, f) = ENERGY.place(bank.energy[i]);
        let [value, rise] = at(majorants, class * ENERGY.intervals() + k);
        let most = value + f * rise;
        let drawn = -ln(unit(bank.words[0][i])) / most;
        let (mut out, mut cut) = (f32::INFINITY, f32::INFINITY);
        for k in 0..3 {
            // The outermost faces are those of the bounds, which `out` has seen to: rounding must not put them before.
            let (first, end) = (b[k] - reach, b[k] + reach + 1);
            let low = if first > 0 { first as f32 * size[k] } else { f32::NEG_INFINITY };
            let high = if end <= last[k] { end as f32 * size[k] } else { f32::INFINITY };
            out = exit(0.0, edges[k], p[k], d[k], out);
            cut = exit(low, high, p[k], d[k], cut);
        }
        let out = if bank.alive[i] == 1 { out } else { 0.0 };
        let end = if cut < out { cut } else { out };
        let collides = drawn < end;
        bank.path[i] = if collides { drawn } else { end };
        // What is cut does not collide: no attenuation reaches an infinite majorant.
        bank.majorant[i] = if collides { most } else { f32::INFINITY };
        bank.fate[i] = if collides | (cut < out) { Fate::Virtual } else { Fate::Leaves } as u32;
    }
}

/// The smaller of `best` and the path along one axis from x to the end of [low, high].
#[inline(always)]
pub fn exit(low: f32, high: f32, x: f32, u: f32, best: f32) -> f32 {
    let ahead = if u > 0.0 { high - x } else { x - low };
    let ahead = if ahead > 0.0 { ahead } else { 0.0 };
    // 0 / 0 is no number, which is not smaller than anything.
    let path = ahead / u.abs();
    if path < best { path } else { best }
}

/// Moves every photon to the end of its flight.
#[inline(always)]
pub fn advance(bank: &mut Bank, edges: [f32; 3]) {
    let last = edges.map(f32::next_down);
    let Bank { x, y, z, u, v, w, path, .. } = bank;
    let along = |x: &mut Lanes<f32>, u: &Lanes<f32>, last: f32| {
        for i in 0..SLOTS {
            let end = x[i] + path[i] * u[i];
            let end = if end > 0.0 { end } else { 0.0 };
            let end = if end < last { end } else { last };
            // A photon that misses the bounds stays where it is.
            x[i] = if path[i] > 0.0 { end } else { x[i] };
        }
    };
    along(x, u, last[0]);
    along(y, v, last[1]);
    along(z, w, last[2]);
}

/// Which of the drawn collisions are real, and of which process.
#[inline(always)]
pub fn decide(bank: &mut Bank, attenuation: &Attenuation) {
    for i in 0..SLOTS {
        let (k, f) = ENERGY.place(bank.energy[i]);
        let sums = attenuation.at(bank.material[i], k, f);
        let drawn = unit(bank.words[1][i]) * bank.majorant[i];
        let fate = sums.iter().map(|sum| u32::from(drawn >= sum * bank.density[i])).sum();
        let fate = if bank.fate[i] == Fate::Virtual as u32 { fate } else { Fate::Leaves as u32 };
        bank.fate[i] = if bank.alive[i] != 0 { fate } else { Fate::Empty as u32 };
        bank.versine[i] = 0.0;
    }
}

/// Slots by fate.
pub struct Sorted {
    slots: [[u32; SLOTS]; FATES],
    count: [usize; FATES],
}

impl Default for Sorted {
    fn default() -> Self {
        Self { slots: [[0; SLOTS]; FATES], count: [0; FATES] }
    }
}

impl Sorted {
    /// Sorts the slots anew.
    #[inline(always)]
    pub fn sort(&mut self, fate: &Lanes<u32>) {
        self.count = [0; FATES];
        for (i, &fate) in fate.iter().enumerate() {
            let fate = (fate as usize).min(FATES - 1);
            self.slots[fate][self.count[fate] % SLOTS] = i as u32;
            self.count[fate] += 1;
        }
    }

    /// Slots of one fate.
    #[inline(always)]
    pub fn of(&self, fate: Fate) -> &[u32] {
        &self.slots[fate as usize][..self.count[fate as usize].min(SLOTS)]
    }
}

/// Turns every photon by its polar angle, and about its direction by a uniform angle.
#[inline(always)]
pub fn rotate(bank: &mut Bank) {
    for i in 0..SLOTS {
        let (u, v, w) = (bank.u[i], bank.v[i], bank.w[i]);
        let versine = bank.versine[i];
        let cosine = 1.0 - versine;
        let sine = (versine * (2.0 - versine)).sqrt();
        let (c, s) = turn(bank.words[2][i]);
        let (a, b) = (sine * c, sine * s);
        let sign = 1f32.copysign(w);
        let p = -1.0 / (sign + w);
        let q = u * v * p;
        let x = cosine * u + a * (1.0 + sign * u * u * p) + b * q;
        let y = cosine * v + a * (sign * q) + b * (sign + v * v * p);
        let z = cosine * w - a * (sign * u) - b * v;
        // One step of Newton's method keeps the length at 1.
        let scale = 1.5 - 0.5 * (x * x + y * y + z * z);
        (bank.u[i], bank.v[i], bank.w[i]) = (scale * x, scale * y, scale * z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Numbers, Uniform};

    #[test]
    fn directions_turn_by_the_polar_angle_and_evenly_about_themselves() {
        let mut numbers = Numbers::new(1, 0, 0);
        let poles = [
            [0.0, 0.0, 1.0],
            [0.0, 0.0, -1.0],
            [1e-4, 0.0, -1.0],
            [1.0, 0.0, 0.0],
            [0.48, -0.64, 0.6],
            [0.36, 0.48, -0.8],
        ];
        for (case, old) in poles.iter().enumerate() {
            let (mut around, mut turns) = ([[0.0f64; 3]; 2], 0.0);
            for round in 0..400 {
                let mut bank = Bank::default();
                for i in 0..SLOTS {
                    [bank.u[i], bank.v[i], bank.w[i]] = *old;
                    bank.versine[i] = [0.0, 1e-5, 0.3, 1.0, 2.0][(i + round) % 5];
                    bank.words[2][i] = numbers.bits();
                }
                rotate(&mut bank);
                for i in 0..SLOTS {
                    let new = bank.direction(i).map(f64::from);
                    let old = old.map(f64::from);
                    let dot: f64 = (0..3).map(|k| new[k] * old[k]).sum();
                    assert!((new.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-6);
                    assert!((1.0 - dot - f64::from(bank.versine[i])).abs() < 5e-7, "case {case}");
                    if bank.versine[i] == 1.0 {
                        (0..3).for_each(|k| around[0][k] += new[k]);
                        (0..3).for_each(|k| around[1][k] += new[k] * new[k]);
                        turns += 1.0;
                    }
                }
            }
            // Across the old direction all directions are as likely: mean 0, mean square (1 - old^2)/2.
            for k in 0..3 {
                let square = 0.5 * (1.0 - f64::from(old[k]).powi(2));
                assert!((around[0][k] / turns).abs() < 4.0 * (square / turns).sqrt() + 1e-4);
                assert!((around[1][k] / turns - square).abs() < 4.0 / turns.sqrt());
            }
        }
    }

    #[test]
    fn flights_end_within_the_bounds_to_the_last_bit() {
        let edges = [300.0f32, 0.1, 7.3];
        let mut numbers = Numbers::new(2, 0, 0);
        let mut bank = Bank::default();
        for round in 0..200 {
            let axis = round % 3;
            for i in 0..SLOTS {
                let along = |k: usize| if k == axis { [1.0, -1.0][i % 2] } else { 0.0 };
                [bank.x[i], bank.y[i], bank.z[i]] =
                    edges.map(|edge| (edge * numbers.uniform32()).min(edge.next_down()));
                [bank.u[i], bank.v[i], bank.w[i]] = [0, 1, 2].map(along);
                let (from, edge) = (bank.position(i)[axis], edges[axis]);
                // To the face and, by rounding, a little beyond.
                bank.path[i] = (if along(axis) > 0.0 { edge - from } else { from }) * (1.0 + 1e-6 * (i % 3) as f32);
            }
            advance(&mut bank, edges);
            for i in 0..SLOTS {
                let end = bank.position(i);
                assert!((0..3).all(|k| end[k] >= 0.0 && end[k] < edges[k]), "{end:?}");
                let face = if i % 2 == 0 { edges[axis] } else { 0.0 };
                assert!((end[axis] - face).abs() <= 2e-6 * edges[axis]);
            }
        }
    }
}
