//! A log that one manager goes on with alone: when the others are gone for good there
//! is no majority left that could agree to take them out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc;

use swarmw_state::Transaction;

use super::disk::{Disk, Operation, Recovered};
use crate::error::io as other;
use crate::types::{Position, Proposal, Record, VoteRecord};

/// The manager that goes on, and its first transaction.
pub(crate) struct Survivor<'a> {
    /// Its seat.
    pub(crate) raft_id: u64,
    /// Where it is reached from now on.
    pub(crate) address: &'a str,
    /// What is true from then on.
    pub(crate) first: &'a Transaction,
}

/// Adds to a log, of which `snapshot` is the last entry in the snapshot, that this
/// manager is the only member, and its first transaction. Everything before stays,
/// what nobody acknowledged yet too: a new leader would keep it as well.
pub(crate) fn go_alone(
    disk: &Disk,
    mut log: Recovered,
    snapshot: Option<Position>,
    survivor: &Survivor<'_>,
) -> io::Result<Recovered> {
    let mut operations = Vec::new();
    // A crash may have come between a snapshot from the leader and the purge.
    if let Some(taken) = snapshot.filter(|taken| log.last() < Some(*taken)) {
        operations.push(Operation::Purge(taken));
        log.records.clear();
        log.purged = Some(taken);
    }
    let last = log.last();
    let voted = log.vote.as_ref().map_or(0, VoteRecord::term);
    // A term that nobody else ever led in.
    let term = voted.max(last.map_or(0, |last| last.term)) + 1;
    let vote = VoteRecord::of_candidate(term, survivor.raft_id);
    let members = BTreeSet::from([survivor.raft_id]);
    let addresses = BTreeMap::from([(survivor.raft_id, survivor.address.to_owned())]);
    let next = last.map_or(0, |last| last.index + 1);
    let records = vec![
        Record::of_members(Position { term, index: next }, members, addresses),
        Record::of_transaction(Position { term, index: next + 1 }, Proposal::of(survivor.first)),
    ];
    log.vote = Some(vote.clone());
    log.records.extend(records.clone());
    // The vote first: without the entries it is only a vote.
    operations.extend([Operation::Vote(vote), Operation::Append(records)]);
    for operation in operations {
        let (done, written) = mpsc::channel();
        disk.write(operation, Box::new(move |result| drop(done.send(result))))?;
        written.recv().map_err(|_| other("the log's writer has stopped"))??;
    }
    Ok(log)
}

impl Recovered {
    fn last(&self) -> Option<Position> {
        self.records.last().map(Record::position).or(self.purged)
    }
}
