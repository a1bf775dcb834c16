//! `secrets:` and `configs:` at the top of a file and in services.

use super::{Around, mounts, networks};
use crate::fields::{Found, Notes};
use crate::node::Value;
use crate::project::{Content, FileObject, FileReference};

/// What tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    word: &'static str,
}

pub(super) const SECRET: Kind = Kind { word: "secret" };
pub(super) const CONFIG: Kind = Kind { word: "config" };

/// One secret or config.
pub(super) fn object(
    kind: Kind,
    key: &str,
    found: &Found<'_>,
    around: &Around<'_>,
    notes: &mut Notes,
) -> FileObject {
    let word = kind.word;
    let mut object = FileObject { at: found.at().clone(), ..FileObject::default() };
    let mut fields = found.fields(notes);
    object.name = fields.text("name", notes);
    object.external = networks::external(word, key, &mut object.name, &mut fields, notes);
    object.labels = fields.labels("labels", notes);
    object.template_driver = fields.text("template_driver", notes);
    if kind == SECRET {
        object.driver = fields.text("driver", notes);
        object.driver_opts =
            fields.take("driver_opts").map(|f| f.options(notes)).unwrap_or_default();
    }
    let mut contents = Vec::new();
    if let Some(found) = fields.take("file") {
        let path = mounts::absolute(&found.at().file.folder, &found.text(notes));
        contents.push(("file", Content::File(path)));
    }
    if let Some(found) = fields.take("environment") {
        let name = found.text(notes);
        match (around.lookup)(&name) {
            Some(value) => contents.push(("environment", Content::Environment(name, value))),
            None if object.external => {}
            None => found.wrong(notes, &format!("names a variable that is not set: {name}")),
        }
    }
    if kind == CONFIG
        && let Some(found) = fields.take("content")
    {
        contents.push(("content", Content::Inline(found.text(notes))));
    }
    object.extras = fields.extras();
    fields.finish(notes);
    let conflict = |a: &str, b: &str| {
        format!("{word} {key}: {word}.{a} and {word}.{b} conflict; only use one")
    };
    match contents.as_slice() {
        [(a, _), (b, _), ..] => notes.wrong(&object.at, conflict(a, b)),
        [(a, _)] if !object.driver.is_empty() => notes.wrong(
            &object.at,
            format!("{word} {key}: {word}.driver and {word}.{a} conflict; only use {word}.driver"),
        ),
        _ => {}
    }
    object.content = contents.into_iter().next().map(|(_, content)| content);
    if object.external {
        object.content = None;
    }
    object
}

/// The secrets or configs that a service gets.
pub(super) fn references(found: &Found<'_>, notes: &mut Notes) -> Vec<FileReference> {
    let mut all = Vec::new();
    for item in found.items(notes) {
        let mut reference = FileReference { at: item.at().clone(), ..FileReference::default() };
        match &item.node.value {
            Value::Text(text) => reference.source.clone_from(text),
            Value::Map(_) => {
                let mut fields = item.fields(notes);
                reference.source = fields.text("source", notes);
                reference.target = fields.text("target", notes);
                for (key, field) in [("uid", &mut reference.uid), ("gid", &mut reference.gid)] {
                    if let Some(found) = fields.take(key) {
                        *field = found.text(notes);
                    }
                }
                reference.mode = fields.take("mode").map(|found| mode(&found, notes));
                fields.finish(notes);
            }
            _ => item.wrong(notes, "must be a string or a mapping"),
        }
        all.push(reference);
    }
    all
}

/// Permissions: a number, or, in current files, its octal digits as a text.
fn mode(found: &Found<'_>, notes: &mut Notes) -> u32 {
    if notes.is_current
        && let Value::Text(text) = &found.node.value
        && let Ok(mode) = u32::from_str_radix(text.trim_start_matches("0o"), 8)
    {
        return mode;
    }
    found.whole(notes)
}
