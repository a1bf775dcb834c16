//! Why a request was not carried out, in Swarm's words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of refusal it is: decides the HTTP status and the gRPC code shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalKind {
    /// 400: the request itself is wrong.
    InvalidArgument,
    /// 404: no such object.
    NotFound,
    /// 409: an object of that name is there already.
    AlreadyExists,
    /// 400: right in form, not possible in the present state.
    FailedPrecondition,
    /// 501: Swarm does not do this.
    Unimplemented,
    /// 500, with code `Unknown`: Swarm's answer to a stale version or a bad constraint.
    Unknown,
    /// 503: not now, or not on this node.
    Unavailable,
    /// 403: the caller may not.
    PermissionDenied,
    /// 401: the caller does not prove that it may.
    Unauthenticated,
}

/// A request refused: the message a user reads, and its kind.
///
/// Docker passes errors that come from Swarm's gRPC API on with the prefix
/// `rpc error: code = C desc = `, and scripts match on it; [`Refusal::rpc`]
/// makes one that shows it, [`Refusal::plain`] one that does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Decides the status.
    pub kind: RefusalKind,
    /// Without the prefix.
    pub message: String,
    /// Whether the prefix is shown.
    pub prefixed: bool,
}

// === impl RefusalKind ===

impl RefusalKind {
    /// The HTTP status of the Docker Engine API for this kind.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists => 409,
            Self::Unknown => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
        }
    }

    /// The gRPC code's name as Docker prints it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::Unimplemented => "Unimplemented",
            Self::Unknown => "Unknown",
            Self::Unavailable => "Unavailable",
            Self::PermissionDenied => "PermissionDenied",
            Self::Unauthenticated => "Unauthenticated",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal shown as it stands.
    pub fn plain(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), prefixed: false }
    }

    /// A refusal shown with the gRPC prefix.
    pub fn rpc(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), prefixed: true }
    }

    /// 400 without prefix.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::plain(RefusalKind::InvalidArgument, message)
    }

    /// 404 `KIND REFERENCE not found`.
    pub fn not_found(kind: &str, reference: impl fmt::Display) -> Self {
        Self::plain(RefusalKind::NotFound, format!("{kind} {reference} not found"))
    }

    /// Swarm's answer to an update that names an older version of the object.
    pub fn out_of_sequence() -> Self {
        Self::rpc(RefusalKind::Unknown, "update out of sequence")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefixed {
            write!(f, "rpc error: code = {} desc = {}", self.kind.code(), self.message)
        } else {
            f.write_str(&self.message)
        }
    }
}

impl std::error::Error for Refusal {}
