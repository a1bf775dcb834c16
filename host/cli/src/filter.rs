//! `--filter KEY=VALUE`, as often as wanted.

use swarmw_model::Filters;

use crate::client::Client;
use crate::failure::Failure;
use crate::node;

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

/// All filters of a list of tasks: nodes may be named `self` there.
pub(crate) async fn collect_tasks(
    client: &Client,
    pairs: &[(String, String)],
) -> Result<Filters, Failure> {
    let mut resolved = pairs.to_vec();
    for (key, value) in &mut resolved {
        if key == "node" {
            *value = node::resolve(client, value).await?;
        }
    }
    Ok(collect(&resolved))
}
