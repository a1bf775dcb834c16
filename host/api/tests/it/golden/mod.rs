//! Answers held beside recorded ones, field by field: status, kind of content, keys, values,
//! messages; `null`, absent and empty are three things.
//!
//! `recorded/` is of a real engine in swarm mode, by `record.py`. `documented.json` has what came
//! to the API later, which no engine was asked for: it is taken from Docker's documentation of
//! the API. Where we differ is in `differences.txt`, with the reason.

mod allowed;
mod compare;
mod replay;
mod rest;

use serde::Deserialize;

use replay::{Exchange, Replay};

/// In the order in which they were recorded.
const RECORDED: [(&str, &str); 13] = [
    ("before", include_str!("recorded/01-before.json")),
    ("founding", include_str!("recorded/02-founding.json")),
    ("nodes", include_str!("recorded/03-nodes.json")),
    ("secrets", include_str!("recorded/04-secrets.json")),
    ("configs", include_str!("recorded/05-configs.json")),
    ("networks", include_str!("recorded/06-networks.json")),
    ("services", include_str!("recorded/07-services.json")),
    ("refusals", include_str!("recorded/08-refusals.json")),
    ("tasks", include_str!("recorded/09-tasks.json")),
    ("jobs", include_str!("recorded/10-jobs.json")),
    ("events", include_str!("recorded/11-events.json")),
    ("locked", include_str!("recorded/12-locked.json")),
    ("end", include_str!("recorded/13-end.json")),
];

const DOCUMENTED: &str = include_str!("documented.json");

/// Exchanges that nobody had.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Documented {
    /// Where it is from.
    source: String,
    exchanges: Vec<Exchange>,
}

#[tokio::test]
async fn what_dockers_engine_answered_when_it_was_recorded_is_answered_here() {
    let mut replay = Replay::outside().await;
    for (group, text) in RECORDED {
        let exchanges: Vec<Exchange> = serde_json::from_str(text).expect("exchanges");
        replay.play(group, &exchanges).await;
    }
    allowed::check(&replay.differences, "recorded");
}

/// No engine was recorded for these: what is expected is from the documented API.
#[tokio::test]
async fn what_the_documented_api_has_since_the_recorded_one_comes_back_as_documented() {
    let documented: Documented = serde_json::from_str(DOCUMENTED).expect("exchanges");
    let Documented { source, exchanges } = documented;
    let later = ["1.42", "1.43", "1.44", "1.45", "1.46", "1.47"];
    let is_later = |exchange: &Exchange| later.contains(&exchange.since.as_str());
    assert!(exchanges.iter().all(is_later), "{source}");
    let mut replay = Replay::leading().await;
    replay.play("later", &exchanges).await;
    allowed::check(&replay.differences, "documented");
}
