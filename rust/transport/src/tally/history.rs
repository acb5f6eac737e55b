//! What the histories of a bank have scored so far, to be combined by cell when they end: squares are those of whole
//! histories.

use crate::track::bank::SLOTS;

#[derive(Clone, Copy)]
struct Score {
    cell: u32,
    score: f32,
}

const EMPTY: Score = Score { cell: 0, score: 0.0 };
const COMBINED: u32 = u32::MAX;

/// A short list for each slot, all in one array.
pub struct Lists {
    room: usize,
    count: [u32; SLOTS],
    scores: Vec<Score>,
    index: Index,
}

/// Longest list in which a cell is looked for from one end to the other.
const SHORT: usize = 12;
/// A list that is full is combined before it grows beyond this, as where one photon is split into thousands.
const LONG: usize = 1 << 14;

impl Lists {
    /// Empty.
    pub fn new() -> Self {
        const ROOM: usize = 8;
        Self { room: ROOM, count: [0; SLOTS], scores: vec![EMPTY; ROOM * SLOTS], index: Index::default() }
    }

    /// Notes a score of the history in a slot.
    #[inline(always)]
    pub fn push(&mut self, slot: u32, cell: u32, score: f32) {
        let slot = slot as usize % SLOTS;
        if self.count[slot] as usize == self.room {
            self.make_room(slot);
        }
        let n = self.count[slot] as usize;
        self.scores[slot * self.room + n] = Score { cell, score };
        self.count[slot] += 1;
    }

    #[cold]
    fn make_room(&mut self, slot: usize) {
        if self.room >= LONG {
            let (list, mut sums) = (&mut self.scores[slot * self.room..][..self.room], Vec::new());
            self.index.combine(list, |cell, sum| sums.push(Score { cell, score: sum as f32 }));
            list[..sums.len()].copy_from_slice(&sums);
            self.count[slot] = sums.len() as u32;
        }
        if self.count[slot] as usize > self.room / 2 {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let mut scores = vec![EMPTY; 2 * self.room * SLOTS];
        for (new, old) in scores.chunks_exact_mut(2 * self.room).zip(self.scores.chunks_exact(self.room)) {
            new[..self.room].copy_from_slice(old);
        }
        (self.room, self.scores) = (2 * self.room, scores);
    }

    /// Empties a slot's list: each cell once, with the sum of its scores.
    #[inline(always)]
    pub fn combine(&mut self, slot: u32, mut total: impl FnMut(u32, f64)) {
        let slot = slot as usize % SLOTS;
        let n = std::mem::take(&mut self.count[slot]) as usize;
        let list = &mut self.scores[slot * self.room..][..n];
        if n > SHORT {
            return self.index.combine(list, total);
        }
        for i in 0..n {
            let Score { cell, score } = list[i];
            if cell == COMBINED {
                continue;
            }
            let mut sum = f64::from(score);
            for later in &mut list[i + 1..] {
                if later.cell == cell {
                    sum += f64::from(later.score);
                    later.cell = COMBINED;
                }
            }
            total(cell, sum);
        }
    }
}

/// Finds the cells of a long list again. Entries of earlier lists are known by their generation, so that nothing needs
/// to be cleared.
#[derive(Default)]
struct Index {
    generation: u32,
    /// (generation, cell, place in `sums`) at a place that the cell gives, or one of the next.
    places: Vec<(u32, u32, u32)>,
    sums: Vec<(u32, f64)>,
}

impl Index {
    fn combine(&mut self, list: &[Score], mut total: impl FnMut(u32, f64)) {
        if self.places.len() < 2 * list.len() {
            self.places = vec![(0, 0, 0); (4 * list.len()).next_power_of_two()];
            self.generation = 0;
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.sums.clear();
        let bits = self.places.len().trailing_zeros();
        for &Score { cell, score } in list {
            let mut place = (cell.wrapping_mul(0x9e37_79b9) >> (32 - bits)) as usize;
            while self.places[place].0 == self.generation && self.places[place].1 != cell {
                place = (place + 1) % self.places.len();
            }
            if self.places[place].0 != self.generation {
                self.places[place] = (self.generation, cell, self.sums.len() as u32);
                self.sums.push((cell, 0.0));
            }
            self.sums[self.places[place].2 as usize].1 += f64::from(score);
        }
        self.sums.iter().for_each(|&(cell, sum)| total(cell, sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_without_end_stay_short_where_their_cells_are_few() {
        let mut lists = Lists::new();
        (0..100 * LONG as u32).for_each(|i| lists.push(7, i % 5, 1.0));
        assert_eq!(lists.room, LONG);
        let (mut sum, mut cells) = (0.0, 0);
        lists.combine(7, |_, score| (sum, cells) = (sum + score, cells + 1));
        assert_eq!((sum, cells), (100.0 * LONG as f64, 5));
    }

    #[test]
    fn scores_of_a_history_are_combined_by_cell_however_many() {
        let mut lists = Lists::new();
        for i in 0..100u32 {
            lists.push(3, i % 7, 1.0);
            lists.push(4, 9, 0.5);
        }
        for _ in 0..2 {
            let mut totals = Vec::new();
            lists.combine(3, |cell, sum| totals.push((cell, sum)));
            assert_eq!(totals, (0..7).map(|c| (c, if c < 2 { 15.0 } else { 14.0 })).collect::<Vec<_>>());
            let mut totals = Vec::new();
            lists.combine(4, |cell, sum| totals.push((cell, sum)));
            assert_eq!(totals, [(9, 50.0)]);
            lists.combine(4, |_, _| panic!("the list is empty now"));
            for i in 0..100 {
                lists.push(3, i % 7, 1.0);
                lists.push(4, 9, 0.5);
            }
        }
    }
}
