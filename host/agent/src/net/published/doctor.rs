//! A look at published ports for whoever asks how the node is.

use swarmw_model::{NetFindings, UserPort};
use swarmw_overlay::{DataPath, DesiredPorts};
use tokio::time::Instant;

use super::KernelPorts;
use super::desire::why_in_user_space;
use crate::net::doctor::{LOOK_PATIENCE, see, tried};

/// What to do about what is tried again.
const RETRIED: &str = "it is tried again every 15 s; see the daemon's log on the node";

/// Why it is not known whether packets get here.
const SILENT: &str = "whether packets of published ports get here is not tried by other nodes: \
                      this machine keeps silent about addresses of its other devices \
                      (net.ipv4.conf.all.arp_ignore)";

// === impl KernelPorts ===

impl KernelPorts {
    /// What the kernel has of published ports, and what differs from what it should have; and
    /// whether packets get to other nodes by their device.
    pub(crate) async fn examine(&self) -> (NetFindings, DataPath) {
        let desired = self.desired();
        let mut findings = NetFindings {
            kernel_ports: desired.ports.len(),
            user_ports: self.in_user_space(&desired),
            ..NetFindings::default()
        };
        if let Some(why) = self.0.said.last(&()) {
            findings.differ(why, RETRIED);
        }
        let is_told = {
            let listed = self.0.listed.borrow();
            listed.ingress.as_ref().is_some_and(|ingress| ingress.own.is_some())
        };
        let has_path = self.has_data_path();
        if is_told && !has_path {
            let what = "packets of other nodes' kernels do not come here: the address that they \
                        send them to is not this machine's own";
            findings.notes.push(what.to_owned());
        }
        findings.notes.extend(self.0.mended.told());
        let ports = self.0.ports.read().await;
        let Some(ports) = &*ports else { return (findings, DataPath::default()) };
        let late = Instant::now() + LOOK_PATIENCE;
        let looked = tokio::time::timeout_at(late, ports.check()).await;
        let is_whole = see(&mut findings, looked, "published ports");
        // Nothing is asked where something is missing here, or no answer would come.
        if !is_whole || !has_path || desired.is_nothing() {
            return (findings, DataPath::default());
        }
        let asked = tokio::time::timeout_at(late, ports.try_data_path()).await;
        let is_asked = matches!(asked, Ok(Ok(_)));
        let path = tried(&mut findings, asked);
        let has_tasks = !desired.here.is_empty() || !desired.elsewhere.is_empty();
        if is_asked && has_tasks && path.answers.is_empty() {
            findings.notes.push(SILENT.to_owned());
        }
        (findings, path)
    }

    /// Whether the kernel should lead no published port to a task, here or elsewhere.
    pub(crate) fn is_unused(&self) -> bool {
        let desired = self.desired();
        desired.here.is_empty() && desired.elsewhere.is_empty()
    }

    /// Whether the kernel serves a port, as it should.
    pub(crate) fn serves(&self, port: &swarmw_network::PortError) -> bool {
        self.desired().ports.contains_key(&(port.protocol, port.port))
    }

    fn in_user_space(&self, desired: &DesiredPorts) -> Vec<UserPort> {
        self.look(|listed, here| {
            let left = listed
                .ports
                .iter()
                .filter(|port| !desired.ports.contains_key(&(port.protocol, port.published)));
            left.map(|port| UserPort {
                port: format!("{}/{}", port.published, port.protocol),
                why: why_in_user_space(port, listed, here, desired),
            })
            .collect()
        })
    }
}
