//! `node update`, `promote`, `demote`

use swarmw_model::{NodeRole, NodeSpec};

use serde_json::Value;

use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{label, map};

/// `node update`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct UpdateArgs {
    /// Availability of the node ("active", "pause", "drain")
    #[arg(long, value_name = "string")]
    availability: Option<String>,
    /// Add or update a node label ("key=value")
    #[arg(long, value_name = "list", value_parser = label)]
    label_add: Vec<String>,
    /// Remove a node label if exists
    #[arg(long, value_name = "list")]
    label_rm: Vec<String>,
    /// Role of the node ("worker", "manager")
    #[arg(long, value_name = "string")]
    role: Option<String>,
    /// Id, host name or unique id prefix
    #[arg(value_name = "NODE")]
    node: String,
}

pub(super) async fn run(client: &Client, args: UpdateArgs, io: &mut Io) -> Result<(), Failure> {
    let node = client.node(&args.node).await?;
    let spec = changed(node.spec, &args)?;
    client
        .post(format!("{}/update", crate::client::api::node_path(&node.id)))
        .query("version", node.version.index)
        .json(&spec)?
        .fetch()
        .await?;
    io.line(&args.node)?;
    Ok(())
}

/// The spec to post, as JSON: a role or availability that does not exist is the
/// daemon's to refuse.
fn changed(mut spec: NodeSpec, args: &UpdateArgs) -> Result<Value, Failure> {
    spec.labels.extend(map(&args.label_add));
    for key in &args.label_rm {
        if spec.labels.remove(key).is_none() {
            return Err(Failure::new(format!("key {key} doesn't exist in node's labels")));
        }
    }
    let mut json = serde_json::to_value(&spec).map_err(|error| Failure::new(error.to_string()))?;
    for (field, value) in [("Role", &args.role), ("Availability", &args.availability)] {
        if let Some(value) = value {
            json[field] = Value::from(value.to_lowercase());
        }
    }
    Ok(json)
}

pub(super) async fn promote(client: &Client, nodes: &[String], io: &mut Io) -> Result<(), Failure> {
    set_role(client, nodes, NodeRole::Manager, io).await
}

pub(super) async fn demote(client: &Client, nodes: &[String], io: &mut Io) -> Result<(), Failure> {
    set_role(client, nodes, NodeRole::Worker, io).await
}

async fn set_role(
    client: &Client,
    nodes: &[String],
    role: NodeRole,
    io: &mut Io,
) -> Result<(), Failure> {
    for reference in nodes {
        let mut node = client.node(reference).await?;
        if node.spec.role == role {
            io.line(format!("Node {} is already a {role}.", node.id))?;
            continue;
        }
        node.spec.role = role;
        client.update_node(&node.id, node.version, &node.spec).await?;
        io.line(match role {
            NodeRole::Manager => format!("Node {reference} promoted to a manager in the swarm."),
            NodeRole::Worker => format!("Manager {reference} demoted in the swarm."),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> NodeSpec {
        serde_json::from_value(json!({"Labels": {"rack": "1", "zone": "a"}, "Role": "worker", "Availability": "active"}))
            .expect("a spec")
    }

    #[test]
    fn labels_come_and_go() {
        let args = UpdateArgs {
            label_add: vec!["rack=2".into(), "ssd".into()],
            label_rm: vec!["zone".into()],
            availability: Some("Drain".into()),
            ..UpdateArgs::default()
        };
        assert_eq!(
            changed(spec(), &args).expect("a spec"),
            json!({"Labels": {"rack": "2", "ssd": ""}, "Role": "worker", "Availability": "drain"})
        );
    }

    #[test]
    fn a_label_that_is_not_there_cannot_go() {
        let args = UpdateArgs { label_rm: vec!["nope".into()], ..UpdateArgs::default() };
        assert_eq!(
            changed(spec(), &args).unwrap_err().to_string(),
            "key nope doesn't exist in node's labels"
        );
    }
}
