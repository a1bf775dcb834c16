//! Numbers, sizes, CPUs and durations.

use swarmw_model::Duration;

const NANOS: i64 = 1_000_000_000;
const CPU_DECIMALS: usize = 9;

/// Bytes, from `64m` or `1.5GiB`: units are powers of 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) i64);

/// Billionths of a CPU, from `0.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpus(pub(crate) i64);

/// A switch: the words that Go takes for a boolean.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A number from 0 up.
pub(crate) fn uint(text: &str) -> Result<u64, String> {
    integer(text, "ParseUint")
}

/// A number from 0 up, of 32 bits.
pub(crate) fn uint32(text: &str) -> Result<u32, String> {
    integer(text, "ParseUint")
}

/// A number.
pub(crate) fn int(text: &str) -> Result<i64, String> {
    integer(text, "ParseInt")
}

fn integer<T>(text: &str, function: &str) -> Result<T, String>
where
    T: std::str::FromStr<Err = std::num::ParseIntError>,
{
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let reason = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {text:?}: {reason}")
    })
}

/// A decimal number.
pub(crate) fn float(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
}

/// A duration as Go writes it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<Duration>().map_err(|error| error.to_string())
}

/// A duration as Go writes it, not below zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if parsed.is_negative() {
        return Err("duration cannot be negative".to_owned());
    }
    Ok(parsed)
}

/// A size: a decimal number and an optional unit, `64m`, `1GiB`, `512 kb`.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    let invalid = || format!("invalid size: '{text}'");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let exponent = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 0,
        "k" | "ki" => 1,
        "m" | "mi" => 2,
        "g" | "gi" => 3,
        "t" | "ti" => 4,
        "p" | "pi" => 5,
        _ => return Err(invalid()),
    };
    let size = number * 1024f64.powi(exponent);
    if size >= i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(Bytes(size as i64))
}

/// CPUs as a decimal number of at most nine decimals.
pub(crate) fn cpus(text: &str) -> Result<Cpus, String> {
    let invalid = || format!("failed to parse {text} as a rational number");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && part.is_empty() || !numeric(whole) || !numeric(part) {
        return Err(invalid());
    }
    let part = part.trim_end_matches('0');
    if part.len() > CPU_DECIMALS {
        return Err("value is too precise".to_owned());
    }
    let whole: i64 = match whole {
        "" => 0,
        whole => whole.parse().map_err(|_| invalid())?,
    };
    let part: i64 = format!("{part:0<CPU_DECIMALS$}").parse().map_err(|_| invalid())?;
    let nanos =
        whole.checked_mul(NANOS).and_then(|nanos| nanos.checked_add(part)).ok_or_else(invalid)?;
    Ok(Cpus(if negative { -nanos } else { nanos }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024() {
        for (text, want) in [
            ("0", 0),
            ("512", 512),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("1g", 1 << 30),
            ("1.5k", 1536),
            ("1 kB", 1024),
            ("2T", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(Bytes(want)), "{text}");
        }
        for text in ["", "m", "1x", "1kbb", "-1", "1..2m", "9999999999p"] {
            assert_eq!(bytes(text), Err(format!("invalid size: '{text}'")));
        }
    }

    #[test]
    fn cpus_are_decimals_of_nine_places() {
        for (text, want) in [
            ("1", NANOS),
            ("0.5", NANOS / 2),
            (".25", NANOS / 4),
            ("1.000000001", NANOS + 1),
            ("0.1000000000000", NANOS / 10),
        ] {
            assert_eq!(cpus(text), Ok(Cpus(want)), "{text}");
        }
        assert_eq!(cpus("0.0000000001"), Err("value is too precise".to_owned()));
        assert_eq!(cpus("half"), Err("failed to parse half as a rational number".to_owned()));
    }

    #[test]
    fn numbers_fail_in_gos_words() {
        assert_eq!(uint("-1").unwrap_err(), "strconv.ParseUint: parsing \"-1\": invalid syntax");
        assert_eq!(
            int("99999999999999999999").unwrap_err(),
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(positive_duration("-1s").unwrap_err(), "duration cannot be negative");
        assert_eq!(duration("soon").unwrap_err(), "time: invalid duration \"soon\"");
        assert_eq!(boolean("T"), Ok(true));
        assert!(boolean("yes").is_err());
    }
}
