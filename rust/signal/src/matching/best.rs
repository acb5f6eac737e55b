//! The k best atoms of a voxel.

/// What was offered, best first: the higher score, among equal ones the lower atom.
#[derive(Clone, Debug)]
pub struct Best<T> {
    entries: Vec<(T, u32)>,
    k: usize,
}

impl<T: Copy + PartialOrd> Best<T> {
    /// Room for `k`.
    pub fn new(k: usize) -> Self {
        Self { entries: Vec::with_capacity(k + 1), k }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The score below which an offer is in vain, once there are k.
    pub fn bar(&self) -> Option<T> {
        (self.entries.len() == self.k).then(|| self.entries[self.k - 1].0)
    }

    /// Takes (score, atom) in if it is among the k best; whether it is now the first.
    pub fn offer(&mut self, score: T, atom: u32) -> bool {
        let before = |&(s, a): &(T, u32)| s > score || (s == score && a < atom);
        let place = self.entries.partition_point(before);
        if place == self.k {
            return false;
        }
        self.entries.insert(place, (score, atom));
        self.entries.truncate(self.k);
        place == 0
    }

    /// (score, atom), best first.
    pub fn entries(&self) -> &[(T, u32)] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::Best;

    #[test]
    fn the_best_are_kept_in_order_and_ties_go_to_the_lowest() {
        let mut best = Best::new(3);
        for (score, atom) in [(1.0, 9), (2.0, 5), (2.0, 3), (0.5, 0), (1.0, 2), (2.0, 7)] {
            best.offer(score, atom);
        }
        assert_eq!(best.entries(), [(2.0, 3), (2.0, 5), (2.0, 7)]);
        assert_eq!(best.bar(), Some(2.0));
        best.clear();
        assert!(best.offer(0.0, 1) && best.bar().is_none());
    }
}
