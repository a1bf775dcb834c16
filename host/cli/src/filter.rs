//! `--filter KEY=VALUE`, as often as wanted.

use swarmw_model::Filters;

/// Reads one filter.
pub(crate) fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_lowercase(), value.trim().to_owned())),
        None => Err("bad format of filter (expected name=value)".to_owned()),
    }
}

/// All filters of a command line.
pub(crate) fn collect(pairs: &[(String, String)]) -> Filters {
    let mut filters = Filters::default();
    for (key, value) in pairs {
        filters.add(key, value);
    }
    filters
}
