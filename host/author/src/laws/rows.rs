//! Which row of a batch was answered in two ways.

use swarmw_sdk::testing::{Rows, Subject, Texts};

use super::fault;
use crate::subject::Component;

/// The first row whose verdict is another one the second time.
pub fn difference(rows: &Rows, first: &[bool], second: &[bool]) -> String {
    match first.iter().zip(second).position(|(first, second)| first != second) {
        Some(at) => {
            let word = |pass: bool| if pass { "passed" } else { "did not pass" };
            format!("{} {}, then {}", shown(rows, at), word(first[at]), word(second[at]))
        }
        None => format!("{} verdicts, then {}", first.len(), second.len()),
    }
}

/// A row with what stands in its columns.
pub fn shown(rows: &Rows, at: usize) -> String {
    let cells = rows.reads.iter().zip(&rows.values[at]).map(|(read, value)| match value {
        Some(value) => format!("{}={value:?}", read.name),
        None => format!("{} absent", read.name),
    });
    let cells: Vec<_> = cells.collect();
    format!("row {} of {} ({})", at + 1, rows.values.len(), cells.join(", "))
}

/// After a fault with all rows: the first that has it when asked alone, or two verdicts
/// when asked twice.
pub fn culprit(
    component: &mut Component<'_>,
    expression: &str,
    options: &Texts,
    rows: &Rows,
) -> Option<String> {
    (0..rows.values.len()).find_map(|at| {
        let one = Rows { reads: rows.reads.clone(), values: vec![rows.values[at].clone()] };
        let first = component.test(expression, options, &one);
        let second = component.test(expression, options, &one);
        let steady = first == second && fault(&first).is_none();
        (!steady).then(|| shown(rows, at))
    })
}

#[cfg(test)]
mod tests {
    use swarmw_sdk::{ColumnRef, ColumnType};

    use super::*;

    #[test]
    fn the_first_row_that_differs_is_named() {
        let read = ColumnRef { name: "node.labels.cores".to_owned(), read_as: ColumnType::Number };
        let values = vec![vec![None], vec![Some("8".to_owned())]];
        let rows = Rows { reads: vec![read], values };
        assert_eq!(
            difference(&rows, &[true, false], &[true, true]),
            "row 2 of 2 (node.labels.cores=\"8\") did not pass, then passed"
        );
        assert_eq!(shown(&rows, 0), "row 1 of 2 (node.labels.cores absent)");
    }
}
