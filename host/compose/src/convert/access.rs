//! What containers have of their nodes: devices, privileges, confinement, namespaces.
//! Docker's client leaves it out; whether a service may have it here, the cluster says.

use std::io;
use std::path::Path;

use serde_json::{Value as Json, json};
use swarmw_model::{ContainerOptions, Device, Privileges};

use super::Refused;
use crate::amounts;
use crate::load::opening;
use crate::project::Service;
use crate::read::absolute;
use crate::unsupported::joins_another;

/// The key of a profile of system calls, which is a file beside the Compose file.
const SECCOMP: &str = "seccomp";

/// What the containers of a service have of their nodes.
pub(super) struct Access {
    /// What Docker has no field for; `None`: nothing of it.
    pub(super) options: Option<ContainerOptions>,
    /// Security options that Docker has fields for.
    confinement: Privileges,
}

/// Reads what a service wants; `read` gives the files of profiles.
pub(super) fn of(
    service: &Service,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Access, Refused> {
    let typed: Result<Vec<_>, _> =
        service.security_opt.iter().map(|option| with_profile(service, option, read)).collect();
    let (confinement, security_opt) = Privileges::of_options(&typed?);
    let devices: Result<Vec<_>, String> =
        service.devices.iter().map(|device| Device::parse(device)).collect();
    let options = ContainerOptions {
        devices: devices?,
        privileged: service.privileged,
        security_opt,
        shm_size: match service.shm_size.as_str() {
            "" => 0,
            size => amounts::bytes(size).map_err(|why| format!("shm_size: {why}"))?,
        },
        ipc_mode: namespace(&service.ipc),
        pid_mode: namespace(&service.pid),
    };
    options.check().map_err(|refusal| refusal.message)?;
    let options = Some(options).filter(|options| *options != ContainerOptions::default());
    Ok(Access { options, confinement })
}

/// A mode of `ipc` or `pid`; the namespaces of other containers are warned of and left out.
fn namespace(mode: &str) -> String {
    if joins_another(mode) { String::new() } else { mode.to_owned() }
}

/// A security option with the profile in the place of its file.
fn with_profile(
    service: &Service,
    option: &str,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<String, Refused> {
    // Docker's older spelling has a colon.
    let Some((SECCOMP, file)) = option.split_once('=').or_else(|| option.split_once(':')) else {
        return Ok(option.to_owned());
    };
    if matches!(file, "unconfined" | "builtin") || file.starts_with('{') {
        return Ok(option.to_owned());
    }
    let path = absolute(&service.at.file.folder, file);
    let bytes = read(&path).map_err(|error| {
        format!("opening seccomp profile ({file}) failed: {}", opening(&path, &error))
    })?;
    let profile: Result<serde_json::Map<String, Json>, _> = serde_json::from_slice(&bytes);
    profile.map_err(|why| format!("the seccomp profile {file} is no JSON object: {why}"))?;
    Ok(format!("{SECCOMP}={}", String::from_utf8_lossy(&bytes).trim()))
}

// === impl Access ===

impl Access {
    /// Docker's `Privileges`: those that a container has already, and the confinement.
    pub(super) fn privileges(&self, before: Option<Json>) -> Json {
        let mut all = before.unwrap_or_else(|| json!({}));
        if let (Json::Object(all), Json::Object(fields)) = (&mut all, json!(self.confinement)) {
            all.extend(fields);
        }
        all
    }
}
