//! `GET /swarmw/watch`: what changes in the cluster, from a revision on, as JSON lines.
//!
//! | parameter | |
//! |---|---|
//! | `from` | only what came after this revision; without it, what comes from now on |
//! | `kinds` | `service,task`: only these |
//! | `filters` | as the lists have them; one that not all kinds know is refused |
//!
//! A revision is the index of an entry of the cluster's log, the same on every manager, so a
//! reader goes on wherever it is answered. Each manager answers out of its own state: nothing
//! is passed on. A reader has no queue: it takes what the history of its manager still has,
//! and is told by a last line when that is no longer what it needs.

mod kind;
mod line;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use swarmw_model::Refusal;
use swarmw_state::{Entry, Missed};

use crate::Past;
use crate::api::Host;
use crate::body::Params;
use crate::listing::REVISION;
use crate::reply::{self, Reply};
use crate::{forward, refusals};
use kind::Wanted;
use line::{Change, Line};

/// How long a reader hears nothing before it is told where it stands.
const BOOKMARK_AFTER: Duration = Duration::from_secs(10);
/// How long a manager that lags is waited for, where a reader has seen more already.
const CATCH_UP: Duration = Duration::from_secs(3);
/// Changes looked at before the reader's connection is tried again.
const PIECE: usize = 256;

/// Where a reader stands.
struct Watcher {
    host: Host,
    past: Box<dyn Past>,
    wanted: Wanted,
    /// Everything up to this revision was told, or was not wanted.
    told: u64,
    bookmark_at: Instant,
    has_ended: bool,
}

/// `GET /swarmw/watch`
pub(crate) async fn watch(State(host): State<Host>, request: Request) -> Reply {
    forward::leads(&host)?;
    let past = host.past().ok_or_else(refusals::manager_starting)?;
    let params = Params::of(request.uri());
    let from = match params.get("from") {
        "" => None,
        text => Some(revision(text)?),
    };
    let now = past.state();
    let wanted = Wanted::of(&params, &now)?;
    let begin = from.unwrap_or(now.index());
    if let Some(refused) = cannot_begin(&*past, begin).await? {
        return Ok(refused);
    }
    let bookmark_at = Instant::now() + if from.is_some() { BOOKMARK_AFTER } else { Duration::ZERO };
    let watcher = Watcher { host, past, wanted, told: begin, bookmark_at, has_ended: false };
    let lines = stream::unfold(watcher, Watcher::next);
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(REVISION, HeaderValue::from(begin));
    Ok(response)
}

fn revision(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::invalid(format!(
            "invalid revision {text:?}: want the number of a list's header X-Swarmw-Revision or of \
             a line's Resume"
        ))
    })
}

/// The answer to who asks for what is not here.
async fn cannot_begin(past: &dyn Past, begin: u64) -> Reply<Option<Response>> {
    if let Missed::Ahead(_) = past.since(begin, 0) {
        let caught_up = past.reaches_more_than(begin.saturating_sub(1));
        // Whether it was in time shows below.
        let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
    }
    match past.since(begin, 0) {
        Missed::Entries(..) => Ok(None),
        Missed::Lost(oldest) => Ok(Some(reply::message(StatusCode::GONE, &too_old(begin, oldest)))),
        Missed::Ahead(latest) => Err(Refusal::invalid(format!(
            "revision {begin} is not there yet: this manager is at {latest}"
        ))
        .into()),
    }
}

fn too_old(revision: u64, oldest: u64) -> String {
    format!(
        "revision {revision} is too old: the oldest that can be watched from is {oldest}; list \
         again, and watch from the revision in the list's header X-Swarmw-Revision"
    )
}

// === impl Watcher ===

impl Watcher {
    /// The next lines, some at a time.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.has_ended {
            return None;
        }
        let lines = loop {
            match self.past.since(self.told, PIECE) {
                Missed::Entries(entries, upto) if upto > self.told => {
                    let lines = self.lines(&entries);
                    self.told = upto;
                    if !lines.is_empty() {
                        break lines;
                    }
                }
                Missed::Lost(oldest) => {
                    break self.end(&format!(
                        "this reader was too slow, or its manager was away for long; {}",
                        too_old(self.told, oldest)
                    ));
                }
                Missed::Entries(..) | Missed::Ahead(_) => {
                    let more = self.past.reaches_more_than(self.told);
                    if let Ok(false) = tokio::time::timeout_at(self.bookmark_at, more).await {
                        break self.end(&format!(
                            "this node is no manager of the cluster any more, or stops: watch from \
                             {} at another manager",
                            self.told
                        ));
                    }
                }
            }
            // Also where much happened that was not wanted.
            if Instant::now() >= self.bookmark_at {
                break Line::bookmark(self.told).written();
            }
        };
        self.bookmark_at = Instant::now() + BOOKMARK_AFTER;
        Some((Ok(Bytes::from(lines)), self))
    }

    /// What is wanted of some entries.
    fn lines(&self, entries: &[Entry]) -> Vec<u8> {
        let state = self.past.state();
        let mut lines = Vec::new();
        let mut before = self.told;
        for entry in entries {
            let changes: Vec<Change> = entry
                .events
                .iter()
                .filter_map(|event| self.wanted.change(event, &self.host, &state))
                .collect();
            for (left, change) in (0..changes.len()).rev().zip(changes) {
                // Cut off in the middle of an entry, a reader is told the whole of it again.
                let resume = if left == 0 { entry.index } else { before };
                lines.extend(Line::of(entry.index, resume, change).written());
            }
            before = entry.index;
        }
        lines
    }

    fn end(&mut self, why: &str) -> Vec<u8> {
        self.has_ended = true;
        Line::end(self.told, why).written()
    }
}
