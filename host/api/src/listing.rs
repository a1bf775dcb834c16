//! What the lists have in common.

use swarmw_model::Filters;

/// Whether `key` is not filtered by, or `text` begins with one of its values: names
/// and ids of Swarm's objects are filtered by their beginning.
pub(crate) fn prefix(filters: &Filters, key: &str, text: &str) -> bool {
    filters.any(key, |beginning| text.starts_with(beginning))
}
