//! `secret ls` and `config ls`

use serde_json::{Value, json};

use super::Kind;
use crate::failure::Failure;
use crate::table::{Column, Format, LABEL, List, Row, ago, labels_of, natural, render};

const OF_SECRETS: List = List {
    of: "*secret.secretContext",
    columns: &COLUMNS,
    shown: &["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"],
    raw: &[],
};

const OF_CONFIGS: List = List {
    of: "*config.configContext",
    columns: &COLUMNS,
    shown: &["ID", "Name", "CreatedAt", "UpdatedAt"],
    raw: &[],
};

const COLUMNS: [Column; 7] = [
    column("ID", "ID"),
    column("Name", "NAME"),
    column("Driver", "DRIVER"),
    column("CreatedAt", "CREATED"),
    column("UpdatedAt", "UPDATED"),
    column("Labels", "LABELS"),
    column("Version", "VERSION"),
];

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// The list as text.
pub(super) fn show(
    kind: &Kind,
    mut all: Vec<Value>,
    format: Option<&str>,
    quiet: bool,
) -> Result<String, Failure> {
    let name = |data: &Value| data["Spec"]["Name"].as_str().unwrap_or_default().to_owned();
    all.sort_by(|a, b| natural(&name(a), &name(b)));
    let rows: Vec<Row> = all.iter().map(|data| row(kind, data)).collect();
    let list = if kind.has_driver { &OF_SECRETS } else { &OF_CONFIGS };
    render(&Format::new(format, quiet), list, &rows)
}

fn row(kind: &Kind, data: &Value) -> Row {
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let when = |path: &str| text(path).parse().map(ago).unwrap_or_default();
    let labels: Vec<_> = data["Spec"]["Labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let mut row: Row = [
        ("ID", json!(text("/ID"))),
        ("Name", json!(text("/Spec/Name"))),
        ("Version", json!(data["Swarmw"]["Number"].as_u64().unwrap_or(1).to_string())),
        ("CreatedAt", json!(when("/CreatedAt"))),
        ("UpdatedAt", json!(when("/UpdatedAt"))),
        ("Labels", json!(labels.join(","))),
        (LABEL, labels_of(&data["Spec"]["Labels"])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if kind.has_driver {
        row.insert("Driver".to_owned(), json!(text("/Spec/Driver/Name")));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CONFIG;
    use crate::secret::SECRET;

    fn all() -> Vec<Value> {
        let one = |id: &str, name: &str| {
            json!({"ID": id, "CreatedAt": "2020-01-01T00:00:00Z", "UpdatedAt":
                "2020-01-01T00:00:00Z", "Spec": {"Name": name, "Labels": {"a": "b"}}})
        };
        vec![one("bbbbbbbbbbbbbbbbbbbbbbbbb", "db10"), one("aaaaaaaaaaaaaaaaaaaaaaaaa", "db2")]
    }

    #[test]
    fn the_tables_are_dockers() {
        let years = ago("2020-01-01T00:00:00Z".parse().expect("a time"));
        assert_eq!(
            show(&SECRET, all(), None, false).expect("a table"),
            format!(
                "ID                          NAME      DRIVER    CREATED       UPDATED\n\
                 aaaaaaaaaaaaaaaaaaaaaaaaa   db2                 {years}   {years}\n\
                 bbbbbbbbbbbbbbbbbbbbbbbbb   db10                {years}   {years}\n"
            )
        );
        assert_eq!(
            show(&CONFIG, Vec::new(), None, false).expect("a table"),
            "ID        NAME      CREATED   UPDATED\n"
        );
        assert_eq!(
            show(&CONFIG, all(), Some("{{.Name}} {{.Labels}}"), false).expect("lines"),
            "db2 a=b\ndb10 a=b\n"
        );
        assert_eq!(
            show(&SECRET, all(), None, true).expect("ids"),
            "aaaaaaaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbbbbbbb\n"
        );
    }
}
