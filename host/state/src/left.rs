//! What services ask of a plugin that goes: what would be left without an answer, or with
//! one that nobody agreed to.

use std::sync::Arc;

use swarmw_model::{GrantRequest, Plugin, PluginKind, PluginState, Routing, Service};

use crate::State;

/// A service that a plugin cannot leave.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) service: Arc<Service>,
    /// Who would answer a constraint of it instead, without the operator's word.
    pub(crate) to: Option<Heir>,
}

/// A plugin that may have a constraint once the operator agrees to its claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Heir {
    pub(crate) name: String,
    /// As `--grant claim=…` names it.
    pub(crate) claim: String,
}

impl State {
    /// The services that a plugin cannot leave, by name. Constraints that the built-in
    /// one answers, or one with the operator's consent to its claim, go to that.
    pub(crate) fn left_without(&self, plugin: &Plugin) -> Vec<Left> {
        let users = self.users_of_plugin(plugin);
        if plugin.kind != PluginKind::Constraint {
            return users.into_iter().map(|service| Left { service, to: None }).collect();
        }
        let all = self.constraint_plugins();
        let others: Vec<&Plugin> = all.iter().copied().filter(|p| p.id != plugin.id).collect();
        let (now, then) = (Routing::of(all.iter().copied()), Routing::of(others.iter().copied()));
        // Outer: whether it is left; inner: to whom.
        let left = |text: &String| -> Option<Option<Heir>> {
            now.constraint(&all, |p| p, text).filter(|p| p.id == plugin.id)?;
            let next = then.constraint(&others, |p| p, text);
            match next.filter(|next| then.answers(next, text)) {
                None => Some(None),
                Some(next) if next.status.state != PluginState::Enabled => Some(None),
                Some(next) if takes_over(&then, next, text) => None,
                Some(next) => Some(then.claimed(next, text).map(|claim| {
                    let name = next.name.clone();
                    Heir { name, claim }
                })),
            }
        };
        let of = |service: Arc<Service>| {
            let texts = service.spec.task_template.constraints();
            let mut lefts: Vec<_> = texts.iter().filter_map(left).collect();
            lefts.extend(self.sets_option_of(plugin, &service.spec).then_some(None));
            // What nobody answers goes before what somebody would.
            lefts.sort();
            let to = lefts.into_iter().next()?;
            Some(Left { service, to })
        };
        users.into_iter().filter_map(of).collect()
    }
}

/// Whether a plugin may have what another no longer answers: what is Swarm's own goes to
/// the built-in one, as it did before there was any other.
fn takes_over(routing: &Routing, next: &Plugin, text: &str) -> bool {
    let granted = |claim: String| {
        let claim = GrantRequest::Claim(claim);
        next.release.granted.iter().any(|power| power.covers(&claim))
    };
    next.built_in || routing.claimed(next, text).is_some_and(granted)
}
