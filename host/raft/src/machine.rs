//! The state machine: entries in, state and events out, snapshots of it.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::alias::SnapshotOf;
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use swarmw_state::{State, decode_transaction};

use crate::error::io as other;
use crate::publish::Publisher;
use crate::snapshot::{Header, Shelf};
use crate::types::{Answer, LogId, Position, SnapshotMeta, StoredMembership, TypeConfig};

/// The state, where it stands in the log, and who its subscribers are.
pub(crate) struct Machine {
    state: State,
    applied: Option<LogId>,
    members: StoredMembership,
    publisher: Publisher,
    shelf: Shelf,
}

/// Encodes a clone of the state off the apply path.
pub(crate) struct Builder {
    state: State,
    meta: SnapshotMeta,
    shelf: Shelf,
}

// === impl Machine ===

impl Machine {
    /// The machine as its last snapshot left it; openraft applies the rest of the
    /// log again.
    pub(crate) fn open(shelf: Shelf) -> io::Result<(Self, Publisher)> {
        let (state, meta) = match shelf.get()? {
            Some((header, bytes)) => {
                (State::from_snapshot(&bytes).map_err(other)?, SnapshotMeta::from(header))
            }
            None => (
                State::default(),
                SnapshotMeta { last_log_id: None, last_membership: StoredMembership::default() },
            ),
        };
        let publisher = Publisher::new(state.clone());
        let machine = Self {
            state,
            applied: meta.last_log_id,
            members: meta.last_membership,
            publisher: publisher.clone(),
            shelf,
        };
        Ok((machine, publisher))
    }

    /// The last entry that the state holds.
    pub(crate) fn applied(&self) -> Option<Position> {
        self.applied.as_ref().map(Position::from)
    }

    pub(crate) fn shelf(&self) -> Shelf {
        self.shelf.clone()
    }

    fn builder(&self) -> Builder {
        Builder {
            state: self.state.clone(),
            meta: SnapshotMeta { last_log_id: self.applied, last_membership: self.members.clone() },
            shelf: self.shelf.clone(),
        }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.members.clone()))
    }

    /// Applies a run of entries, publishes once, and only then answers: who is told
    /// that a write is done sees it.
    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut changed = Vec::new();
        let mut answers = Vec::new();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let answer = match &entry.payload {
                EntryPayload::Blank => Answer::default(),
                EntryPayload::Membership(members) => {
                    self.members = StoredMembership::new(Some(entry.log_id), members.clone());
                    Answer::default()
                }
                EntryPayload::Normal(proposal) => {
                    let transaction = decode_transaction(&proposal.0)
                        .map_err(|e| other(format!("log entry {}: {e}", entry.log_id.index)))?;
                    let applied = self.state.apply(entry.log_id.index, &transaction);
                    changed.push((entry.log_id.index, transaction.at, applied.events));
                    Answer(applied.outcomes)
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                answers.push((responder, answer));
            }
        }
        self.publisher.publish(self.state.clone(), changed);
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Bytes,
    ) -> Result<(), io::Error> {
        let shelf = self.shelf.clone();
        let header = Header::from(meta);
        let state = tokio::task::spawn_blocking(move || {
            let state = State::from_snapshot(&snapshot).map_err(other)?;
            shelf.put(header, &snapshot)?;
            io::Result::Ok(state)
        })
        .await
        .map_err(other)??;
        self.state = state;
        self.applied = meta.last_log_id;
        self.members = meta.last_membership.clone();
        self.publisher.replace(self.state.clone());
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, Bytes>>, io::Error> {
        let shelf = self.shelf.clone();
        let kept = tokio::task::spawn_blocking(move || shelf.get()).await.map_err(other)??;
        Ok(kept.map(|(header, snapshot)| Snapshot { meta: header.into(), snapshot }))
    }
}

// === impl Builder ===

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Bytes>, io::Error> {
        let (state, shelf) = (self.state.clone(), self.shelf.clone());
        let header = Header::from(&self.meta);
        let snapshot = tokio::task::spawn_blocking(move || {
            let bytes = Bytes::from(state.to_snapshot());
            shelf.put(header, &bytes)?;
            io::Result::Ok(bytes)
        })
        .await
        .map_err(other)??;
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}
