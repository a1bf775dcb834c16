//! Which changes a reader wants, and how their objects are shown.

use std::sync::Arc;

use serde_json::{Value, json};

use swarmw_model::{ConfigId, Filters, Plugin, Refusal, SecretId};
use swarmw_state::{Event, State};

use super::line::{Action, Change};
use crate::api::Host;
use crate::body::Params;
use crate::data::{self, Answered};
use crate::reply::Reply;
use crate::version::MAXIMUM;
use crate::{listing, networks, nodes, services, swarm, tasks, volumes};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cluster,
    Node,
    Service,
    Task,
    Network,
    Volume,
    Secret,
    Config,
    Plugin,
}

/// What a reader wants.
pub(super) struct Wanted {
    kinds: Vec<Kind>,
    filters: Filters,
    tasks: tasks::Wanted,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Node,
        Self::Service,
        Self::Task,
        Self::Network,
        Self::Volume,
        Self::Secret,
        Self::Config,
        Self::Plugin,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Service => "service",
            Self::Task => "task",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Plugin => "plugin",
        }
    }

    fn of(word: &str) -> Result<Self, Refusal> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let known = Self::ALL.map(Self::word).join(", ");
            Refusal::invalid(format!("invalid kind {word:?}: want some of {known}"))
        })
    }

    /// Filters that an object passes or not by itself alone.
    fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Cluster => &[],
            Self::Node => nodes::FILTERS,
            Self::Service => services::FILTERS,
            Self::Task => tasks::FILTERS_OF_ONE,
            Self::Network => networks::FILTERS_OF_ONE,
            Self::Volume => &["driver", "label", "name"],
            Self::Secret => SecretId::FILTERS,
            Self::Config => ConfigId::FILTERS,
            Self::Plugin => &["id", "name"],
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// What the parameters of a watch say.
    pub(super) fn of(params: &Params<'_>, state: &State) -> Reply<Self> {
        let kinds = match params.get("kinds") {
            "" => Kind::ALL.to_vec(),
            words => words.split(',').map(Kind::of).collect::<Result<_, _>>()?,
        };
        let everywhere = |key: &&str| kinds.iter().all(|kind| kind.filters().contains(key));
        let known: Vec<_> =
            kinds[0].filters().iter().copied().filter(|key| everywhere(key)).collect();
        let filters = params.filters(&known)?;
        for kind in &kinds {
            match kind {
                Kind::Node => nodes::check(&filters)?,
                Kind::Service => services::check(&filters)?,
                Kind::Network => networks::check(&filters)?,
                _ => {}
            }
        }
        let tasks = tasks::Wanted::of(state, filters.clone())?;
        Ok(Self { kinds, filters, tasks })
    }

    /// How an event is told; `None` where it is not wanted.
    pub(super) fn change(&self, event: &Event, host: &Host, state: &Arc<State>) -> Option<Change> {
        let filters = &self.filters;
        match event {
            Event::Cluster => self.cluster(host, state),
            Event::Node { old, new } => {
                self.told(Kind::Node, (old, new), |n| nodes::passes(filters, n), nodes::replicated)
            }
            Event::Service { old, new } => self.told(
                Kind::Service,
                (old, new),
                |service| services::passes(filters, service),
                services::shown,
            ),
            Event::Task { old, new } => self.told(
                Kind::Task,
                (old, new),
                |task| self.tasks.passes(state, task),
                |task| tasks::shown(state, task, MAXIMUM),
            ),
            Event::Network { old, new } => self.told(
                Kind::Network,
                (old, new),
                |network| networks::passes(filters, network),
                networks::resource,
            ),
            Event::Volume { old, new } => self.told(
                Kind::Volume,
                (old, new),
                |volume| volumes::passes(filters, volume),
                |volume| volumes::shown(state, volume),
            ),
            Event::Secret { old, new } => self.told(
                Kind::Secret,
                (old, new),
                |secret| data::passes(filters, secret),
                SecretId::shown,
            ),
            Event::Config { old, new } => self.told(
                Kind::Config,
                (old, new),
                |config| data::passes(filters, config),
                ConfigId::shown,
            ),
            Event::Plugin { old, new } => self.told(
                Kind::Plugin,
                (old, new),
                |plugin| passes_plugin(filters, plugin),
                |plugin| json!(plugin),
            ),
            // Containers that no service made are shown with their networks only.
            Event::Attachment { .. } => None,
        }
    }

    /// Without join tokens: who watches is rarely who lets nodes in.
    fn cluster(&self, host: &Host, state: &State) -> Option<Change> {
        let cluster = state.cluster().filter(|_| self.kinds.contains(&Kind::Cluster))?;
        let object = swarm::shown(host, cluster);
        Some(Change { kind: Kind::Cluster, action: Action::Update, object })
    }

    fn told<T>(
        &self,
        kind: Kind,
        (old, new): (&Option<Arc<T>>, &Option<Arc<T>>),
        passes: impl Fn(&T) -> bool,
        show: impl Fn(&T) -> Value,
    ) -> Option<Change> {
        if !self.kinds.contains(&kind) {
            return None;
        }
        let [was, is] = [old, new].map(|object| object.as_deref().is_some_and(&passes));
        let action = match (was, is) {
            (false, true) => Action::Create,
            (true, true) => Action::Update,
            (true, false) => Action::Remove,
            (false, false) => return None,
        };
        let object = show(new.as_deref().or(old.as_deref())?);
        Some(Change { kind, action, object })
    }
}

fn passes_plugin(filters: &Filters, plugin: &Plugin) -> bool {
    listing::prefix(filters, "id", &plugin.id.to_string())
        && listing::prefix(filters, "name", &plugin.name)
}
