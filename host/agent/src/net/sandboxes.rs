//! Containers' network namespaces, and the resolvers in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use swarmw_model::NetworkId;
use swarmw_names::{Counts, Resolver, ServeError, Serving};

/// The type of the file system that namespaces are in: see statfs(2).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// The sandboxes that names are resolved in.
pub(crate) struct Sandboxes {
    resolver: Resolver,
    served: Mutex<HashMap<PathBuf, Arc<Place>>>,
}

/// One sandbox, held while somebody is at it: a container joins two networks at a time.
type Place = tokio::sync::Mutex<Option<Served>>;

struct Served {
    networks: Arc<ArcSwap<Vec<NetworkId>>>,
    serving: Serving,
}

// === impl Sandboxes ===

impl Sandboxes {
    /// None yet.
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self { resolver, served: Mutex::default() }
    }

    /// Has the names of the networks that a sandbox is on resolved in it, which are asked
    /// for when nobody else is at it; of none, the names are the engine's alone. Whether
    /// somebody had taken away what leads queries here.
    pub(crate) async fn settle(
        &self,
        sandbox: &Path,
        networks: impl FnOnce() -> Vec<NetworkId>,
    ) -> Result<bool, ServeError> {
        let place = self.place(sandbox);
        let settled = {
            let mut served = place.lock().await;
            self.settle_held(sandbox, &mut served, networks()).await
        };
        self.leave(sandbox, &place);
        settled
    }

    async fn settle_held(
        &self,
        sandbox: &Path,
        served: &mut Option<Served>,
        networks: Vec<NetworkId>,
    ) -> Result<bool, ServeError> {
        if networks.is_empty() {
            return match served.take() {
                Some(served) => served.serving.withdraw().await.map(|()| false),
                None => Ok(false),
            };
        }
        if let Some(here) = served
            && here.serving.is_current()
        {
            here.networks.store(Arc::new(networks));
            return here.serving.repair().await;
        }
        let networks = Arc::new(ArcSwap::from_pointee(networks));
        let serving = self.resolver.serve(sandbox, networks.clone()).await?;
        *served = Some(Served { networks, serving });
        Ok(false)
    }

    /// What keeps names from being answered in a sandbox, if anything does; changes nothing.
    pub(crate) async fn fault(&self, sandbox: &Path) -> Result<Option<&'static str>, ServeError> {
        let place = self.place(sandbox);
        let fault = {
            let served = place.lock().await;
            match &*served {
                Some(here) if here.serving.is_current() => here.serving.fault().await,
                _ => Ok(Some("nobody answers questions for names there")),
            }
        };
        self.leave(sandbox, &place);
        fault
    }

    /// A sandbox is no more: nothing is kept of it.
    pub(crate) async fn forget(&self, sandbox: &Path) {
        let place = self.place(sandbox);
        drop(place.lock().await.take());
        self.leave(sandbox, &place);
    }

    /// Those that somebody is, or was, served in.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.served().keys().cloned().collect()
    }

    /// What became of questions, in all of them.
    pub(crate) fn counts(&self) -> Counts {
        self.resolver.counts()
    }

    /// Ends all of them.
    pub(crate) fn clear(&self) {
        self.served().clear();
    }

    fn place(&self, sandbox: &Path) -> Arc<Place> {
        self.served().entry(sandbox.to_owned()).or_default().clone()
    }

    /// Nothing is kept of a sandbox where nobody is served, once nobody is at it.
    fn leave(&self, sandbox: &Path, place: &Arc<Place>) {
        // Whoever comes now waits for this.
        let mut all = self.served();
        let is_alone = Arc::strong_count(place) == 2;
        if is_alone && place.try_lock().is_ok_and(|served| served.is_none()) {
            all.remove(sandbox);
        }
    }

    fn served(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Place>>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file is a namespace by now, and not only the place for one.
pub(super) fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|system| system.f_type == NSFS_MAGIC)
}
