//! The log's file: redb with one writer thread and group commit.
//!
//! Operations queue in one order, votes among them, as Raft demands. The writer
//! takes all that wait, up to a bound, into one transaction, syncs once, and then
//! tells everyone. After a write that failed it takes no other, so that the file
//! never has a gap behind which entries were acknowledged.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use swarmw_seal::Seal;

use crate::error::io as other;
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
/// The extension of a file that is not whole yet.
const UNFINISHED: &str = "new";
const DAMAGED: &str = "the file is damaged; take the manager out and let it join again";

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
    /// Seals everything by the key that is present now.
    Reseal,
}

/// What the file held when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
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
        if !path.try_exists()? {
            create(path)?;
        }
        Self::on(|| Database::builder().set_cache_size(CACHE_BYTES).open(path), seal)
    }

    fn on(
        database: impl FnOnce() -> Result<Database, DatabaseError>,
        seal: Seal,
    ) -> io::Result<(Self, Recovered)> {
        // redb trusts the lengths that it reads: some damage makes it panic.
        let checked = catch_unwind(AssertUnwindSafe(|| check(database().map_err(other)?, &seal)));
        let (database, recovered) = checked.unwrap_or_else(|_| Err(other(DAMAGED)))?;
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

/// Makes an empty file under another name first: a file that has its name is whole,
/// wherever the machine stopped while it was made, and one that is empty is damaged.
fn create(path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => drop(Database::create(&unfinished).map_err(other)?),
    }
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn check(mut database: Database, seal: &Seal) -> io::Result<(Database, Recovered)> {
    // Repairing would go back to an older commit, and what came after it may have
    // been acknowledged.
    if !database.check_integrity().map_err(other)? {
        return Err(other(DAMAGED));
    }
    let recovered = recover(&database, seal)?;
    recovered.check()?;
    Ok((database, recovered))
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

impl Recovered {
    /// Entries follow one another, and the first one follows what was purged.
    fn check(&self) -> io::Result<()> {
        let first = self.purged.map_or(0, |purged| purged.index + 1);
        for (want, record) in (first..).zip(&self.records) {
            if record.index() != want {
                return Err(other(format!("log entry {want} is missing")));
            }
        }
        Ok(())
    }
}

fn write(database: &Database, seal: &Seal, operations: &Receiver<(Operation, Done)>) {
    let mut failed: Option<String> = None;
    while let Ok(first) = operations.recv() {
        let mut batch = vec![first];
        while batch.len() < COMMIT_MAX
            && let Ok(next) = operations.try_recv()
        {
            batch.push(next);
        }
        if failed.is_none() {
            let operations = batch.iter().map(|(operation, _)| operation);
            failed = commit(database, seal, operations).err().map(|e| e.to_string());
        }
        for (_, done) in batch {
            done(failed.as_ref().map_or(Ok(()), |why| Err(other(why))));
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
        Operation::Reseal => reseal(transaction, seal),
    }
}

fn reseal(transaction: &WriteTransaction, seal: &Seal) -> io::Result<()> {
    let anew = |place: &[u8], sealed: &[u8]| -> io::Result<Vec<u8>> {
        Ok(seal.seal(place, &seal.open(place, sealed).map_err(other)?))
    };
    let mut facts = transaction.open_table(FACTS).map_err(other)?;
    for name in [VOTE, PURGED] {
        let sealed = facts.get(name).map_err(other)?.map(|fact| fact.value().to_vec());
        if let Some(sealed) = sealed {
            facts.insert(name, &*anew(name.as_bytes(), &sealed)?).map_err(other)?;
        }
    }
    let mut entries = transaction.open_table(ENTRIES).map_err(other)?;
    let indexes = entries.iter().map_err(other)?;
    let indexes: Vec<u64> = indexes
        .map(|item| item.map(|(index, _)| index.value()))
        .collect::<Result<_, _>>()
        .map_err(other)?;
    for index in indexes {
        let sealed = entries.get(index).map_err(other)?.map(|entry| entry.value().to_vec());
        let sealed = anew(&index.to_be_bytes(), &sealed.unwrap_or_default())?;
        entries.insert(index, &*sealed).map_err(other)?;
    }
    Ok(())
}

fn encode<T: serde::Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(other)?;
    Ok(bytes)
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    ciborium::from_reader(bytes).map_err(other)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, mpsc};

    use openraft::EntryPayload;
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::types::{Entry, LogId, Proposal};

    const KEY: [u8; 32] = [7; 32];

    fn record(index: u64) -> Record {
        let payload = EntryPayload::Normal(Proposal(vec![index as u8; 700].into()));
        Record::from(&Entry { log_id: LogId::new(1.into(), index), payload })
    }

    /// Writes and waits.
    fn write_to(disk: &Disk, operation: Operation) -> io::Result<()> {
        let (done, written) = mpsc::channel();
        disk.write(operation, Box::new(move |result| drop(done.send(result))))?;
        written.recv().map_err(other)?
    }

    /// A file on which only so much can be written, like one on a full disk.
    #[derive(Debug)]
    struct Quota {
        inner: InMemoryBackend,
        left: Arc<AtomicU64>,
    }

    impl StorageBackend for Quota {
        fn len(&self) -> io::Result<u64> {
            self.inner.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.inner.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.inner.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.inner.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let take = |left: u64| left.checked_sub(data.len() as u64);
            match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
                Ok(_) => self.inner.write(offset, data),
                Err(_) => Err(io::ErrorKind::StorageFull.into()),
            }
        }
    }

    #[test]
    fn after_a_full_disk_nothing_more_is_acknowledged_even_when_there_is_room_again() {
        let left = Arc::new(AtomicU64::new(400_000));
        let backend = Quota { inner: InMemoryBackend::new(), left: left.clone() };
        let database = || Database::builder().create_with_backend(backend);
        let (disk, _) = Disk::on(database, Seal::new(KEY)).expect("a log");

        let mut written = 0..10_000;
        let failed =
            written.find(|index| write_to(&disk, Operation::Append(vec![record(*index)])).is_err());
        let failed = failed.expect("the disk is full at some time");
        assert!(failed > 10, "{failed} entries had room");
        left.store(u64::MAX, Ordering::SeqCst);

        for index in failed..failed + 3 {
            let refused = write_to(&disk, Operation::Append(vec![record(index + 1)]));
            assert!(refused.is_err(), "entry {} would stand behind a gap", index + 1);
        }
    }

    #[test]
    fn a_file_that_was_being_made_is_made_again_and_an_empty_one_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.redb");
        // What redb leaves when it is killed at once: the length, and nothing in it.
        let unfinished = File::create(path.with_extension(UNFINISHED)).expect("a file");
        unfinished.set_len(1 << 20).expect("room");

        let (disk, recovered) = reopened(&path).expect("a log");
        assert_eq!(recovered, Recovered::default());
        assert!(!path.with_extension(UNFINISHED).exists());
        write_to(&disk, Operation::Vote(VoteRecord::from(&crate::types::Vote::new(3, 1))))
            .expect("room");
        drop(disk);
        let (disk, recovered) = reopened(&path).expect("the same log");
        assert!(recovered.vote.is_some(), "a vote was forgotten");
        drop(disk);

        fs::remove_file(&path).expect("ours");
        File::create(&path).expect("a file");
        let error = reopened(&path).err().expect("votes may have been in it").to_string();
        assert!(error.contains("empty"), "{error}");
    }

    #[test]
    fn a_gap_between_entries_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        for (purge, append, missing) in [(None, 1..4, 0), (Some(5), 7..9, 6)] {
            let (disk, _) = reopened(&path).expect("a log");
            write_to(&disk, Operation::Truncate(0)).expect("room");
            if let Some(index) = purge {
                write_to(&disk, Operation::Purge(Position { term: 1, index })).expect("room");
            }
            write_to(&disk, Operation::Append(append.map(record).collect())).expect("room");
            drop(disk);
            let error = reopened(&path).err().expect("a gap").to_string();
            assert_eq!(error, format!("log entry {missing} is missing"));
            std::fs::remove_file(&path).expect("ours");
        }
    }

    /// Opens the file once the writer before has let go of it.
    fn reopened(path: &Path) -> io::Result<(Disk, Recovered)> {
        loop {
            match Disk::open(path, Seal::new(KEY)) {
                Err(e) if e.to_string().contains("already open") => thread::yield_now(),
                opened => return opened,
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let (disk, _) = reopened(&path).expect("a log");
        write_to(&disk, Operation::Vote(VoteRecord::from(&crate::types::Vote::new(3, 1))))
            .expect("room");
        for from in [0, 20, 40] {
            write_to(&disk, Operation::Append((from..from + 20).map(record).collect()))
                .expect("room");
        }
        write_to(&disk, Operation::Purge(Position { term: 1, index: 9 })).expect("room");
        drop(disk);
        let good = reopened(&path).map(|(_, recovered)| recovered).expect("undamaged");
        assert_eq!(good.records.len(), 50);

        // When the writer has let go of it, the file stays as it is.
        drop(reopened(&path));
        while Database::open(&path).is_err() {
            thread::yield_now();
        }
        let bytes = std::fs::read(&path).expect("ours");
        let head = (0..320).step_by(2).map(|at| (at, at / 2 % 8));
        let body = (320..bytes.len()).step_by(bytes.len() / 120).map(|at| (at, at % 8));
        let (mut refused, mut same) = (0, 0);
        for (at, bit) in head.chain(body) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let backend = InMemoryBackend::new();
            backend.set_len(flipped.len() as u64).expect("memory");
            backend.write(0, &flipped).expect("memory");
            let database = || Database::builder().create_with_backend(backend);
            match Disk::on(database, Seal::new(KEY)) {
                Err(_) => refused += 1,
                Ok((_, recovered)) => {
                    assert_eq!(recovered, good, "bit {bit} of byte {at} went unnoticed");
                    same += 1;
                }
            }
        }
        assert!(refused > 10, "{refused} refused, {same} the same");
    }
}
