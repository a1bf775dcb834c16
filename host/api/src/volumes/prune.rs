//! `POST /volumes/prune`.
//!
//! From API 1.42 on a prune takes volumes that nobody gave a name, and the others where it
//! is told `all`; before, each that no container uses. An engine that speaks less than the
//! request would so take what its user was told would stay: there the volumes without a
//! name are found and removed one by one.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Request, State};
use http::{Method, Uri};
use serde_json::{Value, json};

use swarmw_model::{Filters, Refusal};

use super::{of_cluster, remove, spec};
use crate::api::Host;
use crate::body::{self, Params};
use crate::engine;
use crate::reply::{Refused, Reply, ok};
use crate::version::ApiVersion;

/// The first version in which volumes with names stay.
const NAMED_STAY: ApiVersion = ApiVersion::v1(42);
/// The digits of a name that an engine gave.
const ENGINES_DIGITS: usize = 64;

/// `POST /volumes/prune`
pub(crate) async fn prune(State(host): State<Host>, mut request: Request) -> Reply {
    let filters = Params::of(request.uri()).filters(&["all", "label", "label!"])?;
    let asked = engine::asked_in(&request);
    let all = asked < NAMED_STAY || is_all(&filters)?;
    let mut told = match engine::spoken(&host, asked).await? {
        None => json!({"VolumesDeleted": [], "SpaceReclaimed": 0}),
        Some(spoken) if spoken < NAMED_STAY && !all => without_names(&host, &filters).await?,
        Some(spoken) => {
            *request.uri_mut() = path("/volumes/prune", &in_version(spoken, all, &filters))?;
            let answer = engine::pass_on(&host, request).await?;
            if !answer.status().is_success() {
                return Ok(answer);
            }
            let content = body::bytes(answer.into_body(), body::JSON_MAX).await?;
            serde_json::from_slice(&content).unwrap_or_default()
        }
    };
    if all {
        let mut gone = told["VolumesDeleted"].as_array().cloned().unwrap_or_default();
        gone.extend(ours(&host, &filters).await?);
        told["VolumesDeleted"] = json!(gone);
    }
    ok(told)
}

/// Whether volumes with names go too, by the engine's rule.
fn is_all(filters: &Filters) -> Result<bool, Refusal> {
    let values = filters.values("all");
    let has = |words: [&str; 2]| values.iter().any(|value| words.contains(&value.as_str()));
    match (values.is_empty(), has(["1", "true"]), has(["0", "false"])) {
        (true, ..) | (_, false, true) => Ok(false),
        (_, true, false) => Ok(true),
        _ => Err(Refusal::invalid(format!("invalid filter 'all=[{}]'", values.join(" ")))),
    }
}

/// The same filters in a version of the engine's: before 1.42 it has no word for `all` and
/// does it always.
fn in_version(spoken: ApiVersion, all: bool, filters: &Filters) -> Filters {
    let mut same = Filters::default();
    for key in ["label", "label!"] {
        filters.values(key).iter().for_each(|value| same.add(key, value));
    }
    if all && spoken >= NAMED_STAY {
        same.add("all", "true");
    }
    same
}

fn path(path: &str, filters: &Filters) -> Result<Uri, Refusal> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &filters.to_json())
        .finish();
    let path = format!("{path}?{query}");
    path.parse().map_err(|_| Refusal::invalid(format!("invalid path {path:?}")))
}

/// Removes the engine's volumes that nobody uses and nobody gave a name. Where the engine
/// fails in the middle, the refusal names those that are gone.
async fn without_names(host: &Host, filters: &Filters) -> Reply<Value> {
    let unused = unused_without_names(host, filters).await?;
    let sizes = match unused.is_empty() {
        true => BTreeMap::new(),
        false => sizes(host).await,
    };
    let mut gone = Vec::new();
    let mut reclaimed = 0;
    for name in unused {
        match remove_one(host, &name).await {
            Ok(true) => {
                reclaimed += sizes.get(&name).copied().unwrap_or_default();
                gone.push(name);
            }
            // Somebody has just begun to use it, or has removed it.
            Ok(false) => {}
            Err(Refused(why)) => return Err(half_done(why, &gone).into()),
        }
    }
    Ok(json!({"VolumesDeleted": gone, "SpaceReclaimed": reclaimed}))
}

async fn unused_without_names(host: &Host, filters: &Filters) -> Reply<Vec<String>> {
    let mut unused = Filters::default();
    unused.add("dangling", "true");
    unused.add("driver", "local");
    let told = engine::ask_in_version(host, &path("/volumes", &unused)?.to_string()).await?;
    let told = told.unwrap_or_default();
    let volumes = told["Volumes"].as_array().into_iter().flatten();
    let wanted = volumes.filter(|volume| is_wanted(filters, &labels(volume)));
    let names = wanted.filter_map(|volume| volume["Name"].as_str());
    Ok(names.filter(|name| is_engines(name)).map(str::to_owned).collect())
}

/// Whether an engine gave this name: those before API 1.42 mark such volumes in no other way.
fn is_engines(name: &str) -> bool {
    name.len() == ENGINES_DIGITS
        && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An engine writes `null` for no labels.
fn labels(volume: &Value) -> BTreeMap<String, String> {
    let labels = volume["Labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether it is gone by this: not where it is in use, or is there no more.
async fn remove_one(host: &Host, name: &str) -> Reply<bool> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::DELETE;
    // The name is of digits alone.
    *request.uri_mut() = Uri::try_from(format!("/volumes/{name}"))
        .map_err(|_| Refusal::invalid(format!("invalid name of a volume: {name:?}")))?;
    let answer = engine::pass_on(host, request).await?;
    if matches!(answer.status().as_u16(), 404 | 409) {
        return Ok(false);
    }
    remove::refused(answer).await.map(|()| true)
}

/// How large the engine's volumes are. It may not know in time: what is removed then counts
/// as nothing.
async fn sizes(host: &Host) -> BTreeMap<String, u64> {
    let told = engine::ask(host, "/system/df").await.unwrap_or_else(|why| {
        tracing::debug!(%why, "how large volumes are that a prune takes is not known");
        None
    });
    let told = told.unwrap_or_default();
    let volumes = told["Volumes"].as_array().into_iter().flatten();
    let size = |volume: &Value| {
        let size = volume.pointer("/UsageData/Size").and_then(Value::as_u64);
        Some((volume["Name"].as_str()?.to_owned(), size?))
    };
    volumes.filter_map(size).collect()
}

/// An error with what is gone all the same: nobody else says which volumes that were.
fn half_done(why: Refusal, gone: &[String]) -> Refusal {
    if gone.is_empty() {
        return why;
    }
    let message =
        format!("{}; these volumes were removed before: {}", why.message, gone.join(", "));
    Refusal { message, ..why }
}

/// Removes what plugins keep on this node and nobody uses: each was given a name.
async fn ours(host: &Host, filters: &Filters) -> Reply<Vec<Value>> {
    let mut gone = Vec::new();
    for volume in host.node_volumes().await? {
        let is_clusters = of_cluster(host, &volume.name).is_some();
        let is_engines = volume.driver == "local" && host.engine().is_some();
        let is_wanted = is_wanted(filters, &volume.labels) && volume.users.is_empty();
        if is_clusters || is_engines || !is_wanted {
            continue;
        }
        // One that somebody has just begun to use stays.
        if host.remove_node_volume(spec(&volume), None).await.is_ok() {
            gone.push(json!(volume.name));
        }
    }
    Ok(gone)
}

fn is_wanted(filters: &Filters, labels: &BTreeMap<String, String>) -> bool {
    let has = |label: &String| match label.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
        None => labels.contains_key(label),
    };
    filters.labels("label", labels) && !filters.values("label!").iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_by_the_engines_rule() {
        for (values, want) in [
            (r#"{}"#, Some(false)),
            (r#"{"all":["1"]}"#, Some(true)),
            (r#"{"all":{"true":true}}"#, Some(true)),
            (r#"{"all":["false"]}"#, Some(false)),
            (r#"{"all":["yes"]}"#, None),
            (r#"{"all":["0","1"]}"#, None),
        ] {
            let filters = Filters::parse(values).expect("filters");
            assert_eq!(is_all(&filters).ok(), want, "{values}");
        }
    }

    #[test]
    fn all_means_the_same_in_every_version() {
        let filters = Filters::parse(r#"{"all":["1"],"label":["a=b"]}"#).expect("filters");
        for (minor, all, want) in [
            (41, true, r#"{"label":{"a=b":true}}"#),
            (44, true, r#"{"all":{"true":true},"label":{"a=b":true}}"#),
            (44, false, r#"{"label":{"a=b":true}}"#),
        ] {
            let same = in_version(ApiVersion::v1(minor), all, &filters);
            assert_eq!(same.to_json(), want, "1.{minor}");
        }
    }

    #[test]
    fn an_engines_name_is_64_digits_and_nothing_else_is() {
        let digits = "0123456789abcdef".repeat(4);
        assert!(is_engines(&digits));
        for name in ["wiki", &digits[1..], &digits.replace('a', "g"), &digits.to_uppercase()] {
            assert!(!is_engines(name), "{name}");
        }
    }
}
