//! Chains without rules, whose names say of what a table of nftables was made.
//!
//! A table has two of them: one says which rules this program wrote, so that those of another
//! release are written anew; the other, its *seal*, how `nft` listed them once they were
//! written. So a process that finds the table knows whether a rule was changed while none ran.

/// The name of the chain that is a seal begins so.
const SEAL: &str = "listed-";

/// So many digits tell rules apart.
const DIGITS: usize = 16;

/// The seal of rules that are listed so.
pub(crate) fn seal_of(rules: &str) -> String {
    format!("{SEAL}{}", fingerprint([rules]))
}

/// Whether a chain is a seal, of whatever rules.
pub(crate) fn is_seal(chain: &str) -> bool {
    chain.starts_with(SEAL)
}

/// What is wrong with the seal of a table whose rules are listed so, in a sentence.
pub(crate) fn broken(seal: Option<&str>, rules: &str) -> Option<String> {
    match seal {
        Some(seal) if seal == seal_of(rules) => None,
        Some(_) => Some("a rule of nftables was changed".to_owned()),
        None => Some("nothing says how the rules of nftables were written".to_owned()),
    }
}

/// The same for the same texts in every release.
pub(crate) fn fingerprint<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        // So that what one ends with is not what the next begins with.
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let mut hexadecimal = hasher.finalize().to_hex().to_string();
    hexadecimal.truncate(DIGITS);
    hexadecimal
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another value here would have every node write its tables anew.
    #[test]
    fn a_fingerprint_is_the_same_in_every_release() {
        assert_eq!(fingerprint([]), "af1349b9f5f9a1a6");
        assert_eq!(fingerprint(["chain", "rule"]), "2e4ceb186cbf6ed3");
        assert_ne!(fingerprint(["chain", "rule"]), fingerprint(["chainr", "ule"]));
    }

    #[test]
    fn a_seal_is_of_the_rules_as_they_were_listed() {
        let seal = seal_of("drop");
        assert!(is_seal(&seal));
        assert_eq!(broken(Some(&seal), "drop"), None);
        let said = |seal, rules| broken(seal, rules).expect("something is wrong");
        assert_eq!(said(Some(&seal), "accept"), "a rule of nftables was changed");
        let unsealed = "nothing says how the rules of nftables were written";
        assert_eq!(said(None, "drop"), unsealed);
    }
}
