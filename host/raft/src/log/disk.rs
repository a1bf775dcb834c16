//! The log's file: redb with one writer thread and group commit.
//!
//! Operations queue in one order, votes among them, as Raft demands. The writer
//! takes all that wait, up to a bound, into one transaction, syncs once, and then
//! tells everyone.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::error::io as other;
use crate::seal::Seal;
use crate::types::{Position, Record, VoteRecord};

/// Operations that may wait for the writer; proposers wait beyond it.
const QUEUE_MAX: usize = 4_096;
/// Operations in one commit.
const COMMIT_MAX: usize = 1_024;
/// redb's own cache; entries in use are held by the log itself.
const CACHE_BYTES: usize = 2 << 20;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
const VOTE: &str = "vote";
const PURGED: &str = "purged";

/// What to do once an operation is on disk.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One write.
pub(crate) enum Operation {
    Append(Vec<Record>),
    Vote(VoteRecord),
    /// Removes entries from this index on.
    Truncate(u64),
    /// Removes entries up to and including this one.
    Purge(Position),
}

/// What the file held when it was opened.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) records: Vec<Record>,
    pub(crate) vote: Option<VoteRecord>,
    pub(crate) purged: Option<Position>,
}

/// The writer's end of the queue.
#[derive(Clone)]
pub(crate) struct Disk {
    queue: SyncSender<(Operation, Done)>,
}

// === impl Disk ===

impl Disk {
    /// Opens the file, checks every record in it, and starts the writer.
    pub(crate) fn open(path: &Path, seal: Seal) -> io::Result<(Self, Recovered)> {
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(other)?;
        let recovered = recover(&database, &seal)?;
        let (queue, operations) = sync_channel(QUEUE_MAX);
        thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || write(&database, &seal, &operations))?;
        Ok((Self { queue }, recovered))
    }

    /// Queues a write; `done` is called once it is on disk, or could not get there.
    pub(crate) fn write(&self, operation: Operation, done: Done) -> io::Result<()> {
        self.queue.send((operation, done)).map_err(|_| other("the log's writer has stopped"))
    }
}

fn recover(database: &Database, seal: &Seal) -> io::Result<Recovered> {
    // The first time, the tables are not there yet.
    let begin = database.begin_write().map_err(other)?;
    begin.open_table(ENTRIES).map_err(other)?;
    begin.open_table(FACTS).map_err(other)?;
    begin.commit().map_err(other)?;

    let read = database.begin_read().map_err(other)?;
    let facts = read.open_table(FACTS).map_err(other)?;
    let fact = |name: &str| -> io::Result<Option<Vec<u8>>> {
        match facts.get(name).map_err(other)? {
            Some(sealed) => seal
                .open(name.as_bytes(), sealed.value())
                .map(Some)
                .map_err(|e| other(format!("the log's {name}: {e}"))),
            None => Ok(None),
        }
    };
    let mut recovered = Recovered {
        vote: fact(VOTE)?.map(|bytes| decode(&bytes)).transpose()?,
        purged: fact(PURGED)?.map(|bytes| decode(&bytes)).transpose()?,
        records: Vec::new(),
    };
    let entries = read.open_table(ENTRIES).map_err(other)?;
    for item in entries.iter().map_err(other)? {
        let (index, sealed) = item.map_err(other)?;
        let index = index.value();
        let bytes = seal
            .open(&index.to_be_bytes(), sealed.value())
            .map_err(|e| other(format!("log entry {index}: {e}")))?;
        recovered.records.push(decode(&bytes)?);
    }
    Ok(recovered)
}

fn write(database: &Database, seal: &Seal, operations: &Receiver<(Operation, Done)>) {
    while let Ok(first) = operations.recv() {
        let mut batch = vec![first];
        while batch.len() < COMMIT_MAX
            && let Ok(next) = operations.try_recv()
        {
            batch.push(next);
        }
        let written = commit(database, seal, batch.iter().map(|(operation, _)| operation));
        for (_, done) in batch {
            done(match &written {
                Ok(()) => Ok(()),
                Err(e) => Err(other(e)),
            });
        }
    }
}

fn commit<'a>(
    database: &Database,
    seal: &Seal,
    operations: impl Iterator<Item = &'a Operation>,
) -> io::Result<()> {
    let transaction = database.begin_write().map_err(other)?;
    for operation in operations {
        carry_out(&transaction, seal, operation)?;
    }
    transaction.commit().map_err(other)
}

fn carry_out(transaction: &WriteTransaction, seal: &Seal, operation: &Operation) -> io::Result<()> {
    let keep = |name: &str, bytes: Vec<u8>| -> io::Result<()> {
        let mut facts = transaction.open_table(FACTS).map_err(other)?;
        facts.insert(name, &*seal.seal(name.as_bytes(), &bytes)).map_err(other)?;
        Ok(())
    };
    match operation {
        Operation::Append(records) => {
            let mut entries = transaction.open_table(ENTRIES).map_err(other)?;
            for record in records {
                let index = record.index();
                let sealed = seal.seal(&index.to_be_bytes(), &encode(record)?);
                entries.insert(index, &*sealed).map_err(other)?;
            }
            Ok(())
        }
        Operation::Vote(vote) => keep(VOTE, encode(vote)?),
        Operation::Truncate(from) => {
            let mut entries = transaction.open_table(ENTRIES).map_err(other)?;
            entries.retain_in(*from.., |_, _| false).map_err(other)
        }
        Operation::Purge(upto) => {
            keep(PURGED, encode(upto)?)?;
            let mut entries = transaction.open_table(ENTRIES).map_err(other)?;
            entries.retain_in(..=upto.index, |_, _| false).map_err(other)
        }
    }
}

fn encode<T: serde::Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(other)?;
    Ok(bytes)
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    ciborium::from_reader(bytes).map_err(other)
}
