//! Containers' network namespaces, and the resolvers in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use swarmw_model::NetworkId;
use swarmw_names::{Resolver, ServeError, Serving};

/// The sandboxes that names are resolved in.
pub(crate) struct Sandboxes {
    resolver: Resolver,
    served: Mutex<HashMap<PathBuf, Served>>,
}

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

    /// Resolves the names of these networks in a sandbox, from now on.
    pub(crate) async fn serve(
        &self,
        sandbox: &Path,
        networks: Vec<NetworkId>,
    ) -> Result<(), ServeError> {
        if let Some(served) = self.served().get(sandbox) {
            served.networks.store(Arc::new(networks));
            return Ok(());
        }
        let networks = Arc::new(ArcSwap::from_pointee(networks));
        let serving = self.resolver.serve(sandbox, networks.clone()).await?;
        self.served().insert(sandbox.to_owned(), Served { networks, serving });
        Ok(())
    }

    /// The container has left its last network: its names are the engine's alone.
    pub(crate) async fn withdraw(&self, sandbox: &Path) -> Result<(), ServeError> {
        let served = self.served().remove(sandbox);
        match served {
            Some(served) => served.serving.withdraw().await,
            None => Ok(()),
        }
    }

    /// Ends all of them.
    pub(crate) fn clear(&self) {
        self.served().clear();
    }

    fn served(&self) -> MutexGuard<'_, HashMap<PathBuf, Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
