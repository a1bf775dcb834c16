//! `network ls`

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::table::{Column, Format, LABEL, List, Row, go_time, labels_of, natural, render, short};

const LIST: List = List {
    of: "*network.networkContext",
    columns: &COLUMNS,
    shown: &["ID", "Name", "Driver", "Scope"],
    raw: &[("network_id", "ID"), ("name", "Name"), ("driver", "Driver"), ("scope", "Scope")],
};

const COLUMNS: [Column; 9] = [
    column("ID", "NETWORK ID"),
    column("Name", "NAME"),
    column("Driver", "DRIVER"),
    column("Scope", "SCOPE"),
    column("IPv4", "IPV4"),
    column("IPv6", "IPV6"),
    column("Internal", "INTERNAL"),
    column("Labels", "LABELS"),
    column("CreatedAt", "CREATED AT"),
];

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// The list of networks as text.
pub(super) fn show(
    mut networks: Vec<Value>,
    format: Option<&str>,
    quiet: bool,
    whole_ids: bool,
) -> Result<String, Failure> {
    networks.sort_by(|a, b| natural(text(a, "Name"), text(b, "Name")));
    let rows: Vec<Row> = networks.iter().map(|network| row(network, whole_ids)).collect();
    render(&Format::new(format, quiet), &LIST, &rows)
}

fn row(network: &Value, whole_ids: bool) -> Row {
    let id = text(network, "Id");
    let labels: Vec<String> = network["Labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let switch = |field: &str| network[field].as_bool().unwrap_or_default().to_string();
    let mut row: Row = [
        ("ID", if whole_ids { id.to_owned() } else { short(id).to_owned() }),
        ("Name", text(network, "Name").to_owned()),
        ("Driver", text(network, "Driver").to_owned()),
        ("Scope", text(network, "Scope").to_owned()),
        ("IPv4", switch("EnableIPv4")),
        ("IPv6", switch("EnableIPv6")),
        ("Internal", switch("Internal")),
        ("Labels", labels.join(",")),
        ("CreatedAt", go_time(text(network, "Created"))),
    ]
    .map(|(name, value)| (name.to_owned(), json!(value)))
    .into();
    row.insert(LABEL.to_owned(), labels_of(&network["Labels"]));
    row
}

fn text<'v>(network: &'v Value, field: &str) -> &'v str {
    network[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the docker client 28.2 was given them, and what it printed.
    fn networks() -> Vec<Value> {
        vec![
            json!({"Name": "web10", "Id": "b".repeat(25), "Created": "2026-11-22T06:00:00.5Z",
                "Scope": "swarm", "Driver": "overlay", "EnableIPv4": true, "EnableIPv6": false,
                "Internal": false, "Labels": {"a": "b", "c": ""}}),
            json!({"Name": "ingress", "Id": "i".repeat(25), "Created": "2026-11-22T06:00:00Z",
                "Scope": "swarm", "Driver": "overlay", "EnableIPv4": true, "EnableIPv6": true,
                "Internal": true, "Labels": null}),
            json!({"Name": "web2", "Id": "c".repeat(64), "Created": "2026-11-22T06:00:00Z",
                "Scope": "local", "Driver": "bridge", "Labels": {}}),
        ]
    }

    fn shown(format: &str, quiet: bool, whole: bool) -> String {
        show(networks(), Some(format), quiet, whole).expect(format)
    }

    #[test]
    fn the_tables_are_dockers() {
        assert_eq!(
            shown("", false, false),
            "NETWORK ID     NAME      DRIVER    SCOPE\n\
             iiiiiiiiiiii   ingress   overlay   swarm\n\
             cccccccccccc   web2      bridge    local\n\
             bbbbbbbbbbbb   web10     overlay   swarm\n"
        );
        assert_eq!(shown("", true, false), "iiiiiiiiiiii\ncccccccccccc\nbbbbbbbbbbbb\n");
        assert_eq!(
            shown(
                r"table {{.ID}}\t{{.IPv6}}\t{{.Internal}}\t{{.Labels}}\t{{.CreatedAt}}",
                false,
                false
            ),
            "NETWORK ID     IPV6      INTERNAL   LABELS    CREATED AT\n\
             iiiiiiiiiiii   true      true                 2026-11-22 06:00:00 +0000 UTC\n\
             cccccccccccc   false     false                2026-11-22 06:00:00 +0000 UTC\n\
             bbbbbbbbbbbb   false     false      a=b,c=    2026-11-22 06:00:00.5 +0000 UTC\n"
        );
        let none = show(Vec::new(), None, false, false).expect("a heading");
        assert_eq!(none, "NETWORK ID   NAME      DRIVER    SCOPE\n");
    }

    #[test]
    fn the_other_formats_are_dockers() {
        let json = shown("json", false, true);
        assert_eq!(
            json.lines().next(),
            Some(
                r#"{"CreatedAt":"2026-11-22 06:00:00 +0000 UTC","Driver":"overlay","ID":"iiiiiiiiiiiiiiiiiiiiiiiii","IPv4":"true","IPv6":"true","Internal":"true","Labels":"","Name":"ingress","Scope":"swarm"}"#
            )
        );
        let raw = shown("raw", false, false);
        let block = "network_id: iiiiiiiiiiii\nname: ingress\ndriver: overlay\nscope: swarm\n\n";
        assert!(raw.starts_with(block), "{raw}");
        assert_eq!(shown("raw", true, false).lines().next(), Some("network_id: iiiiiiiiiiii"));
        assert_eq!(
            shown("{{.Name}} {{.IPv4}}", false, false),
            "ingress true\nweb2 false\nweb10 true\n"
        );
    }
}
