//! Listeners in the node's router, for connections of containers to components.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Networks;
use super::said::About;
use crate::forward::Forward;

/// What listens in a router, if there is one.
pub(super) struct Catcher {
    forward: Forward,
    /// The router's number, and what ends its listeners.
    listening: Mutex<Option<(u64, CancellationToken)>>,
    said: About<()>,
}

// === impl Catcher ===

impl Catcher {
    pub(super) fn new(forward: Forward) -> Self {
        Self { forward, listening: Mutex::default(), said: About::default() }
    }

    /// Ends all of it.
    pub(super) fn end(&self) {
        if let Some((_, listening)) = self.listening().take() {
            listening.cancel();
        }
    }

    fn is_in(&self, router: Option<u64>) -> bool {
        self.listening().as_ref().map(|(number, _)| *number) == router
    }

    fn listening(&self) -> MutexGuard<'_, Option<(u64, CancellationToken)>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Networks ===

impl Networks {
    /// Listens in the router that there is now.
    pub(super) async fn listen(&self) {
        let catcher = &self.0.caught;
        let overlay = self.0.overlay.read().await;
        let Some(overlay) = &*overlay else { return catcher.end() };
        let router = overlay.router().await;
        if catcher.is_in(router) {
            return;
        }
        catcher.end();
        let Some(router) = router else { return };
        match overlay.listen().await {
            Ok(None) => {}
            Ok(Some(listeners)) => {
                let closed = CancellationToken::new();
                for listener in listeners {
                    let forward = catcher.forward.clone();
                    tokio::spawn(forward.serve_caught(listener, closed.clone()));
                }
                *catcher.listening() = Some((router, closed));
                if catcher.said.is_over(&()) {
                    info!("containers of this node reach components again");
                }
            }
            Err(error) => {
                if catcher.said.is_news((), &error) {
                    warn!(%error, "containers of this node do not reach components");
                }
            }
        }
    }
}
