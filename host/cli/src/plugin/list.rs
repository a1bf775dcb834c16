//! `plugin ls`

use swarmw_model::{CandidateState, Plugin, PluginClaim, PluginRelease, PluginState};

use crate::failure::Failure;
use crate::table::{Column, Format, List, Row, ellipsis, natural, render, short};

/// Longest list of claims in a table, in characters.
const CLAIMS_LENGTH: usize = 40;
/// `sha256:` and 12 digits.
const SHORT_DIGEST: usize = 19;

const LIST: List = List {
    of: "*plugin.pluginContext",
    columns: &[
        column("ID", "ID"),
        column("Name", "NAME"),
        column("Version", "VERSION"),
        column("Kind", "KIND"),
        column("Claims", "CLAIMS"),
        column("Status", "STATUS"),
        column("Digest", "DIGEST"),
        column("BuiltIn", "BUILT IN"),
        column("Summary", "SUMMARY"),
    ],
    shown: &["ID", "Name", "Version", "Kind", "Claims", "Status", "Digest"],
    raw: &[
        ("plugin_id", "ID"),
        ("name", "Name"),
        ("version", "Version"),
        ("kind", "Kind"),
        ("claims", "Claims"),
        ("status", "Status"),
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
    let (claims, digest) = (claims(&plugin.release), plugin.release.blob.digest.as_str());
    [
        ("ID", if whole { &id } else { short(&id) }.into()),
        ("Name", plugin.name.as_str().into()),
        ("Version", plugin.release.metadata.version.as_str().into()),
        ("Kind", plugin.kind.as_str().into()),
        (
            "Claims",
            match whole {
                true => claims.into(),
                false => ellipsis(&claims, CLAIMS_LENGTH).into(),
            },
        ),
        ("Status", status(plugin).into()),
        (
            "Digest",
            match whole {
                true => digest,
                false => digest.get(..SHORT_DIGEST).unwrap_or(digest),
            }
            .into(),
        ),
        ("BuiltIn", plugin.built_in.into()),
        ("Summary", plugin.release.metadata.summary.as_str().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What a release claims; operators narrow its keys: `where(…), * with >=, <=`.
pub(super) fn claims(release: &PluginRelease) -> String {
    let is_operator = |claim: &&PluginClaim| matches!(claim, PluginClaim::Operator(_));
    let (operators, claims): (Vec<_>, Vec<_>) =
        release.metadata.claims.iter().partition(is_operator);
    let list = |claims: &[&PluginClaim]| -> String {
        let texts = claims.iter().map(|claim| match claim {
            PluginClaim::Operator(operator) => operator.clone(),
            claim => claim.to_string(),
        });
        texts.collect::<Vec<_>>().join(", ")
    };
    // Calls have no operators: they come first.
    let (calls, keys): (Vec<_>, Vec<_>) =
        claims.into_iter().partition(|claim| matches!(claim, PluginClaim::Call(_)));
    let keys = match (list(&keys), list(&operators)) {
        (keys, operators) if operators.is_empty() => keys,
        (keys, operators) => format!("{keys} with {operators}"),
    };
    [list(&calls), keys].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// In one word or two how a plugin stands.
fn status(plugin: &Plugin) -> String {
    let status = &plugin.status;
    let word = match (&status.trouble, status.state) {
        (Some(_), PluginState::Enabled) => "failing",
        (_, state) => state.as_str(),
    };
    match &plugin.candidate {
        None => word.to_owned(),
        Some(candidate) => {
            let version = &candidate.release.metadata.version;
            let waits = match candidate.state {
                CandidateState::Consent => "waits",
                CandidateState::Shadow => "in shadow",
            };
            format!("{word}, {version} {waits}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use swarmw_model::{PluginCandidate, PluginTrouble, Time};

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
        let mut failing = plugin();
        failing.name = "acme/other".into();
        failing.status.trouble = Some(PluginTrouble { at: Time::ZERO, message: "trapped".into() });
        failing.candidate = Some(PluginCandidate {
            state: CandidateState::Shadow,
            since: Time::ZERO,
            release: plugin().release,
        });
        let table = show(vec![failing, plugin()], None, false, false).expect("a table");
        let rows: Vec<_> = table.lines().map(|row| row.split("   ").collect::<Vec<_>>()).collect();
        let cells = |row: usize| -> Vec<&str> {
            rows[row].iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect()
        };
        let head = ["ID", "NAME", "VERSION", "KIND", "CLAIMS", "STATUS", "DIGEST"];
        assert_eq!(cells(0), head);
        let short = ["aaaaaaaaaaaa", "acme/near", "1.2.0", "preference", "near, geo.*"];
        assert_eq!(cells(1), [&short[..], &["enabled", "sha256:0123456789ab"]].concat());
        assert_eq!(cells(2)[5], "failing, 1.2.0 in shadow");
    }

    #[test]
    fn operators_are_shown_with_the_keys_that_they_narrow() {
        let mut release = plugin().release;
        let operator = |text: &str| PluginClaim::Operator(text.to_owned());
        release.metadata.claims = vec![
            PluginClaim::KeyPrefix(String::new()),
            operator(">="),
            PluginClaim::Call("where".to_owned()),
            operator("<"),
        ];
        assert_eq!(claims(&release), "where(…), * with >=, <");
    }
}
