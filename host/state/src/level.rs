//! What the cluster can do once every manager's binary can.

use std::sync::Arc;

use swarmw_model::{Node, Refusal, RefusalKind};

use crate::State;

/// The feature level at which there are networks.
pub const NETWORKS_LEVEL: u32 = 2;
/// The feature level at which there are jobs.
pub const JOBS_LEVEL: u32 = 3;
/// The feature level at which secrets and configs have versions.
pub const VERSIONS_LEVEL: u32 = 4;
/// The feature level at which there are generic resources.
pub const GENERIC_RESOURCES_LEVEL: u32 = 4;
/// The feature level at which services may have access to their nodes.
pub const HOST_ACCESS_LEVEL: u32 = 4;
/// The feature level at which managers may lock themselves.
pub const AUTOLOCK_LEVEL: u32 = 5;
/// The feature level at which a rollback keeps the newest registry credentials.
pub const CREDENTIALS_LEVEL: u32 = 5;
/// The feature level at which ports that nodes need for themselves are refused to services.
pub const NODE_PORTS_LEVEL: u32 = 5;
/// The feature level at which tasks may be reached from nodes that are no managers.
pub const TASKS_FROM_LEVEL: u32 = 6;

/// Why there are none yet.
const NO_NETWORKS: &str = "networks need a swarmw that knows them on every manager";
/// The same.
const NO_JOBS: &str = "jobs need a swarmw that knows them on every manager";
/// The same.
const NO_GENERIC_RESOURCES: &str =
    "generic resources need a swarmw that knows them on every manager";
/// The same.
const NO_HOST_ACCESS: &str =
    "access of containers to their nodes needs a swarmw that knows it on every manager";
/// The same.
const NO_AUTOLOCK: &str = "autolock needs a swarmw that knows it on every manager";
/// The same.
const NO_TASKS_FROM: &str =
    "tasks reached from nodes that are no managers need a swarmw that knows it on every manager";
/// The same.
const NO_VERSIONS: &str =
    "versions of secrets and configs need a swarmw that knows them on every manager";

// === impl State ===

impl State {
    /// Whether all managers know networks.
    pub fn has_networks(&self) -> bool {
        self.has_level(NETWORKS_LEVEL)
    }

    /// Refuses what needs networks while a manager does not know them.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_networks(&self) -> Result<(), Refusal> {
        self.needs(NETWORKS_LEVEL, NO_NETWORKS)
    }

    /// The same for `apply`, which says nothing of nodes: replicas may know different
    /// things of what they run, as long as some of them are older.
    pub(crate) fn networks_are_known(&self) -> Result<(), Refusal> {
        self.is_known(NETWORKS_LEVEL, NO_NETWORKS)
    }

    /// Refuses a job while a manager does not know jobs.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_jobs(&self) -> Result<(), Refusal> {
        self.needs(JOBS_LEVEL, NO_JOBS)
    }

    /// The same for `apply`.
    pub(crate) fn jobs_are_known(&self) -> Result<(), Refusal> {
        self.is_known(JOBS_LEVEL, NO_JOBS)
    }

    /// Refuses reservations of generic resources while a manager does not know them.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_generic_resources(&self) -> Result<(), Refusal> {
        self.needs(GENERIC_RESOURCES_LEVEL, NO_GENERIC_RESOURCES)
    }

    /// The same for `apply`.
    pub(crate) fn generic_resources_are_known(&self) -> Result<(), Refusal> {
        self.is_known(GENERIC_RESOURCES_LEVEL, NO_GENERIC_RESOURCES)
    }

    /// Refuses settings of containers that Docker has no field for, while a manager does not
    /// know them.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_host_access(&self) -> Result<(), Refusal> {
        self.needs(HOST_ACCESS_LEVEL, NO_HOST_ACCESS)
    }

    /// The same for `apply`.
    pub(crate) fn host_access_is_known(&self) -> Result<(), Refusal> {
        self.is_known(HOST_ACCESS_LEVEL, NO_HOST_ACCESS)
    }

    /// Refuses that managers lock themselves while one does not know how.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_autolock(&self) -> Result<(), Refusal> {
        self.needs(AUTOLOCK_LEVEL, NO_AUTOLOCK)
    }

    /// The same for `apply`.
    pub(crate) fn autolock_is_known(&self) -> Result<(), Refusal> {
        self.is_known(AUTOLOCK_LEVEL, NO_AUTOLOCK)
    }

    /// Refuses versions of secrets and configs while a manager does not know them.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_versions(&self) -> Result<(), Refusal> {
        self.needs(VERSIONS_LEVEL, NO_VERSIONS)
    }

    /// The same for `apply`.
    pub(crate) fn versions_are_known(&self) -> Result<(), Refusal> {
        self.is_known(VERSIONS_LEVEL, NO_VERSIONS)
    }

    /// Refuses that tasks are reached from nodes that are no managers while a manager does not
    /// know it.
    ///
    /// # Errors
    /// The managers that do not, by their host names.
    pub fn needs_tasks_from(&self) -> Result<(), Refusal> {
        self.needs(TASKS_FROM_LEVEL, NO_TASKS_FROM)
    }

    /// The same for `apply`.
    pub(crate) fn tasks_from_is_known(&self) -> Result<(), Refusal> {
        self.is_known(TASKS_FROM_LEVEL, NO_TASKS_FROM)
    }

    /// Whether a service that is rolled back keeps the registry credentials that it has.
    pub(crate) fn rollbacks_keep_credentials(&self) -> bool {
        self.has_level(CREDENTIALS_LEVEL)
    }

    /// Whether services may not publish the ports that nodes need for themselves.
    pub(crate) fn ports_of_nodes_are_refused(&self) -> bool {
        self.has_level(NODE_PORTS_LEVEL)
    }

    fn has_level(&self, level: u32) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.feature_level >= level)
    }

    fn needs(&self, level: u32, why: &str) -> Result<(), Refusal> {
        if self.has_level(level) {
            return Ok(());
        }
        let late =
            |node: &&Arc<Node>| node.member.is_some() && node.description.feature_level < level;
        let late: Vec<_> = self.nodes.values().filter(late).map(|n| n.called()).collect();
        let who = match &late[..] {
            [] => "it is about to begin, try again".to_owned(),
            late => format!("these run an older one: {}", late.join(", ")),
        };
        Err(Refusal::rpc(RefusalKind::FailedPrecondition, format!("{why}; {who}")))
    }

    fn is_known(&self, level: u32, why: &str) -> Result<(), Refusal> {
        match self.has_level(level) {
            true => Ok(()),
            false => Err(Refusal::rpc(RefusalKind::FailedPrecondition, why)),
        }
    }
}
