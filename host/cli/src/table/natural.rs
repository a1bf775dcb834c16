//! The order in which people count: `web2` before `web10`.

use std::cmp::Ordering;

/// Compares texts with their runs of digits as numbers.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(l), Some(r)) = (left.bytes().next(), right.bytes().next()) {
        if l.is_ascii_digit() && r.is_ascii_digit() {
            let (x, after_left) = number(left);
            let (y, after_right) = number(right);
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let order =
                p.len().cmp(&q.len()).then_with(|| p.cmp(q)).then_with(|| x.len().cmp(&y.len()));
            if order.is_ne() {
                return order;
            }
            (left, right) = (after_left, after_right);
            continue;
        }
        let (l, r) = (left.chars().next(), right.chars().next());
        if l != r {
            return l.cmp(&r);
        }
        let step = l.map_or(1, char::len_utf8);
        (left, right) = (&left[step..], &right[step..]);
    }
    left.len().cmp(&right.len())
}

fn number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = vec!["web10", "web2", "web", "api", "web2b", "web02", "web1"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["api", "web", "web1", "web2", "web2b", "web02", "web10"]);
    }
}
