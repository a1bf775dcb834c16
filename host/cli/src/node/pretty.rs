//! `node inspect --pretty`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::client::Node;
use crate::table::{bytes_size, capitalised};

/// A node for people. Labels and values stand where Docker puts them, tabs
/// included.
pub(super) fn node(node: &Node) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, node);
    out
}

fn write(out: &mut String, node: &Node) -> std::fmt::Result {
    let description = &node.description;
    writeln!(out, "ID:\t\t\t{}", node.id)?;
    if !node.spec.name.is_empty() {
        writeln!(out, "Name:\t\t\t{}", node.spec.name)?;
    }
    labels(out, "Labels:", &node.spec.labels)?;
    writeln!(out, "Hostname:              \t{}", description.hostname)?;
    writeln!(out, "Joined at:             \t{}", date(node.created_at))?;
    writeln!(out, "Status:")?;
    let state = capitalised(node.status.state.as_str());
    writeln!(out, " State:\t\t\t{state}")?;
    if !node.status.message.is_empty() {
        let message = capitalised(&node.status.message);
        writeln!(out, " Message:              \t{message}")?;
    }
    let availability = capitalised(node.spec.availability.as_str());
    writeln!(out, " Availability:         \t{availability}")?;
    if !node.status.addr.is_empty() {
        writeln!(out, " Address:\t\t{}", node.status.addr)?;
    }
    if let Some(manager) = &node.manager_status {
        writeln!(out, "Manager Status:")?;
        writeln!(out, " Address:\t\t{}", manager.addr)?;
        let reachability = capitalised(manager.reachability.as_str());
        writeln!(out, " Raft Status:\t\t{reachability}")?;
        writeln!(out, " Leader:\t\t{}", if manager.leader { "Yes" } else { "No" })?;
    }
    writeln!(out, "Platform:")?;
    writeln!(out, " Operating System:\t{}", description.platform.os)?;
    writeln!(out, " Architecture:\t\t{}", description.platform.architecture)?;
    writeln!(out, "Resources:")?;
    let cpus = description.resources.nano_cpus / 1_000_000_000;
    writeln!(out, " CPUs:\t\t\t{cpus}")?;
    let memory = bytes_size(description.resources.memory_bytes);
    writeln!(out, " Memory:\t\t{memory}")?;
    let generic = &description.resources.generic_resources;
    if !generic.is_empty() {
        // Docker's client leaves them out.
        let words: Vec<_> = generic.iter().map(ToString::to_string).collect();
        writeln!(out, " Generic:\t\t{}", words.join(", "))?;
    }
    plugins(out, node)?;
    writeln!(out, "Engine Version:\t\t{}", description.engine.engine_version)?;
    labels(out, "Engine Labels:", &description.engine.labels)?;
    if let Some(tls) = &description.tls_info {
        writeln!(out, "TLS Info:\n TrustRoot:\n{}", tls.trust_root)?;
        writeln!(out, " Issuer Subject:\t{}", tls.cert_issuer_subject)?;
        writeln!(out, " Issuer Public Key:\t{}", tls.cert_issuer_public_key)?;
    }
    Ok(())
}

fn labels(out: &mut String, title: &str, labels: &BTreeMap<String, String>) -> std::fmt::Result {
    if labels.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}")?;
    for (key, value) in labels {
        match value.as_str() {
            "" => writeln!(out, " - {key}")?,
            value => writeln!(out, " - {key}={value}")?,
        }
    }
    Ok(())
}

fn plugins(out: &mut String, node: &Node) -> std::fmt::Result {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for plugin in &node.description.engine.plugins {
        kinds.entry(&plugin.kind).or_default().push(&plugin.name);
    }
    if !kinds.is_empty() {
        writeln!(out, "Plugins:")?;
    }
    for (kind, names) in kinds {
        writeln!(out, " {kind}:\t\t{}", names.join(", "))?;
    }
    Ok(())
}

/// As Go prints a time, in lower case: `2026-11-20 23:41:33.56 +0000 utc`.
fn date(at: swarmw_model::Time) -> String {
    let text = at.to_string().replace('T', " ");
    format!("{} +0000 utc", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_manager_reads_as_dockers() {
        let node = serde_json::from_value(json!({
            "ID": "e216jshn25ckzbvmwlnh5jr3g", "CreatedAt": "2026-11-20T23:41:33.56Z",
            "Spec": {"Labels": {"rack": "1", "ssd": ""}, "Role": "manager", "Availability": "active"},
            "Description": {"Hostname": "swarm-manager", "Platform": {"Architecture": "x86_64", "OS": "linux"},
                "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 2_095_944_040,
                    "GenericResources": [{"NamedResourceSpec": {"Kind": "gpu", "Value": "UUID1"}}, {"DiscreteResourceSpec": {"Kind": "ssd", "Value": 3}}]},
                "Engine": {"EngineVersion": "0.1.0", "Plugins": [{"Type": "Volume", "Name": "local"}, {"Type": "Network", "Name": "bridge"}, {"Type": "Network", "Name": "host"}]}},
            "Status": {"State": "ready", "Addr": "127.0.0.1"},
            "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "127.0.0.1:2377"}
        }))
        .expect("a node");
        assert_eq!(
            super::node(&node),
            "ID:\t\t\te216jshn25ckzbvmwlnh5jr3g\nLabels:\n - rack=1\n - ssd\n\
             Hostname:              \tswarm-manager\nJoined at:             \t2026-11-20 23:41:33.56 +0000 utc\n\
             Status:\n State:\t\t\tReady\n Availability:         \tActive\n Address:\t\t127.0.0.1\n\
             Manager Status:\n Address:\t\t127.0.0.1:2377\n Raft Status:\t\tReachable\n Leader:\t\tYes\n\
             Platform:\n Operating System:\tlinux\n Architecture:\t\tx86_64\n\
             Resources:\n CPUs:\t\t\t2\n Memory:\t\t1.952GiB\n Generic:\t\tgpu=UUID1, ssd=3\n\
             Plugins:\n Network:\t\tbridge, host\n Volume:\t\tlocal\nEngine Version:\t\t0.1.0\n"
        );
    }
}
