//! A line of a watch.

use serde::Serialize;
use serde_json::Value;

use super::kind::Kind;
use crate::reply;

/// The kind of a line that says where a reader stands.
const BOOKMARK: &str = "bookmark";
/// The kind of the last line.
const END: &str = "end";

/// One object's change, as it is told.
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) action: Action,
    pub(super) object: Value,
}

/// What became of an object, or of its place among those that are filtered for.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Create,
    Update,
    Remove,
}

/// A line; its fields in the order in which they are written.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Line<'a> {
    revision: u64,
    resume: u64,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

// === impl Line ===

impl<'a> Line<'a> {
    /// Of a change at `revision`. Who hears no more after it watches from `resume`.
    pub(super) fn of(revision: u64, resume: u64, change: Change) -> Self {
        Self {
            revision,
            resume,
            kind: change.kind.word(),
            action: Some(change.action),
            object: Some(change.object),
            message: None,
        }
    }

    /// Everything up to `revision` was told.
    pub(super) fn bookmark(revision: u64) -> Self {
        Self::about(revision, BOOKMARK, None)
    }

    /// The last one.
    pub(super) fn end(revision: u64, why: &'a str) -> Self {
        Self::about(revision, END, Some(why))
    }

    fn about(revision: u64, kind: &'a str, message: Option<&'a str>) -> Self {
        Self { revision, resume: revision, kind, action: None, object: None, message }
    }

    /// With its line end.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut line = reply::json(self);
        line.push(b'\n');
        line
    }
}
