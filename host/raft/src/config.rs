//! Settings.

use std::time::Duration;

use crate::storage::Storage;

/// What a manager's Raft works with.
pub struct RaftConfig {
    /// Where log and snapshots are kept.
    pub storage: Storage,
    /// This manager's seat; never given twice.
    pub raft_id: u64,
    /// Where other managers reach it: `host:port`.
    pub address: String,
    /// Elections and snapshots.
    pub timing: Timing,
}

/// How quickly a dead leader is replaced, and how long the log grows.
///
/// Swarm waits 10 to 20 s. Here a follower keeps to its leader for `election_max`
/// after the last heartbeat (the lease) and stands for election `election_min` to
/// `election_max` later: after 1.4 to 1.6 s of silence, in which four or more
/// heartbeats were due, so that one that comes late on a busy machine of two cores
/// starts nothing. Pre-vote keeps a manager that was cut off from disturbing the
/// others when it returns.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// After the lease a follower waits at least this long before it stands.
    pub election_min: Duration,
    /// At the longest; also the lease itself.
    pub election_max: Duration,
    /// Entries between two snapshots, until the cluster's settings say it.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot for managers that lag, until the cluster's settings say
    /// it.
    pub keep_entries: u64,
    /// How long one attempt to add a manager waits until it has copied the log. It
    /// goes on copying afterwards, and the next attempt finds it further.
    pub catch_up: Duration,
}

/// A manager that has not been heard for this many heartbeats is silent.
const SILENT_HEARTBEATS: u32 = 6;

// === impl Timing ===

impl Timing {
    /// After so long without a word a leader is none, and a peer unreachable.
    pub fn silence(&self) -> Duration {
        self.heartbeat * SILENT_HEARTBEATS
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(300),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(800),
            snapshot_every: 10_000,
            keep_entries: 500,
            catch_up: Duration::from_secs(10),
        }
    }
}
