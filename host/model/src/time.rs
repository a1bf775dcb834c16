//! Points in time as the Docker API writes them.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Duration;

/// Nanoseconds since 1970, UTC. RFC 3339 in JSON, where the default value is
/// Go's zero time, `0001-01-01T00:00:00Z`; an integer elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// The text is not a time of RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid time {0:?}: want RFC 3339, such as 2026-11-20T23:41:33.56Z")]
pub struct InvalidTime(String);

const GO_ZERO: &str = "0001-01-01T00:00:00Z";

// === impl Time ===

impl Time {
    /// No time: what a field holds before the thing has happened.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        (self.0 / 1_000_000) as u64
    }

    /// Whether this is [`Time::ZERO`].
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// The span from `earlier` to here; negative where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_nanos()))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_nanos()))
    }
}

/// RFC 3339 with up to nine decimals and no trailing zeros, as Go's RFC3339Nano.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.pad(GO_ZERO);
        }
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0))
            .map_err(|_| fmt::Error)?;
        f.pad(&at.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        if text == GO_ZERO {
            return Ok(Self::ZERO);
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTime(text.to_owned()))?;
        i64::try_from(at.unix_timestamp_nanos()).map(Self).map_err(|_| InvalidTime(text.to_owned()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(from).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_gos_rfc3339nano() {
        for (nanos, text) in [
            (0, GO_ZERO),
            (1_000_000_000, "1970-01-01T00:00:01Z"),
            (1_763_682_093_560_000_000, "2025-11-20T23:41:33.56Z"),
        ] {
            assert_eq!(Time::from_nanos(nanos).to_string(), text);
            assert_eq!(text.parse(), Ok(Time::from_nanos(nanos)));
        }
        assert!("yesterday".parse::<Time>().is_err());
    }
}
