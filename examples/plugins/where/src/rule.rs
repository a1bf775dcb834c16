//! What an expression means.

use std::cmp::Ordering;

use swarmw_sdk::{Network, Row, Version};

/// A condition on a node.
pub enum Rule {
    Any(Vec<Rule>),
    All(Vec<Rule>),
    Not(Box<Rule>),
    /// The column has a value.
    Exists(usize),
    /// The column's text is one of these, letter case ignored.
    OneOf(usize, Vec<String>),
    /// The column's address lies in one of these.
    Within(usize, Vec<Network>),
    Number(usize, Order, f64),
    Version(usize, Order, Version),
}

/// Which side of a value.
#[derive(Clone, Copy)]
pub enum Order {
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Rule {
    pub fn holds(&self, node: &Row<'_>) -> bool {
        match self {
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(node)),
            Self::All(rules) => rules.iter().all(|rule| rule.holds(node)),
            Self::Not(rule) => !rule.holds(node),
            Self::Exists(column) => node.text(*column).is_some(),
            Self::OneOf(column, values) => {
                let same = |value: &str, other: &String| match value.is_ascii() {
                    true => value.eq_ignore_ascii_case(other),
                    false => value.to_lowercase() == *other,
                };
                node.text(*column).is_some_and(|value| values.iter().any(|o| same(value, o)))
            }
            Self::Within(column, networks) => {
                node.ip(*column).is_some_and(|ip| networks.iter().any(|n| n.contains(ip)))
            }
            Self::Number(column, order, bound) => {
                let of = |value: f64| value.partial_cmp(bound);
                node.number(*column).and_then(of).is_some_and(|found| order.allows(found))
            }
            Self::Version(column, order, bound) => {
                node.version(*column).is_some_and(|value| order.allows(value.cmp(bound)))
            }
        }
    }
}

impl Order {
    pub fn of(operator: &str) -> Option<Self> {
        match operator {
            ">=" => Some(Self::AtLeast),
            "<=" => Some(Self::AtMost),
            ">" => Some(Self::Above),
            "<" => Some(Self::Below),
            _ => None,
        }
    }

    fn allows(self, found: Ordering) -> bool {
        match self {
            Self::AtLeast => found.is_ge(),
            Self::AtMost => found.is_le(),
            Self::Above => found.is_gt(),
            Self::Below => found.is_lt(),
        }
    }
}
