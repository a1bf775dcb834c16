//! Preferences of all plugins in one order, split between Docker's field and ours.

use std::sync::Arc;

use swarmw_model::{
    PlacedPreference, PlacementPreference, Preference, ServiceSpec, SpreadOver, SwarmwOptions,
};

/// The one preference that Docker's API has a field for.
const SPREAD: &str = "spread";

/// Sets all preferences of a service, outermost first.
pub(super) fn set_preferences(spec: &mut ServiceSpec, all: Vec<Preference>) {
    let (mut docker, mut ours) = (Vec::new(), Vec::new());
    for preference in all {
        if preference.name == SPREAD {
            docker.push(PlacementPreference {
                spread: Some(SpreadOver { spread_descriptor: preference.argument }),
            });
        } else {
            ours.push(PlacedPreference {
                preference,
                after: u32::try_from(docker.len()).unwrap_or(u32::MAX),
            });
        }
    }
    let placement = &mut Arc::make_mut(&mut spec.task_template).placement;
    if !docker.is_empty() || placement.is_some() {
        placement.get_or_insert_default().preferences = docker;
    }
    change_options(spec, |options| options.preferences = ours);
}

/// Changes the settings that Docker has no field for. A spec that never had any
/// stays without; one that loses its last keeps an empty object, which clears
/// what is stored.
pub(super) fn change_options(spec: &mut ServiceSpec, change: impl FnOnce(&mut SwarmwOptions)) {
    let mut options = spec.swarmw.clone().unwrap_or_default();
    change(&mut options);
    if spec.swarmw.is_some() || options != SwarmwOptions::default() {
        spec.swarmw = Some(options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preference(text: &str) -> Preference {
        crate::parse::placement_preference(text).expect(text)
    }

    #[test]
    fn order_survives_the_split() {
        let all: Vec<_> =
            ["rack=1", "spread=a", "best=2", "near=3", "spread=b"].map(preference).into();
        let mut spec = ServiceSpec::default();
        set_preferences(&mut spec, all.clone());
        assert_eq!(spec.preferences(), all);
        let after: Vec<_> =
            spec.swarmw.iter().flat_map(|o| o.preferences.iter().map(|p| p.after)).collect();
        assert_eq!(after, [0, 1, 1]);
    }

    #[test]
    fn an_empty_object_stays_only_where_it_clears_something() {
        let mut spec = ServiceSpec::default();
        set_preferences(&mut spec, vec![preference("spread=a")]);
        assert_eq!(spec.swarmw, None);
        set_preferences(&mut spec, vec![preference("near=x")]);
        set_preferences(&mut spec, Vec::new());
        assert_eq!(spec.swarmw, Some(SwarmwOptions::default()));
        assert!(spec.preferences().is_empty());
    }
}
