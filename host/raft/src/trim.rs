//! When a snapshot is taken and how much of the log stays behind it. The cluster's settings
//! say it, and a change of them holds at once.

use openraft::async_runtime::WatchReceiver as _;

use crate::config::Timing;
use crate::machine::Machine;
use crate::publish::Publisher;
use crate::types::{LogId, TypeConfig};

/// Keeps the log of one manager short.
pub(crate) struct Trim {
    pub(crate) raft: openraft::Raft<TypeConfig, Machine>,
    pub(crate) publisher: Publisher,
    /// What holds as long as there is no cluster.
    pub(crate) timing: Timing,
}

/// What is to be done, once each.
#[derive(Default)]
struct Done {
    /// The last entry when a snapshot was asked for.
    snapshot: u64,
    /// The last entry that was given up.
    purge: u64,
}

/// Where a manager's log stands, by the indices of entries.
#[derive(Clone, Copy)]
struct Standing {
    applied: u64,
    /// The last one in the snapshot.
    snapshot: u64,
}

// === impl Trim ===

impl Trim {
    /// Until Raft has stopped.
    pub(crate) async fn keep(self) {
        let index = |id: &Option<LogId>| id.as_ref().map_or(0, |id| id.index);
        let mut seen = self.raft.data_metrics();
        let mut done = Done::default();
        loop {
            let standing = {
                let now = seen.borrow_watched();
                Standing { applied: index(&now.last_applied), snapshot: index(&now.snapshot) }
            };
            let (every, kept) = self.wanted();
            let trigger = self.raft.trigger();
            if done.takes_snapshot(standing, every) && trigger.snapshot().await.is_err() {
                return;
            }
            if let Some(upto) = done.gives_up(standing, kept)
                && trigger.purge_log(upto).await.is_err()
            {
                return;
            }
            if seen.changed().await.is_err() {
                return;
            }
        }
    }

    /// Entries between two snapshots, and those that stay behind one.
    fn wanted(&self) -> (u64, u64) {
        match self.publisher.state().cluster().map(|cluster| &cluster.spec.raft) {
            Some(said) => (said.snapshot_interval, said.log_entries_for_slow_followers),
            None => (self.timing.snapshot_every, self.timing.keep_entries),
        }
    }
}

// === impl Done ===

impl Done {
    fn takes_snapshot(&mut self, standing: Standing, every: u64) -> bool {
        let last = self.snapshot.max(standing.snapshot);
        let due = standing.applied >= last.saturating_add(every.max(1));
        if due {
            self.snapshot = standing.applied;
        }
        due
    }

    /// The last entry that nobody needs any more.
    fn gives_up(&mut self, standing: Standing, kept: u64) -> Option<u64> {
        let upto = standing.snapshot.saturating_sub(kept);
        let news = upto > self.purge;
        if news {
            self.purge = upto;
        }
        news.then_some(upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_snapshot_is_asked_for_once_and_the_log_ends_behind_it() {
        let mut done = Done::default();
        let mut seen = Vec::new();
        for (applied, snapshot) in
            [(9, 0), (10, 0), (11, 0), (12, 10), (19, 10), (20, 10), (21, 20)]
        {
            let standing = Standing { applied, snapshot };
            seen.push((done.takes_snapshot(standing, 10), done.gives_up(standing, 3)));
        }
        assert_eq!(
            seen,
            [
                (false, None),
                (true, None),
                (false, None),
                (false, Some(7)),
                (false, None),
                (true, None),
                (false, Some(17)),
            ]
        );
    }

    #[test]
    fn what_came_by_snapshot_counts_from_there() {
        let mut done = Done::default();
        let standing = Standing { applied: 105, snapshot: 100 };
        assert!(!done.takes_snapshot(standing, 10));
        assert_eq!(done.gives_up(standing, 200), None);
        assert!(done.takes_snapshot(Standing { applied: 110, ..standing }, 10));
    }
}
