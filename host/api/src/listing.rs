//! What the lists have in common: their filters, the revision that they show.

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use swarmw_model::Filters;

/// Which revision of the cluster's state an answer shows: a watch from there misses nothing.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("x-swarmw-revision");

/// Whether `key` is not filtered by, or `text` begins with one of its values: names
/// and ids of Swarm's objects are filtered by their beginning.
pub(crate) fn prefix(filters: &Filters, key: &str, text: &str) -> bool {
    filters.any(key, |beginning| text.starts_with(beginning))
}

/// Says in an answer which revision it shows.
pub(crate) fn at(revision: u64, mut answer: Response) -> Response {
    answer.headers_mut().insert(REVISION, HeaderValue::from(revision));
    answer
}
