//! Which powers a release gets: those that its predecessor had are kept, narrowing
//! is automatic, and growth waits for the operator.

use super::{GrantRequest, PluginGrant, PluginRelease};
use crate::PluginId;

/// How a component is offered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginOffer {
    /// The plugin that it must be another version of; `None` for a new one, and for
    /// one in shadow, which finds its plugin by its name.
    pub upgrades: Option<PluginId>,
    /// It is to run beside the present version, not in its place.
    pub shadow: bool,
    /// It takes over the updates that its plugin drives, not the next ones alone.
    pub adopt: bool,
    /// It may be as large as components can be at all.
    pub large: bool,
    /// What the operator said of its powers.
    pub consent: Consent,
    /// Where it came from, when that was a registry: a reference with its digest.
    pub source: Option<String>,
    /// Whose signature on it was checked.
    pub signer: Option<String>,
}

/// What an operator said of the powers that a plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nothing: what it had before is kept, more is not given.
    #[default]
    Unsaid,
    /// All that it asks for.
    All,
    /// These and no others, each within one that it asks for.
    Only(Vec<GrantRequest>),
}

/// A power was granted that the plugin does not ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} does not ask for {power}; {}", asks(asked))]
pub struct NotAsked {
    /// The plugin.
    pub plugin: String,
    /// The power.
    pub power: GrantRequest,
    /// What it does ask for.
    pub asked: Vec<GrantRequest>,
}

fn asks(asked: &[GrantRequest]) -> String {
    if asked.is_empty() {
        return "it asks for nothing".to_owned();
    }
    let texts: Vec<_> = asked.iter().map(ToString::to_string).collect();
    format!("it asks for {}", texts.join(", "))
}

/// What becomes of the powers that a release asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// Those it gets.
    pub granted: Vec<GrantRequest>,
    /// Those that want the operator's word still.
    pub wanted: Vec<PluginGrant>,
}

// === impl Consent ===

impl Consent {
    /// The powers of a release that asks for these, after one that had others.
    ///
    /// # Errors
    /// The operator grants what is not asked for.
    pub fn powers(
        &self,
        plugin: &str,
        asked: &[PluginGrant],
        before: Option<&PluginRelease>,
    ) -> Result<Powers, NotAsked> {
        let all = || asked.iter().map(|grant| grant.request.clone()).collect::<Vec<_>>();
        match self {
            Self::All => Ok(Powers { granted: all(), wanted: Vec::new() }),
            Self::Only(these) => {
                let within =
                    |power: &GrantRequest| asked.iter().any(|grant| grant.request.covers(power));
                match these.iter().find(|power| !within(power)) {
                    None => Ok(Powers { granted: these.clone(), wanted: Vec::new() }),
                    Some(power) => Err(NotAsked {
                        plugin: plugin.to_owned(),
                        power: power.clone(),
                        asked: all(),
                    }),
                }
            }
            Self::Unsaid => Ok(inherited(asked, before)),
        }
    }
}

/// Each power asked for is had already, or was once narrowed or refused, or is new.
fn inherited(asked: &[PluginGrant], before: Option<&PluginRelease>) -> Powers {
    let mut powers = Powers::default();
    let (had, known): (&[GrantRequest], &[PluginGrant]) = match before {
        Some(before) => (&before.granted, &before.metadata.grants),
        None => (&[], &[]),
    };
    for grant in asked {
        if had.iter().any(|power| power.covers(&grant.request)) {
            powers.granted.push(grant.request.clone());
            continue;
        }
        powers.granted.extend(had.iter().filter(|power| grant.request.covers(power)).cloned());
        if !known.iter().any(|old| old.request.covers(&grant.request)) {
            powers.wanted.push(grant.clone());
        }
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Blob, PluginMetadata};

    fn asks(texts: &[&str]) -> Vec<PluginGrant> {
        let grant = |text: &&str| PluginGrant {
            request: text.parse().expect(text),
            reason: "why not".to_owned(),
        };
        texts.iter().map(grant).collect()
    }

    fn powers(texts: &[&str]) -> Vec<GrantRequest> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn release(asked: &[&str], granted: &[&str]) -> PluginRelease {
        let metadata = PluginMetadata {
            version: "1.0.0".into(),
            summary: String::new(),
            claims: Vec::new(),
            options: Vec::new(),
            grants: asks(asked),
        };
        let blob = Blob { digest: "sha256:0".into(), size: 1 };
        PluginRelease { granted: powers(granted), ..PluginRelease::new(blob, metadata) }
    }

    #[test]
    fn growth_waits_and_narrowing_does_not() {
        // asked before, granted before, asked now; granted now, wanted now
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let cases: &[Case] = &[
            (&["helper=a"], &["helper=a"], &["helper=a"], &["helper=a"], &[]),
            (&["helper=a"], &["helper=a"], &[], &[], &[]),
            (&["secret=*"], &["secret=*"], &["secret=a"], &["secret=a"], &[]),
            (&["secret=a"], &["secret=a"], &["secret=*"], &["secret=a"], &["secret=*"]),
            (&["helper=a"], &["helper=a"], &["helper=b"], &[], &["helper=b"]),
            // Once narrowed, or refused, it stays so.
            (&["secret=*"], &["secret=a"], &["secret=*"], &["secret=a"], &[]),
            (&["secret=*"], &[], &["secret=*"], &[], &[]),
            (&["secret=*"], &[], &["secret=a"], &[], &[]),
        ];
        for (asked, granted, now, want, wanted) in cases {
            let before = release(asked, granted);
            let found = Consent::Unsaid.powers("a/b", &asks(now), Some(&before)).expect("powers");
            let want = Powers { granted: powers(want), wanted: asks(wanted) };
            assert_eq!(found, want, "{asked:?} {granted:?} {now:?}");
        }
        let new = Consent::Unsaid.powers("a/b", &asks(&["helper=a"]), None).expect("powers");
        assert_eq!(new, Powers { granted: Vec::new(), wanted: asks(&["helper=a"]) });
    }

    #[test]
    fn the_operator_gives_all_or_less() {
        let asked = asks(&["secret=s3-*", "helper=a"]);
        let all = Consent::All.powers("a/b", &asked, None).expect("powers");
        assert_eq!(all.granted, powers(&["secret=s3-*", "helper=a"]));
        let less = Consent::Only(powers(&["secret=s3-key"]));
        let found = less.powers("a/b", &asked, None).expect("powers");
        assert_eq!(found, Powers { granted: powers(&["secret=s3-key"]), wanted: Vec::new() });
        let more = Consent::Only(powers(&["secret=*"]));
        let refused = more.powers("a/b", &asked, None).expect_err("more than asked");
        assert_eq!(
            refused.to_string(),
            "plugin a/b does not ask for secret=*; it asks for secret=s3-*, helper=a"
        );
    }
}
