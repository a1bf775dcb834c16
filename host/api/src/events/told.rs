//! The cluster's events, read out of the history of this manager: what is past, as far back as
//! that goes, and what comes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use swarmw_model::{Filters, Time};
use swarmw_state::{Entry, Missed};

use super::{message, passes};
use crate::Past;
use crate::api::Host;

/// How often a reader's stream looks whether this node has become a manager.
const MANAGER_LOOK: Duration = Duration::from_millis(100);
/// Changes that are read out of the history at once.
const PIECE: usize = 256;

/// The events that one reader wants.
pub(super) struct Told {
    host: Host,
    filters: Filters,
    since: Option<Time>,
    until: Option<Time>,
    /// Absent until this node is a manager: whoever listens before `swarm init` hears what
    /// comes after.
    reading: Option<Reading>,
    ready: VecDeque<Bytes>,
    /// When `until` comes, where there is one.
    end_at: Option<Instant>,
    has_ended: bool,
}

/// Where a reader stands in the history.
struct Reading {
    past: Box<dyn Past>,
    /// Everything up to this entry of the log was looked at.
    upto: u64,
    /// Not before the oldest entry yet, which may be forgotten while it is looked for.
    seeks_oldest: bool,
}

/// What a look into the history gave.
enum Look {
    Entries,
    Nothing,
    /// What comes next is forgotten.
    Lost,
}

// === impl Told ===

impl Told {
    /// The past is told where one of the two moments is given, as Docker does; without an end
    /// the events go on as they come.
    pub(super) fn new(
        host: Host,
        filters: Filters,
        since: Option<Time>,
        until: Option<Time>,
    ) -> Self {
        // An end that no clock reaches is none.
        let left = until.map(|until| until.since(host.now()).to_std());
        let end_at = left.and_then(|left| Instant::now().checked_add(left));
        let mut told = Self {
            host,
            filters,
            since,
            until,
            reading: None,
            ready: VecDeque::new(),
            end_at,
            has_ended: false,
        };
        told.begin();
        told
    }

    /// Lines, and `None` where the reader fell behind or this node is no manager any more.
    pub(super) fn lines(self) -> BoxStream<'static, Option<Bytes>> {
        let next = |mut told: Self| async move { told.next().await.map(|line| (line, told)) };
        stream::unfold(self, next).boxed()
    }

    fn begin(&mut self) {
        let Some(past) = self.host.past() else { return };
        let seeks_oldest = self.since.is_some() || self.until.is_some();
        let upto = if seeks_oldest { 0 } else { past.state().index() };
        self.reading = Some(Reading { past, upto, seeks_oldest });
    }

    async fn next(&mut self) -> Option<Option<Bytes>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Some(line));
            }
            match self.look() {
                Look::Entries => continue,
                Look::Lost => return Some(None),
                Look::Nothing if self.has_ended => return None,
                Look::Nothing => {}
            }
            let ends = match self.end_at {
                Some(at) => tokio::time::sleep_until(at).left_future(),
                None => std::future::pending().right_future(),
            };
            tokio::select! {
                // What came meanwhile is looked at once more.
                () = ends => self.has_ended = true,
                goes_on = more(self.reading.as_ref()) => {
                    if !goes_on {
                        return Some(None);
                    }
                    if self.reading.is_none() {
                        self.begin();
                    }
                }
            }
        }
    }

    /// Takes what the history has next.
    fn look(&mut self) -> Look {
        let Some(reading) = &mut self.reading else { return Look::Nothing };
        match reading.past.since(reading.upto, PIECE) {
            Missed::Entries(entries, upto) if upto > reading.upto => {
                reading.upto = upto;
                reading.seeks_oldest = false;
                entries.iter().for_each(|entry| self.take(entry));
                Look::Entries
            }
            Missed::Lost(oldest) if reading.seeks_oldest => {
                reading.upto = oldest;
                Look::Entries
            }
            Missed::Lost(_) => Look::Lost,
            Missed::Entries(..) | Missed::Ahead(_) => Look::Nothing,
        }
    }

    fn take(&mut self, entry: &Entry) {
        let is_early = self.since.is_some_and(|since| entry.at < since);
        let is_late = self.until.is_some_and(|until| entry.at > until);
        if is_early || is_late {
            return;
        }
        let told = entry.events.iter().filter_map(|event| message(event, entry.at));
        let told = told.filter(|event| passes(&self.filters, event));
        self.ready.extend(told.map(|event| Bytes::from(format!("{event}\n"))));
    }
}

/// Returns when there may be more to read; `false` when this node is no manager any more.
async fn more(reading: Option<&Reading>) -> bool {
    match reading {
        Some(reading) => reading.past.reaches_more_than(reading.upto).await,
        None => {
            tokio::time::sleep(MANAGER_LOOK).await;
            true
        }
    }
}
