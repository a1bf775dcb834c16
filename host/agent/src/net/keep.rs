//! The kernel, kept as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use swarmw_engine_driver::{Endpoint, MacAddress};
use swarmw_overlay::{Applied, ContainerEnd, Drift, Overlay, Veth};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::attach::INTERFACE;
use super::desire::{Here, Kept, network_of, veth};
use super::sandboxes::is_namespace;
use super::{Done, Networks};
use crate::docker::Standing;

/// Between two looks at what the kernel has: what somebody removed is back within twice
/// this.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Before what failed is tried again: this, and twice as long each time, up to a look.
pub(super) const RETRY: Duration = Duration::from_secs(2);
/// Sandboxes that are looked at at a time.
pub(super) const AT_A_TIME: usize = 8;

// === impl Networks ===

impl Networks {
    /// Keeps the kernel as it should be, until cancelled.
    pub(crate) async fn keep(self, cancel: CancellationToken) {
        tokio::join!(
            self.keep_kernel(&cancel),
            self.meet_engine(&cancel),
            self.0.heard.write_down(&cancel)
        );
        self.0.caught.end();
        // Nobody waits for what nobody does any more.
        let why = "this node's daemon ends, or leaves its cluster".to_owned();
        self.0.done.send_replace(Done { number: u64::MAX, outcome: Err(why) });
    }

    async fn keep_kernel(&self, cancel: &CancellationToken) {
        let shared = &*self.0;
        let mut wanted = shared.wanted.subscribe();
        let mut ended = shared.ended.clone();
        // Resolvers in sandboxes died with the daemon that had them.
        tokio::spawn(self.clone().keep_names());
        let mut look = Instant::now() + LOOK_EVERY;
        let mut pause = RETRY;
        let mut subnets = BTreeMap::new();
        let mut kept = Kept::default();
        loop {
            let number = *wanted.borrow_and_update();
            let before = std::mem::replace(&mut subnets, self.subnets());
            if before.keys().any(|id| !subnets.contains_key(id)) {
                tokio::spawn(self.clone().tidy());
            }
            let outcome = self.make_it_so(&mut kept).await.map_err(|error| error.to_string());
            let is_done = outcome.as_ref().is_ok_and(|applied| applied.failed.is_empty());
            self.say(&outcome);
            self.listen().await;
            shared.done.send_replace(Done { number, outcome });
            if before != subnets {
                self.extend_routes().await;
            }
            let retry = if is_done { look } else { Instant::now() + pause };
            pause = if is_done { RETRY } else { (pause * 2).min(LOOK_EVERY) };
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = wanted.changed() => {}
                Ok(()) = ended.changed() => self.drop_ended(&ended.borrow_and_update().clone()),
                () = tokio::time::sleep_until(retry.min(look)) => {}
            }
            // Not put off by changes, however many there are.
            if look <= Instant::now() {
                self.repair().await;
                self.extend_routes().await;
                tokio::spawn(self.clone().keep_names());
                tokio::spawn(self.clone().tidy());
                look = Instant::now() + LOOK_EVERY;
            }
        }
    }

    async fn make_it_so(&self, kept: &mut Kept) -> swarmw_overlay::Result<Applied> {
        let known = self.0.heard.known();
        let joined = self.0.memory.endpoints();
        let ended = self.0.ended.borrow().clone();
        let here = Here { node: self.0.node, joined: &joined, ended: &ended };
        let overlay = self.0.overlay.read().await;
        match (&*overlay, kept.desired(&known, &here)) {
            (Some(overlay), Some(desired)) => overlay.apply(desired).await,
            // A node whose tasks have ended is told of nobody any more, itself included; the
            // last of their containers may have left only now.
            (Some(overlay), None) if joined.is_empty() => overlay.clear().await,
            _ => Ok(Applied::default()),
        }
    }

    /// What came of it, unless it is as it was.
    fn say(&self, outcome: &Result<Applied, String>) {
        let said = &self.0.said.kernel;
        let why = match outcome {
            Ok(applied) => {
                let all: BTreeSet<_> = applied.failed.iter().map(|f| f.why.as_str()).collect();
                all.into_iter().collect::<Vec<_>>().join("; ")
            }
            Err(why) => why.clone(),
        };
        if !why.is_empty() {
            if said.is_news((), &why) {
                warn!(error = why, "overlay networks are not as they should be");
            }
        } else if said.is_over(&()) {
            info!("overlay networks are as they should be again");
        }
    }

    /// Puts back what somebody took from the kernel.
    pub(super) async fn repair(&self) {
        let overlay = self.0.overlay.read().await;
        let Some(overlay) = &*overlay else { return };
        let (drifts, applied) = match overlay.repair().await {
            Ok(repaired) => repaired,
            Err(error) => {
                if self.0.said.kernel.is_news((), &error) {
                    warn!(%error, "overlay networks could not be looked at");
                }
                return;
            }
        };
        let relinked = self.relink(overlay, &drifts).await;
        let said = &self.0.said.drifts;
        for drift in &drifts {
            let is_mended = drift.is_repairable() && applied.failed.is_empty()
                || drift.link().is_some_and(|link| relinked.contains(link));
            if is_mended {
                self.0.said.mended.add(drift);
            }
            if !said.is_news(drift.to_string(), "") {
                continue;
            }
            if is_mended {
                warn!(%drift, "repaired an overlay network");
            } else {
                warn!(%drift, "an overlay network is not as it should be");
            }
        }
        said.keep_only(&drifts.iter().map(ToString::to_string).collect());
        if !applied.failed.is_empty() {
            self.say(&Ok(applied));
        }
    }

    /// Gives containers that run the links back that somebody took away; which.
    async fn relink(&self, overlay: &Overlay, drifts: &[Drift]) -> BTreeSet<Veth> {
        let mut relinked = BTreeSet::new();
        let joined = self.0.memory.endpoints();
        for link in drifts.iter().filter_map(Drift::link) {
            let Some(endpoint) = joined.iter().find(|endpoint| veth(&endpoint.id) == *link) else {
                continue;
            };
            match self.give_link(overlay, endpoint, &joined).await {
                Ok(true) => drop(relinked.insert(link.clone())),
                // Its container is about to run, or has just ended.
                Ok(false) => {}
                Err(error) => {
                    if self.0.said.links.is_news(link.clone(), &error) {
                        warn!(%error, %link, "a container's link is missing, and cannot be made");
                    }
                }
            }
        }
        if !relinked.is_empty()
            && let Err(error) = overlay.repair().await
        {
            warn!(%error, "nothing leads to containers' links that were made anew");
        }
        self.0.said.links.keep_only(&drifts.iter().filter_map(Drift::link).cloned().collect());
        relinked
    }

    async fn give_link(
        &self,
        overlay: &Overlay,
        endpoint: &Endpoint,
        joined: &[Endpoint],
    ) -> Result<bool, String> {
        let known = self.0.heard.known();
        let ended = self.0.ended.borrow().clone();
        let here = Here { node: self.0.node, joined, ended: &ended };
        let network = known.networks.get(&endpoint.network);
        let network = network.and_then(|network| network_of(network, &known, &here));
        let sandbox = endpoint.sandbox.as_deref().filter(|sandbox| is_namespace(sandbox));
        let (Some((network, address)), Some(sandbox)) = (network, sandbox) else {
            return Ok(false);
        };
        let inside = ContainerEnd {
            sandbox,
            prefix: INTERFACE,
            addresses: &endpoint.addresses,
            mac: endpoint.mac.map(|MacAddress(bytes)| bytes),
        };
        let made = overlay.relink(&veth(&endpoint.id), &network, address, &inside).await;
        made.map(|()| true).map_err(|error| error.to_string())
    }

    /// Has names resolved in every sandbox, also where that failed, or somebody changed the
    /// rules that lead to it. One look at a time.
    pub(super) async fn keep_names(self) {
        let Ok(_turn) = self.0.sandboxes_turn.try_lock() else { return };
        let joined = self.0.memory.endpoints();
        let mut all: BTreeSet<_> = joined.into_iter().filter_map(|e| e.sandbox).collect();
        all.extend(self.0.sandboxes.paths());
        self.0.said.names.keep_only(&all);
        let networks = &self;
        let look = |sandbox: PathBuf| async move {
            if !is_namespace(&sandbox) {
                // It is about to be made, or its container has ended.
                return networks.0.sandboxes.forget(&sandbox).await;
            }
            match networks.settle_names(&sandbox).await {
                Ok(()) => drop(networks.0.said.names.is_over(&sandbox)),
                Err(error) => {
                    if networks.0.said.names.is_news(sandbox, &error) {
                        warn!(%error, "a container has no names of the cluster");
                    }
                }
            }
        };
        stream::iter(all).for_each_concurrent(AT_A_TIME, look).await;
    }

    /// An engine may have networks that its driver was told of in another life.
    async fn meet_engine(&self, cancel: &CancellationToken) {
        let mut standing = self.0.engine.standing();
        loop {
            if matches!(*standing.borrow_and_update(), Standing::Up(_)) {
                tokio::spawn(self.clone().meet());
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = standing.changed() => {}
            }
        }
    }

    async fn meet(self) {
        if let Err(error) = self.0.shadows.acquaint().await {
            info!(%error, "networks of the engine could not be looked through");
        }
    }
}
