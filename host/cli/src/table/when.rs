//! Times and sizes in the words of Docker's lists.

use std::time::{SystemTime, UNIX_EPOCH};

use swarmw_model::{Duration, Time};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// The present.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// How long ago a time was: `4 seconds ago`.
pub(crate) fn ago(at: Time) -> String {
    format!("{} ago", human(now().since(at)))
}

/// A moment as Go prints it: `2026-11-20 23:41:33.56 +0000 UTC`. Another zone than UTC,
/// which an engine may have, stays as it is told.
pub(crate) fn go_time(time: &str) -> String {
    match time.parse::<Time>() {
        Ok(time) => {
            format!("{} +0000 UTC", time.to_string().replace('T', " ").trim_end_matches('Z'))
        }
        Err(_) => time.to_owned(),
    }
}

/// A span of time as people say it.
pub(crate) fn human(span: Duration) -> String {
    let seconds = span.as_nanos() / 1_000_000_000;
    let minutes = seconds / MINUTE;
    // Hours are rounded, all others are cut.
    let hours = (seconds + HOUR / 2) / HOUR;
    match (seconds, minutes, hours) {
        (..1, _, _) => "Less than a second".to_owned(),
        (1, _, _) => "1 second".to_owned(),
        (2..60, _, _) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Bytes with four digits and a unit of 1024: `1.952GiB`.
pub(crate) fn bytes_size(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    let decimals = match size {
        0.0..10.0 => 3,
        10.0..100.0 => 2,
        100.0..1000.0 => 1,
        _ => 0,
    };
    let digits = format!("{size:.decimals$}");
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => &digits,
    };
    format!("{digits}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_dockers() {
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (125, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), want, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_four_digits() {
        for (bytes, want) in [
            (0, "0B"),
            (1023, "1023B"),
            (4 << 20, "4MiB"),
            (2_095_944_040, "1.952GiB"),
            (50 << 20, "50MiB"),
        ] {
            assert_eq!(bytes_size(bytes), want);
        }
    }
}
