//! Join tokens: `SWMTKN-1-<digest of the root>-<secret>`, as Swarm's.

use std::fmt;

use rand::Rng;
use sha2::{Digest, Sha256};

use crate::CaError;

const PREFIX: &str = "SWMTKN-1-";
/// Base-36 digits of a SHA-256.
const DIGEST_DIGITS: usize = 50;
/// Base-36 digits of 16 bytes.
const SECRET_DIGITS: usize = 25;

/// What lets a node join: it proves the cluster to the node and the node to the
/// cluster.
#[derive(Clone)]
pub struct JoinToken {
    digest: [u8; 32],
    secret: [u8; 16],
}

/// The text is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid join token")]
pub struct InvalidToken;

// === impl JoinToken ===

impl JoinToken {
    /// A new token of the cluster with this root certificate.
    pub fn new(root_pem: &str, rng: &mut impl Rng) -> Self {
        Self { digest: Sha256::digest(root_pem.as_bytes()).into(), secret: rng.random() }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let (digest, secret) = rest.split_once('-').ok_or(InvalidToken)?;
        if digest.len() != DIGEST_DIGITS || secret.len() != SECRET_DIGITS {
            return Err(InvalidToken);
        }
        Ok(Self { digest: from_base36(digest)?, secret: from_base36(secret)? })
    }

    /// Whether a root certificate is the one that the token names.
    ///
    /// # Errors
    /// It is another: someone stands between, or the token is of another cluster.
    pub fn matches_root(&self, root_pem: &str) -> Result<(), CaError> {
        let found: [u8; 32] = Sha256::digest(root_pem.as_bytes()).into();
        if same(&found, &self.digest) {
            return Ok(());
        }
        let expected = self.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(CaError::Fingerprint { expected })
    }
}

/// Compares in constant time: a token is a secret.
impl PartialEq for JoinToken {
    fn eq(&self, other: &Self) -> bool {
        same(&self.digest, &other.digest) & same(&self.secret, &other.secret)
    }
}

impl Eq for JoinToken {}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = to_base36(&self.digest, DIGEST_DIGITS);
        let secret = to_base36(&self.secret, SECRET_DIGITS);
        write!(f, "{PREFIX}{digest}-{secret}")
    }
}

/// Without the secret: tokens must not reach a log.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn to_base36(bytes: &[u8], digits: usize) -> String {
    let mut number = bytes.to_vec();
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 36) as u8;
            rest = value % 36;
        }
        *place = char::from_digit(rest, 36).map_or(b'0', |c| c as u8);
    }
    text.into_iter().map(char::from).collect()
}

fn from_base36<const N: usize>(text: &str) -> Result<[u8; N], InvalidToken> {
    let mut number = [0u8; N];
    for c in text.chars() {
        let lower = c.is_ascii_digit() || c.is_ascii_lowercase();
        let mut carry = c.to_digit(36).filter(|_| lower).ok_or(InvalidToken)?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 36 + carry;
            *byte = (value & 0xff) as u8;
            carry = value >> 8;
        }
        if carry != 0 {
            return Err(InvalidToken);
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_swarms_form_and_comes_back() {
        let token = JoinToken::new("root", &mut rand::rng());
        let text = token.to_string();
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [6, 1, DIGEST_DIGITS, SECRET_DIGITS], "{text}");
        assert_eq!(JoinToken::parse(&text), Ok(token));
    }

    #[test]
    fn a_changed_token_is_another_or_none() {
        let token = JoinToken::new("root", &mut rand::rng());
        let text = token.to_string();
        for place in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_ne!(JoinToken::parse(&changed).ok(), Some(token.clone()), "{changed}");
        }
        for wrong in ["", "SWMTKN-1-", "SWMTKN-2-x-y", &text[1..], &text.to_uppercase()] {
            assert_eq!(JoinToken::parse(wrong), Err(InvalidToken), "{wrong}");
        }
    }

    #[test]
    fn a_token_knows_its_cluster() {
        let token = JoinToken::new("root", &mut rand::rng());
        assert!(token.matches_root("root").is_ok());
        let refused = token.matches_root("another").expect_err("not the root").to_string();
        assert!(refused.starts_with("remote CA does not match fingerprint. Expected: "));
    }
}
