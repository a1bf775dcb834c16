//! The key by which managers lock what they keep on disk.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PREFIX: &str = "SWMKEY-1-";

/// The key that unlocks a manager: `SWMKEY-1-` and 32 bytes in base64, as Swarm's. Its text
/// is what an operator keeps; debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnlockKey([u8; 32]);

/// The text is no unlock key; the words are Swarm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key string")]
pub struct InvalidUnlockKey;

// === impl UnlockKey ===

impl UnlockKey {
    /// A new key.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self(rng.random())
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for UnlockKey {
    type Err = InvalidUnlockKey;

    fn from_str(text: &str) -> Result<Self, InvalidUnlockKey> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidUnlockKey)?;
        let bytes = STANDARD_NO_PAD.decode(encoded).map_err(|_| InvalidUnlockKey)?;
        bytes.try_into().map(Self).map_err(|_| InvalidUnlockKey)
    }
}

impl fmt::Display for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnlockKey(…)")
    }
}

impl Serialize for UnlockKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnlockKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_swarms_form_comes_back_and_is_not_shown_by_accident() {
        let key = UnlockKey::random(&mut rand::rng());
        let text = key.to_string();
        assert_eq!(text.len(), PREFIX.len() + 43, "{text}");
        assert_eq!(text.parse(), Ok(key.clone()));
        assert!(!format!("{key:?}").contains(&text[PREFIX.len()..]));
        assert_ne!(UnlockKey::random(&mut rand::rng()), key);
    }

    #[test]
    fn other_texts_are_none() {
        let text = UnlockKey([7; 32]).to_string();
        let bad = ["", "SWMKEY-1-", "key", &text[1..], &text[..text.len() - 2]];
        for text in
            bad.map(str::to_owned).into_iter().chain([format!("{text}="), format!(" {text}")])
        {
            assert_eq!(text.parse::<UnlockKey>(), Err(InvalidUnlockKey), "{text}");
        }
    }
}
