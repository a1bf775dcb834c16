//! What a node has of generic resources, and what of them its tasks hold.

use std::collections::BTreeMap;

use swarmw_model::GenericResource;

/// How many of each kind a task asks for.
pub(crate) type Kinds = BTreeMap<String, i64>;

/// The generic resources of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stock {
    /// As the node says it.
    there: Vec<GenericResource>,
    /// By its tasks. What a task was given stays its own, whatever the node says since.
    held: Vec<GenericResource>,
    /// Promised within a pass, and not given yet.
    promised: Kinds,
}

// === impl Stock ===

impl Stock {
    /// Neither has nor had anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.there.is_empty() && self.held.is_empty()
    }

    /// The node says what it has.
    pub(crate) fn set(&mut self, there: &[GenericResource]) {
        self.there = there.to_vec();
    }

    /// A task has these.
    pub(crate) fn hold(&mut self, given: &[GenericResource]) {
        self.held.extend_from_slice(given);
    }

    /// A task has these no more.
    pub(crate) fn let_go(&mut self, given: &[GenericResource]) {
        for one in given {
            if let Some(at) = self.held.iter().position(|held| held == one) {
                self.held.swap_remove(at);
            }
        }
    }

    /// How many of a kind are left; less than none where the node has fewer than before.
    pub(crate) fn free(&self, kind: &str) -> i64 {
        let promised = self.promised.get(kind).copied().unwrap_or(0);
        let (mut names, mut count) = (0, 0_i64);
        for one in self.there.iter().filter(|one| one.kind() == kind) {
            match one {
                GenericResource::Named { .. } => names += i64::from(!self.held.contains(one)),
                GenericResource::Discrete { count: more, .. } => count += more,
            }
        }
        for one in self.held.iter().filter(|one| one.kind() == kind) {
            if let GenericResource::Discrete { count: less, .. } = one {
                count -= less;
            }
        }
        names.saturating_add(count).saturating_sub(promised)
    }

    /// Keeps these for a task to be given them.
    pub(crate) fn promise(&mut self, asked: &Kinds) {
        for (kind, count) in asked {
            *self.promised.entry(kind.clone()).or_default() += count;
        }
    }

    /// Gives a task what it was promised: of what has names the first ones that are free,
    /// in the node's order.
    pub(crate) fn give(&mut self, asked: &Kinds) -> Vec<GenericResource> {
        let mut given = Vec::new();
        for (kind, count) in asked {
            if let Some(promised) = self.promised.get_mut(kind) {
                *promised -= count;
            }
            let named = |one: &&GenericResource| {
                one.kind() == kind && !one.name().is_empty() && !self.held.contains(one)
            };
            let names = self.there.iter().filter(named).take(usize::try_from(*count).unwrap_or(0));
            let before = given.len();
            given.extend(names.cloned());
            let left = count - i64::try_from(given.len() - before).unwrap_or(*count);
            if left > 0 {
                given.push(GenericResource::Discrete { kind: kind.clone(), count: left });
            }
        }
        self.hold(&given);
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmw_model::parse_generic_resources;

    fn of(text: &str) -> Vec<GenericResource> {
        parse_generic_resources(text.split_whitespace()).expect("resources")
    }

    fn asked(text: &str) -> Kinds {
        swarmw_model::counts_by_kind(&of(text))
    }

    #[test]
    fn names_are_given_in_the_nodes_order_and_numbers_as_numbers() {
        let mut stock = Stock::default();
        stock.set(&of("gpu=b gpu=a gpu=c ssd=5"));
        stock.promise(&asked("gpu=2 ssd=2"));
        assert_eq!((stock.free("gpu"), stock.free("ssd"), stock.free("fpga")), (1, 3, 0));
        assert_eq!(stock.give(&asked("gpu=2 ssd=2")), of("gpu=b gpu=a ssd=2"));
        assert_eq!((stock.free("gpu"), stock.free("ssd")), (1, 3));
        stock.let_go(&of("gpu=b ssd=2"));
        assert_eq!((stock.free("gpu"), stock.free("ssd")), (2, 5));
        assert_eq!(stock.give(&asked("gpu=1")), of("gpu=b"), "what was let go is given again");
    }

    #[test]
    fn what_tasks_hold_stays_theirs_when_the_node_has_less() {
        let mut stock = Stock::default();
        stock.set(&of("gpu=a gpu=b ssd=2"));
        stock.hold(&of("gpu=a ssd=2"));
        stock.set(&of("gpu=b gpu=c ssd=1"));
        assert_eq!((stock.free("gpu"), stock.free("ssd")), (2, -1));
        stock.let_go(&of("gpu=a ssd=2"));
        assert_eq!((stock.free("gpu"), stock.free("ssd")), (2, 1));
    }
}
