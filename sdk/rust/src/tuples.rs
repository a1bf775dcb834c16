//! Reading the columns of a batch.

use std::net::IpAddr;

use crate::raw::{Cells, Column, ColumnRef, ColumnType, Ip, Tuples, Version};

/// Names a column of the node table, and how it is read.
pub fn column(name: &str, read_as: ColumnType) -> ColumnRef {
    ColumnRef { name: name.to_owned(), read_as }
}

/// Node attributes with a name of their own.
pub const NODE_COLUMNS: [&str; 7] = [
    "node.id",
    "node.hostname",
    "node.ip",
    "node.role",
    "node.platform.os",
    "node.platform.arch",
    "engine.version",
];

/// Prefixes of the node attributes that operators name.
pub const LABEL_COLUMNS: [&str; 2] = ["node.labels.", "engine.labels."];

/// The column that `text` names, letter case ignored but for a label's key;
/// `None` when it names none.
pub fn node_column(text: &str) -> Option<String> {
    if let Some(name) = NODE_COLUMNS.iter().find(|c| c.eq_ignore_ascii_case(text)) {
        return Some((*name).to_owned());
    }
    LABEL_COLUMNS.iter().find_map(|prefix| {
        let (head, key) = text.split_at_checked(prefix.len())?;
        (head.eq_ignore_ascii_case(prefix) && !key.is_empty()).then(|| format!("{prefix}{key}"))
    })
}

/// The values of one combination that nodes of the cluster have. Columns are
/// counted in the order of `reads`; a value is `None` where nodes have no such
/// attribute, or it is not readable as the type asked for.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [Column],
    at: usize,
}

impl<'a> Row<'a> {
    /// A text.
    pub fn text(&self, column: usize) -> Option<&'a str> {
        match self.cells(column)? {
            Cells::Text(cells) => cells.get(self.at).map(String::as_str),
            _ => None,
        }
    }

    /// A whole number.
    pub fn integer(&self, column: usize) -> Option<i64> {
        match self.cells(column)? {
            Cells::Integer(cells) => cells.get(self.at).copied(),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, column: usize) -> Option<f64> {
        match self.cells(column)? {
            Cells::Number(cells) => cells.get(self.at).copied(),
            _ => None,
        }
    }

    /// A version.
    pub fn version(&self, column: usize) -> Option<&'a Version> {
        match self.cells(column)? {
            Cells::Version(cells) => cells.get(self.at),
            _ => None,
        }
    }

    /// An address.
    pub fn ip(&self, column: usize) -> Option<IpAddr> {
        match self.cells(column)? {
            Cells::Ip(cells) => cells.get(self.at).map(|ip| IpAddr::from(*ip)),
            _ => None,
        }
    }

    /// The cells of a column that has a value in this row.
    fn cells(&self, column: usize) -> Option<&'a Cells> {
        let column = self.columns.get(column)?;
        column.present.get(self.at).copied().unwrap_or(false).then_some(&column.cells)
    }
}

impl Tuples {
    /// Row by row.
    pub fn each(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows as usize).map(|at| Row { columns: &self.columns, at })
    }

    /// Cells of a text column: `None` where the node has no such attribute, and
    /// for every row when the column is not of this type. So the others.
    pub fn texts(&self, column: usize) -> impl Iterator<Item = Option<&str>> {
        let cells = match self.columns.get(column).map(|c| &c.cells) {
            Some(Cells::Text(cells)) => &cells[..],
            _ => &[],
        };
        self.rows(column, cells).map(|c| c.map(String::as_str))
    }

    /// Cells of an integer column.
    pub fn integers(&self, column: usize) -> impl Iterator<Item = Option<i64>> {
        let cells = match self.columns.get(column).map(|c| &c.cells) {
            Some(Cells::Integer(cells)) => &cells[..],
            _ => &[],
        };
        self.rows(column, cells).map(|c| c.copied())
    }

    /// Cells of a number column.
    pub fn numbers(&self, column: usize) -> impl Iterator<Item = Option<f64>> {
        let cells = match self.columns.get(column).map(|c| &c.cells) {
            Some(Cells::Number(cells)) => &cells[..],
            _ => &[],
        };
        self.rows(column, cells).map(|c| c.copied())
    }

    /// Cells of a version column.
    pub fn versions(&self, column: usize) -> impl Iterator<Item = Option<&Version>> {
        let cells = match self.columns.get(column).map(|c| &c.cells) {
            Some(Cells::Version(cells)) => &cells[..],
            _ => &[],
        };
        self.rows(column, cells)
    }

    /// Cells of an address column, as 128 bits; IPv4 as `::ffff:a.b.c.d`.
    pub fn addresses(&self, column: usize) -> impl Iterator<Item = Option<u128>> {
        let cells = match self.columns.get(column).map(|c| &c.cells) {
            Some(Cells::Ip(cells)) => &cells[..],
            _ => &[],
        };
        self.rows(column, cells).map(|c| c.map(Ip::bits))
    }

    fn rows<'a, T>(&'a self, column: usize, cells: &'a [T]) -> impl Iterator<Item = Option<&'a T>> {
        let present = self.columns.get(column).map_or(&[][..], |c| &c.present);
        (0..self.rows as usize)
            .map(move |row| cells.get(row).filter(|_| present.get(row).copied().unwrap_or(false)))
    }
}
