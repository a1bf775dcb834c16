//! `plugin ls`, and what `plugin add` says.

use std::fmt::Write as _;

use swarmw_model::{GrantRequest, Plugin};

use crate::failure::Failure;
use crate::table::{Column, Format, List, Row, ellipsis, natural, render, short};

/// Longest list of claims in a table, in characters.
const CLAIMS_LENGTH: usize = 40;
/// `sha256:` and 12 digits.
const SHORT_DIGEST: usize = 19;

const LIST: List = List {
    columns: &[
        column("ID", "ID"),
        column("Name", "NAME"),
        column("Version", "VERSION"),
        column("Kind", "KIND"),
        column("Claims", "CLAIMS"),
        column("Digest", "DIGEST"),
        column("BuiltIn", "BUILT IN"),
        column("Summary", "SUMMARY"),
    ],
    shown: &["ID", "Name", "Version", "Kind", "Claims", "Digest"],
    raw: &[
        ("plugin_id", "ID"),
        ("name", "Name"),
        ("version", "Version"),
        ("kind", "Kind"),
        ("claims", "Claims"),
        ("digest", "Digest"),
    ],
};

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// The list of plugins as text.
pub(super) fn show(
    mut plugins: Vec<Plugin>,
    format: Option<&str>,
    quiet: bool,
    whole: bool,
) -> Result<String, Failure> {
    plugins.sort_by(|a, b| natural(&a.name, &b.name));
    let rows: Vec<Row> = plugins.iter().map(|plugin| row(plugin, whole)).collect();
    render(&Format::new(format, quiet), &LIST, &rows)
}

fn row(plugin: &Plugin, whole: bool) -> Row {
    let id = plugin.id.to_string();
    let (claims, digest) = (claims(plugin), plugin.blob.digest.as_str());
    [
        ("ID", if whole { &id } else { short(&id) }.into()),
        ("Name", plugin.name.as_str().into()),
        ("Version", plugin.metadata.version.as_str().into()),
        ("Kind", plugin.kind.as_str().into()),
        (
            "Claims",
            match whole {
                true => claims.into(),
                false => ellipsis(&claims, CLAIMS_LENGTH).into(),
            },
        ),
        (
            "Digest",
            match whole {
                true => digest,
                false => digest.get(..SHORT_DIGEST).unwrap_or(digest),
            }
            .into(),
        ),
        ("BuiltIn", plugin.built_in.into()),
        ("Summary", plugin.metadata.summary.as_str().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn claims(plugin: &Plugin) -> String {
    let claims: Vec<_> = plugin.metadata.claims.iter().map(ToString::to_string).collect();
    claims.join(", ")
}

/// What was added: name, version, kind, claims, digest, and what it asks for.
pub(super) fn added(plugin: &Plugin) -> String {
    let mut out = format!(
        "Added plugin {} {} ({})\n Claims:\t{}\n Digest:\t{}\n",
        plugin.name,
        plugin.metadata.version,
        plugin.kind,
        claims(plugin),
        plugin.blob.digest
    );
    if plugin.metadata.grants.is_empty() {
        out += " Grants:\tnone asked\n";
    } else {
        out += " Grants asked:\n";
    }
    for grant in &plugin.metadata.grants {
        let request = match &grant.request {
            GrantRequest::Observe(url) => format!("observe {url}"),
            GrantRequest::Mount(kind, source) => format!("mount {kind} {source}"),
            GrantRequest::Helper(program) => format!("helper {program}"),
            GrantRequest::Secret(name) => format!("secret {name}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {request}: {}", grant.reason);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plugin() -> Plugin {
        serde_json::from_value(json!({
            "ID": "aaaaaaaaaaaaaaaaaaaaaaaaa", "Version": {"Index": 5},
            "CreatedAt": "2026-11-20T00:00:00Z", "UpdatedAt": "2026-11-20T00:00:00Z",
            "Name": "acme/near", "Kind": "preference",
            "Blob": {"Digest": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "Size": 10},
            "Metadata": {"Version": "1.2.0", "Summary": "Near things", "Claims": [{"name": "near"}, {"key-prefix": "geo."}],
                "Options": [], "Grants": [{"Request": {"observe": "http://*/metrics"}, "Reason": "reads load"}]}
        }))
        .expect("a plugin")
    }

    #[test]
    fn the_table_names_what_a_plugin_claims() {
        assert_eq!(
            show(vec![plugin()], None, false, false).expect("a table"),
            "ID             NAME        VERSION   KIND         CLAIMS       DIGEST\n\
             aaaaaaaaaaaa   acme/near   1.2.0     preference   near, geo.*   sha256:0123456789ab\n"
                .replace("CLAIMS       DIGEST", "CLAIMS        DIGEST")
        );
    }

    #[test]
    fn adding_shows_what_is_asked_for() {
        assert_eq!(
            added(&plugin()),
            "Added plugin acme/near 1.2.0 (preference)\n Claims:\tnear, geo.*\n \
             Digest:\tsha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n \
             Grants asked:\n  observe http://*/metrics: reads load\n"
        );
    }
}
