//! A service.

use std::collections::BTreeMap;

use super::{Around, deploy, mounts, objects, ports};
use crate::dotenv::{self, Style};
use crate::fields::{Fields, Found, Notes};
use crate::node::Value;
use crate::project::{
    Condition, CredentialSpec, Dependency, HealthCheck, Limits, Logging, Service, ServiceNetwork,
};
use crate::read::mounts::absolute;
use crate::trouble::Position;
use crate::unsupported::{API_SOCKET, IMPOSSIBLE, NO_GPUS, SPEC_ONLY};

pub(super) fn service(
    name: &str,
    at: &Position,
    found: &Found<'_>,
    around: &Around<'_>,
    notes: &mut Notes,
) -> Service {
    let mut fields = found.fields(notes);
    let mut service = Service { at: at.clone(), name: name.to_owned(), ..Service::default() };
    container(&mut service, &mut fields, notes);
    host(&mut service, &mut fields, notes);
    if let Some(found) = fields.take("deploy") {
        service.deploy = deploy::deploy(&found, notes);
        if let Some(at) = service.deploy.devices.take() {
            service.impossible.push((at, NO_GPUS));
        }
    }
    shorthands(&mut service, &mut fields, notes);
    service.health_check = fields.take("healthcheck").map(|found| health(&found, notes));
    service.logging = fields.take("logging").map(|found| logging(&found, notes));
    service.ports = fields.take("ports").map(|f| ports::ports(&f, notes)).unwrap_or_default();
    service.volumes =
        fields.take("volumes").map(|f| mounts::mounts(&f, around, notes)).unwrap_or_default();
    service.networks = fields.take("networks").map(|f| networks(&f, notes)).unwrap_or_default();
    service.depends_on =
        fields.take("depends_on").map(|f| dependencies(&f, notes)).unwrap_or_default();
    for (key, list) in [("secrets", &mut service.secrets), ("configs", &mut service.configs)] {
        if let Some(found) = fields.take(key) {
            *list = objects::references(&found, notes);
        }
    }
    environment(&mut service, &mut fields, around, notes);
    labels(&mut service, &mut fields, around, notes);
    for key in SPEC_ONLY {
        if let Some(found) = fields.take(key) {
            service.unused.insert(key.to_owned(), found.node.to_json());
        }
    }
    for (key, why) in IMPOSSIBLE {
        if let Some(found) = fields.take(key) {
            service.impossible.push((found.at().clone(), why));
            service.unused.insert(key.to_owned(), found.node.to_json());
        }
    }
    if let Some(found) = fields.take(API_SOCKET) {
        let is_wanted = found.flag(notes);
        service.unused.insert(API_SOCKET.to_owned(), found.node.to_json());
        if is_wanted {
            service.volumes.push(mounts::api_socket(found.at()));
        }
    }
    // What it extends is in it by now.
    fields.take_any("extends");
    service.extras = fields.extras();
    fields.finish(notes);
    service
}

/// What runs in each task.
fn container(service: &mut Service, fields: &mut Fields<'_>, notes: &mut Notes) {
    service.image = fields.text("image", notes);
    service.command = fields.take("command").map(|f| f.words(notes)).unwrap_or_default();
    service.entrypoint = fields.take("entrypoint").map(|f| f.words(notes)).unwrap_or_default();
    service.hostname = fields.text("hostname", notes);
    service.user = fields.take("user").map(|f| f.text_or_number(notes)).unwrap_or_default();
    service.group_add =
        fields.take("group_add").map(|f| f.texts_or_numbers(notes)).unwrap_or_default();
    service.working_dir = fields.text("working_dir", notes);
    service.init = fields.take("init").map(|found| found.flag(notes));
    service.read_only = fields.flag("read_only", notes);
    service.tty = fields.flag("tty", notes);
    service.stdin_open = fields.flag("stdin_open", notes);
    service.stop_signal = fields.text("stop_signal", notes);
    service.stop_grace_period = fields.duration("stop_grace_period", notes);
    service.oom_score_adj =
        fields.take("oom_score_adj").map(|f| f.whole(notes)).unwrap_or_default();
    service.tmpfs = fields.texts_or_one("tmpfs", notes);
    service.cap_add = capabilities(fields, "cap_add", notes);
    service.cap_drop = capabilities(fields, "cap_drop", notes);
    service.dns = fields.texts_or_one("dns", notes);
    service.dns_opt = fields.texts("dns_opt", notes);
    service.dns_search = fields.texts_or_one("dns_search", notes);
    service.sysctls = fields.labels("sysctls", notes);
    service.isolation = fields.text("isolation", notes);
    service.extra_hosts =
        fields.take("extra_hosts").map(|found| hosts(&found, notes)).unwrap_or_default();
    service.ulimits = fields.take("ulimits").map(|f| ulimits(&f, notes)).unwrap_or_default();
    if let Some(found) = fields.take("credential_spec") {
        let mut fields = found.fields(notes);
        service.credential_spec = CredentialSpec {
            config: fields.text("config", notes),
            file: fields.text("file", notes),
            registry: fields.text("registry", notes),
        };
        fields.finish(notes);
    }
}

/// What Docker's client reads, warns of and does not send, or does not know.
fn host(service: &mut Service, fields: &mut Fields<'_>, notes: &mut Notes) {
    if let Some(found) = fields.take("build") {
        service.build = match &found.node.value {
            Value::Text(context) => Some(serde_json::json!({"context": context})),
            Value::Map(_) => Some(found.node.to_json()),
            _ => {
                found.wrong(notes, "must be a string or a mapping");
                None
            }
        };
    }
    for (key, field) in [
        ("cgroupns_mode", &mut service.cgroupns_mode),
        ("cgroup_parent", &mut service.cgroup_parent),
        ("container_name", &mut service.container_name),
        ("domainname", &mut service.domain_name),
        ("ipc", &mut service.ipc),
        ("mac_address", &mut service.mac_address),
        ("network_mode", &mut service.network_mode),
        ("pid", &mut service.pid),
        ("platform", &mut service.platform),
        ("restart", &mut service.restart),
        ("userns_mode", &mut service.userns_mode),
    ] {
        *field = fields.text(key, notes);
    }
    service.shm_size = fields.take("shm_size").map(|f| f.text_or_number(notes)).unwrap_or_default();
    service.privileged = fields.flag("privileged", notes);
    for (key, field) in [
        ("external_links", &mut service.external_links),
        ("links", &mut service.links),
        ("security_opt", &mut service.security_opt),
        ("profiles", &mut service.profiles),
    ] {
        *field = fields.texts(key, notes);
    }
    service.expose = fields.take("expose").map(|f| f.texts_or_numbers(notes)).unwrap_or_default();
    // The present specification has a long form of devices.
    for item in fields.take("devices").map(|f| f.items(notes)).unwrap_or_default() {
        match &item.node.value {
            Value::Text(text) => service.devices.push(text.clone()),
            Value::Map(_) => {
                let mut fields = item.fields(notes);
                let parts = ["source", "target", "permissions"].map(|key| fields.text(key, notes));
                fields.finish(notes);
                let given: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                service.devices.push(given.join(":"));
            }
            _ => item.wrong(notes, "must be a string or a mapping"),
        }
    }
}

/// The present specification's words for what `deploy` says too.
fn shorthands(service: &mut Service, fields: &mut Fields<'_>, notes: &mut Notes) {
    if let Some(found) = fields.take("scale") {
        let scale = found.whole(notes);
        if service.deploy.replicas.is_some_and(|replicas| replicas != scale) {
            found.wrong(notes, "conflicts with deploy.replicas: give one of them");
        }
        service.deploy.replicas = Some(scale);
    }
    let memory = fields.take("mem_limit").map(|found| found.bytes(notes));
    let cpus = fields.take("cpus").map(|found| deploy::cpus(&found, notes));
    let pids = fields.take("pids_limit").map(|found| found.whole(notes));
    if memory.is_some() || cpus.is_some() || pids.is_some() {
        let limits = service.deploy.limits.get_or_insert_default();
        if limits.memory == 0 {
            limits.memory = memory.unwrap_or_default();
        }
        if limits.cpus.is_empty() {
            limits.cpus = cpus.unwrap_or_default();
        }
        if limits.pids == 0 {
            limits.pids = pids.unwrap_or_default();
        }
    }
    if let Some(memory) = fields.take("mem_reservation").map(|found| found.bytes(notes)) {
        let reserved = service.deploy.reservations.get_or_insert_default();
        if reserved.memory == 0 {
            reserved.memory = memory;
        }
    }
}

fn capabilities(fields: &mut Fields<'_>, key: &'static str, notes: &mut Notes) -> Vec<String> {
    fields.texts(key, notes)
}

/// `host:address`, or a map of them.
fn hosts(found: &Found<'_>, notes: &mut Notes) -> Vec<String> {
    match &found.node.value {
        Value::Map(_) => {
            let mut all = Vec::new();
            for (entry, child) in found.children(notes) {
                if !child.node.is_null() {
                    for address in child.texts_or_one(notes) {
                        all.push(format!("{}:{address}", entry.key));
                    }
                }
            }
            all.sort();
            all
        }
        // The present specification writes `host=address` as well.
        _ => found
            .texts(notes)
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((host, address)) if !host.contains(':') => format!("{host}:{address}"),
                _ => text,
            })
            .collect(),
    }
}

fn ulimits(found: &Found<'_>, notes: &mut Notes) -> BTreeMap<String, Limits> {
    let mut all = BTreeMap::new();
    for (entry, child) in found.children(notes) {
        let limits = match &child.node.value {
            Value::Map(_) => {
                let mut fields = child.fields(notes);
                let mut limits = Limits::default();
                for (key, field) in [("soft", &mut limits.soft), ("hard", &mut limits.hard)] {
                    match fields.take(key) {
                        Some(found) => *field = found.whole(notes),
                        None => child.wrong(notes, &format!("{key} is required")),
                    }
                }
                fields.finish(notes);
                limits
            }
            _ => Limits { single: Some(child.whole(notes)), ..Limits::default() },
        };
        all.insert(entry.key.clone(), limits);
    }
    all
}

fn health(found: &Found<'_>, notes: &mut Notes) -> HealthCheck {
    let mut fields = found.fields(notes);
    let health = HealthCheck {
        test: match fields.take("test") {
            None => Vec::new(),
            Some(found) => match &found.node.value {
                Value::Text(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                _ => found.texts(notes),
            },
        },
        timeout: fields.duration("timeout", notes),
        interval: fields.duration("interval", notes),
        retries: fields.take("retries").map(|found| found.whole(notes)),
        start_period: fields.duration("start_period", notes),
        start_interval: fields.duration("start_interval", notes),
        disable: fields.flag("disable", notes),
    };
    fields.finish(notes);
    if health.disable && !health.test.is_empty() {
        found.wrong(notes, "test and disable can't be set at the same time");
    }
    health
}

fn logging(found: &Found<'_>, notes: &mut Notes) -> Logging {
    let mut fields = found.fields(notes);
    let logging = Logging {
        driver: fields.text("driver", notes),
        options: fields.take("options").map(|f| f.options(notes)).unwrap_or_default(),
    };
    fields.finish(notes);
    logging
}

fn networks(found: &Found<'_>, notes: &mut Notes) -> BTreeMap<String, Option<ServiceNetwork>> {
    if let Value::List(_) = &found.node.value {
        return found.texts(notes).into_iter().map(|name| (name, None)).collect();
    }
    let mut all = BTreeMap::new();
    for (entry, child) in found.children(notes) {
        if child.node.is_null() {
            all.insert(entry.key.clone(), None);
            continue;
        }
        let mut fields = child.fields(notes);
        let network = ServiceNetwork {
            aliases: fields.texts("aliases", notes),
            driver_opts: fields.take("driver_opts").map(|f| f.options(notes)).unwrap_or_default(),
            ipv4_address: fields.text("ipv4_address", notes),
            ipv6_address: fields.text("ipv6_address", notes),
        };
        for key in ["interface_name", "link_local_ips", "mac_address", "priority", "gw_priority"] {
            if let Some(found) = fields.take(key) {
                notes.warn(format!("{} is ignored: services have no such setting", found.path));
            }
        }
        fields.finish(notes);
        all.insert(entry.key.clone(), Some(network));
    }
    all
}

fn dependencies(found: &Found<'_>, notes: &mut Notes) -> BTreeMap<String, Dependency> {
    if let Value::List(_) = &found.node.value {
        let short = Dependency { condition: Condition::Started, required: true, is_long: false };
        return found.texts(notes).into_iter().map(|name| (name, short.clone())).collect();
    }
    let mut all = BTreeMap::new();
    for (entry, child) in found.children(notes) {
        let mut fields = child.fields(notes);
        let mut dependency =
            Dependency { condition: Condition::Started, required: true, is_long: false };
        if let Some(found) = fields.take("condition") {
            dependency.is_long = true;
            let word = found.text(notes);
            let known = [Condition::Started, Condition::Healthy, Condition::Completed];
            match known.into_iter().find(|condition| condition.as_str() == word) {
                Some(condition) => dependency.condition = condition,
                None => found.wrong(
                    notes,
                    "must be one of the following: \"service_started\", \"service_healthy\", \
                     \"service_completed_successfully\"",
                ),
            }
        }
        if let Some(found) = fields.take("required") {
            dependency.required = found.flag(notes);
        }
        if fields.flag("restart", notes) {
            notes
                .warn(format!("{}.restart is ignored: services restart by themselves", child.path));
        }
        fields.finish(notes);
        all.insert(entry.key.clone(), dependency);
    }
    all
}

/// Variables: of files first, then the service's own; one without a value takes the
/// client's.
fn environment(
    service: &mut Service,
    fields: &mut Fields<'_>,
    around: &Around<'_>,
    notes: &mut Notes,
) {
    // Docker's client lets its own variable fill an empty one too.
    let fills_empty = !notes.is_current;
    let own = |name: &str, value: Option<String>| match &value {
        None => (around.lookup)(name),
        Some(text) if text.is_empty() && fills_empty => (around.lookup)(name).or(value),
        Some(_) => value,
    };
    let files = fields.take("env_file").map(|found| found.items_or_one()).unwrap_or_default();
    for item in files {
        let (path, is_required, style) = match &item.node.value {
            Value::Map(_) => {
                let mut fields = item.fields(notes);
                let path = fields.text("path", notes);
                let is_required = fields.take("required").is_none_or(|found| found.flag(notes));
                let style = match fields.text("format", notes).as_str() {
                    "" => Style::Compose,
                    "raw" => Style::Raw,
                    format => {
                        item.wrong(notes, &format!("format must be raw, or not there: {format}"));
                        Style::Raw
                    }
                };
                fields.finish(notes);
                (path, is_required, style)
            }
            _ => {
                let style = if notes.is_current { Style::Compose } else { Style::Raw };
                (item.text(notes), true, style)
            }
        };
        service.env_file.push(path.clone());
        for (name, value) in variables(&item, &path, is_required, style, around, notes) {
            let value = own(&name, value);
            // A bare name in a file that the client has not set is left out.
            if value.is_some() {
                service.environment.insert(name, value);
            }
        }
    }
    if let Some(found) = fields.take("environment") {
        for (name, value) in found.pairs(notes) {
            let value = own(&name, value);
            service.environment.insert(name, value);
        }
    }
}

fn labels(service: &mut Service, fields: &mut Fields<'_>, around: &Around<'_>, notes: &mut Notes) {
    for item in fields.take("label_file").map(|found| found.items_or_one()).unwrap_or_default() {
        let path = item.text(notes);
        for (name, value) in variables(&item, &path, true, Style::Compose, around, notes) {
            service.labels.insert(name, value.unwrap_or_default());
        }
    }
    service.labels.extend(fields.labels("labels", notes));
}

fn variables(
    found: &Found<'_>,
    path: &str,
    is_required: bool,
    style: Style,
    around: &Around<'_>,
    notes: &mut Notes,
) -> Vec<(String, Option<String>)> {
    let path = absolute(&found.at().file.folder, path);
    let bytes = match (around.read)(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_required => {
            return Vec::new();
        }
        Err(error) => {
            found.wrong(notes, &crate::load::opening(&path, &error));
            return Vec::new();
        }
    };
    dotenv::parse(&String::from_utf8_lossy(&bytes), style, around.lookup).unwrap_or_else(|error| {
        found.wrong(notes, &format!("invalid env file ({}): {error}", path.display()));
        Vec::new()
    })
}
