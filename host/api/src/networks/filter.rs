//! The filters of `GET /networks`.

use swarmw_model::{Filters, Refusal};

use super::resource::Resource;

/// Those that look at a network alone, not at who is on it.
pub(crate) const FILTERS_OF_ONE: &[&str] = &["driver", "id", "label", "name", "scope", "type"];
/// Their keys.
pub(super) const KEYS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];
const TYPES: [&str; 2] = ["builtin", "custom"];

/// Refuses words that say nothing.
pub(crate) fn check(filters: &Filters) -> Result<(), Refusal> {
    for (key, known) in [("type", &TYPES[..]), ("dangling", &["true", "false", "1", "0"])] {
        let wrong = filters.values(key).iter().find(|value| !known.contains(&value.as_str()));
        if let Some(wrong) = wrong {
            return Err(Refusal::invalid(format!("invalid filter '{key}={wrong}'")));
        }
    }
    Ok(())
}

/// Whether a network of the cluster is wanted.
pub(super) fn passes(filters: &Filters, network: &Resource, used: bool) -> bool {
    filters.any("id", |id| network.id.starts_with(id))
        && filters.any("name", |name| network.name.contains(name))
        && filters.any("driver", |driver| network.driver == driver)
        && filters.any("scope", |scope| network.scope == scope)
        && filters.any("type", |kind| kind == "custom")
        && filters.any("dangling", |wanted| matches!(wanted, "true" | "1") != used)
        && filters.labels("label", &network.labels)
}
