//! `--format`: a table, a table of one's own columns, JSON lines, a template.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::tabwriter::align;
use super::template::{Compiled, Headings, go_json, row_value};
use crate::failure::Failure;

/// A placeholder of a list and its heading.
pub(crate) struct Column {
    /// What a template calls it, without the dot.
    pub(crate) name: &'static str,
    /// What stands above it in a table.
    pub(crate) heading: &'static str,
}

/// What one kind of list consists of.
pub(crate) struct List {
    /// What Docker's client calls the type of a line, which its messages name.
    pub(crate) of: &'static str,
    /// All that a template can name.
    pub(crate) columns: &'static [Column],
    /// Of these, the columns of the plain table.
    pub(crate) shown: &'static [&'static str],
    /// The raw form: a label and a placeholder for each line, the id first. Empty where
    /// there is none, and `raw` is a template like any other.
    pub(crate) raw: &'static [(&'static str, &'static str)],
}

/// One line of a list: a value for each placeholder.
pub(crate) type Row = BTreeMap<String, Json>;

/// How a list is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The list's own columns.
    Table,
    /// Columns of a template.
    TableOf(String),
    /// One object per line.
    JsonLines,
    /// A block per object, a line per field.
    Raw,
    /// Only the ids, in the raw form.
    RawIds,
    /// One rendering per line.
    Template(String),
    /// Only ids, one per line.
    Ids,
}

// === impl Format ===

impl Format {
    /// From `--format` and `-q`.
    pub(crate) fn new(text: Option<&str>, quiet: bool) -> Self {
        match text {
            None | Some("" | "table") if quiet => Self::Ids,
            None | Some("" | "table") => Self::Table,
            Some("json") => Self::JsonLines,
            Some("raw") if quiet => Self::RawIds,
            Some("raw") => Self::Raw,
            Some(text) => match text.strip_prefix("table") {
                Some(columns) => Self::TableOf(columns.trim_matches(' ').to_owned()),
                None => Self::Template(text.trim_matches(' ').to_owned()),
            },
        }
    }

    /// Whether it is one of the tables, where tasks of one slot stand as a tree.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::TableOf(_))
    }
}

/// The whole text of a list.
pub(crate) fn render(format: &Format, list: &List, rows: &[Row]) -> Result<String, Failure> {
    match format {
        Format::Table => {
            let cells = |value: &dyn Fn(&str) -> String| {
                let cells: Vec<_> = list.shown.iter().map(|name| value(name)).collect();
                cells.join("\t")
            };
            let mut lines = vec![cells(&|name| heading(list.columns, name).to_owned())];
            lines.extend(rows.iter().map(|row| cells(&|name| plain(row.get(name)))));
            Ok(align(&lines))
        }
        Format::TableOf(text) => {
            let template = Compiled::new(text)?;
            let headings = Headings::of(list.columns.iter().map(|c| (c.name, c.heading)));
            // What a heading cannot do leaves it unfinished, as Docker's.
            let mut text = template.render_headings(&headings) + "\n";
            for row in rows {
                text += &template.render(&row_value(list, row))?;
                text.push('\n');
            }
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            Ok(align(&lines))
        }
        Format::Raw | Format::RawIds if list.raw.is_empty() => {
            render(&Format::Template("raw".to_owned()), list, rows)
        }
        Format::Template(text) => {
            let template = Compiled::new(text)?;
            let mut out = String::new();
            for row in rows {
                out += &template.render(&row_value(list, row))?;
                out.push('\n');
            }
            Ok(out)
        }
        Format::Raw => Ok(rows.iter().map(|row| raw(list.raw, row) + "\n").collect()),
        Format::RawIds => Ok(rows.iter().map(|row| raw(&list.raw[..1], row)).collect()),
        Format::JsonLines => {
            Ok(rows.iter().map(|row| go_json(&row_value(list, row)) + "\n").collect())
        }
        Format::Ids => Ok(rows.iter().map(|row| plain(row.get("ID")) + "\n").collect()),
    }
}

fn raw(lines: &[(&str, &str)], row: &Row) -> String {
    lines.iter().map(|(label, name)| format!("{label}: {}\n", plain(row.get(*name)))).collect()
}

fn heading(columns: &[Column], name: &str) -> &'static str {
    columns.iter().find(|column| column.name == name).map_or("", |column| column.heading)
}

fn plain(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIST: List = List {
        of: "*thing.thingContext",
        columns: &[Column { name: "ID", heading: "ID" }, Column { name: "Name", heading: "NAME" }],
        shown: &["ID", "Name"],
        raw: &[("id", "ID"), ("name", "Name")],
    };

    fn shown(format: &str, quiet: bool) -> Result<String, Failure> {
        let row = Row::from([("Name".into(), json!("a & <b>")), ("ID".into(), json!("abc"))]);
        render(&Format::new(Some(format), quiet), &LIST, &[row])
    }

    #[test]
    fn each_format_has_its_lines() {
        for (format, quiet, want) in [
            ("", false, "ID        NAME\nabc       a & <b>\n"),
            ("", true, "abc\n"),
            ("table", true, "abc\n"),
            (r"table {{.Name}}\t{{.ID}}", false, "NAME      ID\na & <b>   abc\n"),
            // What HTML would take for its own is escaped in whole lines alone.
            ("json", false, "{\"ID\":\"abc\",\"Name\":\"a \\u0026 \\u003cb\\u003e\"}\n"),
            ("{{json .Name}}", false, "\"a & <b>\"\n"),
            ("{{.Name}}!", false, "a & <b>!\n"),
            ("raw", false, "id: abc\nname: a & <b>\n\n"),
            ("raw", true, "id: abc\n"),
        ] {
            assert_eq!(shown(format, quiet).expect(format), want, "{format}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        assert_eq!(
            shown("{{.Nope}}", false).unwrap_err().to_string(),
            "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *thing.thingContext"
        );
    }
}
