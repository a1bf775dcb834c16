//! A look at networks for whoever asks how the node is. It mends nothing: that is the
//! keeper's business, and it would hide what is told here.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use swarmw_model::{NetFindings, NetHeard};
use swarmw_overlay::{DataPath, Drift};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::Networks;
use super::desire::{Here, desired};
use super::keep::AT_A_TIME;
use super::sandboxes::is_namespace;

/// How long a look at one part may take; less than whoever asks waits.
pub(crate) const LOOK_PATIENCE: Duration = Duration::from_secs(4);

/// What to do about what the keeper makes good.
const REPAIRED: &str = "the node's daemon puts it right within 30 s; if it comes back, look for \
                        who does it";
/// What to do about a container's link.
const LOST: &str = "only a new container gets another link: replace the task, or make the \
                    container anew";
/// What to do about what is tried again.
const RETRIED: &str = "it is tried again every 15 s; see the daemon's log on the node";
/// What to do about names.
const NAMES: &str = "the node's daemon mends it within 30 s; if it stays so, see its log";

// === impl Networks ===

impl Networks {
    /// What there is of networks, and what differs from what should be; and whether packets
    /// get to other nodes by them.
    pub(crate) async fn examine(&self) -> (NetFindings, DataPath) {
        let ((mut findings, path), names) =
            tokio::join!(self.examine_kernel(), self.examine_names());
        findings.join(names);
        findings.notes.extend(self.0.said.mended.told());
        (findings, path)
    }

    async fn examine_kernel(&self) -> (NetFindings, DataPath) {
        let known = self.0.heard.known();
        let joined = self.0.memory.endpoints();
        let ended = self.0.ended.borrow().clone();
        let here = Here { node: self.0.node, joined: &joined, ended: &ended };
        let mut findings =
            NetFindings { heard: NetHeard::of(&known.as_news()), ..NetFindings::default() };
        let Some(desired) = desired(&known, &here) else {
            // It says so with the first network that a container here is to be on.
            if !known.networks.is_empty() {
                let what = "the leader has not said yet what this node is to the others";
                findings.notes.push(what.to_owned());
            }
            return (findings, DataPath::default());
        };
        findings.networks = desired.networks.len();
        findings.peers = desired.peers.len();
        findings.virtual_addresses = desired.networks.values().map(|n| n.balanced.len()).sum();
        if let Some(why) = self.0.said.kernel.last(&()) {
            findings.differ(why, RETRIED);
        }
        let overlay = self.0.overlay.read().await;
        let Some(overlay) = &*overlay else { return (findings, DataPath::default()) };
        let late = Instant::now() + LOOK_PATIENCE;
        let looked = tokio::time::timeout_at(late, overlay.check()).await;
        let is_whole = see(&mut findings, looked, "overlay networks");
        if !desired.networks.is_empty() {
            match tokio::time::timeout_at(late, overlay.mtu(desired.address)).await {
                Ok(Ok(mtu)) => findings.mtu = mtu,
                Ok(Err(error)) => findings.differ(error.to_string(), RETRIED),
                // It waits for the same as the look before, which has said so.
                Err(_) => {}
            }
        }
        // What is missing here is no fault of anybody else.
        let path = match is_whole {
            true => {
                let asked = tokio::time::timeout_at(late, overlay.try_data_path()).await;
                tried(&mut findings, asked)
            }
            false => DataPath::default(),
        };
        (findings, path)
    }

    /// The cluster's port for VXLAN, where the kernel has it for no network of ours, and
    /// somebody has it all the same.
    pub(crate) fn taken_data_port(&self) -> Option<u16> {
        let port = self.0.heard.known().port;
        let is_taken = |ip: IpAddr| {
            UdpSocket::bind((ip, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
        };
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
        any.into_iter().any(is_taken).then_some(port)
    }

    /// Whether names are answered in containers' namespaces.
    async fn examine_names(&self) -> NetFindings {
        let joined = self.0.memory.endpoints();
        let all: BTreeSet<PathBuf> = joined.into_iter().filter_map(|e| e.sandbox).collect();
        let mut findings = NetFindings::default();
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        let mut looks = JoinSet::new();
        for sandbox in all {
            // One that is about to be made, or whose container has ended.
            if !is_namespace(&sandbox) {
                continue;
            }
            findings.sandboxes += 1;
            let (networks, turns) = (self.clone(), turns.clone());
            looks.spawn(async move {
                let _turn = turns.acquire_owned().await;
                let fault = networks.0.sandboxes.fault(&sandbox).await;
                (sandbox, fault)
            });
        }
        let late = Instant::now() + LOOK_PATIENCE;
        let mut seen = 0;
        while let Ok(Some(looked)) = tokio::time::timeout_at(late, looks.join_next()).await {
            seen += 1;
            match looked {
                Ok((_, Ok(None))) => findings.named += 1,
                Ok((sandbox, Ok(Some(fault)))) => {
                    findings.differ(format!("in {}: {fault}", sandbox.display()), NAMES);
                }
                Ok((sandbox, Err(error))) => {
                    // It may have gone meanwhile, with its container.
                    if is_namespace(&sandbox) {
                        findings.differ(error.to_string(), NAMES);
                    } else {
                        findings.sandboxes -= 1;
                    }
                }
                Err(panic) => findings.differ(panic.to_string(), "this is a fault of swarmw"),
            }
        }
        if !looks.is_empty() {
            let (left, all) = (looks.len(), looks.len() + seen);
            let seconds = LOOK_PATIENCE.as_secs();
            findings.differ(
                format!("{left} of {all} containers could not be looked at within {seconds} s"),
                "ask again when the machine is less busy",
            );
        }
        findings
    }
}

/// What a look at the kernel brought. Whether it has all that it can be given.
pub(super) fn see(
    findings: &mut NetFindings,
    looked: Result<swarmw_overlay::Result<Vec<Drift>>, Elapsed>,
    of: &str,
) -> bool {
    match looked {
        Ok(Ok(drifts)) => {
            let is_whole = !drifts.iter().any(Drift::is_repairable);
            for drift in drifts {
                let advice = if drift.is_repairable() { REPAIRED } else { LOST };
                findings.differ(drift.to_string(), advice);
            }
            return is_whole;
        }
        Ok(Err(error)) => {
            findings.differ(format!("{of} could not be looked at: {error}"), RETRIED);
        }
        Err(_) => findings.differ(
            format!("{of} could not be looked at within {} s", LOOK_PATIENCE.as_secs()),
            "ask again: the daemon may be at work on them; if it stays so, see its log",
        ),
    }
    false
}

/// What came of asking other nodes; nothing, if this one could not, which is noted.
pub(super) fn tried(
    findings: &mut NetFindings,
    asked: Result<swarmw_overlay::Result<DataPath>, Elapsed>,
) -> DataPath {
    let why = match asked {
        Ok(Ok(path)) => return path,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the look took longer than {} s", LOOK_PATIENCE.as_secs()),
    };
    let what = format!("whether packets get to other nodes and back was not tried: {why}");
    findings.notes.push(what);
    DataPath::default()
}
