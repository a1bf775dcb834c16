//! Nodes by how many tasks they have: the balance of a batch, one set of ranks for
//! each total. Placing a task moves one bit, whoever places it, so no class has a
//! queue that others make stale.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use crate::table::{Row, Table};
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
}

struct Level {
    ranks: FixedBitSet,
    count: usize,
}

/// Some of the nodes by rank, and the least total that any of them may have.
pub(crate) struct Candidates {
    /// Words of a set of ranks that are not empty, and their places.
    words: Vec<(u32, usize)>,
    least: u32,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is taken.
    Take,
    /// Not this time.
    Pass,
    /// It has no room any more in this batch.
    Full,
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

    /// The ranks of the lowest total with any that are taken, at most `want`, least
    /// first, and that total. Each candidate of a total is looked at once.
    pub(crate) fn take(
        &self,
        from: u32,
        want: usize,
        candidates: &mut Candidates,
        mut look: impl FnMut(u32) -> Verdict,
    ) -> Option<(u32, Vec<u32>)> {
        // Totals only grow: those without a candidate below the first one with some
        // are never looked at again.
        let mut none_yet = from <= candidates.least;
        for (total, level) in self.of_total.range(from.max(candidates.least)..) {
            let words = level.ranks.as_slice();
            let (mut taken, mut any) = (Vec::new(), false);
            for (place, bits) in &mut candidates.words {
                let mut here = *bits & words[*place as usize];
                while here != 0 {
                    let bit = here.trailing_zeros();
                    here &= here - 1;
                    let rank = *place * WORD + bit;
                    match look(rank) {
                        Verdict::Take => taken.push(rank),
                        Verdict::Pass => {}
                        Verdict::Full => {
                            *bits &= !(1 << bit);
                            continue;
                        }
                    }
                    any = true;
                    if taken.len() == want {
                        return Some((*total, taken));
                    }
                }
            }
            if !taken.is_empty() {
                return Some((*total, taken));
            }
            none_yet &= !any;
            if none_yet {
                candidates.least = total + 1;
            }
        }
        None
    }
}

// === impl Candidates ===

impl Candidates {
    /// The candidates among rows.
    pub(crate) fn new(rows: &[Row], table: &Table, usage: &Usage) -> Self {
        let mut ranks: Vec<u32> = rows.iter().map(|row| table.rank(*row)).collect();
        ranks.sort_unstable();
        let mut words: Vec<(u32, usize)> = Vec::new();
        for rank in ranks {
            let (place, bit) = (rank / WORD, 1 << (rank % WORD));
            match words.last_mut() {
                Some((last, bits)) if *last == place => *bits |= bit,
                _ => words.push((place, bit)),
            }
        }
        let least = rows.iter().map(|row| usage.active[*row as usize]).min().unwrap_or(0);
        Self { words, least }
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
        let mut words: Vec<(u32, usize)> = Vec::new();
        for rank in ranks {
            words.push((rank / WORD, 1 << (rank % WORD)));
        }
        Candidates { words, least: 0 }
    }

    #[test]
    fn the_fewest_tasks_go_first_and_then_the_lowest_rank() {
        let mut levels = levels(&[2, 1, 1, 0, 1]);
        let mut all = candidates(&[0, 1, 2, 3, 4]);
        assert_eq!(levels.take(0, 9, &mut all, |_| Verdict::Take), Some((0, vec![3])));
        levels.raise(0, &[3]);
        assert_eq!(levels.take(0, 2, &mut all, |_| Verdict::Take), Some((1, vec![1, 2])));
        levels.raise(1, &[1, 2]);
        assert_eq!(levels.take(0, 9, &mut all, |_| Verdict::Take), Some((1, vec![3, 4])));
    }

    #[test]
    fn what_is_passed_over_is_asked_again_and_what_is_full_is_not() {
        let levels = levels(&[0, 0, 5]);
        let mut all = candidates(&[0, 1, 2]);
        let first = |rank| match rank {
            0 => Verdict::Pass,
            1 => Verdict::Full,
            _ => Verdict::Take,
        };
        assert_eq!(levels.take(0, 1, &mut all, first), Some((5, vec![2])));
        assert_eq!(levels.take(0, 3, &mut all, |_| Verdict::Take), Some((0, vec![0])));
        assert_eq!(levels.take(1, 3, &mut all, |_| Verdict::Take), Some((5, vec![2])));
        assert_eq!(levels.take(6, 3, &mut all, |_| Verdict::Take), None);
    }

    #[test]
    fn totals_without_a_candidate_are_not_looked_at_twice() {
        let levels = levels(&[0, 1, 7]);
        let mut one = candidates(&[2]);
        assert_eq!(levels.take(0, 1, &mut one, |_| Verdict::Take), Some((7, vec![2])));
        assert_eq!(one.least, 2);
    }
}
