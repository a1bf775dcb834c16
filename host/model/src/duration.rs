//! Durations as Go and the Docker API write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A span of time in nanoseconds: an integer in JSON, `1m30s` on the command line.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Duration(i64);

/// The text is not a duration as Go writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// No numbers with units.
    #[error("time: invalid duration {0:?}")]
    Malformed(String),
    /// A number that no unit follows.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that Go does not know.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

// === impl Duration ===

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `nanos` nanoseconds; negative spans exist, as in Go.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// A span of `seconds` seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// The span in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The span in whole milliseconds, rounded towards zero.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000_000
    }

    /// The span as the standard library's type; a negative one is zero.
    pub const fn to_std(self) -> core::time::Duration {
        core::time::Duration::from_nanos(if self.0 < 0 { 0 } else { self.0 as u64 })
    }

    /// Whether the span is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The span `times` over, or the longest one that can be written.
    pub const fn times(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

/// As Go prints it: `1h0m0s`, `1.5s`, `100ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let text = match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{nanos}ns"),
            1_000..1_000_000 => format!("{sign}{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let minutes = nanos / 60_000_000_000;
                let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => format!("{sign}{seconds}s"),
                    (0, m) => format!("{sign}{m}m{seconds}s"),
                    (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
                }
            }
        };
        f.pad(&text)
    }
}

/// `value / unit` in decimal, without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    format!("{whole}.{part:0digits$}").trim_end_matches('0').to_owned()
}

/// As Go reads it: signed decimals, each with a unit, such as `300ms` or `1h15m`.
impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration::Malformed(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        let mut total = 0i128;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(end);
            if !number.contains(|c: char| c.is_ascii_digit()) {
                return Err(invalid());
            }
            if tail.is_empty() {
                return Err(InvalidDuration::MissingUnit(text.to_owned()));
            }
            let unit_end =
                tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let known = UNITS.iter().find(|(name, _)| *name == unit);
            let (_, scale) = known.ok_or_else(|| InvalidDuration::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            })?;
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && part.is_empty() || part.contains('.') || number.len() > 30 {
                return Err(invalid());
            }
            let whole: i128 =
                if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
            let fraction: i128 =
                if part.is_empty() { 0 } else { part.parse().map_err(|_| invalid())? };
            let scale = i128::from(*scale);
            total = total
                .saturating_add(whole.saturating_mul(scale))
                .saturating_add(fraction.saturating_mul(scale) / 10i128.pow(part.len() as u32));
            rest = tail;
        }
        i64::try_from(if negative { -total } else { total }).map(Self).map_err(|_| invalid())
    }
}

impl std::ops::Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        for (text, nanos, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("10s", 10_000_000_000, "10s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            (".5m", 30_000_000_000, "30s"),
            ("500ms", 500_000_000, "500ms"),
            ("2160h", 7_776_000_000_000_000, "2160h0m0s"),
            ("1us", 1_000, "1µs"),
            ("-3s", -3_000_000_000, "-3s"),
        ] {
            let read: Duration = text.parse().expect(text);
            assert_eq!(read.as_nanos(), nanos, "{text}");
            assert_eq!(read.to_string(), printed);
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "10", "s", "1x", "1.2.3s", "-", "3000000h", "1 s", "."] {
            assert!(text.parse::<Duration>().is_err(), "{text:?}");
        }
        for (text, want) in [
            ("5", "time: missing unit in duration \"5\""),
            ("1x", "time: unknown unit \"x\" in duration \"1x\""),
            ("s", "time: invalid duration \"s\""),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap_err().to_string(), want);
        }
    }
}
