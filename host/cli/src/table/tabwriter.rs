//! Cells separated by tabs, brought into columns.

/// Least width of a column, padding included.
const MIN_WIDTH: usize = 10;
/// Blanks after the widest cell of a column.
const PADDING: usize = 3;

/// Aligns lines of cells. As in Go's tabwriter, a column is a run of adjacent
/// lines that have a cell there; the last cell of a line is not padded.
pub(crate) fn align(lines: &[String]) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = rows.iter().map(|row| vec![0; row.len()]).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < rows.len() {
            let run = rows[start..].iter().take_while(|row| column + 1 < row.len()).count();
            let width = rows[start..start + run]
                .iter()
                .map(|row| row[column].chars().count() + PADDING)
                .max()
                .unwrap_or(0)
                .max(MIN_WIDTH);
            for widths in &mut widths[start..start + run] {
                widths[column] = width;
            }
            start += run.max(1);
        }
    }
    let mut out = String::new();
    for (row, widths) in rows.iter().zip(&widths) {
        for (cell, width) in row.iter().zip(widths) {
            out.push_str(cell);
            let blanks = width.saturating_sub(cell.chars().count());
            out.extend(std::iter::repeat_n(' ', blanks));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns_are_ten_wide_and_three_apart() {
        let lines = ["ID\tNAME\tPORTS", "abcdefghijkl\tweb\t"].map(str::to_owned);
        assert_eq!(align(&lines), "ID             NAME      PORTS\nabcdefghijkl   web       \n");
    }

    #[test]
    fn wide_characters_count_once() {
        let lines = ["é\tx".to_owned(), "ee\ty".to_owned()];
        assert_eq!(align(&lines), "é         x\nee        y\n");
    }
}
