//! Settings.

use std::path::PathBuf;
use std::time::Duration;

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

/// Where log and snapshots are kept.
pub enum Storage {
    /// In files, encrypted.
    Disk {
        /// The folder.
        dir: PathBuf,
        /// The key.
        key: [u8; 32],
    },
    /// In memory, for tests of whole clusters in one process.
    Memory,
}

/// How quickly a dead leader is replaced, and how long the log grows.
///
/// Swarm waits 10 to 20 s. Here a follower stands for election after 1 to 2 s
/// without a heartbeat, four of which are sent in that second, so that one that
/// comes late on a busy machine of two cores starts nothing; pre-vote keeps a
/// manager that was cut off from disturbing the others when it returns.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// The least silence after which a follower stands for election.
    pub election_min: Duration,
    /// The longest.
    pub election_max: Duration,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot for managers that lag.
    pub keep_entries: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1_000),
            election_max: Duration::from_millis(2_000),
            snapshot_every: 10_000,
            keep_entries: 500,
        }
    }
}
