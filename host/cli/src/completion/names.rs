//! Names in the cluster.

use std::collections::BTreeSet;

use serde_json::Value;
use swarmw_compose::NAMESPACE_LABEL;

use super::walk::{Candidate, Names, candidate};
use crate::client::{Client, ClientError};
use crate::table::natural;

/// Most names that are offered.
const NAMES_MAX: usize = 1_000;

/// All names of a kind, in their natural order.
pub(super) async fn of(client: &Client, kind: Names) -> Result<Vec<Candidate>, ClientError> {
    let path = match kind {
        Names::Services | Names::Stacks => "/services",
        Names::Nodes => "/nodes",
        Names::Secrets => "/secrets",
        Names::Configs => "/configs",
        Names::Networks => "/networks",
        Names::Volumes => "/volumes",
        Names::Plugins => "/swarmw/plugins",
    };
    let answer: Value = client.get(path).read().await?;
    Ok(names(kind, &answer))
}

fn names(kind: Names, answer: &Value) -> Vec<Candidate> {
    let listed = match kind {
        Names::Volumes => &answer["Volumes"],
        _ => answer,
    };
    let name = |one: &Value| {
        let (name, about) = match kind {
            Names::Services => {
                (&one["Spec"]["Name"], &one["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"])
            }
            Names::Stacks => (&one["Spec"]["Labels"][NAMESPACE_LABEL], &Value::Null),
            Names::Nodes => (&one["Description"]["Hostname"], &one["Spec"]["Role"]),
            Names::Secrets | Names::Configs => (&one["Spec"]["Name"], &Value::Null),
            Names::Networks | Names::Volumes => (&one["Name"], &one["Driver"]),
            Names::Plugins => (&one["Name"], &one["Kind"]),
        };
        let about = about.as_str().unwrap_or_default().split('@').next().unwrap_or_default();
        Some((name.as_str()?.to_owned(), about.to_owned()))
    };
    let found: BTreeSet<_> = listed.as_array().into_iter().flatten().filter_map(name).collect();
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by(|a, b| natural(&a.0, &b.0));
    found.iter().take(NAMES_MAX).map(|(name, about)| candidate(name, about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_come_once_and_in_their_order() {
        let service = |name: &str, stack: &str| {
            json!({"Spec": {"Name": name, "Labels": {NAMESPACE_LABEL: stack},
                "TaskTemplate": {"ContainerSpec": {"Image": "nginx@sha256:ab"}}}})
        };
        let all = json!([service("s_web10", "s"), service("s_web2", "s"), json!({"Spec": {}})]);
        let texts = |kind| {
            let names = names(kind, &all);
            names.iter().map(|name| (name.text.clone(), name.about.clone())).collect::<Vec<_>>()
        };
        let nginx = |name: &str| (name.to_owned(), "nginx".to_owned());
        assert_eq!(texts(Names::Services), [nginx("s_web2"), nginx("s_web10")]);
        assert_eq!(texts(Names::Stacks), [("s".to_owned(), String::new())]);
    }
}
