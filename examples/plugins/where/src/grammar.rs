//! From text to [`Rule`].
//!
//! ```text
//! whole  = "where" "(" any ")" | test
//! any    = all { "||" all }
//! all    = one { "&&" one }
//! one    = "!" one | "(" any ")" | "exists" "(" KEY ")" | test
//! test   = KEY ( "==" | "!=" | ">=" | "<=" | ">" | "<" ) VALUE
//!        | KEY [ "not" ] "in" "(" VALUE { "," VALUE } ")"
//! ```
//!
//! `==` and `in` read networks where all values are networks or addresses and the
//! key is `node.ip`; the others read versions of `engine.version` and of values
//! with two dots, and numbers otherwise.

use swarmw_sdk::{ColumnRef, ColumnType, Network, Problem, Version, column, node_column, problem};

use crate::ORDER;
use crate::rule::{Order, Rule};

/// The host's bound on columns of one expression.
const READS_MAX: usize = 16;
/// Parentheses and negations within each other.
const DEPTH_MAX: usize = 32;

pub struct Parser<'a> {
    whole: &'a str,
    rest: &'a str,
    depth: usize,
    /// The columns that the rule reads.
    pub reads: Vec<ColumnRef>,
}

impl<'a> Parser<'a> {
    pub fn new(whole: &'a str) -> Self {
        Self { whole, rest: whole, depth: 0, reads: Vec::new() }
    }

    pub fn whole(&mut self) -> Result<Rule, Problem> {
        let rule = if self.takes_word("where") {
            self.expect("(")?;
            let rule = self.any()?;
            self.expect(")")?;
            rule
        } else {
            self.test()?
        };
        self.rest = self.rest.trim_start();
        match self.rest {
            "" => Ok(rule),
            rest => Err(self.wrong(rest, "trailing-text", "the expression should end here")),
        }
    }

    fn any(&mut self) -> Result<Rule, Problem> {
        let mut rules = vec![self.all()?];
        while self.takes("||") {
            rules.push(self.all()?);
        }
        Ok(one_or(rules, Rule::Any))
    }

    fn all(&mut self) -> Result<Rule, Problem> {
        let mut rules = vec![self.one()?];
        while self.takes("&&") {
            rules.push(self.one()?);
        }
        Ok(one_or(rules, Rule::All))
    }

    fn one(&mut self) -> Result<Rule, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(self.rest, "too-deep", "the expression nests too deeply"));
        }
        let rule = if !self.rest.trim_start().starts_with("!=") && self.takes("!") {
            Rule::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let rule = self.any()?;
            self.expect(")")?;
            rule
        } else if self.takes_word("exists") {
            self.expect("(")?;
            let key = self.key()?;
            self.expect(")")?;
            Rule::Exists(self.column(key, ColumnType::Text)?)
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(rule)
    }

    fn test(&mut self) -> Result<Rule, Problem> {
        let key = self.key()?;
        for operator in ["==", "!="].iter().chain(&ORDER) {
            if self.takes(operator) {
                let value = self.value()?;
                return match *operator {
                    "==" => self.among(key, &[value]),
                    "!=" => Ok(Rule::Not(Box::new(self.among(key, &[value])?))),
                    _ => self.compared(key, operator, value),
                };
            }
        }
        let negated = self.takes_word("not");
        if !self.takes_word("in") {
            let hint = "try ==, !=, >=, <=, >, <, in (…) or not in (…)";
            let at = self.rest.trim_start();
            return Err(self.wrong(at, "bad-operator", "an operator is missing").hint(hint));
        }
        self.expect("(")?;
        let mut values = vec![self.value()?];
        while self.takes(",") {
            values.push(self.value()?);
        }
        self.expect(")")?;
        let rule = self.among(key, &values)?;
        Ok(if negated { Rule::Not(Box::new(rule)) } else { rule })
    }

    fn among(&mut self, key: &'a str, values: &[&'a str]) -> Result<Rule, Problem> {
        let networks: Option<Vec<Network>> = values.iter().map(|v| Network::parse(v)).collect();
        match networks {
            Some(networks) if key.eq_ignore_ascii_case("node.ip") => {
                Ok(Rule::Within(self.column(key, ColumnType::Ip)?, networks))
            }
            _ => {
                let texts = values.iter().map(|v| v.to_lowercase()).collect();
                Ok(Rule::OneOf(self.column(key, ColumnType::Text)?, texts))
            }
        }
    }

    fn compared(&mut self, key: &'a str, operator: &str, value: &'a str) -> Result<Rule, Problem> {
        let Some(order) = Order::of(operator) else {
            return Err(self.wrong(value, "bad-operator", "an operator is missing"));
        };
        let version = key.eq_ignore_ascii_case("engine.version")
            || value.starts_with(['v', 'V'])
            || value.matches('.').count() > 1;
        if version {
            let bound = Version::parse(value).ok_or_else(|| {
                self.wrong(value, "bad-version", &format!("'{value}' is no version"))
                    .hint("try 24.0 or 1.2.3-rc.1")
            })?;
            return Ok(Rule::Version(self.column(key, ColumnType::Version)?, order, bound));
        }
        let bound = value.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| {
            self.wrong(value, "bad-number", &format!("'{value}' is no number"))
                .hint("text is compared with == and !=")
        })?;
        Ok(Rule::Number(self.column(key, ColumnType::Number)?, order, bound))
    }

    fn column(&mut self, key: &'a str, read_as: ColumnType) -> Result<usize, Problem> {
        let name = node_column(key).ok_or_else(|| {
            self.wrong(key, "unknown-key", &format!("nodes have no attribute '{key}'"))
                .hint("try node.labels.KEY, node.role, node.ip, engine.version")
        })?;
        let read = column(&name, read_as);
        if let Some(at) = self.reads.iter().position(|known| *known == read) {
            return Ok(at);
        }
        if self.reads.len() == READS_MAX {
            return Err(self.wrong(key, "too-many", "more than 16 attributes in one expression"));
        }
        self.reads.push(read);
        Ok(self.reads.len() - 1)
    }

    // === words ===

    fn key(&mut self) -> Result<&'a str, Problem> {
        let rest = self.rest.trim_start();
        let inside = |c: char| c.is_alphanumeric() || "._-/".contains(c);
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if key.is_empty() {
            return Err(self.wrong(rest, "no-key", "the name of a node's attribute is missing"));
        }
        self.rest = after;
        Ok(key)
    }

    /// A word, or a text in quotes.
    fn value(&mut self) -> Result<&'a str, Problem> {
        let rest = self.rest.trim_start();
        if let Some(inside) = rest.strip_prefix('"') {
            let Some((value, after)) = inside.split_once('"') else {
                return Err(self.wrong(rest, "open-quote", "a quote is missing at the end"));
            };
            self.rest = after;
            return Ok(value);
        }
        let stops = |c: char| c.is_whitespace() || "(),|&\"".contains(c);
        let end = rest.find(stops).unwrap_or(rest.len());
        let (value, after) = rest.split_at(end);
        if value.is_empty() {
            return Err(self.wrong(rest, "no-value", "a value is missing"));
        }
        self.rest = after;
        Ok(value)
    }

    fn takes(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A word that ends where it ends: `in`, but not the `in` of `inner`.
    fn takes_word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        match rest.filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '.')) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), Problem> {
        match self.takes(token) {
            true => Ok(()),
            false => {
                let at = self.rest.trim_start();
                Err(self.wrong(at, "missing", &format!("'{token}' is missing")))
            }
        }
    }

    /// A problem whose caret stands under the first letter of `at`.
    fn wrong(&self, at: &'a str, code: &str, message: &str) -> Problem {
        let first = at.chars().next().map_or(0, char::len_utf8);
        problem(code, message).at(self.whole, &at[..first])
    }
}

fn one_or(mut rules: Vec<Rule>, all: fn(Vec<Rule>) -> Rule) -> Rule {
    match rules.len() {
        1 => rules.remove(0),
        _ => all(rules),
    }
}
