//! Values of two parts: environment, labels, hosts, limits, capabilities.

use std::collections::BTreeMap;
use std::net::IpAddr;

use swarmw_model::Ulimit;

/// `KEY=VALUE`, or `KEY` for the client's own value of it.
pub(crate) fn environment(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(text.to_owned())
}

/// A variable with its value. One that the client has not set stays a bare name,
/// which takes the image's variable away.
pub(crate) fn with_value(variable: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    match variable.contains('=') {
        true => None,
        false => lookup(variable).map(|value| format!("{variable}={value}")),
    }
    .unwrap_or_else(|| variable.to_owned())
}

/// The variables of a file: a line each, comments and bare names that the client has
/// not set left out.
pub(crate) fn environment_file(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = name_of(line);
        if name.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if name.contains([' ', '\t']) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        let variable = with_value(line, &lookup);
        if variable.contains('=') {
            all.push(variable);
        }
    }
    Ok(all)
}

/// What stands before the `=`.
pub(crate) fn name_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// Texts `KEY[=VALUE]` as a map; the last one wins.
pub(crate) fn map(texts: &[String]) -> BTreeMap<String, String> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (text.clone(), String::new()),
        })
        .collect()
}

/// A label: its key is a word.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let key = name_of(text);
    if key.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if key.contains(char::is_whitespace) {
        return Err(format!("label '{key}' contains whitespaces"));
    }
    Ok(text.to_owned())
}

/// A kernel setting, `KEY=VALUE`.
pub(crate) fn sysctl(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("sysctl '{text}' is not of the format key=value")),
    }
}

/// `HOST:IP`, as the line of the hosts file that it becomes: `IP HOST`.
pub(crate) fn extra_host(text: &str) -> Result<String, String> {
    let bad = || format!("bad format for add-host: {text:?}");
    let (host, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(bad)?;
    if host.is_empty() {
        return Err(bad());
    }
    let address = address.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(_) => Ok(format!("{address} {host}")),
        Err(_) => Err(format!("invalid IP address in add-host: {address:?}")),
    }
}

/// The address of a resolver.
pub(crate) fn resolver(text: &str) -> Result<String, String> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`; −1 is no limit.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let invalid = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(invalid)?;
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let soft: i64 = soft.parse().map_err(|_| invalid())?;
    let hard: i64 = hard.parse().map_err(|_| invalid())?;
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

/// A capability in its full spelling: `CAP_NET_ADMIN`, `ALL`, `RESET`.
pub(crate) fn capability(text: &str) -> Result<String, String> {
    let upper = text.trim().to_uppercase();
    Ok(match upper.as_str() {
        "ALL" | "RESET" => upper,
        name if name.starts_with("CAP_") => upper,
        name => format!("CAP_{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_lines_of_the_hosts_file() {
        assert_eq!(extra_host("db:10.0.0.1"), Ok("10.0.0.1 db".into()));
        assert_eq!(extra_host("db:::1"), Ok("::1 db".into()));
        assert_eq!(extra_host("db=[::1]"), Ok("::1 db".into()));
        assert!(extra_host("db").is_err());
        assert_eq!(extra_host("db:x").unwrap_err(), "invalid IP address in add-host: \"x\"");
    }

    #[test]
    fn limits_have_a_known_name_and_order() {
        let read = ulimit("nofile=1024:2048").expect("a limit");
        assert_eq!((read.soft, read.hard), (1024, 2048));
        assert_eq!(ulimit("nproc=5").map(|u| u.hard), Ok(5));
        assert_eq!(ulimit("foo=1").unwrap_err(), "invalid ulimit type: foo");
        assert_eq!(
            ulimit("nofile=3:2").unwrap_err(),
            "ulimit soft limit must be less than or equal to hard limit: 3 > 2"
        );
    }

    #[test]
    fn a_bare_variable_takes_the_clients_value() {
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        assert_eq!(with_value("HOME", lookup), "HOME=/root");
        assert_eq!(with_value("GONE", lookup), "GONE");
        assert_eq!(with_value("A=", lookup), "A=");
        assert!(environment("=x").is_err());
    }

    #[test]
    fn files_of_variables_hold_a_line_each() {
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let text = "\u{feff}# none\n\nA=1\r\n  B= 2 \nHOME\nGONE\n";
        let want = vec!["A=1".to_owned(), "B= 2 ".into(), "HOME=/root".into()];
        assert_eq!(environment_file(text, lookup), Ok(want));
        for (text, want) in [
            ("A B=1", "variable 'A B' contains whitespaces"),
            ("=1", "no variable name on line '=1'"),
        ] {
            assert_eq!(environment_file(text, lookup).unwrap_err(), want);
        }
    }

    #[test]
    fn capabilities_have_one_spelling() {
        for (text, want) in
            [("net_admin", "CAP_NET_ADMIN"), ("CAP_SYS_TIME", "CAP_SYS_TIME"), ("all", "ALL")]
        {
            assert_eq!(capability(text).as_deref(), Ok(want));
        }
    }
}
