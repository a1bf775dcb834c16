//! The order in which services are made: each behind those that it depends on.

use std::collections::BTreeSet;

use crate::project::Project;
use crate::trouble::Trouble;

/// The services' names in their order. What Docker's format says of dependencies never
/// bound anyone, so its circles and its unknown names are let be.
pub(super) fn ordered(project: &Project) -> Result<Vec<&str>, Trouble> {
    let is_strict = project.version.is_empty();
    let mut done: Vec<&str> = Vec::new();
    let mut waiting: BTreeSet<&str> = project.services.keys().map(String::as_str).collect();
    for service in project.services.values() {
        for (name, dependency) in &service.depends_on {
            let is_wanted = dependency.required && (is_strict || dependency.is_long);
            if is_wanted && !project.services.contains_key(name) {
                return Err(Trouble::at(
                    &service.at,
                    format!(
                        "service {}: depends on {name:?}, which no file has, or no active profile",
                        service.name
                    ),
                ));
            }
        }
    }
    while !waiting.is_empty() {
        let is_free = |name: &&&str| {
            let needs = project.services[**name].depends_on.keys();
            needs.into_iter().all(|need| need == **name || !waiting.contains(need.as_str()))
        };
        let next = match waiting.iter().find(is_free) {
            Some(name) => *name,
            None if is_strict => {
                let names: Vec<_> = waiting.iter().copied().collect();
                let at = waiting.first().map(|name| project.services[*name].at.clone());
                return Err(Trouble {
                    at,
                    message: format!("services depend on each other: {}", names.join(", ")),
                });
            }
            None => match waiting.first() {
                Some(name) => *name,
                None => break,
            },
        };
        waiting.remove(next);
        done.push(next);
    }
    Ok(done)
}
