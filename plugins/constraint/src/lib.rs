//! Swarm's placement constraints: `key==value` and `key!=value`.
//!
//! The grammar is Swarm's to the letter, with one difference: a key that does not
//! exist is refused. Swarm takes it, and the service waits for ever.

mod address;
mod grammar;

use address::Network;
use grammar::{Expression, Operator};
use swarmw_sdk::raw::{
    Claim, ColumnType, Compiled, Constraint, LABEL_COLUMNS, Match, Metadata, Options, Plan, Plugin,
    Problem, Tuples, column, metadata, node_column, problem,
};

/// The plugin `swarmw/constraint`.
pub struct SwarmConstraint;

/// Keys besides labels, as Swarm documents them.
const KEYS: [&str; 6] =
    ["node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"];

swarmw_sdk::raw::export!(SwarmConstraint: Constraint);

impl Plugin for SwarmConstraint {
    fn describe() -> Metadata {
        metadata(
            "swarmw/constraint",
            env!("CARGO_PKG_VERSION"),
            "Swarm's constraints: node.*, node.labels.* and engine.labels.* with == and !=",
        )
        .claim(Claim::KeyPrefix(String::new()))
    }
}

impl Constraint for SwarmConstraint {
    fn compile(text: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        let expression = Expression::parse(text)?;
        let name = key_column(text, &expression)?;
        if name == "node.ip" {
            return Ok(match Network::parse(expression.value) {
                Some(_) => Compiled::ask(vec![column(&name, ColumnType::Ip)]),
                // As in Swarm: neither equal nor different.
                None => Compiled::plan(Plan::Never),
            });
        }
        let wanted = Match::one(name, expression.value);
        Ok(Compiled::plan(match expression.operator {
            Operator::Equal => Plan::Equals(wanted),
            Operator::NotEqual => Plan::NotEquals(wanted),
        }))
    }

    /// Only addresses are asked for: text is the host's own look-up.
    fn test(text: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
        let parsed =
            Expression::parse(text).ok().and_then(|e| Some((e.operator, Network::parse(e.value)?)));
        let Some((operator, network)) = parsed else {
            return vec![false; rows.rows as usize];
        };
        rows.addresses(0)
            .map(|address| {
                let inside = address.is_some_and(|a| network.contains(a));
                inside == (operator == Operator::Equal)
            })
            .collect()
    }
}

/// The node's column that the key names.
fn key_column(text: &str, expression: &Expression<'_>) -> Result<String, Problem> {
    let key = expression.key;
    node_column(key)
        .filter(|c| KEYS.contains(&c.as_str()) || LABEL_COLUMNS.iter().any(|l| c.starts_with(l)))
        .ok_or_else(|| {
            let keys = KEYS.join(", ");
            problem(
                "unknown-key",
                format!(
                    "key '{key}' is unknown: {keys}, node.labels.KEY and engine.labels.KEY exist"
                ),
            )
            .at(text, key)
            .hint(hint(key))
        })
}

fn hint(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let close = KEYS.iter().find(|k| k.rsplit('.').next() == Some(last));
    match close {
        Some(known) => format!("try {known}"),
        None => format!("a label of a node is node.labels.{last}"),
    }
}

#[cfg(test)]
mod tests;
