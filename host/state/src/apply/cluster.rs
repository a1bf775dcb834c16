//! The cluster's own settings.

use std::sync::Arc;

use swarmw_model::{
    Cluster, ClusterOptions, ClusterSpec, JoinTokens, Node, Plugin, Refusal, RefusalKind,
    TasksFrom, UnlockKey, Version,
};

use super::{Context, Step};
use crate::{Dropped, Event, State};

impl State {
    pub(super) fn init_cluster(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        plugins: &[Plugin],
        context: &mut Context<'_>,
    ) -> Step {
        if self.cluster.is_some() {
            return Err(
                Refusal::rpc(RefusalKind::AlreadyExists, "the cluster exists already").into()
            );
        }
        let (before, told) = (self.clone(), context.events.len());
        let founded = self.found(cluster, node, plugins, context);
        if founded.is_err() {
            *self = before;
            context.events.truncate(told);
        }
        founded
    }

    fn found(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        plugins: &[Plugin],
        context: &mut Context<'_>,
    ) -> Step {
        self.cluster = Some(Arc::new(Cluster {
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            ..cluster.clone()
        }));
        context.events.push(Event::Cluster);
        if self.has_networks() {
            self.begin_networks(context)?;
        }
        self.add_node(node, context)?;
        for plugin in plugins {
            self.add_plugin(plugin, context)?;
        }
        Ok(None)
    }

    pub(super) fn update_cluster(
        &mut self,
        version: Version,
        spec: &ClusterSpec,
        rotate: &JoinTokens,
        unlock_key: Option<&UnlockKey>,
        context: &mut Context<'_>,
    ) -> Step {
        let Some(old) = &self.cluster else {
            return Err(Dropped::Gone.into());
        };
        if old.version != version {
            return Err(Refusal::out_of_sequence().into());
        }
        let rotated = |new: &String, old: &String| if new.is_empty() { old } else { new }.clone();
        let join_tokens = JoinTokens {
            worker: rotated(&rotate.worker, &old.join_tokens.worker),
            manager: rotated(&rotate.manager, &old.join_tokens.manager),
        };
        let mut spec = spec.clone();
        // Clients that do not know the object post a spec without it.
        if spec.swarmw.is_none() {
            spec.swarmw.clone_from(&old.spec.swarmw);
        }
        spec.swarmw = spec.swarmw.filter(|options| *options != ClusterOptions::default());
        if spec.swarmw.is_some() {
            self.host_access_is_known()?;
        }
        if spec.tasks_from() != TasksFrom::default() {
            self.tasks_from_is_known()?;
        }
        let unlock_key = self.unlock_key(&spec, unlock_key)?;
        self.edit_cluster(context, |c| {
            c.spec = spec;
            c.unlock_key = unlock_key;
            c.join_tokens = join_tokens;
        })
    }

    /// The key that goes with the settings: none, another one, or the one that is there.
    fn unlock_key(
        &self,
        spec: &ClusterSpec,
        new: Option<&UnlockKey>,
    ) -> Result<Option<UnlockKey>, Refusal> {
        if !spec.encryption.auto_lock_managers {
            return Ok(None);
        }
        self.autolock_is_known()?;
        let present = self.cluster.as_ref().and_then(|c| c.unlock_key.as_ref());
        match new.or(present) {
            Some(key) => Ok(Some(key.clone())),
            None => Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                "managers that lock themselves need an unlock key",
            )),
        }
    }

    pub(super) fn raise_feature_level(&mut self, level: u32, context: &mut Context<'_>) -> Step {
        if self.cluster.as_ref().is_some_and(|c| c.feature_level >= level) {
            return Err(Dropped::Stale.into());
        }
        let had_networks = self.has_networks();
        self.edit_cluster(context, |c| c.feature_level = level)?;
        if self.has_networks() && !had_networks {
            self.number_nodes(context)?;
            self.begin_networks(context)?;
        }
        Ok(None)
    }

    pub(super) fn edit_cluster(
        &mut self,
        context: &mut Context<'_>,
        edit: impl FnOnce(&mut Cluster),
    ) -> Step {
        let Some(cluster) = &mut self.cluster else {
            return Err(Dropped::Gone.into());
        };
        let cluster = Arc::make_mut(cluster);
        edit(cluster);
        cluster.version = context.version;
        cluster.updated_at = context.at;
        context.events.push(Event::Cluster);
        Ok(None)
    }
}
