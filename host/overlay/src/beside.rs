//! Two maps beside each other.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

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

/// What differs, by key, of maps that share what is alike: next to nothing of that is looked
/// at.
pub(crate) fn unlike_shared<'a, K: Ord, V: PartialEq>(
    before: &'a OrdMap<K, V>,
    after: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    before.diff(after).map(|item| match item {
        DiffItem::Add(key, is) => (key, None, Some(is)),
        DiffItem::Update { old: (key, was), new: (_, is) } => (key, Some(was), Some(is)),
        DiffItem::Remove(key, was) => (key, Some(was), None),
    })
}

/// A map like the first, which shares with the second what is alike.
pub(crate) fn sharing<K: Ord + Clone, V: Clone + PartialEq>(
    map: &OrdMap<K, V>,
    with: &OrdMap<K, V>,
) -> OrdMap<K, V> {
    let mut shared = with.clone();
    for (key, _, is) in unlike_shared(with, map) {
        match is {
            Some(value) => drop(shared.insert(key.clone(), value.clone())),
            None => drop(shared.remove(key)),
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Counts how often it is compared.
    #[derive(Clone)]
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

    impl Eq for Counted {}

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

    #[test]
    fn of_maps_that_share_what_is_alike_little_is_looked_at() {
        let compared = Arc::<AtomicUsize>::default();
        let counted = |value| Counted { value, compared: compared.clone() };
        let before: OrdMap<u32, Counted> = (0..10_000).map(|key| (key, counted(key))).collect();
        let mut after = before.clone();
        after.insert(5_000, counted(1));
        after.remove(&7_000);
        let keys = || unlike_shared(&before, &after).map(|(key, ..)| *key).collect::<Vec<_>>();
        assert_eq!(keys(), [5_000, 7_000]);
        let looked = compared.load(Relaxed);
        assert!(looked < 500, "{looked} of 10,000");
    }

    #[test]
    fn what_is_made_anew_shares_what_is_alike() {
        let anew = |least: u32| -> OrdMap<u32, u32> {
            (least..10_000).map(|key| (key, key.max(10))).collect()
        };
        let before = anew(0);
        assert!(sharing(&anew(0), &before).ptr_eq(&before));
        let mut other = anew(5);
        other.insert(10_000, 1);
        other.insert(7, 1);
        assert_eq!(sharing(&other, &before), other);
    }
}
