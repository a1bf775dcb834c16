//! A node's resolver, over tables that a test swaps.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use swarmw_ambient::Ambient;
use swarmw_model::NetworkId;
use swarmw_names::{Resolver, Serving, Table};

use super::world::{World, network};

/// A node's resolver.
pub struct Node {
    pub table: Arc<ArcSwap<Table>>,
    pub networks: Arc<ArcSwap<Vec<NetworkId>>>,
    pub resolver: Resolver,
}

// === impl Node ===

impl Node {
    /// It answers those on network 1.
    pub fn new(world: &World) -> Self {
        let table = Arc::new(ArcSwap::from_pointee(world.table()));
        let networks = Arc::new(ArcSwap::from_pointee(vec![network(1)]));
        let resolver = Resolver::new(table.clone(), Ambient::system());
        Self { table, networks, resolver }
    }

    pub async fn serve(&self, sandbox: &Path) -> Serving {
        self.resolver.serve(sandbox, self.networks.clone()).await.expect("it serves")
    }
}
