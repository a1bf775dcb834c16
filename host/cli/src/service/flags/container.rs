//! What runs in each task, and where its output goes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use swarmw_model::{ContainerSpec, CredentialSpec, Driver, Duration};

use crate::parse::{Words, boolean, capability, int, map, positive_duration, words};

/// Forgets the capabilities that were set before.
const RESET: &str = "RESET";
const ALL: &str = "ALL";

/// What runs in each task.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerFlags {
    /// Add Linux capabilities
    #[arg(long, value_name = "list", value_parser = capability)]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list", value_parser = capability)]
    cap_drop: Vec<String>,
    /// Credential spec for managed service account (Windows only)
    #[arg(long, value_name = "credential-spec", value_parser = credential_spec)]
    credential_spec: Option<CredentialSpec>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "command", value_parser = words)]
    entrypoint: Option<Words>,
    /// Container hostname
    #[arg(long, value_name = "string")]
    hostname: Option<String>,
    /// Use an init inside each service container to forward signals and reap processes
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    init: Option<bool>,
    /// Service container isolation mode (Windows only)
    #[arg(long, value_name = "string")]
    isolation: Option<String>,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = int)]
    oom_score_adj: Option<i64>,
    /// Mount the container's root filesystem as read only
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    read_only: Option<bool>,
    /// Time to wait before force killing a container (ns|us|ms|s|m|h) (default 10s)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    stop_grace_period: Option<Duration>,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    stop_signal: Option<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    tty: Option<bool>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
}

/// Where the output of each task goes.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct LogFlags {
    /// Logging driver for service
    #[arg(long, value_name = "string")]
    log_driver: Option<String>,
    /// Logging driver options
    #[arg(long, value_name = "list")]
    log_opt: Vec<String>,
}

// === impl ContainerFlags ===

impl ContainerFlags {
    pub(super) fn apply(&self, container: &mut ContainerSpec) {
        let set = |field: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        if let Some(score) = self.oom_score_adj {
            container.oom_score_adj = score;
        }
        set(&mut container.hostname, &self.hostname);
        set(&mut container.isolation, &self.isolation);
        if let Some(credentials) = &self.credential_spec {
            set_credentials(&mut container.privileges, credentials);
        }
        set(&mut container.stop_signal, &self.stop_signal);
        set(&mut container.user, &self.user);
        set(&mut container.dir, &self.workdir);
        if let Some(Words(words)) = &self.entrypoint {
            container.command.clone_from(words);
        }
        if self.init.is_some() {
            container.init = self.init;
        }
        if let Some(read_only) = self.read_only {
            container.read_only = read_only;
        }
        if let Some(tty) = self.tty {
            container.tty = tty;
        }
        if self.stop_grace_period.is_some() {
            container.stop_grace_period = self.stop_grace_period;
        }
        if !self.cap_add.is_empty() || !self.cap_drop.is_empty() {
            capabilities(container, &self.cap_add, &self.cap_drop);
        }
    }
}

/// Where the credentials of a Windows container are. The daemon says what it makes of it.
fn credential_spec(text: &str) -> Result<CredentialSpec, String> {
    let mut found = CredentialSpec::default();
    match text.split_once("://") {
        None if text.is_empty() => {}
        Some(("config", id)) => id.clone_into(&mut found.config),
        Some(("file", name)) => name.clone_into(&mut found.file),
        Some(("registry", name)) => name.clone_into(&mut found.registry),
        _ => {
            return Err("invalid credential spec: value must be prefixed with \"config://\", \
                        \"file://\", or \"registry://\""
                .to_owned());
        }
    }
    Ok(found)
}

/// An empty one takes away what was there.
fn set_credentials(privileges: &mut Option<Value>, credentials: &CredentialSpec) {
    let nothing = *credentials == CredentialSpec::default();
    match privileges {
        None | Some(Value::Null) if nothing => {}
        Some(Value::Object(all)) if nothing => drop(all.remove("CredentialSpec")),
        Some(Value::Object(all)) => {
            drop(all.insert("CredentialSpec".to_owned(), json!(credentials)))
        }
        other => *other = Some(json!({"CredentialSpec": credentials})),
    }
}

/// A capability has three states: adding a dropped one only undrops it, dropping
/// an added one only takes it back. Where both are asked, adding wins.
fn capabilities(container: &mut ContainerSpec, add: &[String], drop: &[String]) {
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    let (mut added, mut dropped) =
        (set(&container.capability_add), set(&container.capability_drop));
    let (mut add, mut drop) = (set(add), set(drop));
    if add.remove(RESET) {
        added.clear();
    }
    if drop.remove(RESET) {
        dropped.clear();
    }
    for capability in drop.difference(&add) {
        if !added.remove(capability) {
            dropped.insert(capability.clone());
        }
    }
    for capability in add {
        if !dropped.remove(&capability) {
            added.insert(capability);
        }
    }
    // All of them says it for each.
    for list in [&mut added, &mut dropped] {
        if list.contains(ALL) {
            list.retain(|capability| capability == ALL);
        }
    }
    container.capability_add = added.into_iter().collect();
    container.capability_drop = dropped.into_iter().collect();
}

// === impl LogFlags ===

impl LogFlags {
    /// Options come with a driver, and replace those before.
    pub(super) fn apply(&self, driver: &mut Option<Driver>) {
        if let Some(name) = self.log_driver.as_ref().filter(|name| !name.is_empty()) {
            *driver = Some(Driver { name: name.clone(), options: map(&self.log_opt) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_in_one_place_and_the_rest_of_the_privileges_stays() {
        assert!(credential_spec("nowhere").is_err());
        for (typed, want) in [
            ("config://a", json!({"NoNewPrivileges": true, "CredentialSpec": {"Config": "a"}})),
            ("registry://b", json!({"NoNewPrivileges": true, "CredentialSpec": {"Registry": "b"}})),
            ("", json!({"NoNewPrivileges": true})),
        ] {
            let mut privileges =
                Some(json!({"NoNewPrivileges": true, "CredentialSpec": {"File": "x"}}));
            set_credentials(&mut privileges, &credential_spec(typed).expect("a place"));
            assert_eq!(privileges, Some(want), "{typed}");
        }
    }

    #[test]
    fn capabilities_have_three_states() {
        for (have, add, drop, want) in [
            (("", ""), "B A", "", ("A B", "")),
            (("", ""), "A", "A B", ("A", "B")),
            (("", "A"), "A", "", ("", "")),
            (("A", ""), "", "A", ("", "")),
            (("A", "B"), "RESET C", "", ("C", "B")),
            (("A", "B"), "", "RESET", ("A", "")),
            (("A", "B"), "ALL", "", ("ALL", "B")),
            (("", ""), "C", "A ALL", ("C", "ALL")),
        ] {
            let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let mut container = ContainerSpec {
                capability_add: list(have.0),
                capability_drop: list(have.1),
                ..ContainerSpec::default()
            };
            capabilities(&mut container, &list(add), &list(drop));
            let got = (container.capability_add.join(" "), container.capability_drop.join(" "));
            assert_eq!((got.0.as_str(), got.1.as_str()), want, "+{add} -{drop}");
        }
    }
}
