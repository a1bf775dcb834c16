//! What is routed where.

use std::sync::Arc;

use swarmw_model::{PluginClaim, PluginKind, Routing};

use crate::loaded::Loaded;

/// From expressions and names to plugins.
#[derive(Default)]
pub struct Routes {
    constraints: Vec<Arc<Loaded>>,
    others: Vec<Arc<Loaded>>,
    routing: Routing,
}

impl Routes {
    /// Routes to these plugins.
    pub fn new(plugins: &[Arc<Loaded>]) -> Self {
        let (constraints, others): (Vec<_>, Vec<_>) =
            plugins.iter().cloned().partition(|l| l.plugin.kind == PluginKind::Constraint);
        let routing = Routing::of(constraints.iter().map(|l| &l.plugin));
        Self { routing, others, constraints }
    }

    /// The plugin that claims a name of a kind.
    pub fn name(&self, kind: PluginKind, name: &str) -> Option<&Arc<Loaded>> {
        let claims =
            |l: &Loaded| l.claims().iter().any(|c| matches!(c, PluginClaim::Name(n) if n == name));
        self.others.iter().find(|l| l.plugin.kind == kind && claims(l))
    }

    /// All names of a kind, sorted.
    pub fn names(&self, kind: PluginKind) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .others
            .iter()
            .filter(|l| l.plugin.kind == kind)
            .flat_map(|l| l.claims())
            .filter_map(|c| match c {
                PluginClaim::Name(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names
    }

    /// The plugins that constraints can go to.
    pub fn constraints(&self) -> &[Arc<Loaded>] {
        &self.constraints
    }

    /// The plugin that claims a constraint.
    pub fn constraint(&self, expression: &str) -> Option<&Arc<Loaded>> {
        self.routing.constraint(&self.constraints, |l| &l.plugin, expression)
    }
}
