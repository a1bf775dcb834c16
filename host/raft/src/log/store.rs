//! The log as openraft sees it.
//!
//! Entries since the last purge are held in memory: they are read for every
//! follower and for applying, mostly at once, and a snapshot every few thousand
//! entries bounds them. The disk is written behind, and acknowledged when synced.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::disk::{Disk, Operation, Recovered};
use crate::error::io as other;
use crate::types::{Entry, LogId, Position, Record, TypeConfig, Vote, VoteRecord};

/// Bytes of entries in one message to a follower; a single larger entry goes alone.
const MESSAGE_BYTES: usize = 2 << 20;

/// The log.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Mutex<Log>>,
    /// Without one the log is in memory alone, for simulations.
    disk: Option<Disk>,
}

/// What of the log is in memory: all that is not purged.
#[derive(Clone, Default)]
pub(crate) struct Log {
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

// === impl LogStore ===

impl LogStore {
    /// As from a disk: what is committed the leader has to say again.
    pub(crate) fn in_memory(log: Arc<Mutex<Log>>) -> Self {
        log.lock().unwrap_or_else(PoisonError::into_inner).committed = None;
        Self { log, disk: None }
    }

    pub(crate) fn on_disk(disk: Disk, recovered: Recovered) -> Self {
        let entries = recovered.records.into_iter().map(|record| {
            let entry = Entry::from(record);
            (entry.log_id.index, entry)
        });
        let log = Log {
            entries: entries.collect(),
            vote: recovered.vote.map(Vote::from),
            committed: None,
            purged: recovered.purged.map(LogId::from),
        };
        Self { log: Arc::new(Mutex::new(log)), disk: Some(disk) }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals what is on disk by the key that is present now.
    pub(crate) async fn reseal(&self) -> io::Result<()> {
        self.write(Operation::Reseal).await
    }

    /// Writes and waits until it is on disk.
    async fn write(&self, operation: Operation) -> io::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let (done, written) = oneshot::channel();
        disk.write(operation, Box::new(move |result| drop(done.send(result))))?;
        written.await.map_err(|_| other("the log's writer has stopped"))?
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.log().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log().vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let mut room = MESSAGE_BYTES;
        let log = self.log();
        let fits = |entry: &&Entry| {
            let size = match &entry.payload {
                EntryPayload::Normal(proposal) => proposal.0.len(),
                _ => 256,
            };
            let first = entry.log_id.index == start;
            let fits = first || size <= room;
            room = room.saturating_sub(size);
            fits
        };
        Ok(log.entries.range(start..end).map(|(_, e)| e).take_while(fits).cloned().collect())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.log();
        let last = log.entries.values().next_back().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: last.or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.log().vote = Some(*vote);
        self.write(Operation::Vote(VoteRecord::from(vote))).await
    }

    /// Only in memory: after a restart the leader says again what is committed.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        {
            let mut log = self.log();
            for entry in entries {
                if self.disk.is_some() {
                    records.push(Record::from(&entry));
                }
                log.entries.insert(entry.log_id.index, entry);
            }
        }
        match &self.disk {
            Some(disk) => disk.write(
                Operation::Append(records),
                Box::new(move |result| callback.io_completed(result)),
            ),
            None => {
                callback.io_completed(Ok(()));
                Ok(())
            }
        }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        self.log().entries.split_off(&from);
        self.write(Operation::Truncate(from)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        {
            let mut log = self.log();
            log.entries = log.entries.split_off(&(upto.index + 1));
            log.purged = Some(upto);
        }
        self.write(Operation::Purge(Position::from(&upto))).await
    }
}
