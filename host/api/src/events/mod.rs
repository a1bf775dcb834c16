//! `/events`: the engine's stream and the cluster's, in one.

mod seats;
mod told;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use swarmw_model::{
    CandidateState, DataId, Filters, GrantRequest, Node, OVERLAY, Plugin, PluginState, Refusal,
    Service, Time,
};
use swarmw_state::Event;

use crate::api::Host;
use crate::body::Params;
use crate::engine;
use crate::logs::unix_time;
use crate::networks;
use crate::reply::Reply;
use told::Told;

/// The longest event of an engine; a longer one ends its part of the stream.
const EVENT_MAX: usize = 1 << 20;

/// Filters that can only mean an engine's objects: with one of them the cluster has
/// nothing to tell.
const ENGINES_FILTERS: [&str; 3] = ["container", "image", "daemon"];

/// `GET /events`. Past events are told from `since` on, the engine's as far back as it keeps
/// them and the cluster's as far as the history of this manager goes; each of the two in its
/// order.
pub(crate) async fn events(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let filters = Filters::parse(params.get("filters"))
        .map_err(|error| Refusal::invalid(error.to_string()))?;
    let (since, until) = (moment(&params, "since")?, moment(&params, "until")?);
    // Before the engine is asked, so that nothing falls between the request and its answer.
    // What is not in the replicated state has no past.
    let of_managers = seats::changes(host.clone(), filters.clone());
    let of_node = repairs(host.clone(), filters.clone());
    let of_managers = stream::select(of_managers, of_node).boxed();
    let of_managers = match until {
        Some(until) => {
            let left = until.since(host.now()).to_std();
            of_managers.take_until(tokio::time::sleep(left)).boxed()
        }
        None => of_managers,
    };
    let of_cluster = Told::new(host.clone(), filters, since, until).lines();
    let of_cluster = stream::select(of_cluster, of_managers.map(Some));
    let path = request.uri().path_and_query().map_or("/events", |p| p.as_str());
    // A manager whose engine is away still tells the cluster's events.
    let engines = engine::stream(&host, path).await.unwrap_or_else(|refusal| {
        tracing::warn!(%refusal, "events are told without the engine's");
        None
    });
    let of_engine = of_engine(host.clone(), engines);
    let of_engine = match until {
        Some(_) => of_engine,
        // The cluster's events go on when an engine's have ended.
        None => of_engine.chain(stream::pending()).boxed(),
    };
    // A reader that fell behind is told so by the end of the whole stream.
    let lines = stream::select(of_cluster, of_engine.map(Some))
        .take_while(|line| std::future::ready(line.is_some()))
        .filter_map(std::future::ready);
    let mut response = Response::new(Body::from_stream(lines.map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What was put back in this node's kernel, from now on: an event of the node, on its own
/// stream alone.
fn repairs(host: Host, filters: Filters) -> BoxStream<'static, Bytes> {
    let events = host.repairs().map(move |what| {
        let node = host.standing().membership().and_then(|m| m.node);
        let mut changes = Changes(Map::new());
        changes.set("name", &host.description().hostname);
        changes.set("what", &what);
        let id = node.map(|id| id.to_string()).unwrap_or_default();
        let mut event = told_as("node", "repair", &id, changes.0, host.now());
        event["scope"] = json!("local");
        event
    });
    let told = events.filter(move |event| std::future::ready(passes(&filters, event)));
    told.map(|event| Bytes::from(format!("{event}\n"))).boxed()
}

/// A moment that a request names, if it does.
fn moment(params: &Params<'_>, name: &str) -> Result<Option<Time>, Refusal> {
    match params.get(name) {
        "" => Ok(None),
        text => unix_time(text).map(Some).ok_or_else(|| {
            Refusal::invalid(format!(
                "invalid value for \"{name}\": {text:?}: want seconds since 1970"
            ))
        }),
    }
}

/// The engine's events; none where there is no engine.
fn of_engine(host: Host, body: Option<Body>) -> BoxStream<'static, Bytes> {
    let Some(body) = body else {
        return stream::empty().boxed();
    };
    let reader = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    FramedRead::new(reader, LinesCodec::new_with_max_length(EVENT_MAX))
        .inspect_err(|error| tracing::warn!(%error, "the engine's events broke off"))
        .take_while(|line| std::future::ready(line.is_ok()))
        .filter_map(move |line| {
            let line = line.ok().filter(|line| !line.is_empty());
            let line = line.and_then(|line| of_a_shadow(&host, line));
            std::future::ready(line.map(|line| Bytes::from(line + "\n")))
        })
        .boxed()
}

/// An event of the engine as it is told: of the shadows of the cluster's networks only who
/// joins and leaves them, with the network's own id.
fn of_a_shadow(host: &Host, line: String) -> Option<String> {
    if !line.contains(networks::SHADOWS_DRIVER) {
        return Some(line);
    }
    let Ok(mut event) = serde_json::from_str::<Value>(&line) else { return Some(line) };
    let text = |event: &Value, path: &str| {
        event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let is_shadow = text(&event, "/Actor/Attributes/type") == networks::SHADOWS_DRIVER;
    if event["Type"] != "network" || !is_shadow {
        return Some(line);
    }
    if !matches!(text(&event, "/Action").as_str(), "connect" | "disconnect") {
        return None;
    }
    let name = text(&event, "/Actor/Attributes/name");
    if let Some(network) = host.state().and_then(|s| s.network_named(&name).cloned()) {
        event["Actor"]["ID"] = json!(network.id);
    }
    event["Actor"]["Attributes"]["type"] = json!(OVERLAY);
    Some(event.to_string())
}

/// An event of the cluster in Docker's shape; `None` for what Docker does not tell:
/// tasks and settings.
fn message(event: &Event, at: Time) -> Option<Value> {
    let (kind, id, attributes, action) = match event {
        Event::Service { old, new } => {
            let service = new.as_ref().or(old.as_ref())?;
            let changes = service_attributes(old.as_deref(), new.as_deref());
            let action = action(old, new);
            ("service", service.id.to_string(), changes, action)
        }
        Event::Node { old, new } => {
            let node = new.as_ref().or(old.as_ref())?;
            let changes = node_attributes(old.as_deref(), new.as_deref());
            let action = action(old, new);
            ("node", node.id.to_string(), changes, action)
        }
        Event::Plugin { old, new } => {
            let plugin = new.as_ref().or(old.as_ref())?;
            let (action, attributes) = plugin_news(old.as_deref(), new.as_deref())?;
            ("plugin", plugin.id.to_string(), attributes, action)
        }
        Event::Volume { old, new } => {
            let volume = new.as_ref().or(old.as_ref())?;
            let mut attributes = Map::new();
            attributes.insert("name".to_owned(), json!(volume.spec.name));
            attributes.insert("driver".to_owned(), json!(volume.spec.driver.name));
            ("volume", volume.id.to_string(), attributes, action(old, new))
        }
        Event::Network { old, new } => {
            let network = new.as_ref().or(old.as_ref())?;
            let mut changes = Changes(Map::new());
            changes.set("name", &network.spec.name);
            ("network", network.id.to_string(), changes.0, action(old, new))
        }
        Event::Secret { old, new } => named(old, new, "secret")?,
        Event::Config { old, new } => named(old, new, "config")?,
        Event::Cluster | Event::Task { .. } | Event::Attachment { .. } => return None,
    };
    Some(told_as(kind, action, &id, attributes, at))
}

/// An event in Docker's shape.
fn told_as(kind: &str, action: &str, id: &str, attributes: Map<String, Value>, at: Time) -> Value {
    json!({
        "Type": kind,
        "Action": action,
        "Actor": {"ID": id, "Attributes": attributes},
        "scope": "swarm",
        "time": at.as_nanos() / 1_000_000_000,
        "timeNano": at.as_nanos(),
    })
}

type Data<I> = Option<Arc<swarmw_model::Data<I>>>;

/// What became of a secret or a config.
fn named<I: DataId>(
    old: &Data<I>,
    new: &Data<I>,
    kind: &'static str,
) -> Option<(&'static str, String, Map<String, Value>, &'static str)> {
    let data = new.as_ref().or(old.as_ref())?;
    let mut changes = Changes(Map::new());
    changes.set("name", &data.spec.name);
    Some((kind, data.id.to_string(), changes.0, action(old, new)))
}

fn action<T>(old: &Option<T>, new: &Option<T>) -> &'static str {
    match (old, new) {
        (None, _) => "create",
        (_, None) => "remove",
        _ => "update",
    }
}

/// What differs, each with its value before and after.
struct Changes(Map<String, Value>);

fn service_attributes(old: Option<&Service>, new: Option<&Service>) -> Map<String, Value> {
    let mut changes = Changes(Map::new());
    if let Some(service) = new.or(old) {
        changes.set("name", &service.spec.name);
    }
    if let (Some(old), Some(new)) = (old, new) {
        let state = |s: &Service| s.update_status.as_ref().map(|u| json!(u.state));
        let text = |v: Option<Value>| {
            let word = v.as_ref().and_then(Value::as_str);
            word.unwrap_or("").to_owned()
        };
        changes.differ("updatestate", text(state(old)), text(state(new)));
        let replicas = |s: &Service| s.spec.replicas().map_or(String::new(), |n| n.to_string());
        changes.differ("replicas", replicas(old), replicas(new));
        let image = |s: &Service| s.spec.task_template.image().to_owned();
        changes.differ("image", image(old), image(new));
    }
    changes.0
}

fn node_attributes(old: Option<&Node>, new: Option<&Node>) -> Map<String, Value> {
    let mut changes = Changes(Map::new());
    if let Some(node) = new.or(old) {
        changes.set("name", &node.description.hostname);
    }
    if let (Some(old), Some(new)) = (old, new) {
        let state = |n: &Node| n.status.state.to_string();
        changes.differ("state", state(old), state(new));
        let availability = |n: &Node| n.spec.availability.to_string();
        changes.differ("availability", availability(old), availability(new));
        let role = |n: &Node| n.spec.role.to_string();
        changes.differ("role", role(old), role(new));
    }
    changes.0
}

/// What became of a plugin; `None` where only its dates changed.
fn plugin_news(
    old: Option<&Plugin>,
    new: Option<&Plugin>,
) -> Option<(&'static str, Map<String, Value>)> {
    let mut changes = Changes(Map::new());
    if let Some(plugin) = new.or(old) {
        changes.set("name", &plugin.name);
        changes.set("kind", plugin.kind.as_str());
        changes.set("version", &plugin.release.metadata.version);
        changes.set("digest", &plugin.release.blob.digest);
    }
    let action = match (old, new) {
        (None, _) => "create",
        (_, None) => "remove",
        (Some(old), Some(new)) => {
            let version = |p: &Plugin| p.release.metadata.version.clone();
            changes.differ("version", version(old), version(new));
            let state = |p: &Plugin| p.status.state.to_string();
            changes.differ("state", state(old), state(new));
            plugin_action(old, new, &mut changes)?
        }
    };
    Some((action, changes.0))
}

fn plugin_action(old: &Plugin, new: &Plugin, changes: &mut Changes) -> Option<&'static str> {
    if old.release.blob != new.release.blob {
        let digest = &new.release.blob.digest;
        let promoted = old.candidate.as_ref().is_some_and(|c| c.release.blob.digest == *digest);
        return Some(if promoted { "promote" } else { "upgrade" });
    }
    let waits = |of: &Plugin| of.candidate.as_ref().map(|c| (c.state, c.release.blob.clone()));
    if waits(old) != waits(new) {
        let Some(candidate) = &new.candidate else { return Some("discard") };
        changes.set("candidate", &candidate.release.metadata.version);
        return Some(match candidate.state {
            CandidateState::Shadow => "shadow",
            CandidateState::Consent => "hold",
        });
    }
    if old.release.granted != new.release.granted {
        changes.set("granted", &powers(&new.release.granted));
        return Some("grant");
    }
    if old.status.trouble != new.status.trouble
        && let Some(trouble) = &new.status.trouble
    {
        changes.set("fault", &trouble.message);
        return Some("breaker-open");
    }
    if old.status == new.status {
        return None;
    }
    Some(match new.status.state {
        PluginState::Enabled => "enable",
        PluginState::Disabled => "disable",
        PluginState::Quarantined => {
            changes.set("fault", &new.status.message);
            "quarantine"
        }
    })
}

/// Powers in one line.
fn powers(granted: &[GrantRequest]) -> String {
    granted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a reader of `filters` wants an event of the cluster.
fn passes(filters: &Filters, event: &Value) -> bool {
    let word = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or("").to_owned()
    };
    let kind = word("/Type");
    let (id, name) = (word("/Actor/ID"), word("/Actor/Attributes/name"));
    // As Docker has it, by the beginning: `service ls --quiet` cuts ids.
    let is_meant = |wanted: &str| id.starts_with(wanted) || name.starts_with(wanted);
    let one_of =
        |of: &str| filters.values(of).is_empty() || kind == of && filters.any(of, is_meant);
    ENGINES_FILTERS.iter().all(|key| filters.values(key).is_empty())
        && filters.any("type", |t| t == kind)
        && filters.any("event", |e| e == word("/Action"))
        && filters.any("scope", |s| s == word("/scope"))
        && one_of("service")
        && one_of("node")
        && one_of("plugin")
        && one_of("secret")
        && one_of("config")
        && one_of("network")
        && one_of("volume")
        // Events of the cluster carry no labels.
        && filters.values("label").is_empty()
}

// === impl Changes ===

impl Changes {
    fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), json!(value));
    }

    fn differ(&mut self, what: &str, old: String, new: String) {
        if old == new {
            return;
        }
        if !old.is_empty() {
            self.set(&format!("{what}.old"), &old);
        }
        if !new.is_empty() {
            self.set(&format!("{what}.new"), &new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_meant_by_the_beginning_of_their_id_or_name() {
        let named = json!({"name": "web-front"}).as_object().cloned().unwrap_or_default();
        let id = "0123456789abcdefghijklmno";
        for kind in ["service", "node", "plugin", "secret", "config", "network", "volume"] {
            let event = told_as(kind, "create", id, named.clone(), Time::ZERO);
            let wanted = |key: &str, word: &str| {
                let filters = json!({ key: [word] }).to_string();
                passes(&Filters::parse(&filters).expect("filters"), &event)
            };
            // As `service ls --quiet` cuts it, and whole; as it begins, and whole.
            for word in [&id[..12], id, "web", "web-front"] {
                assert!(wanted(kind, word), "{kind}={word}");
            }
            for word in ["front", "web-front-2", "123456789abc"] {
                assert!(!wanted(kind, word), "{kind}={word}");
            }
            assert!(!wanted("container", "web-front"), "{kind}");
            let other = if kind == "node" { "service" } else { "node" };
            assert!(!wanted(other, "web-front"), "{kind}");
        }
    }
}
