//! `--since` and `--until`: a moment as Docker's commands take it.

use swarmw_model::{Duration, Time};

/// Reads a span before `now`, a time with or without its zone, its seconds, its
/// minutes or its hour, or seconds since 1970; gives the latter. A time without a
/// zone is one on the wall here: `offset` says how far that is ahead of UTC.
pub(crate) fn timestamp(
    flag: &str,
    text: &str,
    now: Time,
    offset: impl Fn(i64) -> i64,
) -> Result<String, String> {
    if text == "0" {
        return Ok("0".to_owned());
    }
    if let Ok(span) = text.parse::<Duration>() {
        return Ok(unix(now - span));
    }
    if let Some(time) = time(text, offset) {
        return Ok(unix(time));
    }
    if text.parse::<f64>().is_ok_and(|n| n >= 0.0) {
        return Ok(text.to_owned());
    }
    Err(format!("invalid value for {flag:?}: failed to parse value as time or duration: {text:?}"))
}

fn unix(at: Time) -> String {
    let nanos = at.as_nanos().max(0);
    format!("{}.{:09}", nanos / NANOS, nanos % NANOS)
}

const NANOS: i64 = 1_000_000_000;

fn time(text: &str, offset: impl Fn(i64) -> i64) -> Option<Time> {
    let (date, clock) = text.split_once('T').unwrap_or((text, ""));
    let (date, clock, zone) = match (clock, date.strip_suffix('Z')) {
        ("", Some(date)) => (date, "", "Z"),
        ("", None) => (date, "", ""),
        _ => {
            let (clock, zone) = clock.split_at(clock.find(['Z', '+', '-']).unwrap_or(clock.len()));
            (date, clock, zone)
        }
    };
    let clock = match clock.matches(':').count() {
        0 if clock.is_empty() => "00:00:00".to_owned(),
        0 => format!("{clock}:00:00"),
        1 => format!("{clock}:00"),
        _ => clock.to_owned(),
    };
    if !zone.is_empty() {
        return format!("{date}T{clock}{zone}").parse().ok();
    }
    let on_the_wall: Time = format!("{date}T{clock}Z").parse().ok()?;
    // The zone there, looked up twice: the first look may be beyond a change of it.
    let seconds = on_the_wall.as_nanos() / NANOS;
    let ahead = offset(seconds - offset(seconds));
    Some(on_the_wall - Duration::from_secs(ahead))
}

#[cfg(test)]
mod tests {
    use super::timestamp;
    use swarmw_model::Time;

    #[test]
    fn moments_are_read_as_docker_reads_them() {
        let now = Time::from_nanos(100_500_000_000);
        let hour_ahead = |_| 3_600;
        for (text, want) in [
            ("10s", "90.500000000"),
            ("0", "0"),
            ("17", "17"),
            ("17.5", "17.5"),
            ("1970-01-01T00:00:01Z", "1.000000000"),
            ("1970-01-02Z", "86400.000000000"),
            ("1970-01-02", "82800.000000000"),
            ("1970-01-02T00", "82800.000000000"),
            ("1970-01-02T00:01", "82860.000000000"),
            ("1970-01-02T00:01:02", "82862.000000000"),
            ("1970-01-02T00:01:02.25", "82862.250000000"),
            ("1970-01-02T00:01Z", "86460.000000000"),
            ("1970-01-02T00:01:02.25+02:00", "79262.250000000"),
            ("1970-01-02T00:01-01:00", "90060.000000000"),
        ] {
            assert_eq!(timestamp("since", text, now, hour_ahead).as_deref(), Ok(want), "{text}");
        }
        for text in ["yesterday", "1970-13-01", "-5", "T"] {
            assert!(timestamp("since", text, now, hour_ahead).is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_of_the_zone_is_seen() {
        // An hour ahead until 7200 UTC, two afterwards: the wall goes from 3:00 to 4:00.
        let change = |at| if at < 7_200 { 3_600 } else { 7_200 };
        let now = Time::ZERO;
        for (text, want) in [("1970-01-01T02:59", "7140"), ("1970-01-01T04:00", "7200")] {
            let want = format!("{want}.000000000");
            assert_eq!(timestamp("since", text, now, change), Ok(want), "{text}");
        }
    }
}
