//! A plugin's log, as this manager has it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;

use swarmw_model::{Plugin, PluginLine, Refusal};

use crate::api::Host;
use crate::body::Params;
use crate::reply::Reply;

/// Between looks for new lines.
const LOOK: Duration = Duration::from_millis(250);

/// JSON objects, a line each: the last `tail` ones, or `all`; with `follow` those to
/// come as well.
pub(super) fn read(host: &Host, plugin: &Plugin, request: &Request) -> Reply {
    let params = Params::of(request.uri());
    let name = plugin.name.clone();
    let mut lines = host.plugin_lines(&name, 0);
    if let Some(most) = tail(params.get("tail"))? {
        let from = lines.len().saturating_sub(most);
        lines.drain(..from);
    }
    let last = lines.last().map_or(0, |line| line.number);
    let first = text(&lines);
    let body = match params.is_on("follow") {
        false => Body::from(first),
        true => {
            let host = host.clone();
            let more = stream::unfold((host, name, last), |(host, name, mut last)| async move {
                tokio::time::sleep(LOOK).await;
                let all = host.plugin_lines(&name, 0);
                // Another release counts anew.
                if all.last().is_none_or(|line| line.number < last) {
                    last = 0;
                }
                let news: Vec<_> = all.into_iter().filter(|line| line.number > last).collect();
                let last = news.last().map_or(last, |line| line.number);
                Some((text(&news), (host, name, last)))
            });
            Body::from_stream(stream::iter([first]).chain(more).map(Ok::<_, Infallible>))
        }
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-ndjson"));
    Ok(response.into_response())
}

fn tail(text: &str) -> Result<Option<usize>, Refusal> {
    match text {
        "" | "all" => Ok(None),
        number => number.parse().map(Some).map_err(|_| {
            Refusal::invalid(format!("invalid tail {number:?}: want a number of lines, or all"))
        }),
    }
}

fn text(lines: &[PluginLine]) -> Bytes {
    let line = |line: &PluginLine| serde_json::to_string(line).map(|text| text + "\n").ok();
    lines.iter().filter_map(line).collect::<String>().into()
}
