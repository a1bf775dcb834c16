//! From the texts of the node table to typed columns.

use std::net::IpAddr;
use std::sync::Arc;

use swarmw_scheduler::{ColumnRef, ColumnType, TupleColumn, Tuples};

use crate::bindings::types as wit;
use crate::options::number;

/// A batch as a component reads it. What cannot be read is absent.
pub fn typed(batch: &Tuples) -> wit::Tuples {
    wit::Tuples { rows: batch.rows as u32, columns: batch.columns.iter().map(column).collect() }
}

fn column(column: &TupleColumn) -> wit::Column {
    let values = &column.values;
    let (present, cells) = match column.read_as {
        ColumnType::Text => read(values, |t| Some(t.to_owned()), String::new(), wit::Cells::Text),
        ColumnType::Integer => read(values, |t| t.parse().ok(), 0, wit::Cells::Integer),
        ColumnType::Number => read(values, number, 0.0, wit::Cells::Number),
        ColumnType::Version => read(values, version, no_version(), wit::Cells::Version),
        ColumnType::Ip => read(values, ip, wit::Ip { high: 0, low: 0 }, wit::Cells::Ip),
    };
    wit::Column { present, cells }
}

fn read<T: Clone>(
    values: &[Option<Arc<str>>],
    parse: impl Fn(&str) -> Option<T>,
    absent: T,
    cells: impl FnOnce(Vec<T>) -> wit::Cells,
) -> (Vec<bool>, wit::Cells) {
    let read: Vec<Option<T>> =
        values.iter().map(|value| value.as_deref().and_then(&parse)).collect();
    let present = read.iter().map(Option::is_some).collect();
    let filled = read.into_iter().map(|c| c.unwrap_or_else(|| absent.clone()));
    (present, cells(filled.collect()))
}

fn no_version() -> wit::Version {
    wit::Version { major: 0, minor: 0, patch: 0, pre: String::new() }
}

/// `1.2`, `v1.2.3`, `1.2.3-rc.1+build`.
fn version(text: &str) -> Option<wit::Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(version, _build)| version);
    let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    let version =
        wit::Version { major: next()?, minor: next()?, patch: next()?, pre: pre.to_owned() };
    parts.next().is_none().then_some(version)
}

fn ip(text: &str) -> Option<wit::Ip> {
    let bits = match text.parse().ok()? {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    Some(wit::Ip { high: (bits >> 64) as u64, low: bits as u64 })
}

/// Columns with a name of their own.
const NAMED: [&str; 7] = [
    "node.id",
    "node.hostname",
    "node.role",
    "node.ip",
    "node.platform.os",
    "node.platform.arch",
    "engine.version",
];

/// Whether the node table has such a column.
pub fn exists(name: &str) -> bool {
    NAMED.contains(&name)
        || ["node.labels.", "engine.labels."]
            .iter()
            .any(|prefix| name.strip_prefix(prefix).is_some_and(|key| !key.is_empty()))
}

/// The most columns that an expression may read.
const READS_MAX: usize = 16;

/// Checks the columns that a plugin wants to read.
pub fn references(reads: Vec<wit::ColumnRef>) -> Result<Vec<ColumnRef>, String> {
    if reads.len() > READS_MAX {
        return Err(format!("reads {} columns; at most {READS_MAX}", reads.len()));
    }
    reads
        .into_iter()
        .map(|read| {
            if !exists(&read.name) {
                return Err(format!("reads column {:?}, which nodes have not", read.name));
            }
            Ok(ColumnRef {
                name: read.name,
                read_as: match read.read_as {
                    wit::ColumnType::Text => ColumnType::Text,
                    wit::ColumnType::Integer => ColumnType::Integer,
                    wit::ColumnType::Number => ColumnType::Number,
                    wit::ColumnType::Version => ColumnType::Version,
                    wit::ColumnType::Ip => ColumnType::Ip,
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_in_all_their_spellings() {
        for (text, want) in [
            ("1.2", Some((1, 2, 0, ""))),
            ("v1.2.3", Some((1, 2, 3, ""))),
            ("20.10.24+dfsg1", Some((20, 10, 24, ""))),
            ("1.2.3-rc.1", Some((1, 2, 3, "rc.1"))),
            ("7", Some((7, 0, 0, ""))),
            ("", None),
            ("1.2.3.4", None),
            ("one", None),
        ] {
            let read = version(text);
            let read = read.as_ref().map(|v| (v.major, v.minor, v.patch, v.pre.as_str()));
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let batch = Tuples {
            rows: 3,
            columns: vec![TupleColumn {
                read_as: ColumnType::Integer,
                values: vec![Some("4".into()), Some("four".into()), None],
            }],
        };
        let column = &typed(&batch).columns[0];
        assert_eq!(column.present, [true, false, false]);
        assert_eq!(column.cells, wit::Cells::Integer(vec![4, 0, 0]));
    }
}
