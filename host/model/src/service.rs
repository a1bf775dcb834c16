//! Services: what an operator wants, and what the cluster made of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{is_default, null_as_default};
use crate::{
    ContainerOptions, ContainerSpec, Driver, Duration, Endpoint, EndpointSpec, ImageKind,
    ImageReference, IngressSource, NetworkAttachmentConfig, NetworkId, Placement, Platform,
    Preference, PublishMode, ResourceRequirements, ServiceId, Time, UpdateConfig, UpdateStatus,
    counts_by_kind,
};

/// The version of an object: the Raft index of the entry that last wrote it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// The index; 0 before the first write.
    pub index: u64,
}

/// What an operator wants of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSpec {
    /// Unique, a DNS label.
    pub name: String,
    /// Labels of the service; changing them restarts nothing.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// What each task is.
    pub task_template: Arc<TaskSpec>,
    /// How many, and where.
    pub mode: ServiceMode,
    /// How an update replaces tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    /// How a rollback replaces tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    /// Docker's old place for [`TaskSpec::networks`].
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachmentConfig>,
    /// Published ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_spec: Option<EndpointSpec>,
    /// What Docker has no field for. A write that lacks it keeps the stored one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarmw: Option<SwarmwOptions>,
}

/// Settings of a service that Docker has no field for. An empty one, written
/// explicitly, clears them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct SwarmwOptions {
    /// Options of plugins, `PLUGIN.OPTION` to the text typed.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub policy_options: BTreeMap<String, String>,
    /// Placement preferences other than `spread`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacedPreference>,
    /// Whom tasks see as the client of a connection to a published port.
    #[serde(skip_serializing_if = "is_default")]
    pub ingress_source: IngressSource,
    /// What containers have of their nodes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub container: ContainerOptions,
}

/// A preference that Docker has no field for, and its place among Docker's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlacedPreference {
    /// The preference.
    #[serde(flatten)]
    pub preference: Preference,
    /// How many of Docker's spread preferences come before it.
    #[serde(default)]
    pub after: u32,
}

/// How many tasks a service has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceMode {
    /// A number of replicas.
    Replicated(Replicated),
    /// One on each node that fits.
    Global(Global),
    /// A number of tasks that are to end well.
    ReplicatedJob(ReplicatedJob),
    /// One on each node that fits, to end well once.
    GlobalJob(GlobalJob),
}

/// A number of replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Replicated {
    /// How many; absent for 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
}

/// One on each node that fits: no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {}

/// A number of tasks that are to end well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplicatedJob {
    /// The most that run at a time; absent for 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
    /// How many shall end with exit code 0; absent for as many as run at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_completions: Option<u64>,
}

/// One on each node that fits, to end well once: no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalJob {}

/// Where a job stands. Each write of its spec begins it anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobStatus {
    /// Which time it is, from 0.
    pub job_iteration: Version,
    /// When this time began.
    pub last_execution: Time,
}

/// What each task of a service is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskSpec {
    /// The container, or Wasm component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_spec: Option<ContainerSpec>,
    /// Docker's engine plugins as services: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_spec: Option<Value>,
    /// Reserved and limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What happens when a task ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Where tasks run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Networks joined.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachmentConfig>,
    /// Where the container's output goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<Driver>,
    /// Counts `update --force`.
    pub force_update: u64,
    /// `container`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// Encoded registry credentials, as the client's `X-Registry-Auth` header
    /// had them. Never part of an answer: see [`ServiceSpec::without_secrets`].
    #[serde(rename = "RegistryAuth", skip_serializing_if = "String::is_empty")]
    pub registry_auth: String,
    /// [`SwarmwOptions::container`], as tasks carry a template and no spec. Never part of an
    /// answer, and not read from a request.
    #[serde(rename = "ContainerOptions", skip_serializing_if = "is_default")]
    pub options: ContainerOptions,
}

/// What happens when a task ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// When a task is replaced.
    pub condition: RestartCondition,
    /// Before the replacement starts; absent for 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// The most replacements per slot; absent or 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Only replacements within this time count; absent or 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

/// When an ended task is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    None,
    /// Unless it ended with exit code 0.
    OnFailure,
    /// Always.
    #[default]
    Any,
}

/// Swarm's time before a replacement starts.
pub const DEFAULT_RESTART_DELAY: Duration = Duration::from_secs(5);

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: ServiceId,
    /// For optimistic updates.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What is wanted.
    pub spec: ServiceSpec,
    /// What was wanted before, for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_spec: Option<ServiceSpec>,
    /// Published ports as allocated.
    pub endpoint: Endpoint,
    /// How far the last update has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_status: Option<UpdateStatus>,
    /// Of a job alone: which time it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_status: Option<JobStatus>,
    /// Names the present spec: tasks carry the version they were made for.
    #[serde(default)]
    pub spec_version: Version,
    /// The spec version of `previous_spec`, which a rollback restores.
    #[serde(default, skip_serializing_if = "is_default")]
    pub previous_spec_version: Version,
}

/// What labels that set options of plugins begin with: `swarmw.opt.PLUGIN.OPTION`.
pub const OPTION_LABEL: &str = "swarmw.opt.";

/// `PLUGIN` and `OPTION` of one of [`ServiceSpec::policy_options`].
pub fn option_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix(OPTION_LABEL).unwrap_or(path).rsplit_once('.')
}

// === impl ServiceSpec ===

impl ServiceSpec {
    /// Replicas wanted of a replicated service; `None` for a global one and for jobs.
    pub fn replicas(&self) -> Option<u64> {
        match &self.mode {
            ServiceMode::Replicated(r) => Some(r.replicas.unwrap_or(1)),
            ServiceMode::Global(_) | ServiceMode::ReplicatedJob(_) | ServiceMode::GlobalJob(_) => {
                None
            }
        }
    }

    /// The container spec, where there is one.
    pub fn container(&self) -> Option<&ContainerSpec> {
        self.task_template.container_spec.as_ref()
    }

    /// The networks that its tasks join: of the template, or, where that names none, of
    /// the spec itself, Docker's old place for them.
    pub fn networks_wanted(&self) -> &[NetworkAttachmentConfig] {
        match self.task_template.networks.is_empty() {
            true => &self.networks,
            false => &self.task_template.networks,
        }
    }

    /// Moves networks from Docker's old place to the template, where the rest looks.
    pub fn settle_networks(&mut self) {
        let old = std::mem::take(&mut self.networks);
        if self.task_template.networks.is_empty() && !old.is_empty() {
            Arc::make_mut(&mut self.task_template).networks = old;
        }
    }

    /// Gives the template what [`SwarmwOptions`] say of containers.
    pub fn settle_options(&mut self) {
        let wanted = self.container_options();
        if self.task_template.options != wanted {
            Arc::make_mut(&mut self.task_template).options = wanted;
        }
    }

    /// What containers have of their nodes.
    pub fn container_options(&self) -> ContainerOptions {
        self.swarmw.as_ref().map(|options| options.container.clone()).unwrap_or_default()
    }

    /// The preferences of all plugins in the order they nest, outermost first.
    pub fn preferences(&self) -> Vec<Preference> {
        let docker = self.task_template.placement.iter().flat_map(|p| &p.preferences);
        let ours = self.swarmw.as_ref().map_or(&[][..], |s| &s.preferences);
        let mut all = Vec::new();
        let mut taken = 0;
        for (index, preference) in docker.enumerate() {
            while let Some(next) = ours.get(taken).filter(|p| p.after as usize <= index) {
                all.push(next.preference.clone());
                taken += 1;
            }
            if let Some(spread) = &preference.spread {
                all.push(Preference {
                    name: "spread".to_owned(),
                    argument: spread.spread_descriptor.clone(),
                });
            }
        }
        all.extend(ours[taken..].iter().map(|p| p.preference.clone()));
        all
    }

    /// Whether it publishes ports on every node.
    pub fn publishes(&self) -> bool {
        let mut ports = self.endpoint_spec.iter().flat_map(|endpoint| &endpoint.ports);
        ports.any(|port| port.publish_mode == PublishMode::Ingress)
    }

    /// Whom tasks see as the client of a connection to a published port.
    pub fn ingress_source(&self) -> IngressSource {
        self.swarmw.as_ref().map_or(IngressSource::default(), |options| options.ingress_source)
    }

    /// Options of plugins, from [`SwarmwOptions`] and from labels, which keep their
    /// [prefix](OPTION_LABEL): the former win, by whatever name of the plugin.
    pub fn policy_options(&self) -> BTreeMap<String, String> {
        let labels = self.labels.iter().filter(|(name, _)| name.starts_with(OPTION_LABEL));
        let ours = self.swarmw.iter().flat_map(|s| &s.policy_options);
        labels.chain(ours).map(|(name, text)| (name.clone(), text.clone())).collect()
    }

    /// The spec as an answer may show it: without registry credentials.
    pub fn without_secrets(mut self) -> Self {
        if !self.task_template.registry_auth.is_empty() {
            Arc::make_mut(&mut self.task_template).registry_auth.clear();
        }
        self
    }
}

// === impl ServiceMode ===

impl ServiceMode {
    /// Whether its tasks are to end.
    pub fn is_job(&self) -> bool {
        matches!(self, Self::ReplicatedJob(_) | Self::GlobalJob(_))
    }
}

impl Default for ServiceMode {
    fn default() -> Self {
        Self::Replicated(Replicated::default())
    }
}

// === impl ReplicatedJob ===

impl ReplicatedJob {
    /// The most tasks that run at a time.
    pub fn at_a_time(&self) -> u64 {
        self.max_concurrent.unwrap_or(1)
    }

    /// How many tasks shall end well.
    pub fn completions(&self) -> u64 {
        self.total_completions.unwrap_or_else(|| self.at_a_time())
    }
}

// === impl TaskSpec ===

impl TaskSpec {
    /// The image, or an empty text.
    pub fn image(&self) -> &str {
        self.container_spec.as_ref().map_or("", |c| &c.image)
    }

    /// Whether a task is a WebAssembly component, by its image.
    pub fn is_component(&self) -> bool {
        let mut platforms = self.placement.iter().flat_map(|p| &p.platforms);
        let uploaded = ImageReference::parse(self.image()).kind() == ImageKind::UploadedComponent;
        uploaded || platforms.any(|platform| *platform == Platform::wasm())
    }

    /// Whether a task's container has IPv6 switched off by its kernel settings: then it has no
    /// address of it, whatever its networks have.
    pub fn has_no_ipv6(&self) -> bool {
        let set = self.container_spec.as_ref().map(|container| &container.sysctls);
        let is_off = |of: &str| {
            let key = format!("net.ipv6.conf.{of}.disable_ipv6");
            let value = set.and_then(|sysctls| sysctls.get(&key));
            value.is_some_and(|value| !["", "0"].contains(&value.trim()))
        };
        ["all", "default"].into_iter().any(is_off)
    }

    /// The networks joined, by their ids.
    pub fn network_ids(&self) -> impl Iterator<Item = NetworkId> {
        self.networks.iter().filter_map(|network| network.target.parse().ok())
    }

    /// The constraints.
    pub fn constraints(&self) -> &[String] {
        self.placement.as_ref().map_or(&[], |p| &p.constraints)
    }

    /// How many of each kind of generic resources a task reserves; none where that is
    /// nothing.
    pub fn reserved_generic(&self) -> BTreeMap<String, i64> {
        let reserved = self.resources.as_ref().and_then(|r| r.reservations.as_ref());
        counts_by_kind(reserved.map_or(&[], |r| &r.generic_resources))
    }

    /// Nano-CPUs and bytes that a task reserves.
    pub fn reserved(&self) -> (i64, i64) {
        self.resources
            .as_ref()
            .and_then(|r| r.reservations.as_ref())
            .map_or((0, 0), |r| (r.nano_cpus, r.memory_bytes))
    }
}

// === impl RestartPolicy ===

impl RestartPolicy {
    /// The delay, with Swarm's default.
    pub fn delay(&self) -> Duration {
        self.delay.unwrap_or(DEFAULT_RESTART_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_no_ipv6_where_its_settings_switch_it_off() {
        for (key, value, is_off) in [
            ("net.ipv6.conf.all.disable_ipv6", "1", true),
            ("net.ipv6.conf.default.disable_ipv6", "1", true),
            ("net.ipv6.conf.all.disable_ipv6", "0", false),
            ("net.ipv6.conf.eth0.disable_ipv6", "1", false),
            ("net.ipv6.conf.all.forwarding", "1", false),
        ] {
            let sysctls = [(key.to_owned(), value.to_owned())].into();
            let container_spec = Some(ContainerSpec { sysctls, ..Default::default() });
            let spec = TaskSpec { container_spec, ..Default::default() };
            assert_eq!(spec.has_no_ipv6(), is_off, "{key}={value}");
        }
        assert!(!TaskSpec::default().has_no_ipv6());
    }

    fn spec(spreads: &[&str], ours: &[(&str, u32)]) -> ServiceSpec {
        let preferences = spreads
            .iter()
            .map(|s| crate::PlacementPreference {
                spread: Some(crate::SpreadOver { spread_descriptor: (*s).to_owned() }),
            })
            .collect();
        ServiceSpec {
            task_template: Arc::new(TaskSpec {
                placement: Some(Placement { preferences, ..Default::default() }),
                ..Default::default()
            }),
            swarmw: Some(SwarmwOptions {
                preferences: ours
                    .iter()
                    .map(|(name, after)| PlacedPreference {
                        preference: Preference {
                            name: (*name).to_owned(),
                            argument: String::new(),
                        },
                        after: *after,
                    })
                    .collect(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn preferences_of_both_kinds_keep_their_order() {
        for (spreads, ours, want) in [
            (&["a", "b"][..], &[("x", 0), ("y", 1), ("z", 2)][..], "x a y b z"),
            (&[], &[("x", 3)], "x"),
            (&["a"], &[], "a"),
        ] {
            let got: Vec<_> = spec(spreads, ours)
                .preferences()
                .into_iter()
                .map(|p| if p.name == "spread" { p.argument } else { p.name })
                .collect();
            assert_eq!(got.join(" "), want);
        }
    }

    #[test]
    fn reads_what_the_docker_client_posts() {
        let posted = r#"{"Name":"web","Labels":null,"TaskTemplate":{"ContainerSpec":{"Image":"redis:3.0.6",
            "Init":false,"DNSConfig":{},"Mounts":null},"Resources":{"Limits":{},"Reservations":{}},
            "Placement":{},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":3}},"EndpointSpec":{"Mode":"vip"}}"#;
        let spec: ServiceSpec = serde_json::from_str(posted).expect("a spec");
        assert_eq!(spec.replicas(), Some(3));
        assert_eq!(spec.container().map(|c| c.init), Some(Some(false)));
        let global: ServiceMode = serde_json::from_str(r#"{"Global":{}}"#).expect("a mode");
        assert_eq!(global, ServiceMode::Global(Global {}));
    }

    #[test]
    fn a_job_says_how_many_at_a_time_and_in_all() {
        for (posted, want) in [
            (r#"{"ReplicatedJob":{}}"#, (1, 1)),
            (r#"{"ReplicatedJob":{"MaxConcurrent":3}}"#, (3, 3)),
            (r#"{"ReplicatedJob":{"TotalCompletions":4}}"#, (1, 4)),
            (r#"{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":5}}"#, (2, 5)),
        ] {
            let mode: ServiceMode = serde_json::from_str(posted).expect("a mode");
            let ServiceMode::ReplicatedJob(job) = &mode else { panic!("{mode:?}") };
            assert_eq!((job.at_a_time(), job.completions()), want, "{posted}");
            assert!(mode.is_job());
            assert_eq!(serde_json::to_string(&mode).expect("text"), posted);
        }
        let global: ServiceMode = serde_json::from_str(r#"{"GlobalJob":{}}"#).expect("a mode");
        assert!(global.is_job() && !ServiceMode::default().is_job());
    }
}
