//! Takes the tree of a Compose file for what it means.

mod deploy;
mod mounts;
mod networks;
mod objects;
mod ports;
mod service;

pub(crate) use mounts::{absolute, short as short_mount};

use crate::fields::{Fields, Found, Notes};
use crate::node::Node;
use crate::project::Project;

/// Letters of the names that users give to services, networks and the like.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Reads a whole file, or several that were merged.
pub(crate) fn project(node: &Node, around: &Around<'_>, notes: &mut Notes) -> Project {
    let mut fields = Fields::new(node, "");
    let mut project = Project {
        name: fields.text("name", notes),
        version: fields.text("version", notes),
        ..Project::default()
    };
    if let Some(found) = fields.take("services") {
        for (name, at, found) in named(&found, notes) {
            let service = service::service(&name, at, &found, around, notes);
            project.services.insert(name, service);
        }
    }
    if let Some(found) = fields.take("networks") {
        for (name, _, found) in named(&found, notes) {
            project.networks.insert(name.clone(), networks::network(&name, &found, notes));
        }
    }
    if let Some(found) = fields.take("volumes") {
        for (name, _, found) in named(&found, notes) {
            project.volumes.insert(name.clone(), networks::volume(&name, &found, notes));
        }
    }
    if let Some(found) = fields.take("secrets") {
        for (name, _, found) in named(&found, notes) {
            let object = objects::object(objects::SECRET, &name, &found, around, notes);
            project.secrets.insert(name, object);
        }
    }
    if let Some(found) = fields.take("configs") {
        for (name, _, found) in named(&found, notes) {
            let object = objects::object(objects::CONFIG, &name, &found, around, notes);
            project.configs.insert(name, object);
        }
    }
    if let Some(found) = fields.take("models") {
        for (name, at, _) in named(&found, notes) {
            project.models.insert(name, at.clone());
        }
    }
    // What it includes is in it by now.
    fields.take_any("include");
    project.extras = fields.extras();
    fields.finish(notes);
    project
}

/// What a file is read in.
pub(crate) struct Around<'a> {
    /// The client's variables.
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub(crate) read: &'a dyn Fn(&std::path::Path) -> std::io::Result<Vec<u8>>,
}

/// The things of a section, by the names that the user gave them.
fn named<'n>(
    found: &Found<'n>,
    notes: &mut Notes,
) -> Vec<(String, &'n crate::trouble::Position, Found<'n>)> {
    let mut all = Vec::new();
    for (entry, child) in found.children(notes) {
        if entry.key.starts_with("x-") {
            continue;
        }
        if !is_name(&entry.key) {
            notes.wrong(
                &entry.at,
                format!(
                    "{} Additional property {} is not allowed: names have letters, digits and ._- alone",
                    found.path, entry.key
                ),
            );
            continue;
        }
        all.push((entry.key.clone(), &entry.at, child));
    }
    all
}
