//! What is routed to which plugin; see `claim` in `wit/types.wit`.

use std::collections::BTreeSet;

use super::{Plugin, PluginClaim, PluginKind, PluginState};

/// Swarm's operators, which end a key whether claimed or not.
const OPERATORS: [&str; 2] = ["==", "!="];
/// Swarm's own keys besides labels.
const SWARM_KEYS: [&str; 6] =
    ["node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"];
/// What Swarm's keys of labels begin with.
const SWARM_LABELS: [&str; 2] = ["node.labels.", "engine.labels."];

/// How constraints find their plugin among several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// All operators, the longest first.
    operators: Vec<String>,
}

// === impl Routing ===

impl Routing {
    /// Among these plugins, all for constraints.
    pub fn of<'a>(plugins: impl IntoIterator<Item = &'a Plugin>) -> Self {
        let claims = plugins.into_iter().flat_map(claims);
        let all: BTreeSet<&str> =
            OPERATORS.into_iter().chain(claims.filter_map(PluginClaim::operator)).collect();
        let mut operators: Vec<String> = all.into_iter().map(str::to_owned).collect();
        operators.sort_by_key(|o| std::cmp::Reverse(o.len()));
        Self { operators }
    }

    /// The plugin that claims a constraint: a call by its name, else key and
    /// operator, else the key; the longer key wins. One that its operator disabled
    /// gives way to another that answers such expressions.
    pub fn constraint<'a, P>(
        &self,
        plugins: &'a [P],
        plugin: impl Fn(&P) -> &Plugin,
        expression: &str,
    ) -> Option<&'a P> {
        let best = self.best(plugins.iter(), &plugin, expression)?;
        if plugin(best).status.state != PluginState::Disabled {
            return Some(best);
        }
        let enabled = plugins.iter().filter(|p| plugin(p).status.state != PluginState::Disabled);
        let next = self.best(enabled, &plugin, expression);
        next.filter(|p| self.answers(plugin(p), expression)).or(Some(best))
    }

    /// Whether a plugin claims a constraint for itself, and not only with all that nobody
    /// else wants: of that, what Swarm has keys for is answered.
    pub fn answers(&self, plugin: &Plugin, expression: &str) -> bool {
        match self.claim(plugin, expression) {
            None => false,
            Some(PluginClaim::KeyPrefix(prefix)) if prefix.is_empty() => {
                claims(plugin).iter().any(|claim| claim.operator().is_some())
                    || is_swarms(expression)
            }
            Some(_) => true,
        }
    }

    /// By which of its claims a plugin takes a constraint, if it is routed to it.
    pub fn claim<'a>(&self, plugin: &'a Plugin, expression: &str) -> Option<&'a PluginClaim> {
        let text = expression.trim();
        let called = call_name(text).and_then(|call| calls(plugin, call));
        let (key, operator) = self.split(text);
        called.or_else(|| rank(claims(plugin), key, operator).map(|(_, claim)| claim))
    }

    /// The same as an operator agrees to it, with the constraint's operator where the
    /// plugin claims some only.
    pub fn claimed(&self, plugin: &Plugin, expression: &str) -> Option<String> {
        let claim = self.claim(plugin, expression)?;
        let narrowed = claims(plugin).iter().any(|claim| claim.operator().is_some());
        Some(claim.pattern(self.operator(expression).filter(|_| narrowed)))
    }

    /// The operator that ends a constraint's key.
    pub fn operator(&self, expression: &str) -> Option<&str> {
        self.split(expression.trim()).1
    }

    fn best<'a, P>(
        &self,
        plugins: impl Iterator<Item = &'a P> + Clone,
        plugin: impl Fn(&P) -> &Plugin,
        expression: &str,
    ) -> Option<&'a P> {
        let text = expression.trim();
        if let Some(call) = call_name(text)
            && let Some(found) = plugins.clone().find(|p| calls(plugin(p), call).is_some())
        {
            return Some(found);
        }
        let (key, operator) = self.split(text);
        plugins
            .filter_map(|p| Some((rank(claims(plugin(p)), key, operator)?.0, p)))
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

fn claims(plugin: &Plugin) -> &[PluginClaim] {
    &plugin.release.metadata.claims
}

fn calls<'a>(plugin: &'a Plugin, call: &str) -> Option<&'a PluginClaim> {
    claims(plugin).iter().find(|c| matches!(c, PluginClaim::Call(name) if name == call))
}

/// Whether Swarm has a key for a constraint, and an operator.
fn is_swarms(expression: &str) -> bool {
    let ends = OPERATORS.iter().filter_map(|o| expression.find(o));
    ends.min().is_some_and(|at| {
        let key = expression[..at].trim().to_ascii_lowercase();
        let label = |prefix: &str| key.len() > prefix.len() && key.starts_with(prefix);
        SWARM_KEYS.contains(&key.as_str()) || SWARM_LABELS.iter().any(|prefix| label(prefix))
    })
}

/// Whether `PLUGIN` of `--policy-opt PLUGIN.OPTION` means the plugin of this name
/// and these claims: its whole name, the last part of it, or a name or call it claims.
pub fn answers_to(name: &str, claims: &[PluginClaim], word: &str) -> bool {
    word == name
        || name.split_once('/').is_some_and(|(_, last)| last == word)
        || claims
            .iter()
            .any(|c| matches!(c, PluginClaim::Name(n) | PluginClaim::Call(n) if n == word))
}

impl Plugin {
    /// Whether it claims a name.
    pub fn claims_name(&self, name: &str) -> bool {
        claims(self).iter().any(|claim| claim.is_name(name))
    }

    /// A claim of `self` that the other plugin has already. Claims that merely
    /// overlap are ranked when an expression is routed.
    pub fn clash(&self, other: &Self) -> Option<&PluginClaim> {
        if other.kind != self.kind {
            return None;
        }
        let (ours, theirs) = (&self.release.metadata.claims, &other.release.metadata.claims);
        let narrowed = |claims: &[PluginClaim]| -> BTreeSet<String> {
            claims.iter().filter_map(PluginClaim::operator).map(str::to_owned).collect()
        };
        let (our_operators, their_operators) = (narrowed(ours), narrowed(theirs));
        // Of the same keys one may have some operators and the other the rest.
        let apart = self.kind == PluginKind::Constraint
            && our_operators.is_disjoint(&their_operators)
            && !(our_operators.is_empty() && their_operators.is_empty());
        ours.iter().find(|claim| {
            let keyed = matches!(claim, PluginClaim::Key(_) | PluginClaim::KeyPrefix(_));
            claim.operator().is_none()
                && !(keyed && apart)
                && theirs.iter().any(|other| same(other, claim))
        })
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

/// How well a claim fits: an operator claimed, then the key's length, then a whole
/// key before a prefix.
type Rank = (bool, usize, bool);

/// The claim that fits best, and how well. `None` when none does.
fn rank<'a>(
    claims: &'a [PluginClaim],
    key: &str,
    found: Option<&str>,
) -> Option<(Rank, &'a PluginClaim)> {
    let mut operators = claims.iter().filter_map(PluginClaim::operator).peekable();
    let narrowed = operators.peek().is_some();
    if narrowed && !operators.any(|o| Some(o) == found) {
        return None;
    }
    claims
        .iter()
        .filter_map(|claim| match claim {
            PluginClaim::Key(whole) if whole.eq_ignore_ascii_case(key) => {
                Some(((narrowed, whole.len(), true), claim))
            }
            PluginClaim::KeyPrefix(prefix) => key
                .get(..prefix.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
                .then_some(((narrowed, prefix.len(), false), claim)),
            _ => None,
        })
        .max_by_key(|(rank, _)| *rank)
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
        let routing = Routing::of(&plugins);
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
            let found = routing.constraint(&plugins, |p| p, text).map(|p| p.name.as_str());
            assert_eq!(found, Some(want), "{text}");
        }
    }

    #[test]
    fn a_disabled_plugin_gives_way_to_one_that_answers() {
        let mut taker = plugin("me/taker", &[KeyPrefix("node.labels.".into()), Key("mood".into())]);
        taker.status.state = PluginState::Disabled;
        let plugins = [plugin("swarmw/constraint", &[KeyPrefix(String::new())]), taker];
        let routing = Routing::of(&plugins);
        for (text, want) in [
            ("node.labels.a==b", "swarmw/constraint"),
            // The built-in would only refuse these.
            ("mood==good", "me/taker"),
            ("node.labels.==b", "me/taker"),
            ("node.labels.a", "me/taker"),
            ("node.hostname==x", "swarmw/constraint"),
        ] {
            let found = routing.constraint(&plugins, |p| p, text).map(|p| p.name.as_str());
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
        for (word, want) in [
            ("acme/near", true),
            ("near", true),
            ("geo", true),
            ("far", true),
            ("acme", false),
            ("ge", false),
        ] {
            let claims = [Name("geo".into()), Call("far".into())];
            assert_eq!(answers_to("acme/near", &claims, word), want, "{word}");
        }
    }
}
