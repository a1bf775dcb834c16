//! Powers: what a plugin asks for, and whether a power is within another.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A power that a plugin asks for, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginGrant {
    /// The power.
    pub request: GrantRequest,
    /// Why it is asked for.
    pub reason: String,
}

/// A power; see `grant-request` in `wit/types.wit`. Written `KIND=PATTERN`, where
/// `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantRequest {
    /// A URL pattern that an update policy may ask the host to query.
    Observe(String),
    /// A file system type and a source pattern: `mount=nfs4:10.0.0.0/8:/*`.
    Mount(String, String),
    /// A helper program.
    Helper(String),
    /// A name pattern of secrets.
    Secret(String),
    /// A pattern of claims that take what services use from whoever answers it. No
    /// plugin asks for it in words: its claims do.
    Claim(String),
}

/// The text names no power.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid grant {0:?}: want observe=URL, mount=TYPE:SOURCE, helper=PROGRAM, secret=NAME \
     or claim=CLAIM, where * stands for anything"
)]
pub struct InvalidGrant(String);

// === impl GrantRequest ===

impl GrantRequest {
    /// Whether all that `other` allows is allowed by this. A use of a power is one
    /// without `*` in it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Observe(wide), Self::Observe(narrow))
            | (Self::Helper(wide), Self::Helper(narrow))
            | (Self::Secret(wide), Self::Secret(narrow)) => fits(wide, narrow),
            (Self::Claim(wide), Self::Claim(narrow)) => claim_fits(wide, narrow),
            (Self::Mount(kind, wide), Self::Mount(other, narrow)) => {
                kind == other && source_fits(wide, narrow)
            }
            _ => false,
        }
    }
}

/// Whether a claim is within another: with an operator it is of that one alone, without
/// one of all.
fn claim_fits(wide: &str, narrow: &str) -> bool {
    let parted = |claim| str::split_once(claim, ' ').map_or((claim, None), |(k, o)| (k, Some(o)));
    let ((wide, operator), (narrow, other)) = (parted(wide), parted(narrow));
    fits(wide, narrow) && operator.is_none_or(|operator| other == Some(operator))
}

/// Whether a text fits a pattern, in which `*` stands for anything. A `*` in the
/// text is matched by one in the pattern alone, so a pattern that fits is within.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    // Without another star the end decides, and the search need not branch.
    if !rest.contains('*') {
        return text.ends_with(rest);
    }
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| fits(rest, &text[at..]))
}

/// A source `ADDRESSES:PATH` fits when its addresses are within and its path fits;
/// any other is compared as text.
fn source_fits(pattern: &str, source: &str) -> bool {
    let halves = |text: &str| {
        // After the brackets of an IPv6 address, or at the first colon.
        let at = text.find("]:").map(|at| at + 1).or_else(|| text.find(':'))?;
        let network: Network = text[..at].trim_matches(['[', ']']).parse().ok()?;
        Some((network, text[at + 1..].to_owned()))
    };
    match (halves(pattern), halves(source)) {
        (Some((wide, pattern)), Some((narrow, path))) => {
            wide.contains(&narrow) && fits(&pattern, &path)
        }
        _ => fits(pattern, source),
    }
}

/// Addresses that begin with the same bits.
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn contains(&self, other: &Self) -> bool {
        if self.address.is_ipv4() != other.address.is_ipv4() || self.bits > other.bits {
            return false;
        }
        let (whole, width) = value(self.address);
        let (part, _) = value(other.address);
        self.bits == 0 || (whole ^ part) >> (width - self.bits) == 0
    }
}

fn value(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (_, width) = value(address);
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or(())?,
            None => width,
        };
        Ok(Self { address, bits })
    }
}

impl fmt::Display for GrantRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observe(url) => write!(f, "observe={url}"),
            Self::Mount(kind, source) => write!(f, "mount={kind}:{source}"),
            Self::Helper(program) => write!(f, "helper={program}"),
            Self::Secret(name) => write!(f, "secret={name}"),
            Self::Claim(claim) => write!(f, "claim={claim}"),
        }
    }
}

impl FromStr for GrantRequest {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let invalid = || InvalidGrant(text.to_owned());
        let (kind, pattern) = text.split_once('=').ok_or_else(invalid)?;
        if pattern.is_empty() {
            return Err(invalid());
        }
        match kind {
            "observe" => Ok(Self::Observe(pattern.to_owned())),
            "helper" => Ok(Self::Helper(pattern.to_owned())),
            "secret" => Ok(Self::Secret(pattern.to_owned())),
            "claim" => Ok(Self::Claim(pattern.to_owned())),
            "mount" => match pattern.split_once(':') {
                Some((kind, source)) if !kind.is_empty() && !source.is_empty() => {
                    Ok(Self::Mount(kind.to_owned(), source.to_owned()))
                }
                _ => Err(invalid()),
            },
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_covers_what_is_within_it() {
        for (wide, narrow, want) in [
            ("observe=http://m/*", "observe=http://m/q?x=1", true),
            ("observe=http://m/*", "observe=http://m/a/*", true),
            ("observe=http://m/a/*", "observe=http://m/*", false),
            ("observe=http://m/*/p", "observe=http://m/a/b/p", true),
            ("observe=http://m/", "observe=http://m/x", false),
            ("observe=*", "helper=sshfs", false),
            ("helper=sshfs", "helper=sshfs", true),
            ("secret=s3-*", "secret=s3-key", true),
            ("secret=a*b", "secret=ac", false),
            ("claim=node.labels.*", "claim=node.labels.*", true),
            ("claim=*", "claim=node.hostname", true),
            ("claim=node.hostname", "claim=node.*", false),
            ("claim=node.hostname", "claim=node.hostname ==", true),
            ("claim=node.hostname !=", "claim=node.hostname ==", false),
            ("claim=node.labels.* !=", "claim=node.labels.* !=", true),
            ("claim=node.labels.* !=", "claim=node.labels.* ==", false),
            ("claim=node.labels.* !=", "claim=node.labels.*", false),
            ("claim=*", "claim=* >=", true),
            ("mount=nfs4:10.0.0.0/8:/*", "mount=nfs4:10.1.0.0/16:/data/*", true),
            ("mount=nfs4:10.0.0.0/8:/*", "mount=nfs4:10.2.3.4:/data", true),
            ("mount=nfs4:10.1.0.0/16:/*", "mount=nfs4:10.0.0.0/8:/*", false),
            ("mount=nfs4:10.0.0.0/8:/a/*", "mount=nfs4:10.2.3.4:/b", false),
            ("mount=nfs4:[fd00::]/8:/*", "mount=nfs4:[fd00::1]:/b", false),
            ("mount=nfs4:[fd00::/8]:/*", "mount=nfs4:[fd00::1]:/b", true),
            ("mount=nfs4:0.0.0.0/0:/*", "mount=nfs4:9.9.9.9:/b", true),
            ("mount=ext4:loop", "mount=ext4:loop", true),
            ("mount=ext4:loop", "mount=xfs:loop", false),
            ("mount=nfs4:*", "mount=nfs4:server:/b", true),
        ] {
            let grant = |text: &str| text.parse::<GrantRequest>().expect(text);
            assert_eq!(grant(wide).covers(&grant(narrow)), want, "{wide} {narrow}");
        }
    }

    #[test]
    fn powers_read_as_they_are_written() {
        for text in
            ["observe=http://a/*", "mount=nfs4:10.0.0.0/8:/*", "helper=x", "secret=a=b", "claim=a*"]
        {
            assert_eq!(text.parse::<GrantRequest>().expect(text).to_string(), text);
        }
        for text in ["observe", "observe=", "mount=nfs4", "mount=:x", "root=/", ""] {
            assert!(text.parse::<GrantRequest>().is_err(), "{text}");
        }
    }
}
