//! Sizes, CPUs, durations and ports as Docker's flags and files write them.

use swarmw_model::{Duration, PortConfig, PortProtocol};

const NANOS: i64 = 1_000_000_000;
const CPU_DECIMALS: usize = 9;

/// A duration as Go writes it.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<Duration>().map_err(|error| error.to_string())
}

/// A size: a decimal number and an optional unit of a power of 1024, `64m`, `1GiB`,
/// `512 kb`.
pub fn bytes(text: &str) -> Result<i64, String> {
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
    Ok(size as i64)
}

/// Billionths of a CPU, from a decimal number of at most nine decimals.
pub fn cpus(text: &str) -> Result<i64, String> {
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
    Ok(if negative { -nanos } else { nanos })
}

/// Ports in the short form of `--publish`: `[published:]target[/protocol]`, either of
/// them a range. An address of the host is refused: services listen on all.
pub fn short_ports(text: &str) -> Result<Vec<PortConfig>, String> {
    let (ports, proto) = match text.rsplit_once('/') {
        Some((ports, word)) => {
            let proto = protocol(&word.to_lowercase());
            (ports, proto.ok_or_else(|| format!("invalid proto: {word}"))?)
        }
        None => (text, PortProtocol::Tcp),
    };
    let (published, target) = match ports.rsplit_once(':') {
        Some((published, _)) if published.contains(':') => {
            return Err("hostip is not supported".to_owned());
        }
        Some((published, target)) => (published, target),
        None => ("", ports),
    };
    if target.is_empty() {
        return Err(format!("no port specified: {text}"));
    }
    let (from, to) = range(target).ok_or_else(|| format!("invalid containerPort: {target}"))?;
    let targets = from..=to;
    let port = |published_port, target_port| PortConfig {
        protocol: proto,
        target_port,
        published_port,
        ..PortConfig::default()
    };
    // 0 as well says: whichever is free.
    if published.is_empty() || published == "0" {
        return Ok(targets.map(|target| port(0, target)).collect());
    }
    let (first, last) = range(published).ok_or_else(|| format!("invalid hostPort: {published}"))?;
    match (usize::from(to - from), usize::from(last - first)) {
        (a, b) if a == b => Ok((first..=last)
            .zip(targets)
            .map(|(published, target)| port(published, target))
            .collect()),
        // Each of the published ports leads to the one target.
        (0, _) => Ok((first..=last).map(|p| port(p, from)).collect()),
        _ => Err(format!(
            "invalid ranges specified for container and host Ports: {target} and {published}"
        )),
    }
}

/// `tcp`, `udp` or `sctp`.
pub fn protocol(text: &str) -> Option<PortProtocol> {
    match text {
        "tcp" => Some(PortProtocol::Tcp),
        "udp" => Some(PortProtocol::Udp),
        "sctp" => Some(PortProtocol::Sctp),
        _ => None,
    }
}

/// `80` or `80-82`, upwards.
fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
    (from > 0 && from <= to).then_some((from, to))
}
