//! Which powers a release gets: those that its predecessor had are kept, narrowing
//! is automatic, and growth waits for the operator.

use super::metadata::claim_patterns;
use super::{ConsentError, GrantRequest, PluginClaim, PluginGrant, PluginRelease};

/// What an operator said of the powers that a plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nothing: what it had before is kept, more is not given.
    #[default]
    Unsaid,
    /// All that it asks for.
    All,
    /// Powers by name: what it had before is kept but for what these narrow or take.
    These {
        /// Given, each within one that it asks for.
        granted: Vec<GrantRequest>,
        /// Taken away.
        revoked: Vec<GrantRequest>,
    },
}

/// What a release asks of its operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked<'a> {
    /// The powers it asks for.
    pub powers: &'a [PluginGrant],
    /// What it claims.
    pub claims: &'a [PluginClaim],
    /// Those of its claims that take what services use from whoever answers it, with
    /// what they take as the reason.
    pub taken: Vec<PluginGrant>,
}

/// What was said of powers before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before<'a> {
    /// The powers that were granted.
    pub granted: &'a [GrantRequest],
    /// Those that were asked for: of these the operator has had a say.
    pub asked: &'a [PluginGrant],
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
    /// The powers of a release that asks for these, after what was said before.
    ///
    /// # Errors
    /// The operator grants what is not asked for, or takes away what was not granted.
    pub fn powers(
        &self,
        plugin: &str,
        asked: &Asked<'_>,
        before: Before<'_>,
    ) -> Result<Powers, ConsentError> {
        let mut powers = inherited(asked, before);
        match self {
            Self::Unsaid => {}
            Self::All => powers.give_all(asked),
            Self::These { granted, revoked } => {
                check_these(plugin, asked, before, granted, revoked)?;
                powers.give(granted, revoked);
            }
        }
        Ok(powers)
    }
}

/// What is granted must be asked for, what is taken away must be there.
fn check_these(
    plugin: &str,
    asked: &Asked<'_>,
    before: Before<'_>,
    granted: &[GrantRequest],
    revoked: &[GrantRequest],
) -> Result<(), ConsentError> {
    let plugin = || plugin.to_owned();
    if let Some(power) = granted.iter().find(|power| !asked.is_for(power)) {
        let (power, asked) = (power.clone(), asked.all());
        return Err(ConsentError::NotAsked { plugin: plugin(), power, asked });
    }
    if let Some(power) = revoked.iter().find(|power| granted.contains(power)) {
        return Err(ConsentError::Both { plugin: plugin(), power: power.clone() });
    }
    let had = |power: &&GrantRequest| before.granted.iter().any(|had| power.covers(had));
    if let Some(power) = revoked.iter().find(|power| !had(power)) {
        let (power, granted) = (power.clone(), before.granted.to_vec());
        return Err(ConsentError::NotGranted { plugin: plugin(), power, granted });
    }
    // Nothing routes constraints by what is granted.
    if let Some(power) = revoked.iter().find(|power| is_claim(power)) {
        return Err(ConsentError::StillClaimed { plugin: plugin(), power: power.clone() });
    }
    Ok(())
}

fn is_claim(power: &GrantRequest) -> bool {
    matches!(power, GrantRequest::Claim(_))
}

// === impl Powers ===

impl Powers {
    /// Gives all that is asked for.
    fn give_all(&mut self, asked: &Asked<'_>) {
        let all = asked.powers.iter().chain(&asked.taken).map(|g| g.request.clone());
        self.granted.retain(is_claim);
        all.for_each(|power| add(&mut self.granted, power));
        self.wanted.clear();
    }

    /// Gives these, which narrow what there was, and takes those away.
    fn give(&mut self, granted: &[GrantRequest], revoked: &[GrantRequest]) {
        self.granted.retain(|had| {
            // A claim is not narrowed by a word: it is had as long as the plugin serves.
            let narrowed = !is_claim(had) && granted.iter().any(|power| had.covers(power));
            !narrowed && !revoked.iter().any(|power| power.covers(had))
        });
        granted.iter().for_each(|power| add(&mut self.granted, power.clone()));
        // Powers not named are refused; a claim cannot be had without its consent.
        let Self { granted: has, wanted } = self;
        wanted.retain(|want| {
            let given = has.iter().any(|power| power.covers(&want.request));
            !given && (is_claim(&want.request) || granted.is_empty())
        });
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// Whether a power is within one that is asked for, or a claim is made.
    fn is_for(&self, power: &GrantRequest) -> bool {
        let claimed = |claim: String| power.covers(&GrantRequest::Claim(claim));
        self.powers.iter().any(|grant| grant.request.covers(power))
            || claim_patterns(self.claims).into_iter().any(claimed)
    }

    fn all(&self) -> Vec<GrantRequest> {
        self.powers.iter().chain(&self.taken).map(|grant| grant.request.clone()).collect()
    }
}

// === impl Before ===

impl<'a> Before<'a> {
    /// What was said of the release that another follows.
    pub fn of(release: &'a PluginRelease) -> Self {
        Self { granted: &release.granted, asked: &release.metadata.grants }
    }
}

/// Each power asked for is had already, or was once narrowed or refused, or is new.
fn inherited(asked: &Asked<'_>, before: Before<'_>) -> Powers {
    let mut powers = Powers::default();
    for grant in asked.powers {
        if before.granted.iter().any(|power| power.covers(&grant.request)) {
            add(&mut powers.granted, grant.request.clone());
            continue;
        }
        let narrower = before.granted.iter().filter(|power| grant.request.covers(power));
        narrower.for_each(|power| add(&mut powers.granted, power.clone()));
        if !before.asked.iter().any(|old| old.request.covers(&grant.request)) {
            powers.wanted.push(grant.clone());
        }
    }
    let claims = before.granted.iter().filter(|had| is_claim(had));
    claims.filter(|had| asked.is_for(had)).for_each(|had| add(&mut powers.granted, had.clone()));
    let given = |want: &&PluginGrant| before.granted.iter().any(|had| had.covers(&want.request));
    powers.wanted.extend(asked.taken.iter().filter(|want| !given(want)).cloned());
    powers
}

/// Adds a power, or nothing where it is there; of claims, where a wider one is.
fn add(powers: &mut Vec<GrantRequest>, power: GrantRequest) {
    if is_claim(&power) {
        if powers.iter().any(|had| had.covers(&power)) {
            return;
        }
        powers.retain(|had| !(is_claim(had) && power.covers(had)));
    }
    if !powers.contains(&power) {
        powers.push(power);
    }
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
            let found = said(&Consent::Unsaid, now, Before::of(&before)).expect("powers");
            let want = Powers { granted: powers(want), wanted: asks(wanted) };
            assert_eq!(found, want, "{asked:?} {granted:?} {now:?}");
        }
        let new = said(&Consent::Unsaid, &["helper=a"], Before::default()).expect("powers");
        assert_eq!(new, Powers { granted: Vec::new(), wanted: asks(&["helper=a"]) });
    }

    fn said(consent: &Consent, asked: &[&str], before: Before<'_>) -> Result<Powers, ConsentError> {
        let asked = asks(asked);
        consent.powers("a/b", &Asked { powers: &asked, ..Asked::default() }, before)
    }

    fn these(granted: &[&str], revoked: &[&str]) -> Consent {
        Consent::These { granted: powers(granted), revoked: powers(revoked) }
    }

    #[test]
    fn the_operator_gives_all_or_less() {
        let asked = ["secret=s3-*", "helper=a"];
        let all = said(&Consent::All, &asked, Before::default()).expect("powers");
        assert_eq!(all.granted, powers(&asked));
        let less = these(&["secret=s3-key"], &[]);
        let found = said(&less, &asked, Before::default()).expect("powers");
        assert_eq!(found, Powers { granted: powers(&["secret=s3-key"]), wanted: Vec::new() });
        let more = said(&these(&["secret=*"], &[]), &asked, Before::default());
        assert_eq!(
            more.expect_err("more than asked").to_string(),
            "plugin a/b does not ask for secret=*; it asks for secret=s3-*, helper=a"
        );
    }

    #[test]
    fn what_was_granted_stays_unless_it_is_narrowed_or_taken_by_name() {
        let asked = ["mount=ext4:loop", "secret=*", "helper=sshfs"];
        let before = release(&["mount=ext4:loop", "secret=*"], &["mount=ext4:loop", "secret=*"]);
        for (granted, revoked, want) in [
            (&["helper=sshfs"][..], &[][..], &["mount=ext4:loop", "secret=*", "helper=sshfs"][..]),
            (&["secret=a"], &[], &["mount=ext4:loop", "secret=a"]),
            (&[], &["secret=*"], &["mount=ext4:loop"]),
            (&["helper=sshfs"], &["mount=ext4:loop"], &["secret=*", "helper=sshfs"]),
        ] {
            let found = said(&these(granted, revoked), &asked, Before::of(&before));
            assert_eq!(found.expect("powers").granted, powers(want), "{granted:?} {revoked:?}");
        }
        // A word about what is taken away is none about what is new.
        let found = said(&these(&[], &["secret=*"]), &asked, Before::of(&before)).expect("powers");
        assert_eq!(found.wanted, asks(&["helper=sshfs"]));
    }

    #[test]
    fn what_cannot_be_taken_away_is_refused() {
        let had = ["mount=ext4:loop", "secret=*", "claim=node.labels.*"];
        let before = release(&["mount=ext4:loop", "secret=*"], &had);
        for (granted, revoked, want) in [
            // A type of file system is no pattern.
            (
                &[][..],
                "mount=*:*",
                "plugin a/b was not granted mount=*:*; it has mount=ext4:loop, secret=*, \
                 claim=node.labels.*",
            ),
            (
                &["secret=*"],
                "secret=*",
                "secret=* is granted to plugin a/b and taken away at once: leave one of them out",
            ),
            (
                &[],
                "claim=node.labels.*",
                "plugin a/b takes constraints by claim=node.labels.* as long as it serves: have it \
                 give them back with `swarmw plugin disable a/b`, with `swarmw plugin rm a/b`, or \
                 by a version without the claim",
            ),
        ] {
            let asked = ["mount=ext4:loop", "secret=*"];
            let found = said(&these(granted, &[revoked]), &asked, Before::of(&before));
            assert_eq!(found.expect_err(revoked).to_string(), want);
        }
    }

    #[test]
    fn a_claim_with_one_operator_is_not_one_with_another() {
        let key = PluginClaim::KeyPrefix("node.labels.".into());
        let operator = |text: &str| PluginClaim::Operator(text.into());
        // granted before, claims now, taken now, wanted now
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let cases: &[Case] = &[
            (&[], &["!="], &["claim=node.labels.* !="], &["claim=node.labels.* !="]),
            (&["claim=node.labels.* !="], &["!="], &["claim=node.labels.* !="], &[]),
            (
                &["claim=node.labels.* !="],
                &["!=", "=="],
                &["claim=node.labels.* =="],
                &["claim=node.labels.* =="],
            ),
            (&["claim=node.labels.* !="], &[], &["claim=node.labels.*"], &["claim=node.labels.*"]),
            // All operators of the key were agreed to.
            (&["claim=node.labels.*"], &["!=", "=="], &["claim=node.labels.* =="], &[]),
        ];
        for (had, operators, taken, wanted) in cases {
            let mut claims: Vec<_> = operators.iter().map(|o| operator(o)).collect();
            claims.push(key.clone());
            let asked = Asked { powers: &[], claims: &claims, taken: asks(taken) };
            let had = powers(had);
            let before = Before { granted: &had, asked: &[] };
            let found = Consent::Unsaid.powers("a/b", &asked, before).expect("powers");
            assert_eq!(found.wanted, asks(wanted), "{had:?} {operators:?}");
            let given = these(wanted, &[]).powers("a/b", &asked, before).expect("it is asked for");
            assert_eq!(given.wanted, [], "{had:?} {operators:?}");
        }
    }

    #[test]
    fn a_claim_is_kept_whole_whatever_part_of_it_is_granted_again() {
        let keys = ["node.hostname", "node.ip"].map(|key| PluginClaim::Key(key.into()));
        let claims = [&keys[..], &[PluginClaim::KeyPrefix("node.labels.".into())]].concat();
        let asked = Asked { claims: &claims, ..Asked::default() };
        for (had, granted, want) in [
            (&["claim=*"][..], "claim=node.hostname", &["claim=*"][..]),
            (&["claim=node.labels.* =="], "claim=node.labels.*", &["claim=node.labels.*"]),
            (&["claim=node.ip"], "claim=node.hostname", &["claim=node.ip", "claim=node.hostname"]),
        ] {
            let had = powers(had);
            let before = Before { granted: &had, asked: &[] };
            let found = these(&[granted], &[]).powers("a/b", &asked, before).map(|p| p.granted);
            assert_eq!(found, Ok(powers(want)), "{had:?} {granted}");
        }
    }

    #[test]
    fn a_claim_on_what_others_answer_waits_for_a_word_about_it() {
        let claims = [PluginClaim::KeyPrefix("node.labels.".into())];
        let (helper, taken) = (asks(&["helper=a"]), asks(&["claim=node.labels.*"]));
        let asked = Asked { powers: &helper, claims: &claims, taken: taken.clone() };
        let said = |consent: &Consent, before| consent.powers("a/b", &asked, before);
        let some = said(&these(&["helper=a"], &[]), Before::default()).expect("powers");
        assert_eq!(some, Powers { granted: powers(&["helper=a"]), wanted: taken });
        for consent in [Consent::All, these(&["helper=a", "claim=node.labels.*"], &[])] {
            let given = said(&consent, Before::default()).expect("powers");
            let want = powers(&["helper=a", "claim=node.labels.*"]);
            assert_eq!(given, Powers { granted: want.clone(), wanted: Vec::new() });
            // The next release may claim it too, though it takes nothing then.
            let before = Before { granted: &want, asked: &helper };
            let later = Asked { taken: Vec::new(), ..asked.clone() };
            let kept = Consent::Unsaid.powers("a/b", &later, before).expect("powers");
            assert_eq!(kept.granted, want);
        }
    }
}
