//! Published ports in this node's kernel, kept as the leader's list says: the way of all
//! connections but those that `desire.rs` leaves to the listeners of user space, which hold
//! the ports meanwhile. Without a manager, what was heard last goes on.

mod desire;
mod doctor;
mod ways;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use swarmw_model::{NodeDescription, NodeId, PortProtocol, TaskId, TaskState};
use swarmw_overlay::{Applied, DesiredPorts, Drift, Ports, PortsSettings};
use tokio::sync::{RwLock, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Networks;
use super::keep::{LOOK_EVERY, RETRY};
use super::said::{About, Mended};
use crate::docker::Bridged;
use crate::store::Kept;
use desire::{Here, desired};

pub(crate) use desire::Listed;
pub(super) use desire::{Here as HereOnPorts, desired as desired_ports};

/// How long the kernel is left as an earlier daemon left it, for the engine to say where the
/// containers of that daemon are.
const TASKS_PATIENCE: Duration = Duration::from_secs(30);

/// So often in a row the kernel refuses before other nodes are told to lead nobody here.
const FAILURES_MAX: u32 = 3;

/// Published ports in this node's kernel. Clones are the same.
#[derive(Clone)]
pub(crate) struct KernelPorts(Arc<Shared>);

struct Shared {
    networks: Networks,
    listed: watch::Sender<Arc<Listed>>,
    bridged: watch::Receiver<Bridged>,
    /// Ports that another process has.
    refused: watch::Receiver<BTreeSet<(PortProtocol, u16)>>,
    description: watch::Sender<NodeDescription>,
    /// None once the node has left.
    ports: RwLock<Option<Ports>>,
    /// Of the kernel as a whole.
    said: About<()>,
    /// Sentences about what somebody did to it.
    drifts: About<String>,
    /// Of what is the machine's own, and tasks have as well.
    taken: About<Ipv4Net>,
    mended: Mended,
}

/// Whether others may lead connections to tasks here.
struct Standing {
    is_able: bool,
    /// In a row.
    failures: u32,
}

/// Removes what an earlier daemon of this node left in the kernel: it would go before the
/// listeners of user space, and lead to where tasks were then. Other nodes on the same machine
/// keep theirs.
pub(crate) async fn leave_to_user_space(node: NodeId) {
    let closed = match Ports::open(PortsSettings::default()).await {
        Ok(ports) => ports.close_of(node).await,
        Err(error) => Err(error),
    };
    match closed {
        Ok(true) => info!("published ports went from the kernel to user space"),
        Ok(false) => {}
        Err(error) => warn!(%error, "the kernel may have published ports of an earlier daemon"),
    }
}

// === impl KernelPorts ===

impl KernelPorts {
    /// Goes on with what was listed last.
    ///
    /// # Errors
    /// The kernel is not spoken to.
    pub(crate) async fn begin(
        networks: Networks,
        bridged: watch::Receiver<Bridged>,
        refused: watch::Receiver<BTreeSet<(PortProtocol, u16)>>,
        description: watch::Sender<NodeDescription>,
        listed: Listed,
    ) -> swarmw_overlay::Result<Self> {
        let ports = Ports::open(PortsSettings::default()).await?;
        // What cannot be read is said when it is to be changed.
        let goes_on = ports.are_of(networks.0.node).await.unwrap_or(false);
        let mended = Mended::new(networks.0.repairs.clone());
        let kernel = Self(Arc::new(Shared {
            networks,
            listed: watch::Sender::new(Arc::new(listed)),
            bridged,
            refused,
            description,
            ports: RwLock::new(Some(ports)),
            said: About::default(),
            drifts: About::default(),
            taken: About::default(),
            mended,
        }));
        // As it was when the daemon ended: others go on to lead connections here. Where nothing
        // is in the kernel yet, they do once something is.
        kernel.say_able(goes_on && kernel.has_data_path());
        Ok(kernel)
    }

    /// What the leader says.
    pub(crate) fn learn(&self, listed: Listed) {
        self.0.listed.send_if_modified(|known| {
            let is_news = **known != listed;
            if is_news {
                *known = Arc::new(listed);
            }
            is_news
        });
    }

    /// Keeps the kernel as it should be, until cancelled, and leaves it so.
    pub(crate) async fn keep(self, cancel: CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = self.meet_tasks() => {}
        }
        let mut listed = self.0.listed.subscribe();
        let mut known = self.0.networks.0.heard.follow();
        let mut ended = self.0.networks.0.ended.clone();
        let mut bridged = self.0.bridged.clone();
        let mut refused = self.0.refused.clone();
        let mut look = Instant::now() + LOOK_EVERY;
        let mut pause = RETRY;
        let mut last = None;
        let mut standing = Standing::of(self.0.description.borrow().kernel_ports);
        loop {
            // What changes from here on is made so the next time.
            listed.mark_unchanged();
            known.mark_unchanged();
            ended.mark_unchanged();
            bridged.mark_unchanged();
            refused.mark_unchanged();
            let is_done = self.make_it_so(&mut last).await;
            standing.tried(is_done);
            // Whoever cannot is not led to, and goes on to try.
            self.say_able(self.has_data_path() && standing.is_able);
            let retry = if is_done { look } else { Instant::now() + pause };
            pause = if is_done { RETRY } else { (pause * 2).min(LOOK_EVERY) };
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = listed.changed() => {}
                Ok(()) = known.changed() => {}
                Ok(()) = ended.changed() => {}
                Ok(()) = bridged.changed() => {}
                Ok(()) = refused.changed() => {}
                () = tokio::time::sleep_until(retry.min(look)) => {}
            }
            // Not put off by changes, however many there are.
            if look <= Instant::now() {
                self.repair().await;
                look = Instant::now() + LOOK_EVERY;
            }
        }
    }

    /// Removes everything from the kernel: the node leaves its cluster.
    pub(crate) async fn leave(&self) {
        if let Some(ports) = self.0.ports.write().await.take()
            && let Err(error) = ports.close().await
        {
            warn!(%error, "something is left of the published ports");
        }
    }

    /// Whether other nodes' packets come here: the address where they send them is this
    /// machine's own, and not one that somebody translates before it.
    fn has_data_path(&self) -> bool {
        let listed = self.0.listed.borrow();
        let own = listed.ingress.as_ref().and_then(|ingress| ingress.own.as_ref());
        own.is_some_and(|own| UdpSocket::bind((own.address, 0)).is_ok())
    }

    /// Says of the node whether others can lead connections to its tasks.
    fn say_able(&self, is_able: bool) {
        self.0.description.send_if_modified(|description| {
            std::mem::replace(&mut description.kernel_ports, is_able) != is_able
        });
    }

    /// Waits until it is known where the containers are that ran before: other nodes lead
    /// connections to them meanwhile, as the kernel has it.
    async fn meet_tasks(&self) {
        let expected = self.ran_before();
        let mut bridged = self.0.bridged.clone();
        let mut ended = self.0.networks.0.ended.clone();
        let met = async {
            loop {
                let all = {
                    let (bridged, ended) = (bridged.borrow_and_update(), ended.borrow_and_update());
                    expected.iter().all(|task| bridged.contains_key(task) || ended.contains(task))
                };
                if all {
                    return;
                }
                tokio::select! {
                    Ok(()) = bridged.changed() => {}
                    Ok(()) = ended.changed() => {}
                    else => return,
                }
            }
        };
        if tokio::time::timeout(TASKS_PATIENCE, met).await.is_err() {
            info!("not all containers were found that ran before: published ports go on without");
        }
    }

    /// Tasks that are expected on the bridge.
    fn ran_before(&self) -> BTreeSet<TaskId> {
        let kept = self.0.networks.0.store.load().unwrap_or_else(|error| {
            warn!(%error, "the tasks that ran before could not be read");
            Vec::new()
        });
        on_bridge(&kept)
    }

    fn desired(&self) -> DesiredPorts {
        self.look(|listed, here| {
            self.say_taken(listed, here.taken);
            desired(listed, here)
        })
    }

    /// What is made of what the leader said last, and of what there is here.
    fn look<R>(&self, make: impl FnOnce(&Listed, &Here<'_>) -> R) -> R {
        let networks = &*self.0.networks.0;
        let listed = self.0.listed.borrow().clone();
        let known = networks.heard.known();
        let taken = ways::taken();
        let here = Here {
            node: networks.node,
            known: &known,
            bridged: &self.0.bridged.borrow(),
            ended: &networks.ended.borrow(),
            refused: &self.0.refused.borrow(),
            taken: &taken,
        };
        make(&listed, &here)
    }

    /// Says where tasks cannot be led to, as their addresses are the machine's own.
    fn say_taken(&self, listed: &Listed, taken: &[Ipv4Net]) {
        let backends = listed.ports.iter().flat_map(|port| &port.backends);
        let tasks: Vec<_> = backends.filter_map(|backend| backend.ingress).collect();
        let taken: BTreeSet<_> =
            taken.iter().filter(|net| tasks.iter().any(|task| net.contains(task))).collect();
        for net in &taken {
            if self.0.taken.is_news(**net, "") {
                warn!(
                    %net,
                    "tasks of published ports have addresses that are this machine's own or of \
                     its bridge docker_gwbridge: it serves them in user space; make the ingress \
                     network anew with another subnet (docker network rm ingress, docker network \
                     create --ingress --subnet …)"
                );
            }
        }
        self.0.taken.keep_only(&taken.into_iter().copied().collect());
    }

    /// Whether it is so. What was desired last is kept: the kernel's room sees what is not as
    /// it was by what both share.
    async fn make_it_so(&self, last: &mut Option<DesiredPorts>) -> bool {
        let bridged = self.0.bridged.borrow().keys().copied().collect();
        let anew = self.desired();
        let desired = match last.take() {
            Some(last) => anew.sharing(&last),
            None => anew,
        };
        *last = Some(desired.clone());
        let ports = self.0.ports.read().await;
        let Some(ports) = &*ports else { return true };
        match ports.apply(desired).await {
            Ok(applied) => {
                self.0.networks.0.shadows.lead_to(bridged);
                self.say_lost(&applied);
                true
            }
            Err(error) => {
                if self.0.said.is_news((), &error) {
                    warn!(%error, "published ports are not as they should be in the kernel");
                }
                false
            }
        }
    }

    /// What cannot be done, and does not keep the rest from it.
    fn say_lost(&self, applied: &Applied) {
        let lost: Vec<_> = applied.lost.iter().map(Drift::to_string).collect();
        if lost.is_empty() {
            if self.0.said.is_over(&()) {
                info!("published ports are as they should be in the kernel again");
            }
        } else if self.0.said.is_news((), lost.join("; ")) {
            warn!(lost = lost.join("; "), "published ports do not lead everywhere");
        }
    }

    /// Puts back what somebody took from the kernel.
    async fn repair(&self) {
        let ports = self.0.ports.read().await;
        let Some(ports) = &*ports else { return };
        let drifts = match ports.repair().await {
            Ok((drifts, _)) => drifts,
            Err(error) => {
                if self.0.said.is_news((), &error) {
                    warn!(%error, "published ports could not be looked at in the kernel");
                }
                return;
            }
        };
        for drift in &drifts {
            if drift.is_repairable() {
                self.0.mended.add(drift);
            }
            if !self.0.drifts.is_news(drift.to_string(), "") {
                continue;
            }
            if drift.is_repairable() {
                warn!(%drift, "repaired published ports");
            } else {
                warn!(%drift, "published ports are not as they should be");
            }
        }
        self.0.drifts.keep_only(&drifts.iter().map(ToString::to_string).collect());
    }
}

/// Tasks whose containers ran on networks. No engine says where components are: whoever waited
/// for its word about one would wait for nothing.
fn on_bridge(kept: &[Kept]) -> BTreeSet<TaskId> {
    let ran = kept.iter().filter(|kept| {
        let task = &kept.assignment;
        let is_container = !task.spec.is_component();
        kept.status.state == TaskState::Running && is_container && !task.attachments.is_empty()
    });
    ran.map(|kept| kept.assignment.id).collect()
}

// === impl Standing ===

impl Standing {
    fn of(is_able: bool) -> Self {
        Self { is_able, failures: 0 }
    }

    /// The kernel was told what it should have: once it took it, others may lead here, until
    /// it refuses for a while.
    fn tried(&mut self, is_done: bool) {
        self.failures = if is_done { 0 } else { self.failures.saturating_add(1) };
        self.is_able = is_done || self.is_able && self.failures < FAILURES_MAX;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swarmw_model::{
        Assignment, NetworkAttachment, NetworkId, ServiceFacts, ServiceId, TaskStatus,
    };

    use super::*;

    /// What is remembered of a task of this image.
    fn kept(number: u128, image: &str, state: TaskState, is_on_network: bool) -> Kept {
        let spec = json!({"ContainerSpec": {"Image": image}});
        let address = "10.0.0.5/24".parse().expect("an address");
        let on = NetworkAttachment { network: NetworkId::from_bits(9), addresses: vec![address] };
        Kept {
            assignment: Assignment {
                id: TaskId::from_bits(number),
                service_id: ServiceId::from_bits(2),
                service: Arc::new(ServiceFacts::default()),
                slot: 1,
                node_id: NodeId::from_bits(3),
                spec: Arc::new(serde_json::from_value(spec).expect("a spec")),
                desired_state: TaskState::Running,
                status: TaskStatus::default(),
                job_iteration: None,
                attachments: is_on_network.then_some(on).into_iter().collect(),
                generic_resources: Vec::new(),
            },
            status: TaskStatus { state, ..TaskStatus::default() },
        }
    }

    #[test]
    fn a_daemon_that_begins_waits_for_its_containers_and_for_no_component() {
        let component = format!("hello.wasm@sha256:{}", "a".repeat(64));
        let all = [
            kept(1, "nginx", TaskState::Running, true),
            kept(2, "nginx", TaskState::Running, false),
            kept(3, "nginx", TaskState::Starting, true),
            kept(4, "nginx", TaskState::Failed, true),
            kept(5, &component, TaskState::Running, true),
        ];
        assert!(all[4].assignment.spec.is_component());
        assert_eq!(on_bridge(&all), [TaskId::from_bits(1)].into());
    }

    #[test]
    fn others_lead_here_once_the_kernel_took_it_until_it_refuses_for_a_while() {
        let tried = |mut standing: Standing, done: &[bool]| {
            done.iter().for_each(|done| standing.tried(*done));
            standing.is_able
        };
        for (before, done, wanted) in [
            (false, &[][..], false),
            (false, &[false], false),
            (false, &[false, true], true),
            (false, &[true, false, false], true),
            (false, &[true, false, false, false], false),
            (true, &[false, false], true),
            (true, &[false, false, false], false),
            (true, &[false, false, false, true, false], true),
        ] {
            assert_eq!(tried(Standing::of(before), done), wanted, "{before} {done:?}");
        }
    }
}
