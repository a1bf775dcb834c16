//! Kernel settings of the node that published ports need.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::DesiredPorts;
use super::index::Index;
use super::plan::DEVICE;
use crate::namespace::Namespace;
use crate::{Error, Result};

/// A setting of `/proc/sys/net`, by its path there: a device's name may have dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sysctl {
    pub(super) path: String,
    pub(super) value: &'static str,
}

/// What settings are; none: there is no such setting, as there is no such device.
pub(super) type Values = BTreeMap<String, Option<String>>;

/// What settings should be, in an order that works; the index is of what is desired.
pub(super) fn wanted(desired: &DesiredPorts, index: &Index, advertised: &[String]) -> Vec<Sysctl> {
    let mut wanted = Vec::new();
    if !desired.has_ends() {
        return wanted;
    }
    let mut add = |path: String, value| wanted.push(Sysctl { path, value });
    add("ipv4/ip_forward".to_owned(), "1");
    if index.has_v6() {
        // Before it forwards: then these would lose their routes at once.
        for device in advertised {
            add(format!("ipv6/conf/{device}/accept_ra"), "2");
        }
        add("ipv6/conf/all/forwarding".to_owned(), "1");
    }
    for (key, value) in [
        // Next hops are of IPv6, also for IPv4.
        ("ipv6/conf/swingress/disable_ipv6", "0"),
        ("ipv6/conf/swingress/accept_ra", "0"),
        ("ipv4/conf/swingress/accept_redirects", "0"),
        ("ipv4/conf/swingress/send_redirects", "0"),
        // The mark says where a client is to be found.
        ("ipv4/conf/swingress/src_valid_mark", "1"),
        // The node is its own client by 127.0.0.1; nftables keeps others from it.
        ("ipv4/conf/swingress/route_localnet", "1"),
    ] {
        add(key.to_owned(), value);
    }
    add(localnet(&desired.bridge), "1");
    wanted
}

/// Whether a device takes packets to 127.0.0.0/8.
pub(super) fn localnet(device: &str) -> String {
    format!("ipv4/conf/{device}/route_localnet")
}

/// Whether a device does as router advertisements say.
pub(super) fn accept_ra(device: &str) -> String {
    format!("ipv6/conf/{device}/accept_ra")
}

/// Whether the machine keeps silent when somebody asks by the device for an address that it has
/// on another one: with anything but 0 in either. The kernel takes the greater.
pub(super) fn arp_ignore() -> Vec<String> {
    ["all", DEVICE].map(|device| format!("ipv4/conf/{device}/arp_ignore")).into()
}

/// Reads settings.
pub(super) async fn read(inside: &Namespace, paths: Vec<String>) -> Result<Values> {
    let read = |path: String| {
        let value = fs::read_to_string(whole(&path)).ok().map(|value| value.trim().to_owned());
        (path, value)
    };
    inside.within(move || paths.into_iter().map(read).collect()).await
}

/// Writes settings; of devices that are not there, none.
pub(super) async fn write(inside: &Namespace, settings: Vec<Sysctl>) -> Result<()> {
    let write = |Sysctl { path, value }: Sysctl| match fs::write(whole(&path), value) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Setting { key: shown(&path), value, source })
        }
        _ => Ok(()),
    };
    inside.within(move || settings.into_iter().try_for_each(write)).await?
}

fn whole(path: &str) -> PathBuf {
    ["/proc/sys/net", path].iter().collect()
}

/// A setting's name for `sysctl`.
pub(super) fn shown(path: &str) -> String {
    format!("net.{}", path.replace('/', "."))
}

// === impl Sysctl ===

impl Sysctl {
    /// Of the device that this room makes.
    pub(super) fn is_of_the_device(&self) -> bool {
        self.path.split('/').any(|part| part == DEVICE)
    }
}
