//! What containers may have of their nodes beyond what Swarm's services do: devices,
//! privileges, the host's namespaces. A cluster has none of it unless its operator says so.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::json::{is_default, null_as_default};
use crate::{Refusal, RefusalKind};

/// What a container has beyond Docker's container spec, in the words of `docker run`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ContainerOptions {
    /// Devices of the node.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// All capabilities and devices, and no confinement.
    #[serde(skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Options of the engine's confinement that Docker's `Privileges` have no field for.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Bytes of `/dev/shm`; 0 for the engine's own.
    #[serde(skip_serializing_if = "is_default")]
    pub shm_size: i64,
    /// `none`, `private`, `shareable` or `host`; empty for the engine's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipc_mode: String,
    /// `host`; empty for one of the container's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pid_mode: String,
}

/// A device of the node in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Device {
    /// Where it is on the node.
    pub path_on_host: String,
    /// Where it is in the container.
    pub path_in_container: String,
    /// What may be done with it: of `r`, `w` and `m`.
    pub cgroup_permissions: String,
}

/// A kind of access to nodes that an operator allows to services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostAccess {
    /// Devices.
    Device,
    /// The node's shared memory and semaphores.
    Ipc,
    /// The node's processes.
    Pid,
    /// Everything.
    Privileged,
    /// Less confinement, in the engine's words.
    SecurityOpt,
}

/// The namespace of the node itself.
const HOST: &str = "host";
/// Most devices, and most security options, of a container.
const LIST_MAX: usize = 256;

// === impl ContainerOptions ===

impl ContainerOptions {
    /// What the operator must have allowed for it to have more than `before`.
    pub fn host_access(&self, before: &Self) -> BTreeSet<HostAccess> {
        let new_device = self.devices.iter().any(|device| !before.devices.contains(device));
        let new_option = self.security_opt.iter().any(|o| !before.security_opt.contains(o));
        [
            (new_device, HostAccess::Device),
            (self.ipc_mode == HOST && before.ipc_mode != HOST, HostAccess::Ipc),
            (self.pid_mode == HOST && before.pid_mode != HOST, HostAccess::Pid),
            (self.privileged && !before.privileged, HostAccess::Privileged),
            (new_option, HostAccess::SecurityOpt),
        ]
        .into_iter()
        .filter_map(|(asked, access)| asked.then_some(access))
        .collect()
    }

    /// Whether these are options that a container can have.
    ///
    /// # Errors
    /// The first that is none, and what is possible.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.devices.len() > LIST_MAX || self.security_opt.len() > LIST_MAX {
            return Err(Refusal::invalid(format!(
                "at most {LIST_MAX} devices and {LIST_MAX} security options for a container"
            )));
        }
        self.devices.iter().try_for_each(Device::check)?;
        if self.shm_size < 0 {
            return Err(Refusal::invalid("SHM size can not be less than 0"));
        }
        if !matches!(self.ipc_mode.as_str(), "" | "none" | "private" | "shareable" | HOST) {
            return Err(Refusal::invalid(format!(
                "invalid IPC mode: {}: none, private, shareable and host exist",
                self.ipc_mode
            )));
        }
        if !matches!(self.pid_mode.as_str(), "" | HOST) {
            return Err(Refusal::invalid(format!(
                "invalid PID mode: {}: a service's containers have their own, or the one of \
                 their host",
                self.pid_mode
            )));
        }
        match self.security_opt.iter().find(|option| option.trim().is_empty()) {
            Some(_) => Err(Refusal::invalid("an empty security option")),
            None => Ok(()),
        }
    }
}

// === impl Device ===

impl Device {
    /// What is read of `HOST[:CONTAINER][:PERMISSIONS]`.
    ///
    /// # Errors
    /// Docker's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid device specification: {text}");
        let parts: Vec<_> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, second] if is_permissions(second) => (host, host, second),
            [host, container] => (host, container, "rwm"),
            [host, container, permissions] if is_permissions(permissions) => {
                (host, container, permissions)
            }
            _ => return Err(invalid()),
        };
        let container = if container.is_empty() { host } else { container };
        let device = Self {
            path_on_host: host.to_owned(),
            path_in_container: container.to_owned(),
            cgroup_permissions: permissions.to_owned(),
        };
        device.check().map_err(|why| why.message)?;
        Ok(device)
    }

    fn check(&self) -> Result<(), Refusal> {
        for path in [&self.path_on_host, &self.path_in_container] {
            if !path.starts_with('/') {
                return Err(Refusal::invalid(format!("'{path}' is not an absolute path")));
            }
        }
        match is_permissions(&self.cgroup_permissions) {
            true => Ok(()),
            false => Err(Refusal::invalid(format!(
                "invalid device mode: {:?}: want some of r, w and m",
                self.cgroup_permissions
            ))),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path_on_host, self.path_in_container, self.cgroup_permissions)
    }
}

fn is_permissions(text: &str) -> bool {
    let once = |c: char| text.matches(c).count() <= 1;
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c) && once(c))
}

// === impl HostAccess ===

impl HostAccess {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Device, Self::Ipc, Self::Pid, Self::Privileged, Self::SecurityOpt];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Ipc => "ipc",
            Self::Pid => "pid",
            Self::Privileged => "privileged",
            Self::SecurityOpt => "security-opt",
        }
    }

    /// What of it is missing, as a sentence, and how an operator gives it.
    fn refusal(asked: &BTreeSet<Self>, allowed: &BTreeSet<Self>, missing: Self) -> Refusal {
        let what = match missing {
            Self::Device => "devices of the node",
            Self::Ipc => "the IPC namespace of the node",
            Self::Pid => "the PID namespace of the node",
            Self::Privileged => "privileged containers",
            Self::SecurityOpt => "security options beyond those of Docker's services",
        };
        let all: Vec<_> = asked.union(allowed).map(|access| access.as_str()).collect();
        Refusal::rpc(
            RefusalKind::PermissionDenied,
            format!(
                "this cluster does not allow services {what}: an operator may, with `swarmw swarm \
                 update --host-access {}`",
                all.join(",")
            ),
        )
    }

    /// Refuses what is asked and not allowed.
    ///
    /// # Errors
    /// The first kind, and the command with which an operator allows it.
    pub fn check(asked: &BTreeSet<Self>, allowed: &BTreeSet<Self>) -> Result<(), Refusal> {
        match asked.difference(allowed).next() {
            Some(missing) => Err(Self::refusal(asked, allowed, *missing)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HostAccess {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|access| access.as_str() == word).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|access| access.as_str()).collect();
            format!("no kind of host access: {word:?}: {} exist", all.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_as_dockers() {
        for (text, want) in [
            ("/dev/kvm", "/dev/kvm:/dev/kvm:rwm"),
            ("/dev/kvm:r", "/dev/kvm:/dev/kvm:r"),
            ("/dev/a:/dev/b", "/dev/a:/dev/b:rwm"),
            ("/dev/a:/dev/b:rw", "/dev/a:/dev/b:rw"),
            ("/dev/a::rw", "/dev/a:/dev/a:rw"),
            ("/dev/a:/dev/b:rx", "invalid device specification: /dev/a:/dev/b:rx"),
            ("/dev/a:/dev/b:rr", "invalid device specification: /dev/a:/dev/b:rr"),
            ("/dev/a:/b:r:w", "invalid device specification: /dev/a:/b:r:w"),
            ("kvm", "'kvm' is not an absolute path"),
            ("/dev/a:b", "'b' is not an absolute path"),
            ("", "'' is not an absolute path"),
        ] {
            let got = Device::parse(text).map_or_else(|why| why, |device| device.to_string());
            assert_eq!(got.trim_start_matches("invalid argument: "), want, "{text}");
        }
    }

    #[test]
    fn what_leaves_the_container_wants_leave() {
        let read = |json: &str| serde_json::from_str::<ContainerOptions>(json).expect(json);
        for (options, want) in [
            (r#"{}"#, ""),
            (r#"{"ShmSize":5,"IpcMode":"private"}"#, ""),
            (r#"{"IpcMode":"host","PidMode":"host"}"#, "ipc pid"),
            (r#"{"Privileged":true,"SecurityOpt":["apparmor=x"]}"#, "privileged security-opt"),
            (
                r#"{"Devices":[{"PathOnHost":"/a","PathInContainer":"/a","CgroupPermissions":"r"}]}"#,
                "device",
            ),
        ] {
            let options = read(options);
            assert_eq!(options.check(), Ok(()));
            let access = options.host_access(&ContainerOptions::default());
            let words: Vec<_> = access.iter().map(ToString::to_string).collect();
            assert_eq!(words.join(" "), want);
            assert!(options.host_access(&options).is_empty(), "it has it already");
        }
        for bad in [
            r#"{"IpcMode":"container:x"}"#,
            r#"{"PidMode":"container:x"}"#,
            r#"{"ShmSize":-1}"#,
            r#"{"SecurityOpt":[" "]}"#,
            r#"{"Devices":[{"PathOnHost":"a","PathInContainer":"/a","CgroupPermissions":"r"}]}"#,
            r#"{"Devices":[{"PathOnHost":"/a","PathInContainer":"/a"}]}"#,
        ] {
            assert!(read(bad).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_refused_is_told_who_allows_it_and_how() {
        let set = |words: &str| -> BTreeSet<HostAccess> {
            words.split_whitespace().map(|word| word.parse().expect("a kind")).collect()
        };
        assert_eq!(HostAccess::check(&set("device"), &set("device ipc")), Ok(()));
        let why = HostAccess::check(&set("device pid"), &set("device ipc")).expect_err("refused");
        assert_eq!(
            why.message,
            "this cluster does not allow services the PID namespace of the node: an operator may, \
             with `swarmw swarm update --host-access device,ipc,pid`"
        );
        assert_eq!(
            "root".parse::<HostAccess>().unwrap_err(),
            "no kind of host access: \"root\": device, ipc, pid, privileged, security-opt exist"
        );
    }
}
