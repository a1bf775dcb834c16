//! Versions of the Docker Engine API.

use std::fmt;

/// A version of the Docker Engine API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// 1, so far.
    pub major: u32,
    /// The rest.
    pub minor: u32,
}

// === impl ApiVersion ===

impl ApiVersion {
    /// Version 1.`minor`.
    pub const fn v1(minor: u32) -> Self {
        Self { major: 1, minor }
    }

    /// Reads `1.47`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        Some(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_and_later_ones_are_more() {
        assert_eq!(ApiVersion::parse("1.47"), Some(ApiVersion::v1(47)));
        assert!(ApiVersion::v1(9) < ApiVersion::v1(41));
        assert_eq!(ApiVersion::v1(41).to_string(), "1.41");
        for text in ["", "1", "1.", ".4", "1.x", "+1.4", "1.4.1"] {
            assert_eq!(ApiVersion::parse(text), None, "{text:?}");
        }
    }
}
