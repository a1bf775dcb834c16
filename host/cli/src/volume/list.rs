//! `volume ls`

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::table::{Column, Format, LABEL, List, Row, labels_of, natural, render};

const LIST: List = List {
    of: "*formatter.volumeContext",
    columns: &COLUMNS,
    shown: &["Driver", "Name"],
    raw: &[("name", "Name"), ("driver", "Driver")],
};

const CLUSTER: List = List {
    of: "*formatter.volumeContext",
    columns: &COLUMNS,
    shown: &["Name", "Group", "Driver", "Availability", "Status"],
    raw: &[("name", "Name"), ("driver", "Driver")],
};

const COLUMNS: [Column; 10] = [
    column("Name", "VOLUME NAME"),
    column("Driver", "DRIVER"),
    column("Scope", "SCOPE"),
    column("Mountpoint", "MOUNTPOINT"),
    column("Labels", "LABELS"),
    column("Links", "LINKS"),
    column("Size", "SIZE"),
    column("Group", "GROUP"),
    column("Availability", "AVAILABILITY"),
    column("Status", "STATUS"),
];

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// The list of volumes as text.
pub(super) fn show(
    mut volumes: Vec<Value>,
    cluster: bool,
    format: Option<&str>,
    quiet: bool,
) -> Result<String, Failure> {
    if cluster {
        volumes.retain(|volume| volume["ClusterVolume"].is_object());
    }
    volumes.sort_by(|a, b| natural(text(a, "/Name"), text(b, "/Name")));
    let rows: Vec<Row> = volumes.iter().map(row).collect();
    render(&Format::new(format, quiet), if cluster { &CLUSTER } else { &LIST }, &rows)
}

fn row(volume: &Value) -> Row {
    let labels: Vec<String> = volume["Labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let missing = |text: &str| if text.is_empty() { "N/A".to_owned() } else { text.to_owned() };
    [
        // What `-q` shows.
        ("ID", json!(text(volume, "/Name"))),
        ("Name", json!(text(volume, "/Name"))),
        ("Driver", json!(text(volume, "/Driver"))),
        ("Scope", json!(text(volume, "/Scope"))),
        ("Mountpoint", json!(text(volume, "/Mountpoint"))),
        ("Labels", json!(labels.join(","))),
        ("Links", json!("N/A")),
        ("Size", json!("N/A")),
        ("Group", json!(missing(text(volume, "/ClusterVolume/Spec/Group")))),
        ("Availability", json!(missing(text(volume, "/ClusterVolume/Spec/Availability")))),
        ("Status", json!(status(volume))),
        (LABEL, labels_of(&volume["Labels"])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Docker's words for how a cluster volume stands.
fn status(volume: &Value) -> String {
    let Some(cluster) = volume["ClusterVolume"].as_object() else { return "N/A".to_owned() };
    match cluster.get("PublishStatus").and_then(Value::as_array).map_or(0, Vec::len) {
        0 => "created".to_owned(),
        1 => "in use (1 node)".to_owned(),
        nodes => format!("in use ({nodes} nodes)"),
    }
}

fn text<'v>(volume: &'v Value, path: &str) -> &'v str {
    volume.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Bytes in powers of a thousand with four digits, as Docker prints what it freed.
pub(super) fn decimal_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[allow(clippy::cast_precision_loss)]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = match size {
        size if size < 10.0 => 3,
        size if size < 100.0 => 2,
        size if size < 1000.0 => 1,
        _ => 0,
    };
    let shown = format!("{size:.digits$}");
    let shown = if shown.contains('.') {
        shown.trim_end_matches('0').trim_end_matches('.')
    } else {
        &shown
    };
    format!("{shown}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> Vec<Value> {
        vec![
            json!({"Name": "data10", "Driver": "ext4", "Scope": "local", "Mountpoint": "/m",
                "Labels": {"a": "b"}}),
            json!({"Name": "data2", "Driver": "sshfs", "Scope": "global", "Labels": {},
                "ClusterVolume": {"Spec": {"Availability": "active"},
                    "PublishStatus": [{"NodeID": "x"}, {"NodeID": "y"}]}}),
        ]
    }

    #[test]
    fn the_tables_are_dockers() {
        assert_eq!(
            show(volumes(), false, None, false).expect("a table"),
            "DRIVER    VOLUME NAME\nsshfs     data2\next4      data10\n"
        );
        assert_eq!(
            show(volumes(), true, None, false).expect("a table"),
            "VOLUME NAME   GROUP     DRIVER    AVAILABILITY   STATUS\n\
             data2         N/A       sshfs     active         in use (2 nodes)\n"
        );
        assert_eq!(show(volumes(), false, None, true).expect("names"), "data2\ndata10\n");
        let template = show(volumes(), false, Some("{{.Name}} {{.Scope}} {{.Labels}}"), false);
        assert_eq!(template.expect("lines"), "data2 global \ndata10 local a=b\n");
    }

    #[test]
    fn sizes_are_printed_as_docker_prints_them() {
        for (bytes, want) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (12_345, "12.35kB"),
            (1_500_000, "1.5MB"),
            (123_456_789_012, "123.5GB"),
        ] {
            assert_eq!(decimal_size(bytes), want);
        }
    }
}
