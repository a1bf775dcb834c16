//! Keys of services that a cluster has no use for. Docker's client says so of each, in
//! these words.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::Node;

/// What `docker stack deploy` reads and ignores.
const IGNORED: [&str; 16] = [
    "build",
    "cgroupns_mode",
    "cgroup_parent",
    "devices",
    "domainname",
    "external_links",
    "ipc",
    "links",
    "mac_address",
    "network_mode",
    "pid",
    "privileged",
    "restart",
    "security_opt",
    "shm_size",
    "userns_mode",
];

/// Keys of the present specification alone that services have no settings for.
pub(crate) const SPEC_ONLY: [&str; 31] = [
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
    "gpus",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "oom_kill_disable",
    "platform",
    "post_start",
    "pre_stop",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "runtime",
    "storage_opt",
    "use_api_socket",
    "uts",
    "volume_driver",
    "volumes_from",
];

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
    let known = |key: &str| IGNORED.contains(&key) || SPEC_ONLY.contains(&key);
    keys(root).filter(|key| known(key)).map(str::to_owned).collect()
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
    keys(root)
        .filter_map(|key| list.iter().find(|(known, _)| *known == key))
        .map(|(key, why)| ((*key).to_owned(), (*why).to_owned()))
        .collect()
}

/// All keys of all services.
fn keys(root: &Node) -> impl Iterator<Item = &str> {
    let services = root.get("services").map(Node::entries).unwrap_or_default();
    services.iter().flat_map(|entry| entry.value.entries()).map(|entry| entry.key.as_str())
}
