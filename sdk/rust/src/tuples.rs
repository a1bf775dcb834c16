//! Reading the columns of a batch.

use crate::{Cells, ColumnRef, ColumnType, Ip, Tuples, Version};

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

impl Tuples {
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

impl Ip {
    /// The address as one number.
    pub fn bits(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}
