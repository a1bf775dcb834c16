//! How a transaction changes the state. Deterministic: see the crate's head.

mod cluster;
mod data;
mod network;
mod node;
mod plugin;
mod rollout;
mod rotate;
mod service;
mod task;
mod volume;

use std::sync::Arc;

use swarmw_model::{Refusal, RequestId, Time, Version};

use crate::tables::REQUESTS_KEPT;
use crate::{Change, Dropped, Event, Outcome, State, Transaction};

/// What a transaction did.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// One per change, in order.
    pub outcomes: Vec<Outcome>,
    /// What changed, in order.
    pub events: Vec<Event>,
}

/// Why a change was not carried out.
pub(crate) enum Stop {
    Refused(Refusal),
    Dropped(Dropped),
}

pub(crate) type Step = Result<Option<swarmw_model::Id>, Stop>;

/// What a change needs to know besides the state.
pub(crate) struct Context<'a> {
    pub(crate) at: Time,
    pub(crate) version: Version,
    pub(crate) events: &'a mut Vec<Event>,
}

// === impl State ===

impl State {
    /// Applies the log's entry `index`.
    pub fn apply(&mut self, index: u64, transaction: &Transaction) -> Applied {
        self.index = index;
        if let Some(outcomes) = transaction.request.and_then(|id| self.requests.get(&id)) {
            return Applied { outcomes: outcomes.to_vec(), events: Vec::new() };
        }
        let mut applied = Applied::default();
        for change in &transaction.changes {
            let context = &mut Context {
                at: transaction.at,
                version: Version { index },
                events: &mut applied.events,
            };
            let done = self.change(change, context);
            self.let_networks_go(context);
            applied.outcomes.push(match done {
                Ok(made) => Outcome::Done(made),
                Err(Stop::Dropped(why)) => Outcome::Dropped(why),
                Err(Stop::Refused(why)) => Outcome::Refused(why),
            });
        }
        if let Some(request) = transaction.request {
            self.remember(request, &applied.outcomes);
        }
        applied
    }

    fn change(&mut self, change: &Change, context: &mut Context<'_>) -> Step {
        match change {
            Change::InitCluster { cluster, node, plugins } => {
                self.init_cluster(cluster, node, plugins, context)
            }
            Change::UpdateCluster { version, spec, rotate, unlock_key } => {
                self.update_cluster(*version, spec, rotate, unlock_key.as_ref(), context)
            }
            Change::RaiseFeatureLevel(level) => self.raise_feature_level(*level, context),
            Change::AddNode(node) => self.add_node(node, context),
            Change::UpdateNode { id, version, spec } => {
                self.update_node(*id, *version, spec, context)
            }
            Change::RegisterNode { id, description, addr } => {
                self.register_node(*id, description, addr, context)
            }
            Change::SetNodeState { id, state, message } => {
                self.set_node_state(*id, *state, message, context)
            }
            Change::SetNodeRole { id, role, member } => {
                self.set_node_role(*id, *role, member.as_ref(), context)
            }
            Change::KeepManager { id, member } => self.keep_manager(*id, member, context),
            Change::RemoveNode { id, force, deny_until } => {
                self.remove_node(*id, *force, *deny_until, context)
            }
            Change::CreateService { id, spec } => self.create_service(*id, spec, context),
            Change::UpdateService { id, version, spec } => {
                self.update_service(*id, *version, spec, context)
            }
            Change::RollbackService { id, version, message } => {
                self.rollback_service(*id, *version, message, context)
            }
            Change::RemoveService { id } => self.remove_service(*id, context),
            Change::SetEndpoint { service, version, ports, virtual_ips } => {
                self.set_endpoint(*service, *version, ports, virtual_ips.as_deref(), context)
            }
            Change::SetUpdateStatus { service, spec_version, status } => {
                self.set_update_status(*service, *spec_version, status.as_ref(), context)
            }
            Change::StepRollout(step) => self.step_rollout(step),
            Change::CreateTask(task) => self.create_task(task, context),
            Change::Task(change) => self.change_task(change, context),
            Change::RemoveTask(id) => self.remove_task(*id, context),
            Change::AddPlugin(plugin) => self.add_plugin(plugin, context),
            Change::UpgradePlugin { id, serving, release, hold, version } => {
                self.plugin_is(*id, *version)?;
                self.upgrade_plugin(*id, serving, release, *hold, context)
            }
            Change::PromotePlugin { id, candidate, granted, version } => {
                self.plugin_is(*id, *version)?;
                self.promote_plugin(*id, candidate, granted, context)
            }
            Change::DropCandidate(id) => self.drop_candidate(*id, context),
            Change::SetPluginState { id, state, message, force } => {
                self.set_plugin_state(*id, *state, message, *force, context)
            }
            Change::PluginTrouble { id, digest, message } => {
                self.plugin_trouble(*id, digest, message, context)
            }
            Change::CreateVolume(volume) => self.create_volume(volume, context),
            Change::GiveUpVolume(id) => self.give_up_volume(*id, context),
            Change::RemoveVolume(id) => self.remove_volume(*id, context),
            Change::ClaimVolume { volume, task, claims } => {
                self.claim_volume(*volume, *task, *claims, context)
            }
            Change::ReleaseVolume { volume, epoch } => {
                self.release_volume(*volume, *epoch, context)
            }
            Change::RemovePlugin(id) => self.remove_plugin(*id, context),
            Change::CreateSecret(secret) => self.create_data(secret, context),
            Change::UpdateSecret { id, version, spec } => {
                self.update_data(*id, *version, spec, context)
            }
            Change::RemoveSecret(id) => self.remove_secret(*id, context),
            Change::RotateSecret(rotation) => self.rotate(rotation, context),
            Change::CreateConfig(config) => self.create_data(config, context),
            Change::UpdateConfig { id, version, spec } => {
                self.update_data(*id, *version, spec, context)
            }
            Change::RemoveConfig(id) => self.remove_config(*id, context),
            Change::RotateConfig(rotation) => self.rotate(rotation, context),
            Change::CreateNetwork(network) => self.create_network(network, context),
            Change::RemoveNetwork(id) => self.remove_network(*id, context),
            Change::GrowNetwork { id, version, pools } => {
                self.grow_network(*id, *version, pools, context)
            }
            Change::AddAttachment(attachment) => self.add_attachment(attachment, context),
            Change::NameAttachment { id, container, names } => {
                self.name_attachment(*id, container, names, context)
            }
            Change::RemoveAttachment(id) => self.remove_attachment(*id, context),
        }
    }

    fn remember(&mut self, request: RequestId, outcomes: &[Outcome]) {
        while self.request_order.len() >= REQUESTS_KEPT {
            if let Some(oldest) = self.request_order.pop_front() {
                self.requests.remove(&oldest);
            }
        }
        self.request_order.push_back(request);
        self.requests.insert(request, Arc::new(outcomes.to_vec()));
    }
}

// === impl Stop ===

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<Dropped> for Stop {
    fn from(why: Dropped) -> Self {
        Self::Dropped(why)
    }
}
