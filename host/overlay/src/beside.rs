//! Two maps beside each other.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What differs, by key.
pub(crate) fn unlike<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    pairs(before, after).filter(|(_, was, is)| was != is)
}

/// All keys of two maps, with what each map has there.
pub(crate) fn pairs<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (before.peek(), after.peek()) {
            (Some((was, _)), Some((is, _))) => was.cmp(is),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let was = before.next_if(|_| order.is_le());
        let is = after.next_if(|_| order.is_ge());
        let (key, _) = was.or(is)?;
        Some((key, was.map(|(_, value)| value), is.map(|(_, value)| value)))
    })
}
