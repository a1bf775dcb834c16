//! Placement preferences: `--placement-pref NAME=ARGUMENT`.

use std::marker::PhantomData;

use crate::raw::preference::{Allocation, Bins, Class, Compiled, Questions, Refusal};
use crate::raw::{self, Metadata, Tuples};
use crate::{Claim, ColumnRef, Options, Package, Problem, Row};

/// Decides how the tasks of a service are shared out over bins of nodes. A value
/// is one argument, read.
pub trait Preference: Package + Sized {
    /// `publisher/name`.
    const NAME: &'static str;

    /// What operators may set with `--policy-opt`; `()` for nothing.
    type Options: Options;

    /// The names that come here: [`Claim::name`].
    fn claims() -> Vec<Claim>;

    /// Reads `NAME=ARGUMENT`; a problem refuses the service.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    fn compile(name: &str, argument: &str, options: &Self::Options) -> Result<Self, Problem>;

    /// What a bin is: the nodes of one value, of one class, or each node.
    fn bins(&self) -> Bins;

    /// The node attributes that [`Preference::classify`] looks at.
    fn reads(&self) -> Vec<ColumnRef> {
        Vec::new()
    }

    /// What to be told of each bin beyond the fixed figures, as [`Bin::load`]:
    /// `node.free.memory`, `service.NAME.tasks`, …; see `loads` in `wit/`.
    fn loads(&self) -> Vec<String> {
        Vec::new()
    }

    /// The class of nodes with these values, and its weight. Not asked for
    /// [`Bins::ByColumn`].
    fn classify(&self, node: &Row<'_>, options: &Self::Options) -> Class {
        let _ = (node, options);
        Class { label: String::new(), weight: 0.0 }
    }

    /// Shares the tasks of one service out. What is not given stays pending.
    fn share(&self, ask: &Question, options: &Self::Options) -> Share;
}

/// So many tasks of one service, and the bins they may go to.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Tasks to place, from 1.
    pub tasks: u32,
    /// What one task reserves, in nano-CPUs.
    pub cpu: u64,
    /// What one task reserves, in bytes.
    pub memory: u64,
    /// The service's priority.
    pub priority: i32,
    /// At least one.
    pub bins: Vec<Bin>,
}

/// A bin of nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many more of these tasks fit.
    pub room: u32,
    /// Running tasks of this service.
    pub service_tasks: u32,
    /// Running tasks of all services.
    pub total_tasks: u32,
    /// Recent failures of this service's version.
    pub failures: u32,
    /// From [`Preference::classify`].
    pub weight: f64,
    loads: Vec<f64>,
}

/// How many tasks each bin gets. It gives no bin more than its room, and no more
/// than there are tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    left: u32,
    room: Vec<u32>,
    counts: Vec<u32>,
    refusals: Vec<(usize, String)>,
}

impl Bin {
    /// The value of one of [`Preference::loads`], in their order.
    pub fn load(&self, at: usize) -> f64 {
        self.loads.get(at).copied().unwrap_or(0.0)
    }

    /// A bin with these loads.
    pub fn with_loads(self, loads: &[f64]) -> Self {
        Self { loads: loads.to_vec(), ..self }
    }
}

impl Question {
    /// A share that gives nothing yet.
    pub fn share(&self) -> Share {
        Share {
            left: self.tasks,
            room: self.bins.iter().map(|bin| bin.room).collect(),
            counts: vec![0; self.bins.len()],
            refusals: Vec::new(),
        }
    }
}

impl Share {
    /// Gives a bin up to `count` more tasks, as far as its room and what is left
    /// allow; says how many.
    pub fn give(&mut self, bin: usize, count: u32) -> u32 {
        let Some(room) = self.room.get_mut(bin) else { return 0 };
        let given = count.min(*room).min(self.left);
        *room -= given;
        self.left -= given;
        self.counts[bin] += given;
        given
    }

    /// Gives what is left as evenly as room allows: the bin that has the fewest gets
    /// the next one, until all have `cap`. `have` says what a bin has already; of
    /// equals the first goes first.
    pub fn level(&mut self, have: impl Fn(usize) -> u32, cap: u32) {
        let have: Vec<u64> =
            (0..self.room.len()).map(|b| u64::from(have(b)) + u64::from(self.counts[b])).collect();
        let wanted = |level: u64, bin: usize| {
            level.min(u64::from(cap)).saturating_sub(have[bin]).min(u64::from(self.room[bin]))
        };
        let cost = |level: u64| (0..have.len()).map(|bin| wanted(level, bin)).sum::<u64>();
        // The highest level that what is left pays for.
        let (mut low, mut high) = (0, u64::from(cap));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if cost(middle) <= u64::from(self.left) { low = middle } else { high = middle - 1 }
        }
        let whole: Vec<u64> = (0..have.len()).map(|bin| wanted(low, bin)).collect();
        let next: Vec<u64> = (0..have.len()).map(|bin| wanted(low + 1, bin)).collect();
        for (bin, count) in whole.iter().enumerate() {
            self.give(bin, *count as u32);
        }
        for bin in (0..have.len()).filter(|bin| next[*bin] > whole[*bin]) {
            self.give(bin, 1);
        }
    }

    /// What a bin was given.
    pub fn given(&self, bin: usize) -> u32 {
        self.counts.get(bin).copied().unwrap_or(0)
    }

    /// How many more fit into a bin.
    pub fn room(&self, bin: usize) -> u32 {
        self.room.get(bin).copied().unwrap_or(0)
    }

    /// Tasks that no bin has been given.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Says why a bin takes no more: `REASON on 12 nodes` at the pending tasks.
    pub fn refuse(&mut self, bin: usize, reason: impl Into<String>) {
        self.refusals.push((bin, reason.into()));
    }

    /// Per bin, in order.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }
}

#[doc(hidden)]
pub struct Lifted<P>(PhantomData<P>);

impl<P: Preference> raw::Plugin for Lifted<P> {
    fn describe() -> Metadata {
        crate::package::describe::<P, P::Options>(P::NAME, P::claims(), Vec::new())
    }
}

impl<P: Preference> raw::Preference for Lifted<P> {
    fn compile(
        name: &str,
        argument: &str,
        options: &raw::Options,
    ) -> Result<Compiled, Vec<Problem>> {
        let compiled = P::compile(name, argument, &P::Options::read(options))?;
        Ok(Compiled { bins: compiled.bins(), reads: compiled.reads(), loads: compiled.loads() })
    }

    fn classify(name: &str, argument: &str, options: &raw::Options, rows: &Tuples) -> Vec<Class> {
        let options = P::Options::read(options);
        let compiled = P::compile(name, argument, &options);
        let nothing = || Class { label: String::new(), weight: 0.0 };
        let class = |row: Row<'_>| {
            compiled.as_ref().map_or_else(|_| nothing(), |c| c.classify(&row, &options))
        };
        rows.each().map(class).collect()
    }

    fn allocate(name: &str, argument: &str, options: &raw::Options, ask: &Questions) -> Allocation {
        let options = P::Options::read(options);
        let mut all = Allocation { counts: vec![0; ask.room.len()], refusals: Vec::new() };
        let Ok(compiled) = P::compile(name, argument, &options) else { return all };
        for (q, (_, bins)) in ask.each().enumerate() {
            let share = compiled.share(&question(ask, q, bins.clone()), &options);
            let refusal = |(bin, reason)| Refusal { bin: (bins.start + bin) as u32, reason };
            all.refusals.extend(share.refusals.into_iter().map(refusal));
            // A share made for another question has other bins: it is cut, and the
            // host says what is wrong with it.
            for (bin, count) in bins.zip(share.counts) {
                all.counts[bin] = count;
            }
        }
        all
    }
}

fn question(ask: &Questions, q: usize, bins: std::ops::Range<usize>) -> Question {
    let bin = |b: usize| Bin {
        room: at(&ask.room, b),
        service_tasks: at(&ask.service_tasks, b),
        total_tasks: at(&ask.total_tasks, b),
        failures: at(&ask.failures, b),
        weight: at(&ask.weight, b),
        loads: ask.extra.iter().map(|row| at(row, b)).collect(),
    };
    Question {
        tasks: at(&ask.tasks, q),
        cpu: at(&ask.cpu, q),
        memory: at(&ask.memory, q),
        priority: at(&ask.priority, q),
        bins: bins.map(bin).collect(),
    }
}

fn at<T: Copy + Default>(list: &[T], at: usize) -> T {
    list.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One at a time, which [`Share::level`] must come out as.
    fn one_by_one(ask: &Question, cap: u32) -> Vec<u32> {
        let mut share = ask.share();
        let have = |share: &Share, bin: usize| ask.bins[bin].service_tasks + share.given(bin);
        loop {
            let open = |bin: &usize| share.room(*bin) > 0 && have(&share, *bin) < cap;
            let next = (0..ask.bins.len()).filter(open).min_by_key(|bin| have(&share, *bin));
            match next {
                Some(bin) if share.give(bin, 1) == 1 => {}
                _ => return share.counts().to_vec(),
            }
        }
    }

    #[test]
    fn level_gives_the_next_one_to_whoever_has_the_fewest() {
        let mut seed = 7u32;
        let mut below = |bound: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % bound
        };
        for _ in 0..500 {
            let bins = (0..1 + below(5))
                .map(|_| Bin { room: below(5), service_tasks: below(6), ..Bin::default() })
                .collect();
            let ask = Question { tasks: 1 + below(14), cpu: 0, memory: 0, priority: 0, bins };
            let cap = below(9);
            let mut share = ask.share();
            share.level(|bin| ask.bins[bin].service_tasks, cap);
            assert_eq!(share.counts(), one_by_one(&ask, cap), "{cap} {ask:?}");
        }
    }

    #[test]
    fn level_takes_no_longer_for_the_largest_figures() {
        let bin = || Bin { room: u32::MAX, ..Bin::default() };
        let bins = vec![bin(), bin(), bin()];
        let ask = Question { tasks: u32::MAX, cpu: 0, memory: 0, priority: 0, bins };
        let mut share = ask.share();
        share.level(|_| 0, u32::MAX);
        assert_eq!(share.counts(), [u32::MAX / 3; 3]);
    }

    #[test]
    fn a_share_keeps_to_room_and_tasks() {
        let bin = |room| Bin { room, ..Bin::default() };
        let ask = Question { tasks: 5, cpu: 0, memory: 0, priority: 0, bins: vec![bin(2), bin(9)] };
        let mut share = ask.share();
        assert_eq!((share.give(0, 7), share.give(1, 7), share.give(1, 1)), (2, 3, 0));
        assert_eq!(share.give(7, 1), 0, "no such bin");
        assert_eq!((share.counts(), share.left(), share.room(1)), (&[2, 3][..], 0, 6));
    }
}
