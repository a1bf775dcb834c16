//! Nodes: joining, describing themselves, changing role, leaving.

use std::sync::Arc;

use swarmw_model::{
    Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState, RaftMember, Refusal, RefusalKind,
    TaskState, TaskStatus, Time, Version,
};

use super::{Context, Step, Stop};
use crate::{Dropped, Event, State};

impl State {
    pub(super) fn add_node(&mut self, node: &Node, context: &mut Context<'_>) -> Step {
        if let Some(member) = &node.member {
            self.next_raft_id = self.next_raft_id.max(member.raft_id + 1);
        }
        let number = self.number_for(node.id)?;
        if self.nodes.contains_key(&node.id) {
            return self.edit_node(node.id, context, |old| {
                old.member.clone_from(&node.member);
                old.status.addr.clone_from(&node.status.addr);
                old.role = node.role;
                old.spec.role = node.role;
                old.number = number;
            });
        }
        let node = Arc::new(Node {
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            number,
            ..node.clone()
        });
        if number > 0 {
            self.node_numbers.insert(number, node.id);
        }
        self.nodes.insert(node.id, node.clone());
        context.events.push(Event::Node { old: None, new: Some(node) });
        Ok(None)
    }

    pub(super) fn update_node(
        &mut self,
        id: NodeId,
        version: Version,
        spec: &NodeSpec,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.nodes.get(&id).ok_or_else(|| Refusal::not_found("node", id))?;
        if old.version != version {
            return Err(Refusal::out_of_sequence().into());
        }
        let demotes = old.spec.role == NodeRole::Manager && spec.role == NodeRole::Worker;
        if demotes && self.wanted_managers() == 1 {
            return Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                "attempting to demote the last manager of the swarm",
            )
            .into());
        }
        self.edit_node(id, context, |node| node.spec = spec.clone())
    }

    pub(super) fn register_node(
        &mut self,
        id: NodeId,
        description: &NodeDescription,
        addr: &str,
        context: &mut Context<'_>,
    ) -> Step {
        let Some(old) = self.nodes.get(&id) else {
            return Err(Dropped::Gone.into());
        };
        // Before the second feature level there may be managers that drop what came with it:
        // to them nothing has changed where only that differs. It is stored all the same, as
        // the level itself is raised by it.
        let same = old.status.addr == addr
            && old.status.state == NodeState::Ready
            && NodeDescription {
                feature_level: description.feature_level,
                data_path_address: description.data_path_address.clone(),
                gateway_v6: description.gateway_v6,
                kernel_ports: description.kernel_ports,
                ..old.description.clone()
            } == *description;
        if same {
            if old.description != *description {
                let mut node = Node::clone(old);
                node.description = description.clone();
                let (old, new) = (old.clone(), Arc::new(node));
                self.nodes.insert(id, new.clone());
                context.events.push(Event::Node { old: Some(old), new: Some(new) });
            }
            return Err(Dropped::Stale.into());
        }
        self.edit_node(id, context, |node| {
            node.description = description.clone();
            node.status.addr = addr.to_owned();
            node.status.state = NodeState::Ready;
            node.status.message.clear();
        })
    }

    pub(super) fn set_node_state(
        &mut self,
        id: NodeId,
        state: NodeState,
        message: &str,
        context: &mut Context<'_>,
    ) -> Step {
        let Some(old) = self.nodes.get(&id) else {
            return Err(Dropped::Gone.into());
        };
        if old.status.state == state && old.status.message == message {
            return Err(Dropped::Stale.into());
        }
        self.edit_node(id, context, |node| {
            node.status.state = state;
            node.status.message = message.to_owned();
        })
    }

    pub(super) fn set_node_role(
        &mut self,
        id: NodeId,
        role: NodeRole,
        member: Option<&RaftMember>,
        context: &mut Context<'_>,
    ) -> Step {
        let Some(old) = self.nodes.get(&id) else {
            return Err(Dropped::Gone.into());
        };
        let member = member.map(|wanted| {
            let held = old.member.as_ref().map(|m| m.raft_id);
            let raft_id = match wanted.raft_id {
                0 => held.unwrap_or_else(|| self.next_raft_id()),
                chosen => chosen,
            };
            RaftMember { raft_id, ..wanted.clone() }
        });
        if old.role == role && old.member == member {
            return Err(Dropped::Stale.into());
        }
        if let Some(member) = &member {
            self.next_raft_id = self.next_raft_id.max(member.raft_id + 1);
        }
        self.edit_node(id, context, |node| {
            node.role = role;
            node.member = member;
        })
    }

    pub(super) fn keep_manager(
        &mut self,
        id: NodeId,
        member: &RaftMember,
        context: &mut Context<'_>,
    ) -> Step {
        if !self.nodes.contains_key(&id) {
            return Err(Dropped::Gone.into());
        }
        let others: Vec<_> = self
            .nodes
            .values()
            .filter(|n| n.id != id)
            .filter(|n| {
                n.member.is_some()
                    || n.role == NodeRole::Manager
                    || n.spec.role == NodeRole::Manager
            })
            .map(|n| n.id)
            .collect();
        for other in others {
            self.edit_node(other, context, |node| {
                node.spec.role = NodeRole::Worker;
                node.role = NodeRole::Worker;
                node.member = None;
            })?;
        }
        self.edit_node(id, context, |node| {
            node.spec.role = NodeRole::Manager;
            node.role = NodeRole::Manager;
            node.member = Some(member.clone());
        })
    }

    pub(super) fn remove_node(
        &mut self,
        id: NodeId,
        force: bool,
        deny_until: Time,
        context: &mut Context<'_>,
    ) -> Step {
        let node = self.nodes.get(&id).cloned().ok_or_else(|| Refusal::not_found("node", id))?;
        let refuse = |why: String| Stop::from(Refusal::rpc(RefusalKind::FailedPrecondition, why));
        if node.spec.role == NodeRole::Manager || node.member.is_some() {
            return Err(refuse(format!(
                "node {id} is a cluster manager and is a member of the raft cluster. \
                 It must be demoted to worker before removal"
            )));
        }
        if node.status.state == NodeState::Ready && !force {
            return Err(refuse(format!("node {id} is not down and can't be removed")));
        }
        let orphans: Vec<_> = self
            .tasks_of_node(id)
            .filter(|t| t.status.state < TaskState::Complete)
            .map(|t| t.id)
            .collect();
        for task in orphans {
            let status = TaskStatus {
                timestamp: context.at,
                state: TaskState::Orphaned,
                message: "node removed".into(),
                ..TaskStatus::default()
            };
            self.edit_task(task, context, |t| t.status = status)?;
        }
        for attachment in self.attachments_of_node(id).map(|a| a.id).collect::<Vec<_>>() {
            self.remove_attachment(attachment, context)?;
        }
        self.nodes.remove(&id);
        self.node_numbers.remove(&node.number);
        context.events.push(Event::Node { old: Some(node), new: None });
        let now = context.at;
        self.edit_cluster(context, |cluster| {
            cluster.removed_nodes.retain(|_, until| *until > now);
            cluster.removed_nodes.insert(id.to_string(), deny_until);
        })
    }

    pub(super) fn edit_node(
        &mut self,
        id: NodeId,
        context: &mut Context<'_>,
        edit: impl FnOnce(&mut Node),
    ) -> Step {
        let Some(slot) = self.nodes.get_mut(&id) else {
            return Err(Dropped::Gone.into());
        };
        let old = slot.clone();
        let node = Arc::make_mut(slot);
        edit(node);
        node.version = context.version;
        node.updated_at = context.at;
        if node.number > 0 {
            self.node_numbers.insert(node.number, id);
        }
        context.events.push(Event::Node { old: Some(old), new: Some(slot.clone()) });
        Ok(None)
    }
}
