//! Ids: 25 characters of base 36, as Docker Swarm's, one type per kind of object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const LENGTH: usize = 25;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// As many as a machine's word has room for: it divides them much faster than 128 bits, and
/// lists are full of ids.
const DIGITS_AT_ONCE: usize = 12;
const AT_ONCE: u128 = 36u128.pow(12);

/// The 128 bits behind every id type: shown as 25 characters of `[0-9a-z]`,
/// zero-padded on the left, so the order of the text is the order of the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(u128);

/// The text is not an id: 25 characters of `[0-9a-z]` below 2^128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: want 25 characters of 0-9 and a-z")]
pub struct InvalidId;

// === impl Id ===

impl Id {
    /// An id from 128 random bits; the caller brings the randomness.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The least and the greatest id whose text starts with `prefix`, or `None`
    /// where no id does.
    pub fn prefix_range(prefix: &str) -> Option<(Self, Self)> {
        if prefix.len() > LENGTH {
            return None;
        }
        let fill = |with: char| {
            let mut text = prefix.to_owned();
            text.extend(std::iter::repeat_n(with, LENGTH - prefix.len()));
            text
        };
        let low = fill('0').parse().ok()?;
        let high = match fill('z').parse() {
            Ok(id) => id,
            // Above 2^128, yet spelled right: every id from `low` on matches.
            Err(_) if prefix.bytes().all(|b| DIGITS.contains(&b)) => Self(u128::MAX),
            Err(_) => return None,
        };
        Some((low, high))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LENGTH];
        let mut above = self.0;
        for places in text.rchunks_mut(DIGITS_AT_ONCE) {
            let mut rest = (above % AT_ONCE) as u64;
            above /= AT_ONCE;
            for place in places.iter_mut().rev() {
                *place = DIGITS[(rest % 36) as usize];
                rest /= 36;
            }
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != LENGTH {
            return Err(InvalidId);
        }
        text.bytes()
            .try_fold(0u128, |bits, byte| {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'z' => byte - b'a' + 10,
                    _ => return None,
                };
                bits.checked_mul(36)?.checked_add(u128::from(digit))
            })
            .map(Self)
            .ok_or(InvalidId)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            to.serialize_bytes(&self.0.to_be_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 25 characters, or its 16 bytes")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Id, E> {
                let bytes: [u8; 16] = bytes.try_into().map_err(E::custom)?;
                Ok(Id(u128::from_be_bytes(bytes)))
            }
        }
        if from.is_human_readable() {
            from.deserialize_str(Visitor)
        } else {
            from.deserialize_bytes(Visitor)
        }
    }
}

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Id);

        impl $name {
            /// An id from 128 random bits; the caller brings the randomness.
            pub const fn from_bits(bits: u128) -> Self {
                Self(Id::from_bits(bits))
            }

            /// The 128 bits.
            pub const fn bits(self) -> u128 {
                self.0.bits()
            }

            /// A new random id.
            pub fn random(rng: &mut impl rand::Rng) -> Self {
                Self::from_bits(rng.random())
            }

            /// The least and the greatest id whose text starts with `prefix`.
            pub fn prefix_range(prefix: &str) -> Option<(Self, Self)> {
                let (low, high) = Id::prefix_range(prefix)?;
                Some((Self(low), Self(high)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse().map(Self)
            }
        }
    )*};
}

id_types! {
    /// Names a cluster; also the organization in its certificates.
    ClusterId;
    /// Names a node; also the common name of its certificate.
    NodeId;
    /// Names a service.
    ServiceId;
    /// Names a task, and ends the name of its container.
    TaskId;
    /// Names an added plugin.
    PluginId;
    /// Names a volume of the cluster.
    VolumeId;
    /// Names a secret.
    SecretId;
    /// Names a config.
    ConfigId;
    /// Names a network of the cluster.
    NetworkId;
    /// Names a container that joined a network of the cluster by itself.
    AttachmentId;
    /// Names one write of one client, so that a retry gets the first answer.
    RequestId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bits_agree_at_both_ends() {
        for bits in [0, 1, 35, 36, AT_ONCE - 1, AT_ONCE, AT_ONCE.pow(2), u128::MAX] {
            let id = Id::from_bits(bits);
            assert_eq!(id.to_string().len(), LENGTH);
            assert_eq!(id.to_string().parse::<Id>(), Ok(id));
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "abc", "ABCDEFGHIJKLMNOPQRSTUVWXY", "zzzzzzzzzzzzzzzzzzzzzzzzz"] {
            assert_eq!(text.parse::<Id>(), Err(InvalidId), "{text}");
        }
    }

    #[test]
    fn a_prefix_covers_exactly_the_ids_that_start_so() {
        let id = Id::from_bits(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let text = id.to_string();
        for cut in 0..=LENGTH {
            let (low, high) = Id::prefix_range(&text[..cut]).expect("a prefix of an id");
            assert!(low <= id && id <= high, "{cut}");
            assert!(low.to_string().starts_with(&text[..cut]));
        }
        assert_eq!(Id::prefix_range("UPPER"), None);
        assert_eq!(Id::prefix_range("f").map(|(_, high)| high), Some(Id(u128::MAX)));
        assert_eq!(Id::prefix_range("z"), None);
    }

    #[test]
    fn cbor_is_not_the_text() {
        let id = TaskId::from_bits(7);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"0000000000000000000000007\"");
    }
}
