//! What is routed where; see `claim` in `wit/types.wit`.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{Plugin, PluginClaim, PluginKind, PluginMetadata};

use crate::loaded::Loaded;

/// Swarm's operators, which end a key whether claimed or not.
const OPERATORS: [&str; 2] = ["==", "!="];

/// Two plugins claim the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{claim} is claimed by plugin {plugin} already")]
pub struct Clash {
    /// What both claim.
    pub claim: String,
    /// Who has it.
    pub plugin: String,
}

/// Whether a plugin's claims clash with those of the plugins there are; one of
/// the same name is about to be replaced and does not count.
///
/// # Errors
/// The first clash.
pub fn clash<'a>(
    existing: impl IntoIterator<Item = &'a Plugin>,
    kind: PluginKind,
    name: &str,
    metadata: &PluginMetadata,
) -> Result<(), Clash> {
    let narrowed = |claims: &[PluginClaim]| -> BTreeSet<String> {
        claims.iter().filter_map(operator).map(str::to_owned).collect()
    };
    let ours = narrowed(&metadata.claims);
    for other in existing {
        if other.kind != kind || other.name == name {
            continue;
        }
        let theirs = narrowed(&other.metadata.claims);
        // Of the same keys one may have some operators and the other the rest.
        let apart = ours.is_disjoint(&theirs) && !(ours.is_empty() && theirs.is_empty());
        for claim in &metadata.claims {
            let keyed = matches!(claim, PluginClaim::Key(_) | PluginClaim::KeyPrefix(_));
            if operator(claim).is_some() || (keyed && apart) {
                continue;
            }
            if other.metadata.claims.iter().any(|c| same(c, claim)) {
                return Err(Clash {
                    claim: match claim {
                        PluginClaim::KeyPrefix(prefix) if prefix.is_empty() => "every key".into(),
                        claim => claim.to_string(),
                    },
                    plugin: other.name.clone(),
                });
            }
        }
    }
    Ok(())
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

/// From expressions and names to plugins.
#[derive(Default)]
pub struct Routes {
    constraints: Vec<Arc<Loaded>>,
    others: Vec<Arc<Loaded>>,
    /// All operators, the longest first.
    operators: Vec<String>,
}

impl Routes {
    /// Routes to these plugins.
    pub fn new(plugins: &[Arc<Loaded>]) -> Self {
        let (constraints, others): (Vec<_>, Vec<_>) =
            plugins.iter().cloned().partition(|l| l.plugin.kind == PluginKind::Constraint);
        let claimed =
            constraints.iter().flat_map(|l| l.plugin.metadata.claims.iter().filter_map(operator));
        let all: BTreeSet<&str> = OPERATORS.into_iter().chain(claimed).collect();
        let mut operators: Vec<String> = all.into_iter().map(str::to_owned).collect();
        operators.sort_by_key(|o| std::cmp::Reverse(o.len()));
        Self { operators, others, constraints }
    }

    /// The plugin that claims a name of a kind.
    pub fn name(&self, kind: PluginKind, name: &str) -> Option<&Arc<Loaded>> {
        self.others.iter().find(|l| {
            l.plugin.kind == kind
                && l.plugin
                    .metadata
                    .claims
                    .iter()
                    .any(|c| matches!(c, PluginClaim::Name(n) if n == name))
        })
    }

    /// All names of a kind, sorted.
    pub fn names(&self, kind: PluginKind) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .others
            .iter()
            .filter(|l| l.plugin.kind == kind)
            .flat_map(|l| &l.plugin.metadata.claims)
            .filter_map(|c| match c {
                PluginClaim::Name(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names
    }

    /// The plugins that constraints can go to.
    pub fn constraints(&self) -> &[Arc<Loaded>] {
        &self.constraints
    }

    /// The plugin that claims a constraint: a call by its name, else key and
    /// operator, else the key; the longer key wins.
    pub fn constraint(&self, expression: &str) -> Option<&Arc<Loaded>> {
        let text = expression.trim();
        if let Some(call) = call_name(text) {
            let claims = |l: &&Arc<Loaded>| {
                let claims = &l.plugin.metadata.claims;
                claims.iter().any(|c| matches!(c, PluginClaim::Call(name) if name == call))
            };
            if let Some(found) = self.constraints.iter().find(claims) {
                return Some(found);
            }
        }
        let (key, operator) = self.split(text);
        self.constraints
            .iter()
            .filter_map(|l| Some((rank(&l.plugin.metadata.claims, key, operator)?, l)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, loaded)| loaded)
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

/// `NAME` of `NAME(…)`.
fn call_name(text: &str) -> Option<&str> {
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
    use PluginClaim::{Call, Key, KeyPrefix, Name, Operator};
    use swarmw_model::Blob;

    fn plugin(name: &str, claims: &[PluginClaim]) -> Plugin {
        Plugin {
            id: swarmw_model::PluginId::from_bits(1),
            version: Default::default(),
            created_at: swarmw_model::Time::ZERO,
            updated_at: swarmw_model::Time::ZERO,
            name: name.to_owned(),
            kind: PluginKind::Constraint,
            blob: Blob { digest: name.to_owned(), size: 0 },
            built_in: false,
            metadata: PluginMetadata {
                version: "1.0.0".into(),
                summary: String::new(),
                claims: claims.to_vec(),
                options: vec![],
                grants: vec![],
            },
        }
    }

    fn routes(plugins: &[(&str, &[PluginClaim])]) -> Routes {
        let loaded: Vec<_> = plugins
            .iter()
            .map(|(name, claims)| Arc::new(Loaded::new(plugin(name, claims), bytes::Bytes::new())))
            .collect();
        Routes::new(&loaded)
    }

    #[test]
    fn the_best_claim_wins() {
        let routes = routes(&[
            ("all", &[KeyPrefix(String::new())]),
            ("labels", &[KeyPrefix("node.labels.".into())]),
            ("mem", &[Key("node.labels.mem".into()), Operator(">=".into())]),
            ("id", &[Key("node.id".into())]),
            ("odd", &[Call("odd".into())]),
        ]);
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
            let found = routes.constraint(text).map(|l| l.name.to_string());
            assert_eq!(found.as_deref(), Some(want), "{text}");
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
            let ours = plugin("c/d", claims);
            let clash = clash([&existing], PluginKind::Constraint, "c/d", &ours.metadata);
            assert_eq!(clash.is_err(), clashes, "{claims:?}");
        }
        let again = clash([&existing], PluginKind::Constraint, "a/b", &existing.metadata);
        assert_eq!(again, Ok(()), "a plugin is replaced by one of its name");
        let elsewhere = plugin("c/d", &[Name("y".into())]);
        let other_kind = PluginKind::Preference;
        assert_eq!(clash([&existing], other_kind, "c/d", &elsewhere.metadata), Ok(()));
    }
}
