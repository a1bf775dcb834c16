//! Nodes by how many tasks they have: the balance of a batch, one set of ranks for
//! each total. Placing a task moves one bit, whoever places it, so no class has a
//! queue that others make stale.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use crate::table::Table;
use crate::usage::Usage;

/// Bits of a word of a set.
pub(crate) const WORD: u32 = usize::BITS;

/// The ranks of each total of tasks that some node has.
#[derive(Default)]
pub(crate) struct Levels {
    of_total: BTreeMap<u32, Level>,
    ranks: usize,
}

/// What the fills of a batch work on.
pub(crate) struct Balance<'a> {
    pub(crate) table: &'a Table,
    pub(crate) usage: &'a mut Usage,
    pub(crate) levels: &'a mut Levels,
    /// Ranks that are marked for the run at work, see [`crate::run::Run::marks`].
    pub(crate) marks: &'a mut FixedBitSet,
    /// Ranks just taken.
    pub(crate) taken: &'a mut Vec<u32>,
}

struct Level {
    ranks: FixedBitSet,
    count: usize,
}

/// Some of the nodes by rank, and the least total that any of them may have.
#[derive(Default)]
pub(crate) struct Candidates {
    /// Words of a set of ranks that are not empty, and their places.
    words: Vec<(u32, usize)>,
    least: u32,
    /// Words at the front in which no candidate has `least` tasks any more.
    skipped: usize,
}

// === impl Levels ===

impl Levels {
    /// As the nodes stand.
    pub(crate) fn of(table: &Table, usage: &Usage) -> Self {
        let mut levels = Self { of_total: BTreeMap::new(), ranks: table.len() };
        for row in table.live() {
            levels.put(usage.active[row as usize], &[table.rank(row)]);
        }
        levels
    }

    /// These, which have `total`, get one task more each.
    pub(crate) fn raise(&mut self, total: u32, ranks: &[u32]) {
        if let Some(level) = self.of_total.get_mut(&total) {
            for rank in ranks {
                level.ranks.remove(*rank as usize);
            }
            level.count -= ranks.len();
            if level.count == 0 {
                self.of_total.remove(&total);
            }
        }
        self.put(total + 1, ranks);
    }

    fn put(&mut self, total: u32, ranks: &[u32]) {
        let size = self.ranks;
        let new = || Level { ranks: FixedBitSet::with_capacity(size), count: 0 };
        let level = self.of_total.entry(total).or_insert_with(new);
        for rank in ranks {
            level.ranks.insert(*rank as usize);
        }
        level.count += ranks.len();
    }

    /// Puts the ranks of the lowest total with any to take, at most `want`, least first,
    /// into `taken`, and says that total. Those that are `marked` are passed over, those
    /// that are full are no candidates any more in this batch.
    pub(crate) fn take(
        &self,
        from: u32,
        want: usize,
        candidates: &mut Candidates,
        marked: &FixedBitSet,
        is_full: impl Fn(u32) -> bool,
        taken: &mut Vec<u32>,
    ) -> Option<u32> {
        let marked = marked.as_slice();
        taken.clear();
        // Totals only grow: those without a candidate below the first one with some
        // are never looked at again, nor are the words of that one that have none.
        let mut none_yet = from <= candidates.least;
        for (total, level) in self.of_total.range(from.max(candidates.least)..) {
            let words = level.ranks.as_slice();
            if none_yet && *total > candidates.least {
                (candidates.least, candidates.skipped) = (*total, 0);
            }
            let is_least = none_yet;
            let skipped = if is_least { candidates.skipped } else { 0 };
            let mut empty = skipped;
            for (at, (place, bits)) in candidates.words.iter_mut().enumerate().skip(skipped) {
                let there = *bits & words[*place as usize];
                if there == 0 {
                    empty += usize::from(empty == at);
                    continue;
                }
                let mut here = there & !marked[*place as usize];
                while here != 0 && taken.len() < want {
                    let bit = here.trailing_zeros();
                    here &= here - 1;
                    let rank = *place * WORD + bit;
                    if is_full(rank) {
                        *bits &= !(1 << bit);
                    } else {
                        taken.push(rank);
                    }
                }
                if taken.len() == want {
                    break;
                }
            }
            none_yet &= empty == candidates.words.len();
            if is_least {
                candidates.skipped = empty;
            }
            if !taken.is_empty() {
                return Some(*total);
            }
        }
        None
    }
}

// === impl Candidates ===

impl Candidates {
    /// Takes in one more, of a higher rank than all before, with its total.
    pub(crate) fn push(&mut self, rank: u32, total: u32) {
        let (place, bit) = (rank / WORD, 1 << (rank % WORD));
        self.least = if self.words.is_empty() { total } else { self.least.min(total) };
        match self.words.last_mut() {
            Some((last, bits)) if *last == place => *bits |= bit,
            _ => self.words.push((place, bit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks with these totals.
    fn levels(totals: &[u32]) -> Levels {
        let mut levels = Levels { of_total: BTreeMap::new(), ranks: totals.len() };
        for (rank, total) in totals.iter().enumerate() {
            levels.put(*total, &[rank as u32]);
        }
        levels
    }

    fn candidates(ranks: &[u32]) -> Candidates {
        let mut all = Candidates::default();
        for rank in ranks {
            all.push(*rank, 0);
        }
        all
    }

    fn marks(ranks: &[usize]) -> FixedBitSet {
        let mut marks = FixedBitSet::with_capacity(256);
        marks.extend(ranks.iter().copied());
        marks
    }

    fn take(
        levels: &Levels,
        from: u32,
        want: usize,
        of: &mut Candidates,
    ) -> Option<(u32, Vec<u32>)> {
        let mut taken = vec![7; 7];
        let total = levels.take(from, want, of, &marks(&[]), |_| false, &mut taken);
        total.map(|total| (total, taken))
    }

    #[test]
    fn the_fewest_tasks_go_first_and_then_the_lowest_rank() {
        let mut levels = levels(&[2, 1, 1, 0, 1]);
        let mut all = candidates(&[0, 1, 2, 3, 4]);
        assert_eq!(take(&levels, 0, 9, &mut all), Some((0, vec![3])));
        levels.raise(0, &[3]);
        assert_eq!(take(&levels, 0, 2, &mut all), Some((1, vec![1, 2])));
        levels.raise(1, &[1, 2]);
        assert_eq!(take(&levels, 0, 9, &mut all), Some((1, vec![3, 4])));
    }

    #[test]
    fn what_is_marked_is_asked_again_and_what_is_full_is_not() {
        let levels = levels(&[0, 0, 5]);
        let (mut all, mut taken) = (candidates(&[0, 1, 2]), Vec::new());
        let total = levels.take(0, 1, &mut all, &marks(&[0]), |rank| rank == 1, &mut taken);
        assert_eq!((total, &taken[..]), (Some(5), &[2][..]));
        assert_eq!(take(&levels, 0, 3, &mut all), Some((0, vec![0])));
        assert_eq!(take(&levels, 1, 3, &mut all), Some((5, vec![2])));
        assert_eq!(take(&levels, 6, 3, &mut all), None);
    }

    #[test]
    fn totals_without_a_candidate_are_not_looked_at_twice() {
        let levels = levels(&[0, 1, 7]);
        let mut one = candidates(&[2]);
        assert_eq!(take(&levels, 0, 1, &mut one), Some((7, vec![2])));
        assert_eq!(one.least, 7);
    }

    #[test]
    fn words_without_a_candidate_of_the_least_total_are_skipped_in_that_total_alone() {
        let mut totals = [1; 200];
        totals[70] = 0;
        totals[150] = 0;
        let mut levels = levels(&totals);
        let mut all = candidates(&[3, 70, 71, 150]);
        // The word of rank 70 has one that is marked: it is not behind us.
        let mut taken = Vec::new();
        let total = levels.take(0, 1, &mut all, &marks(&[70]), |_| false, &mut taken);
        assert_eq!((total, &taken[..], all.skipped), (Some(0), &[150][..], 1));
        levels.raise(0, &[150]);
        assert_eq!(take(&levels, 0, 1, &mut all), Some((0, vec![70])));
        levels.raise(0, &[70]);
        // All have one task now, and those in the words skipped at none come first.
        assert_eq!(take(&levels, 0, 9, &mut all), Some((1, vec![3, 70, 71, 150])));
        assert_eq!((all.least, all.skipped), (1, 0));
    }
}
