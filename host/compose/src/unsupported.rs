//! Keys of services that a cluster has no use for. Docker's client says so of each, in
//! these words; of some more, which services have here.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Entry, Node};

/// What `docker stack deploy` reads and ignores, and services cannot have here either.
const IGNORED: [&str; 10] = [
    "build",
    "cgroupns_mode",
    "cgroup_parent",
    "domainname",
    "external_links",
    "links",
    "mac_address",
    "network_mode",
    "restart",
    "userns_mode",
];

/// Keys of the present specification alone that services have no settings for.
pub(crate) const SPEC_ONLY: [&str; 26] = [
    "annotations",
    "attach",
    "blkio_config",
    "cgroup",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpuset",
    "develop",
    "device_cgroup_rules",
    "mem_swappiness",
    "memswap_limit",
    "oom_kill_disable",
    "post_start",
    "pre_stop",
    "pull_policy",
    "pull_refresh_after",
    "runtime",
    "storage_opt",
    "uts",
    "volume_driver",
    "volumes_from",
];

/// Why nothing can have a model: who ignored it would start a service that cannot work.
pub(crate) const NO_MODELS: &str = "models are not supported by swarmw, as no node of a cluster \
     runs them: run the model as a service with an image of its own, or outside, and say where it \
     is in `environment`";

/// The same of GPUs: a container without them would start all the same.
pub(crate) const NO_GPUS: &str = "GPUs are not given by count or driver: declare them on their \
     nodes (`swarmw daemon --node-generic-resource gpu=NAME`), and ask for them by \
     deploy.resources.reservations.generic_resources; the task is told which it has in \
     DOCKER_RESOURCE_GPU";

/// The same of providers, which are programs of the client's machine.
const NO_PROVIDERS: &str = "providers are not supported by swarmw, as they run on the client's \
     machine: make what it would, and say where that is in `environment`";

/// Keys of services that are refused when they are to be made, and why.
pub(crate) const IMPOSSIBLE: [(&str, &str); 3] =
    [("models", NO_MODELS), ("gpus", NO_GPUS), ("provider", NO_PROVIDERS)];

/// Has the API's socket in each container.
pub(crate) const API_SOCKET: &str = "use_api_socket";

/// Keys whose values may name a container or a service whose namespace is to be shared.
const NAMESPACES: [&str; 2] = ["ipc", "pid"];

const DEPRECATED: [(&str, &str); 2] = [
    ("container_name", "Setting the container name is not supported."),
    (
        "expose",
        "Exposing ports is unnecessary - services on the same network can access each other's containers on any port.",
    ),
];

const LIMITS: &str = "Set resource limits using deploy.resources";

/// What files with a `version` must not have, and what to write instead.
const FORBIDDEN: [(&str, &str); 7] = [
    ("cpu_quota", LIMITS),
    ("cpu_shares", LIMITS),
    ("cpuset", LIMITS),
    ("mem_limit", LIMITS),
    ("memswap_limit", LIMITS),
    (
        "volume_driver",
        "Instead of setting the volume driver on the service, define a volume using the top-level `volumes` option and specify the driver there.",
    ),
    (
        "volumes_from",
        "To share a volume between services, define it using the top-level `volumes` option and reference it from each service that shares it using the service-level `volumes` option.",
    ),
];

/// The keys that are read and ignored, by their names.
pub(crate) fn ignored(root: &Node) -> BTreeSet<String> {
    let is_ignored = |entry: &&Entry| {
        let key = entry.key.as_str();
        let joins = || entry.value.printed().is_some_and(|mode| joins_another(&mode));
        IGNORED.contains(&key) || SPEC_ONLY.contains(&key) || (NAMESPACES.contains(&key) && joins())
    };
    entries(root).filter(is_ignored).map(|entry| entry.key.clone()).collect()
}

/// Whether a mode of `ipc` or `pid` is the namespace of another container: tasks of services
/// may be on different nodes, and have none to share.
pub(crate) fn joins_another(mode: &str) -> bool {
    ["container:", "service:"].iter().any(|prefix| mode.starts_with(prefix))
}

/// The keys that have gone out of use, and why.
pub(crate) fn deprecated(root: &Node) -> BTreeMap<String, String> {
    listed(root, &DEPRECATED)
}

/// The keys that a file with a `version` must not have.
pub(crate) fn forbidden(root: &Node) -> BTreeMap<String, String> {
    listed(root, &FORBIDDEN)
}

fn listed(root: &Node, list: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries(root)
        .filter_map(|entry| list.iter().find(|(known, _)| *known == entry.key))
        .map(|(key, why)| ((*key).to_owned(), (*why).to_owned()))
        .collect()
}

/// All keys of all services, with their values.
fn entries(root: &Node) -> impl Iterator<Item = &Entry> {
    let services = root.get("services").map(Node::entries).unwrap_or_default();
    services.iter().flat_map(|entry| entry.value.entries())
}
