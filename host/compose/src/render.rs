//! A project as YAML, line for line as `docker stack config` prints it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::emit::{Out, document};
use crate::project::{
    Condition, Content, Deploy, Extras, FileObject, FileReference, HealthCheck, Mount, Network,
    Port, Project, Resources, Restart, Rollout, Service, ServiceNetwork, Volume,
};

/// What Docker's client prints for files without a version.
const LATEST: &str = "3.13";

// === impl Project ===

impl Project {
    /// The project as YAML.
    pub fn to_yaml(&self) -> String {
        let mut map = Map::default();
        if self.name.is_empty() {
            let version = if self.version.is_empty() { LATEST } else { &self.version };
            map.text("version", version);
        }
        map.text("name", &self.name);
        map.put("services", Out::Map(each(&self.services, service)));
        for (key, things) in [
            ("networks", each(&self.networks, network)),
            ("volumes", each(&self.volumes, volume)),
            ("secrets", each(&self.secrets, object)),
            ("configs", each(&self.configs, object)),
        ] {
            map.map(key, things);
        }
        map.extras(&self.extras);
        document(&Out::Map(map.0))
    }
}

/// Keys in the order in which they are put; what is empty is left out.
#[derive(Default)]
struct Map(Vec<(String, Out)>);

// === impl Map ===

impl Map {
    fn put(&mut self, key: &str, value: Out) {
        self.0.push((key.to_owned(), value));
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Out::Text(text.to_owned()));
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, Out::Bool(true));
        }
    }

    fn maybe_flag(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.put(key, Out::Bool(value));
        }
    }

    fn number(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.put(key, Out::Int(value));
        }
    }

    fn maybe_number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.put(key, Out::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    fn maybe_duration(&mut self, key: &str, value: Option<swarmw_model::Duration>) {
        if let Some(value) = value {
            self.text(key, &value.to_string());
        }
    }

    fn duration(&mut self, key: &str, value: swarmw_model::Duration) {
        self.maybe_duration(key, Some(value).filter(|value| value.as_nanos() != 0));
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        self.list(key, texts.iter().cloned().map(Out::Text).collect());
    }

    fn list(&mut self, key: &str, items: Vec<Out>) {
        if !items.is_empty() {
            self.put(key, Out::List(items));
        }
    }

    fn map(&mut self, key: &str, entries: Vec<(String, Out)>) {
        if !entries.is_empty() {
            self.put(key, Out::Map(entries));
        }
    }

    fn labels(&mut self, key: &str, labels: &BTreeMap<String, String>) {
        self.map(key, each(labels, |text| Out::Text(text.clone())));
    }

    fn extras(&mut self, extras: &Extras) {
        for (key, value) in extras {
            self.put(key, json(value));
        }
    }
}

fn each<T>(things: &BTreeMap<String, T>, show: impl Fn(&T) -> Out) -> Vec<(String, Out)> {
    things.iter().map(|(key, thing)| (key.clone(), show(thing))).collect()
}

fn json(value: &Json) -> Out {
    match value {
        Json::Null => Out::Null,
        Json::Bool(value) => Out::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Out::Int(value),
            None => Out::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Out::Text(text.clone()),
        Json::Array(items) => Out::List(items.iter().map(json).collect()),
        Json::Object(entries) => {
            Out::Map(entries.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}

fn service(service: &Service) -> Out {
    let mut map = Map::default();
    if let Some(build) = &service.build {
        map.put("build", build_of(build));
    }
    map.texts("cap_add", &service.cap_add);
    map.texts("cap_drop", &service.cap_drop);
    map.text("cgroupns_mode", &service.cgroupns_mode);
    map.text("cgroup_parent", &service.cgroup_parent);
    map.texts("command", &service.command);
    map.list("configs", service.configs.iter().map(reference).collect());
    map.text("container_name", &service.container_name);
    let credentials = &service.credential_spec;
    let mut inner = Map::default();
    inner.text("config", &credentials.config);
    inner.text("file", &credentials.file);
    inner.text("registry", &credentials.registry);
    map.map("credential_spec", inner.0);
    dependencies(&mut map, service);
    map.map("deploy", deploy(&service.deploy));
    map.texts("devices", &service.devices);
    map.texts("dns", &service.dns);
    map.texts("dns_opt", &service.dns_opt);
    map.texts("dns_search", &service.dns_search);
    map.text("domainname", &service.domain_name);
    map.texts("entrypoint", &service.entrypoint);
    let variable = |value: &Option<String>| value.clone().map_or(Out::Null, Out::Text);
    map.map("environment", each(&service.environment, variable));
    map.texts("env_file", &service.env_file);
    map.texts("expose", &service.expose);
    map.texts("external_links", &service.external_links);
    map.texts("extra_hosts", &service.extra_hosts);
    map.texts("group_add", &service.group_add);
    map.text("hostname", &service.hostname);
    if let Some(health) = &service.health_check {
        map.put("healthcheck", Out::Map(health_check(health)));
    }
    map.text("image", &service.image);
    map.maybe_flag("init", service.init);
    map.text("ipc", &service.ipc);
    map.text("isolation", &service.isolation);
    map.labels("labels", &service.labels);
    map.texts("links", &service.links);
    if let Some(logging) = &service.logging {
        let mut inner = Map::default();
        inner.text("driver", &logging.driver);
        inner.labels("options", &logging.options);
        map.put("logging", Out::Map(inner.0));
    }
    map.text("mac_address", &service.mac_address);
    map.text("network_mode", &service.network_mode);
    map.map("networks", each(&service.networks, |n| n.as_ref().map_or(Out::Null, joined)));
    map.text("pid", &service.pid);
    map.text("platform", &service.platform);
    map.list("ports", service.ports.iter().map(port).collect());
    map.flag("privileged", service.privileged);
    map.texts("profiles", &service.profiles);
    map.flag("read_only", service.read_only);
    map.text("restart", &service.restart);
    map.list("secrets", service.secrets.iter().map(reference).collect());
    map.texts("security_opt", &service.security_opt);
    map.text("shm_size", &service.shm_size);
    map.flag("stdin_open", service.stdin_open);
    map.maybe_duration("stop_grace_period", service.stop_grace_period);
    map.text("stop_signal", &service.stop_signal);
    map.labels("sysctls", &service.sysctls);
    map.texts("tmpfs", &service.tmpfs);
    map.flag("tty", service.tty);
    let limits = each(&service.ulimits, |limits| match limits.single {
        Some(single) => Out::Int(single),
        None => {
            let mut inner = Map::default();
            inner.number("soft", limits.soft);
            inner.number("hard", limits.hard);
            Out::Map(inner.0)
        }
    });
    map.map("ulimits", limits);
    map.text("user", &service.user);
    map.text("userns_mode", &service.userns_mode);
    map.list("volumes", service.volumes.iter().map(mount).collect());
    map.text("working_dir", &service.working_dir);
    map.number("oom_score_adj", service.oom_score_adj);
    map.extras(&service.unused);
    map.extras(&service.extras);
    Out::Map(map.0)
}

/// Docker's client has an order for the keys that it knows, and texts in maps.
fn build_of(build: &Json) -> Out {
    const FIRST: [&str; 8] = [
        "context",
        "dockerfile",
        "args",
        "labels",
        "cache_from",
        "extra_hosts",
        "network",
        "target",
    ];
    let Some(keys) = build.as_object() else { return json(build) };
    let first = FIRST.into_iter().filter_map(|key| Some((key, keys.get(key)?)));
    let rest = keys.iter().map(|(key, value)| (key.as_str(), value));
    let rest = rest.filter(|(key, _)| !FIRST.contains(key));
    let mut map = Map::default();
    for (key, value) in first.chain(rest) {
        match key {
            "args" | "labels" => map.map(key, each(&pairs(value), Clone::clone)),
            _ => map.put(key, json(value)),
        }
    }
    Out::Map(map.0)
}

/// `{key: value}` or `[key=value]`.
fn pairs(value: &Json) -> BTreeMap<String, Out> {
    let text = |value: &Json| match value {
        Json::Null => Out::Null,
        Json::String(text) => Out::Text(text.clone()),
        other => Out::Text(other.to_string()),
    };
    match value {
        Json::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), text(value))).collect()
        }
        Json::Array(items) => items
            .iter()
            .filter_map(Json::as_str)
            .map(|item| match item.split_once('=') {
                Some((key, value)) => (key.to_owned(), Out::Text(value.to_owned())),
                None => (item.to_owned(), Out::Null),
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Names alone, as long as no file says more.
fn dependencies(map: &mut Map, service: &Service) {
    let is_long = |d: &crate::project::Dependency| d.condition != Condition::Started || !d.required;
    if !service.depends_on.values().any(is_long) {
        let names: Vec<_> = service.depends_on.keys().cloned().collect();
        return map.texts("depends_on", &names);
    }
    let long = each(&service.depends_on, |dependency| {
        let mut inner = Map::default();
        inner.text("condition", dependency.condition.as_str());
        if !dependency.required {
            inner.put("required", Out::Bool(false));
        }
        Out::Map(inner.0)
    });
    map.map("depends_on", long);
}

fn deploy(deploy: &Deploy) -> Vec<(String, Out)> {
    let mut map = Map::default();
    map.text("mode", &deploy.mode);
    map.maybe_number("replicas", deploy.replicas);
    map.labels("labels", &deploy.labels);
    if let Some(config) = &deploy.update_config {
        map.put("update_config", rollout(config));
    }
    if let Some(config) = &deploy.rollback_config {
        map.put("rollback_config", rollout(config));
    }
    let mut inner = Map::default();
    if let Some(limits) = &deploy.limits {
        inner.put("limits", resources(limits));
    }
    if let Some(reservations) = &deploy.reservations {
        inner.put("reservations", resources(reservations));
    }
    map.map("resources", inner.0);
    if let Some(policy) = &deploy.restart_policy {
        map.put("restart_policy", restart(policy));
    }
    let mut inner = Map::default();
    inner.texts("constraints", &deploy.constraints);
    let preference =
        |spread: &String| Out::Map(vec![("spread".to_owned(), Out::Text(spread.clone()))]);
    inner.list("preferences", deploy.preferences.iter().map(preference).collect());
    inner.maybe_number(
        "max_replicas_per_node",
        Some(deploy.max_replicas_per_node).filter(|max| *max > 0),
    );
    map.map("placement", inner.0);
    map.text("endpoint_mode", &deploy.endpoint_mode);
    map.0
}

fn rollout(rollout: &Rollout) -> Out {
    let mut map = Map::default();
    map.maybe_number("parallelism", rollout.parallelism);
    map.duration("delay", rollout.delay);
    map.text("failure_action", &rollout.failure_action);
    map.duration("monitor", rollout.monitor);
    if rollout.max_failure_ratio != 0.0 {
        map.put("max_failure_ratio", Out::Float(rollout.max_failure_ratio));
    }
    map.text("order", &rollout.order);
    Out::Map(map.0)
}

fn resources(resources: &Resources) -> Out {
    let mut map = Map::default();
    map.text("cpus", &resources.cpus);
    if resources.memory != 0 {
        map.text("memory", &resources.memory.to_string());
    }
    map.number("pids", resources.pids);
    let generic = resources.generic.iter().map(|(kind, value)| {
        let spec = vec![
            ("kind".to_owned(), Out::Text(kind.clone())),
            ("value".to_owned(), Out::Int(*value)),
        ];
        Out::Map(vec![("discrete_resource_spec".to_owned(), Out::Map(spec))])
    });
    map.list("generic_resources", generic.collect());
    Out::Map(map.0)
}

fn restart(restart: &Restart) -> Out {
    let mut map = Map::default();
    map.text("condition", &restart.condition);
    map.maybe_duration("delay", restart.delay);
    map.maybe_number("max_attempts", restart.max_attempts);
    map.maybe_duration("window", restart.window);
    Out::Map(map.0)
}

fn health_check(health: &HealthCheck) -> Vec<(String, Out)> {
    let mut map = Map::default();
    map.texts("test", &health.test);
    map.maybe_duration("timeout", health.timeout);
    map.maybe_duration("interval", health.interval);
    map.maybe_number("retries", health.retries);
    map.maybe_duration("start_period", health.start_period);
    map.maybe_duration("start_interval", health.start_interval);
    map.flag("disable", health.disable);
    map.0
}

fn joined(network: &ServiceNetwork) -> Out {
    let mut map = Map::default();
    map.texts("aliases", &network.aliases);
    map.labels("driver_opts", &network.driver_opts);
    map.text("ipv4_address", &network.ipv4_address);
    map.text("ipv6_address", &network.ipv6_address);
    Out::Map(map.0)
}

fn port(port: &Port) -> Out {
    let mut map = Map::default();
    map.text("mode", &port.mode);
    map.number("target", port.config.target_port.into());
    map.number("published", port.config.published_port.into());
    map.text("protocol", &port.protocol);
    Out::Map(map.0)
}

fn reference(reference: &FileReference) -> Out {
    let mut map = Map::default();
    map.text("source", &reference.source);
    map.text("target", &reference.target);
    map.text("uid", &reference.uid);
    map.text("gid", &reference.gid);
    map.maybe_number("mode", reference.mode.map(u64::from));
    Out::Map(map.0)
}

fn mount(mount: &Mount) -> Out {
    let mut map = Map::default();
    map.text("type", &mount.kind);
    map.text("source", &mount.source);
    map.text("target", &mount.target);
    map.flag("read_only", mount.read_only);
    map.text("consistency", &mount.consistency);
    if let Some(bind) = &mount.bind {
        let mut inner = Map::default();
        inner.text("propagation", &bind.propagation);
        inner.maybe_flag("create_host_path", bind.create_host_path);
        inner.text("recursive", &bind.recursive);
        map.put("bind", Out::Map(inner.0));
    }
    if let Some(volume) = &mount.volume {
        let mut inner = Map::default();
        inner.flag("nocopy", volume.no_copy);
        inner.text("subpath", &volume.subpath);
        inner.labels("labels", &volume.labels);
        map.put("volume", Out::Map(inner.0));
    }
    if let Some(tmpfs) = &mount.tmpfs {
        let mut inner = Map::default();
        inner.number("size", tmpfs.size);
        inner.number("mode", tmpfs.mode.into());
        map.put("tmpfs", Out::Map(inner.0));
    }
    map.extras(&mount.other);
    Out::Map(map.0)
}

fn network(network: &Network) -> Out {
    let mut map = Map::default();
    map.text("name", &network.name);
    map.text("driver", &network.driver);
    map.labels("driver_opts", &network.driver_opts);
    let mut inner = Map::default();
    inner.text("driver", &network.ipam.driver);
    let subnets = network.ipam.config.iter().map(|subnet| {
        let mut map = Map::default();
        map.text("subnet", &subnet.subnet);
        map.text("ip_range", &subnet.ip_range);
        map.text("gateway", &subnet.gateway);
        map.labels("aux_addresses", &subnet.aux_addresses);
        Out::Map(map.0)
    });
    inner.list("config", subnets.collect());
    inner.labels("options", &network.ipam.options);
    map.map("ipam", inner.0);
    map.flag("external", network.external);
    map.flag("internal", network.internal);
    map.flag("attachable", network.attachable);
    map.maybe_flag("enable_ipv4", network.enable_ipv4);
    map.maybe_flag("enable_ipv6", network.enable_ipv6);
    map.labels("labels", &network.labels);
    map.extras(&network.extras);
    Out::Map(map.0)
}

fn volume(volume: &Volume) -> Out {
    let mut map = Map::default();
    map.text("name", &volume.name);
    map.text("driver", &volume.driver);
    map.labels("driver_opts", &volume.driver_opts);
    map.flag("external", volume.external);
    map.labels("labels", &volume.labels);
    map.extras(&volume.extras);
    Out::Map(map.0)
}

/// Secrets and configs: where their bytes are, never a variable's value.
fn object(object: &FileObject) -> Out {
    let mut map = Map::default();
    map.text("name", &object.name);
    match &object.content {
        Some(Content::File(path)) => map.text("file", &path.to_string_lossy()),
        Some(Content::Environment(name, _)) => map.text("environment", name),
        Some(Content::Inline(text)) => map.text("content", text),
        None => {}
    }
    map.flag("external", object.external);
    map.labels("labels", &object.labels);
    map.extras(&object.extras);
    map.text("driver", &object.driver);
    map.labels("driver_opts", &object.driver_opts);
    map.text("template_driver", &object.template_driver);
    Out::Map(map.0)
}
