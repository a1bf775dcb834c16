//! Two maps beside each other.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What differs, by key. A value that both share, as an [`Arc`](std::sync::Arc), is not looked
/// into.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Counts how often it is compared.
    #[derive(Eq)]
    struct Counted {
        value: u32,
        compared: Arc<AtomicUsize>,
    }

    // === impl Counted ===

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            self.compared.fetch_add(1, Relaxed);
            self.value == other.value
        }
    }

    #[test]
    fn what_two_maps_share_is_not_looked_into() {
        let compared = Arc::<AtomicUsize>::default();
        let counted = |value| Counted { value, compared: compared.clone() };
        let before: BTreeMap<_, _> = (0..100).map(|key| (key, Arc::new(counted(key)))).collect();
        let mut after = before.clone();
        after.insert(7, Arc::new(counted(8)));
        after.insert(9, Arc::new(counted(9)));
        let keys: Vec<_> = unlike(&before, &after).map(|(key, ..)| *key).collect();
        assert_eq!((keys, compared.load(Relaxed)), (vec![7], 2), "of which one is alike");
    }
}
