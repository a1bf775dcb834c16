//! What changed lately, for those who come back and ask what they missed.
//!
//! A watcher holds no queue here: it says after which entry of the log it wants to go on and
//! takes what there is. What it has not taken when the history is full is gone for it, and it
//! is told so.

use std::collections::VecDeque;
use std::sync::Arc;

use swarmw_model::{Data, DataId, Time};

use crate::Event;

/// Changes that are kept; older ones go, an entry of the log at a time.
pub const HISTORY_EVENTS: usize = 8_192;
/// Bytes of configs that they may hold.
pub const HISTORY_BYTES: usize = 16 << 20;

/// The changes of the last entries of a log, bounded.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<Entry>,
    /// Everything after it is here.
    floor: u64,
    latest: u64,
    events: usize,
    bytes: usize,
}

/// What one entry of the log changed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its index.
    pub index: u64,
    /// When it was proposed.
    pub at: Time,
    /// In order; secrets are without their bytes. Never empty.
    pub events: Arc<[Event]>,
}

/// What somebody missed.
#[derive(Clone, Debug)]
pub enum Missed {
    /// These entries, oldest first, and nothing else up to this index.
    Entries(Vec<Entry>, u64),
    /// More than is kept: what came after this index is.
    Lost(u64),
    /// Nothing yet: the log has been applied up to this index only, which is less than what
    /// was seen already.
    Ahead(u64),
}

// === impl History ===

impl History {
    /// One that begins after a state of this index.
    pub fn after(index: u64) -> Self {
        Self { floor: index, latest: index, ..Self::default() }
    }

    /// The last entry that was applied.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// Adds what the entry `index`, proposed at that time, changed; it comes after all that are
    /// here.
    pub fn push(&mut self, index: u64, at: Time, events: &[Event]) {
        self.latest = self.latest.max(index);
        if events.is_empty() {
            return;
        }
        let events: Arc<[Event]> = events.iter().map(Event::without_secrets).collect();
        self.events += events.len();
        self.bytes += bytes(&events);
        self.entries.push_back(Entry { index, at, events });
        while self.events > HISTORY_EVENTS || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.floor = oldest.index;
            self.events -= oldest.events.len();
            self.bytes -= bytes(&oldest.events);
        }
    }

    /// Says that entries up to this one are applied.
    pub fn reach(&mut self, index: u64) {
        self.latest = self.latest.max(index);
    }

    /// What came after the entry `index`, at most about so many changes at once: an entry is
    /// never split.
    pub fn since(&self, index: u64, most: usize) -> Missed {
        if index > self.latest {
            return Missed::Ahead(self.latest);
        }
        if index < self.floor {
            return Missed::Lost(self.floor);
        }
        let first = self.entries.partition_point(|entry| entry.index <= index);
        let (mut taken, mut events) = (Vec::new(), 0);
        for entry in self.entries.range(first..) {
            if events >= most {
                let upto = taken.last().map_or(index, |last: &Entry| last.index);
                return Missed::Entries(taken, upto);
            }
            events += entry.events.len();
            taken.push(entry.clone());
        }
        Missed::Entries(taken, self.latest)
    }
}

/// What an entry holds that nobody else may hold any more.
fn bytes(events: &[Event]) -> usize {
    let of = |event: &Event| match event {
        Event::Config { old, new } => new.as_ref().or(old.as_ref()).map_or(0, weight),
        _ => 0,
    };
    events.iter().map(of).sum()
}

fn weight<I: DataId>(data: &Arc<Data<I>>) -> usize {
    data.spec.data.bytes().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmw_model::{Config, ConfigId, DataSpec, Payload, Secret, SecretId};

    fn config(size: usize) -> Event {
        let data = Payload::from(vec![b'x'; size]);
        let spec = DataSpec { data, ..DataSpec::default() };
        Event::Config { old: None, new: Some(Arc::new(Config::new(ConfigId::from_bits(1), spec))) }
    }

    fn indexes(missed: Missed) -> (Vec<u64>, u64) {
        match missed {
            Missed::Entries(entries, upto) => {
                (entries.iter().map(|entry| entry.index).collect(), upto)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_comes_back_is_told_what_came_after() {
        let mut history = History::after(3);
        for index in [4, 6, 9] {
            history.push(index, Time::ZERO, &[Event::Cluster]);
        }
        history.push(11, Time::ZERO, &[]);
        assert_eq!(indexes(history.since(3, 100)), (vec![4, 6, 9], 11));
        assert_eq!(indexes(history.since(6, 100)), (vec![9], 11));
        assert_eq!(indexes(history.since(10, 100)), (vec![], 11));
        assert_eq!(indexes(history.since(11, 100)), (vec![], 11));
        assert_eq!(indexes(history.since(3, 1)), (vec![4], 4), "in pieces");
        assert!(matches!(history.since(2, 100), Missed::Lost(3)));
        assert!(matches!(history.since(12, 100), Missed::Ahead(11)));
    }

    #[test]
    fn an_entry_is_told_and_forgotten_as_a_whole() {
        let mut history = History::default();
        let many = vec![Event::Cluster; HISTORY_EVENTS / 2];
        for index in 1..=2 {
            history.push(index, Time::ZERO, &many);
        }
        assert_eq!(indexes(history.since(0, 1)), (vec![1], 1));
        history.push(3, Time::ZERO, &[Event::Cluster]);
        assert!(matches!(history.since(0, 1), Missed::Lost(1)));
        assert_eq!(indexes(history.since(1, usize::MAX)), (vec![2, 3], 3));
    }

    #[test]
    fn configs_that_were_removed_are_kept_within_a_bound() {
        let mut history = History::default();
        for index in 1..=40 {
            history.push(index, Time::ZERO, &[config(1 << 20)]);
        }
        assert_eq!(indexes(history.since(24, usize::MAX)).0.len(), 16);
        assert!(matches!(history.since(23, 1), Missed::Lost(24)));
    }

    #[test]
    fn bytes_of_secrets_are_not_kept() {
        let mut history = History::default();
        let spec = DataSpec { data: Payload::from(b"deep".to_vec()), ..DataSpec::default() };
        let secret = Some(Arc::new(Secret::new(SecretId::from_bits(1), spec)));
        history.push(1, Time::ZERO, &[Event::Secret { old: secret.clone(), new: secret }]);
        let Missed::Entries(entries, _) = history.since(0, 1) else { panic!("kept") };
        let Event::Secret { old: Some(old), new: Some(new) } = &entries[0].events[0] else {
            panic!("a secret")
        };
        assert!(old.spec.data.is_empty() && new.spec.data.is_empty());
    }
}
