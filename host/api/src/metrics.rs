//! `GET /swarmw/metrics`: what this node knows of the cluster, and what the plugins did
//! on it, for Prometheus to scrape. A worker knows of itself alone; a plugin's work is
//! counted where it is done, on the leader.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use swarmw_model::{Plugin, PluginState, PluginUse, Refusal, RefusalKind};
use swarmw_state::State as Cluster;

use crate::api::{Host, Shared};
use crate::node::Standing;
use crate::reply::Reply;

/// What Prometheus is told the text is.
const TEXT: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// In which plugins' CPU time is counted.
const NANOS_PER_SECOND: f64 = 1e9;

type Labels = Vec<(&'static str, String)>;
type Seconds = Counter<f64, std::sync::atomic::AtomicU64>;

/// `GET /swarmw/metrics`
pub(crate) async fn metrics(State(host): State<Host>) -> Reply {
    let mut page = Page::default();
    let leads = matches!(host.standing(), Standing::Manager { leading: true, .. });
    let built = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.0.register("swarmw_build", "The version of the daemon", Info::new(built));
    page.one("swarmw_leader", "Whether this node leads the managers", leads.into());
    page.names(&host);
    page.forwarded(&host);
    if let Some(state) = host.state() {
        page.cluster(&state);
        page.plugins(&host, &state);
    }
    let mut text = String::new();
    encode(&mut text, &page.0)
        .map_err(|error| Refusal::plain(RefusalKind::Unknown, error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    Ok(response)
}

/// The metrics of one moment.
#[derive(Default)]
struct Page(Registry);

// === impl Page ===

impl Page {
    fn family<M: EncodeMetric + Default + Clone>(&mut self, name: &str, help: &str) -> Values<M>
    where
        Family<Labels, M>: Metric,
    {
        let values = Family::<Labels, M>::default();
        self.0.register(name, help, values.clone());
        Values(values)
    }

    fn gauge(&mut self, name: &str, help: &str) -> Values<Gauge> {
        self.family(name, help)
    }

    fn counter(&mut self, name: &str, help: &str) -> Values<Counter> {
        self.family(name, help)
    }

    /// A metric of one value.
    fn one(&mut self, name: &str, help: &str, value: i64) {
        let gauge = <Gauge>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    /// Nodes, services and tasks.
    /// Questions of containers on networks, on this node.
    fn names(&mut self, host: &Shared) {
        let help = "Questions of containers for names: answered here, forwarded to the engine's \
                    resolver, failed there, or refused as too many";
        let queries = self.counter("swarmw_name_queries", help);
        for (outcome, count) in host.name_queries() {
            queries.add(vec![("outcome", outcome.to_owned())], count);
        }
    }

    /// Connections over networks in user space, by this node.
    fn forwarded(&mut self, host: &Shared) {
        let help = "Connections over networks that this node's daemon made, for components and \
                    to them: reached, or failed";
        let connections = self.counter("swarmw_network_connections", help);
        for (outcome, count) in host.forwarded() {
            connections.add(vec![("outcome", outcome.to_owned())], count);
        }
    }

    fn cluster(&mut self, state: &Cluster) {
        let index = i64::try_from(state.index()).unwrap_or(i64::MAX);
        let applied = "Position in the log of the last change that this manager applied";
        self.one("swarmw_state_index", applied, index);
        let nodes = self.gauge("swarmw_nodes", "Nodes of the cluster");
        for node in state.nodes() {
            nodes.count(vec![
                ("role", node.role.to_string()),
                ("availability", node.spec.availability.to_string()),
                ("state", node.status.state.to_string()),
            ]);
        }
        let services = self.gauge("swarmw_services", "Services, by the state of their update");
        for service in state.services() {
            let update = service.update_status.as_ref().map_or("", |status| status.state.as_str());
            services.count(vec![("update", update.to_owned())]);
        }
        let tasks = self.gauge("swarmw_tasks", "Tasks, those that are kept as history included");
        for task in state.tasks() {
            tasks.count(vec![
                ("state", task.status.state.to_string()),
                ("desired_state", task.desired_state.to_string()),
            ]);
        }
    }

    /// Plugins, and what they did on this node.
    fn plugins(&mut self, host: &Shared, state: &Cluster) {
        let enabled = self.gauge("swarmw_plugin_enabled", "Whether the plugin is called");
        let seen: Vec<_> = state.plugins().map(|p| (p, host.plugin_use(p).0)).collect();
        for (plugin, _) in &seen {
            let mut labels = named(plugin);
            labels.push(("kind", plugin.kind.to_string()));
            labels.push(("version", plugin.release.metadata.version.clone()));
            enabled.set(labels, i64::from(plugin.status.state == PluginState::Enabled));
        }
        let used = || seen.iter().filter_map(|(plugin, used)| Some((&***plugin, used.as_ref()?)));
        self.calls(used());
        let open = "Whether the plugin failed so often that it is not called for a while";
        let open = self.gauge("swarmw_plugin_breaker_open", open);
        let needed = "Verdicts and classes that the scheduler needed";
        let needed = self.counter("swarmw_plugin_rows_needed", needed);
        let asked = "Verdicts and classes for which the scheduler had to ask the plugin";
        let asked = self.counter("swarmw_plugin_rows_asked", asked);
        for (plugin, used) in used() {
            open.set(named(plugin), used.breaker.open.into());
            needed.add(named(plugin), used.rows.needed);
            asked.add(named(plugin), used.rows.asked);
        }
    }

    /// Calls of plugins, by function.
    fn calls<'a>(&mut self, used: impl Iterator<Item = (&'a Plugin, &'a PluginUse)>) {
        let calls = self.counter("swarmw_plugin_calls", "Calls of the plugin");
        let seconds = "CPU time that the plugin took";
        let seconds: Values<Seconds> = self.family("swarmw_plugin_cpu_seconds", seconds);
        let faults = "Calls that trapped, ran out of time, or gave an answer that breaks a rule";
        let faults = self.counter("swarmw_plugin_faults", faults);
        for (plugin, used) in used {
            for (function, call) in &used.calls {
                let labels = || {
                    let mut labels = named(plugin);
                    labels.push(("function", function.clone()));
                    labels
                };
                calls.add(labels(), call.count);
                seconds.0.get_or_create(&labels()).inc_by(call.nanos as f64 / NANOS_PER_SECOND);
                for (fault, count) in
                    [("trap", call.traps), ("late", call.late), ("invalid", call.invalid)]
                {
                    let mut labels = labels();
                    labels.push(("fault", fault.to_owned()));
                    faults.add(labels, count);
                }
            }
        }
    }
}

fn named(plugin: &Plugin) -> Labels {
    vec![("plugin", plugin.name.clone())]
}

/// The values of one metric, by their labels.
struct Values<M>(Family<Labels, M>);

// === impl Values ===

impl Values<Gauge> {
    fn set(&self, labels: Labels, value: i64) {
        self.0.get_or_create(&labels).set(value);
    }

    /// One more of that kind.
    fn count(&self, labels: Labels) {
        self.0.get_or_create(&labels).inc();
    }
}

impl Values<Counter> {
    fn add(&self, labels: Labels, count: u64) {
        self.0.get_or_create(&labels).inc_by(count);
    }
}
