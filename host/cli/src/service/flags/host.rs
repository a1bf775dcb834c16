//! What containers have of their nodes: `--privileged`, `--pid`, and those that list.

use std::path::Path;

use swarmw_model::{ContainerOptions, ContainerSpec, Device, Privileges};

use crate::failure::Failure;
use crate::parse::{Bytes, boolean, bytes};

/// What containers have of their nodes, of which there is one each.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct HostFlags {
    /// Give containers all of their nodes (needs swarm update --host-access privileged)
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    privileged: Option<bool>,
    /// Size of /dev/shm (default 64m)
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    shm_size: Option<Bytes>,
    /// IPC namespace: none, private, shareable, or host (needs swarm update --host-access ipc)
    #[arg(long, value_name = "string")]
    ipc: Option<String>,
    /// PID namespace: host (needs swarm update --host-access pid)
    #[arg(long, value_name = "string")]
    pid: Option<String>,
}

/// The key of a profile of system calls, which is a file where it is typed.
const SECCOMP: &str = "seccomp";

// === impl HostFlags ===

impl HostFlags {
    /// Changes what was given.
    pub(super) fn apply(&self, options: &mut ContainerOptions) {
        if let Some(privileged) = self.privileged {
            options.privileged = privileged;
        }
        if let Some(Bytes(size)) = self.shm_size {
            options.shm_size = size;
        }
        if let Some(mode) = &self.ipc {
            options.ipc_mode.clone_from(mode);
        }
        if let Some(mode) = &self.pid {
            options.pid_mode.clone_from(mode);
        }
    }
}

/// A device: `/dev/NAME[:/dev/OTHER][:rwm]`.
pub(in crate::service) fn device(text: &str) -> Result<Device, String> {
    Device::parse(text)
}

/// Adds and removes security options. Docker's services have fields for most of them; the
/// others are ours. Removed is what is typed the same, or begins with it and `=`.
pub(in crate::service) fn confine(
    container: &mut ContainerSpec,
    options: &mut ContainerOptions,
    add: &[String],
    remove: &[String],
) -> Result<(), Failure> {
    if add.is_empty() && remove.is_empty() {
        return Ok(());
    }
    let before = Privileges::read(container.privileges.as_ref())
        .map_err(|refusal| Failure::new(refusal.to_string()))?;
    let mut all = before.security_options();
    all.append(&mut options.security_opt);
    let goes = |option: &String, gone: &String| {
        option == gone || option.strip_prefix(gone.as_str()).is_some_and(|r| r.starts_with('='))
    };
    all.retain(|option| !remove.iter().any(|gone| goes(option, gone)));
    for added in add {
        let added = with_profile(added)?;
        if !all.contains(&added) {
            all.push(added);
        }
    }
    let (privileges, others) = Privileges::of_options(&all);
    container.privileges = match privileges == Privileges::default() {
        true => None,
        false => Some(
            serde_json::to_value(&privileges)
                .map_err(|why| Failure::new(format!("cannot write the security options: {why}")))?,
        ),
    };
    options.security_opt = others;
    Ok(())
}

/// A profile of system calls is a file of the client's.
fn with_profile(option: &str) -> Result<String, Failure> {
    let Some((SECCOMP, file)) = option.split_once('=') else {
        return Ok(option.to_owned());
    };
    if matches!(file, "unconfined" | "builtin") || file.starts_with('{') {
        return Ok(option.to_owned());
    }
    let path = Path::new(file);
    let read = std::fs::read_to_string(path).map_err(|error| Failure::opening(path, &error));
    let profile = read
        .map_err(|why| Failure::new(format!("opening seccomp profile ({file}) failed: {why}")))?;
    Ok(format!("{SECCOMP}={}", profile.trim()))
}
