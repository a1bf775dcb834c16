//! Overlay networks between real engines, each on a machine of its own.

mod overlay;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::docker::node_of;
use crate::support::{Cluster, Output};

/// An image that answers at port 80, at `/cgi-bin/who` with its host name and its client's
/// address.
pub const WEB: (&str, &[&str]) = ("web", &[r#"CMD ["httpd", "-f", "-p", "80", "-h", "/www"]"#]);

/// Runs a program in a container of a task.
fn in_task(cluster: &Cluster, task: &Value, program: &[&str]) -> Output {
    let id = crate::docker::container(task);
    let mut arguments = vec!["exec", id.as_str()];
    arguments.extend(program);
    let node = &cluster.nodes[node_of(cluster, task)];
    node.docker(&arguments)
}

/// Who answers requests to a name, and how often each; and whom they answered.
fn answers(
    cluster: &Cluster,
    task: &Value,
    name: &str,
    times: usize,
) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..times {
        let said = in_task(cluster, task, &["get", name, "/cgi-bin/who"]);
        let Some((who, whom)) = said.stdout.trim().split_once(' ').filter(|_| said.code == 0)
        else {
            return Err(said.to_string());
        };
        // The server listens for both families on one socket.
        let whom = whom.trim_start_matches("[::ffff:").trim_end_matches(']');
        all.entry(who.to_owned()).or_default().push(whom.to_owned());
    }
    Ok(all)
}

/// A task's address on a network, without its prefix.
fn address(task: &Value, network: &str) -> String {
    let on = task["NetworksAttachments"].as_array().cloned().unwrap_or_default();
    let on = on.iter().find(|on| on["Network"]["Spec"]["Name"] == network);
    let on = on.unwrap_or_else(|| panic!("not on {network}: {task}"));
    let address = on["Addresses"][0].as_str().expect("an address");
    address.split('/').next().expect("an address").to_owned()
}
