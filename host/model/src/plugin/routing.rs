//! What is routed to which plugin; see `claim` in `wit/types.wit`.

use std::collections::BTreeSet;

use super::{Plugin, PluginClaim, PluginKind};

/// Swarm's operators, which end a key whether claimed or not.
const OPERATORS: [&str; 2] = ["==", "!="];

/// How constraints find their plugin among several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// All operators, the longest first.
    operators: Vec<String>,
}

// === impl Routing ===

impl Routing {
    /// Among plugins with these claims.
    pub fn of<'a>(claims: impl IntoIterator<Item = &'a [PluginClaim]>) -> Self {
        let claimed = claims.into_iter().flatten().filter_map(operator);
        let all: BTreeSet<&str> = OPERATORS.into_iter().chain(claimed).collect();
        let mut operators: Vec<String> = all.into_iter().map(str::to_owned).collect();
        operators.sort_by_key(|o| std::cmp::Reverse(o.len()));
        Self { operators }
    }

    /// The plugin that claims a constraint: a call by its name, else key and
    /// operator, else the key; the longer key wins.
    pub fn constraint<'a, P>(
        &self,
        plugins: &'a [P],
        claims: impl Fn(&P) -> &[PluginClaim],
        expression: &str,
    ) -> Option<&'a P> {
        let text = expression.trim();
        if let Some(call) = call_name(text) {
            let called = |c: &PluginClaim| matches!(c, PluginClaim::Call(name) if name == call);
            if let Some(found) = plugins.iter().find(|p| claims(p).iter().any(called)) {
                return Some(found);
            }
        }
        let (key, operator) = self.split(text);
        plugins
            .iter()
            .filter_map(|p| Some((rank(claims(p), key, operator)?, p)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, plugin)| plugin)
    }

    /// The key, and the operator that ends it if one does.
    fn split<'a>(&self, text: &'a str) -> (&'a str, Option<&str>) {
        let found = self
            .operators
            .iter()
            .filter_map(|o| Some((text.find(o.as_str())?, o.as_str())))
            // The first; of those at one place the longest, which comes first here.
            .min_by_key(|(at, _)| *at);
        match found {
            Some((at, operator)) => (text[..at].trim(), Some(operator)),
            None => (text, None),
        }
    }
}

/// Whether `PLUGIN` of `--policy-opt PLUGIN.OPTION` means the plugin of this name
/// and these claims: its whole name, the last part of it, or a name it claims.
pub fn answers_to(name: &str, claims: &[PluginClaim], word: &str) -> bool {
    word == name
        || name.split_once('/').is_some_and(|(_, last)| last == word)
        || claims.iter().any(|c| matches!(c, PluginClaim::Name(n) if n == word))
}

impl Plugin {
    /// A claim of `self` that the other plugin has already. Claims that merely
    /// overlap are ranked when an expression is routed.
    pub fn clash(&self, other: &Self) -> Option<&PluginClaim> {
        if other.kind != self.kind {
            return None;
        }
        let (ours, theirs) = (&self.release.metadata.claims, &other.release.metadata.claims);
        let narrowed = |claims: &[PluginClaim]| -> BTreeSet<String> {
            claims.iter().filter_map(operator).map(str::to_owned).collect()
        };
        let (our_operators, their_operators) = (narrowed(ours), narrowed(theirs));
        // Of the same keys one may have some operators and the other the rest.
        let apart = self.kind == PluginKind::Constraint
            && our_operators.is_disjoint(&their_operators)
            && !(our_operators.is_empty() && their_operators.is_empty());
        ours.iter().find(|claim| {
            let keyed = matches!(claim, PluginClaim::Key(_) | PluginClaim::KeyPrefix(_));
            operator(claim).is_none()
                && !(keyed && apart)
                && theirs.iter().any(|other| same(other, claim))
        })
    }
}

fn operator(claim: &PluginClaim) -> Option<&str> {
    match claim {
        PluginClaim::Operator(operator) => Some(operator),
        _ => None,
    }
}

fn same(a: &PluginClaim, b: &PluginClaim) -> bool {
    match (a, b) {
        (PluginClaim::Key(a), PluginClaim::Key(b))
        | (PluginClaim::KeyPrefix(a), PluginClaim::KeyPrefix(b)) => a.eq_ignore_ascii_case(b),
        (a, b) => a == b,
    }
}

/// `NAME` of `NAME(…)`.
pub fn call_name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_suffix(')')?.split_once('(')?;
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!name.is_empty() && name.chars().all(word)).then_some(name)
}

/// How well claims fit: an operator claimed, then the key's length, then a whole
/// key before a prefix. `None` when they do not fit.
fn rank(claims: &[PluginClaim], key: &str, found: Option<&str>) -> Option<(bool, usize, bool)> {
    let mut operators = claims.iter().filter_map(operator).peekable();
    let narrowed = operators.peek().is_some();
    if narrowed && !operators.any(|o| Some(o) == found) {
        return None;
    }
    claims
        .iter()
        .filter_map(|claim| match claim {
            PluginClaim::Key(whole) if whole.eq_ignore_ascii_case(key) => Some((whole.len(), true)),
            PluginClaim::KeyPrefix(prefix) => key
                .get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
                .then_some((prefix.len(), false)),
            _ => None,
        })
        .max()
        .map(|(length, whole)| (narrowed, length, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Blob, PluginId, PluginMetadata, PluginRelease};
    use PluginClaim::{Call, Key, KeyPrefix, Name, Operator};

    fn plugin(name: &str, claims: &[PluginClaim]) -> Plugin {
        let metadata = PluginMetadata {
            version: "1.0.0".into(),
            summary: String::new(),
            claims: claims.to_vec(),
            options: vec![],
            grants: vec![],
        };
        let blob = Blob { digest: name.to_owned(), size: 0 };
        let release = PluginRelease::new(blob, metadata);
        Plugin::new(PluginId::from_bits(1), name.to_owned(), PluginKind::Constraint, release)
    }

    #[test]
    fn the_best_claim_wins() {
        let plugins = [
            plugin("all", &[KeyPrefix(String::new())]),
            plugin("labels", &[KeyPrefix("node.labels.".into())]),
            plugin("mem", &[Key("node.labels.mem".into()), Operator(">=".into())]),
            plugin("id", &[Key("node.id".into())]),
            plugin("odd", &[Call("odd".into())]),
        ];
        fn claims(plugin: &Plugin) -> &[PluginClaim] {
            &plugin.release.metadata.claims
        }
        let routing = Routing::of(plugins.iter().map(claims));
        for (text, want) in [
            ("node.hostname==a", "all"),
            ("no operator", "all"),
            ("", "all"),
            ("node.labels.a==b", "labels"),
            ("NODE.LABELS.a != b", "labels"),
            ("node.labels.mem==4", "labels"),
            ("node.labels.mem >= 4", "mem"),
            ("node.labels.mem>=a==b", "mem"),
            ("Node.ID==x", "id"),
            ("node.idx==x", "all"),
            ("odd(slot)", "odd"),
            ("even(slot)", "all"),
        ] {
            let found = routing.constraint(&plugins, claims, text).map(|p| p.name.as_str());
            assert_eq!(found, Some(want), "{text}");
        }
    }

    #[test]
    fn the_same_claim_twice_is_a_clash() {
        let existing = plugin("a/b", &[KeyPrefix("x.".into()), Key("y".into())]);
        for (claims, clashes) in [
            (&[KeyPrefix("X.".into())][..], true),
            (&[Key("y".into())], true),
            (&[Key("x.".into())], false),
            (&[Key("y".into()), Operator(">".into())], false),
            (&[Call("y".into())], false),
        ] {
            let clash = plugin("c/d", claims).clash(&existing).is_some();
            assert_eq!(clash, clashes, "{claims:?}");
        }
        let mut elsewhere = plugin("c/d", &[Name("y".into())]);
        elsewhere.kind = PluginKind::Preference;
        assert_eq!(elsewhere.clash(&existing), None);
    }

    #[test]
    fn an_option_names_a_plugin_by_its_name_or_what_it_claims() {
        for (word, want) in
            [("acme/near", true), ("near", true), ("geo", true), ("acme", false), ("ge", false)]
        {
            assert_eq!(answers_to("acme/near", &[Name("geo".into())], word), want, "{word}");
        }
    }
}
