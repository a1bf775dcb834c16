//! What services ask of plugins when another one comes: what it would take, and from
//! whom.

use std::collections::BTreeMap;

use swarmw_model::{
    Asked, Before, Consent, ConsentError, GrantRequest, Plugin, PluginClaim, PluginGrant,
    PluginKind, PluginState, PluginStatus, Powers, Routing,
};

use crate::State;
use crate::users::drivers;

/// Expressions named for one claim; of more their number is told.
const TAKEN_NAMED: usize = 5;
/// How engines call their volume plugins.
const ENGINE_VOLUME: &str = "Volume";

/// Something that a service uses.
struct Use {
    text: String,
    service: String,
    from: String,
}

impl State {
    /// What a plugin, as it would stand, asks of the operator. One that is disabled takes
    /// nothing before it is enabled, which asks then.
    pub fn asked_by<'a>(&self, plugin: &'a Plugin) -> Asked<'a> {
        let metadata = &plugin.release.metadata;
        let taken = match plugin.status.state {
            PluginState::Disabled => Vec::new(),
            PluginState::Enabled | PluginState::Quarantined => self.taken_by(plugin),
        };
        Asked { powers: &metadata.grants, claims: &metadata.claims, taken }
    }

    /// What becomes of the powers that the candidate of a plugin asks for; `None` where
    /// there is no candidate.
    pub fn candidate_powers(
        &self,
        plugin: &Plugin,
        consent: &Consent,
    ) -> Option<Result<Powers, ConsentError>> {
        let offered = plugin.with_candidate()?;
        // What was granted when it was offered counts.
        let before =
            Before { granted: &offered.release.granted, asked: &plugin.release.metadata.grants };
        Some(consent.powers(&plugin.name, &self.asked_by(&offered), before))
    }

    /// The claims by which a plugin, as it would stand, takes what services use from
    /// whoever answers it now; the reasons tell what, of whom and from whom.
    pub fn taken_by(&self, plugin: &Plugin) -> Vec<PluginGrant> {
        let mut taken = BTreeMap::new();
        match plugin.kind {
            PluginKind::Constraint => self.constraints_taken(plugin, &mut taken),
            PluginKind::VolumeDriver => self.drivers_taken(plugin, &mut taken),
            // Their names have one owner, and services cannot name what nobody owns.
            PluginKind::Preference | PluginKind::UpdatePolicy => {}
        }
        let grant = |(claim, uses): (String, Vec<Use>)| PluginGrant {
            request: GrantRequest::Claim(claim),
            reason: told(&uses),
        };
        taken.into_iter().map(grant).collect()
    }

    fn constraints_taken(&self, plugin: &Plugin, taken: &mut BTreeMap<String, Vec<Use>>) {
        let now = self.constraint_plugins();
        // It is asked what it takes when it is called.
        let plugin = Plugin { status: PluginStatus::default(), ..plugin.clone() };
        // A component that is added may be another version of one that is there.
        let others = now.iter().copied().filter(|p| p.name != plugin.name);
        let then: Vec<&Plugin> = others.chain([&plugin]).collect();
        let (before, after) = (Routing::of(now.iter().copied()), Routing::of(then.iter().copied()));
        for service in self.services() {
            for text in service.spec.task_template.constraints() {
                let Some(owner) = before.constraint(&now, |p| p, text) else { continue };
                let Some(next) = after.constraint(&then, |p| p, text) else { continue };
                if owner.name == next.name
                    || owner.name == plugin.name
                    || !before.answers(owner, text)
                {
                    continue;
                }
                // Its operators may end a key earlier than those that were there.
                let claim = match next.name == plugin.name {
                    true => after.claimed(&plugin, text),
                    false => {
                        after.operator(text).map(|o| PluginClaim::Operator(o.into()).pattern(None))
                    }
                };
                taken.entry(claim.unwrap_or_default()).or_default().push(Use {
                    text: text.clone(),
                    service: service.spec.name.clone(),
                    from: match next.name == plugin.name {
                        true => owner.name.clone(),
                        false => format!("{} to {}", owner.name, next.name),
                    },
                });
            }
        }
    }

    /// The engines' own plugins serve the names that nobody claims.
    fn drivers_taken(&self, plugin: &Plugin, taken: &mut BTreeMap<String, Vec<Use>>) {
        let engines = |name: &str| {
            let mut plugins = self.nodes().flat_map(|n| &n.description.engine.plugins);
            plugins.any(|p| p.kind == ENGINE_VOLUME && p.name == name)
        };
        let claimed = |name: &str| {
            self.plugins().any(|p| p.kind == PluginKind::VolumeDriver && p.claims_name(name))
        };
        for service in self.services() {
            for driver in drivers(&service.spec) {
                if plugin.claims_name(driver) && !claimed(driver) && engines(driver) {
                    taken.entry(driver.to_owned()).or_default().push(Use {
                        text: format!("volumes of {driver}"),
                        service: service.spec.name.clone(),
                        from: "the container engines' own plugin".to_owned(),
                    });
                }
            }
        }
    }

    pub(crate) fn constraint_plugins(&self) -> Vec<&Plugin> {
        self.plugins().map(|p| &**p).filter(|p| p.kind == PluginKind::Constraint).collect()
    }
}

/// `takes a==b of web, c==d of api and 2 more from swarmw/constraint`.
fn told(uses: &[Use]) -> String {
    let mut by_owner: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    uses.iter().for_each(|taken| by_owner.entry(&taken.from).or_default().push(taken));
    let each = by_owner.into_iter().map(|(owner, uses)| {
        let named = uses.iter().take(TAKEN_NAMED).map(|u| format!("{} of {}", u.text, u.service));
        let more = uses.len().saturating_sub(TAKEN_NAMED);
        let more = (more > 0).then(|| format!("{more} more"));
        let list: Vec<_> = named.chain(more).collect();
        let list = match &list[..] {
            [head @ .., last] if !head.is_empty() => format!("{} and {last}", head.join(", ")),
            all => all.concat(),
        };
        format!("{list} from {owner}")
    });
    format!("takes {}", each.collect::<Vec<_>>().join("; "))
}
