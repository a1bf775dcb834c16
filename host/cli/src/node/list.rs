//! `node ls`

use serde_json::Value as Json;
use swarmw_model::TlsInfo;

use crate::client::{Node, SwarmInfo};
use crate::failure::Failure;
use crate::table::{Column, Format, List, Row, capitalised, natural, render};

const LIST: List = List {
    of: "*node.nodeContext",
    columns: &[
        column("IDMark", "ID"),
        column("ID", "ID"),
        column("Self", "SELF"),
        column("Hostname", "HOSTNAME"),
        column("Status", "STATUS"),
        column("Availability", "AVAILABILITY"),
        column("ManagerStatus", "MANAGER STATUS"),
        column("EngineVersion", "ENGINE VERSION"),
        column("TLSStatus", "TLS STATUS"),
    ],
    // Of the plain table; `IDMark` is the id with a star behind one's own.
    shown: &["IDMark", "Hostname", "Status", "Availability", "ManagerStatus", "EngineVersion"],
    raw: &[
        ("node_id", "ID"),
        ("hostname", "Hostname"),
        ("status", "Status"),
        ("availability", "Availability"),
        ("manager_status", "ManagerStatus"),
    ],
};

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// The list of nodes as text.
pub(super) fn show(
    mut nodes: Vec<Node>,
    info: &SwarmInfo,
    format: Option<&str>,
    quiet: bool,
) -> Result<String, Failure> {
    nodes.sort_by(|a, b| natural(&a.description.hostname, &b.description.hostname));
    let format = Format::new(format, quiet);
    let rows: Vec<Row> = nodes
        .iter()
        .map(|node| {
            let mut row = row(node, info);
            if format == Format::Table {
                let mark = if node.id == info.node_id { " *" } else { "  " };
                row.insert("IDMark".into(), format!("{}{mark}", node.id).into());
            }
            row
        })
        .collect();
    render(&format, &LIST, &rows)
}

fn row(node: &Node, info: &SwarmInfo) -> Row {
    let manager = match &node.manager_status {
        Some(status) if status.leader => "Leader".to_owned(),
        Some(status) => capitalised(status.reachability.as_str()),
        None => String::new(),
    };
    let fields: [(&str, Json); 8] = [
        ("ID", node.id.as_str().into()),
        ("Self", (node.id == info.node_id).into()),
        ("Hostname", node.description.hostname.as_str().into()),
        ("Status", capitalised(node.status.state.as_str()).into()),
        ("Availability", capitalised(node.spec.availability.as_str()).into()),
        ("ManagerStatus", manager.into()),
        ("EngineVersion", node.description.engine.engine_version.as_str().into()),
        ("TLSStatus", tls_status(node, info).into()),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Whether the node trusts the root that the cluster has now.
fn tls_status(node: &Node, info: &SwarmInfo) -> &'static str {
    let unknown = TlsInfo::default();
    let cluster = info.cluster.as_ref().map_or(&unknown, |c| &c.tls_info);
    match &node.description.tls_info {
        None => "Unknown",
        Some(tls) if *tls == unknown || *cluster == unknown => "Unknown",
        Some(tls) if tls == cluster => "Ready",
        Some(_) => "Needs Rotation",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nodes() -> Vec<Node> {
        serde_json::from_value(json!([
            {"ID": "bbbbbbbbbbbbbbbbbbbbbbbbb", "Spec": {"Role": "worker", "Availability": "drain"},
             "Description": {"Hostname": "node10", "Engine": {"EngineVersion": "20.10.24"}},
             "Status": {"State": "down", "Addr": "10.0.0.2"}},
            {"ID": "aaaaaaaaaaaaaaaaaaaaaaaaa", "Spec": {"Role": "manager", "Availability": "active"},
             "Description": {"Hostname": "node2", "Engine": {"EngineVersion": "0.1.0"}},
             "Status": {"State": "ready", "Addr": "10.0.0.1"},
             "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"}}
        ]))
        .expect("nodes")
    }

    fn info() -> SwarmInfo {
        serde_json::from_value(json!({"NodeID": "aaaaaaaaaaaaaaaaaaaaaaaaa"})).expect("info")
    }

    #[test]
    fn the_table_marks_the_node_that_answers() {
        let text = show(nodes(), &info(), None, false).expect("a table");
        assert_eq!(
            text,
            "ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n\
             aaaaaaaaaaaaaaaaaaaaaaaaa *   node2      Ready     Active         Leader           0.1.0\n\
             bbbbbbbbbbbbbbbbbbbbbbbbb     node10     Down      Drain                           20.10.24\n"
        );
    }

    #[test]
    fn a_list_of_no_nodes_still_has_its_heading() {
        let text = show(Vec::new(), &info(), None, false).expect("a table");
        assert_eq!(
            text,
            "ID        HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n"
        );
    }

    #[test]
    fn templates_name_what_the_table_hides() {
        let text = show(nodes(), &info(), Some("{{.ID}} {{.Self}} {{.TLSStatus}}"), false);
        assert_eq!(
            text.expect("lines"),
            "aaaaaaaaaaaaaaaaaaaaaaaaa true Unknown\nbbbbbbbbbbbbbbbbbbbbbbbbb false Unknown\n"
        );
        let ids = show(nodes(), &info(), None, true).expect("ids");
        assert_eq!(ids, "aaaaaaaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbbbbbbb\n");
    }
}
