//! What the leader has said of networks, merged: a node goes on by it when no manager is
//! reached, and begins with it after a restart.

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Serialize};
use swarmw_model::{
    DATA_PATH_PORT, EndpointId, Network, NetworkEndpoint, NetworkId, NetworkNews, NetworkPeer,
    NodeId, ServiceId, ServiceOnNetworks,
};

/// All that a node knows of networks. A copy costs nothing, and shares with this one what stays
/// as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The cluster's port for VXLAN.
    pub(crate) port: u16,
    /// Networks with tasks here.
    pub(crate) networks: OrdMap<NetworkId, Network>,
    /// All nodes.
    pub(crate) peers: OrdMap<NodeId, NetworkPeer>,
    /// Services on these networks.
    pub(crate) services: OrdMap<ServiceId, ServiceOnNetworks>,
    /// Who has addresses on them.
    pub(crate) endpoints: OrdMap<EndpointId, NetworkEndpoint>,
}

/// What differs, before and after, of two that share what is alike: of that next to nothing is
/// looked at.
pub(super) fn differing<'a, K: Ord, V: PartialEq>(
    before: &'a OrdMap<K, V>,
    after: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (Option<&'a V>, Option<&'a V>)> {
    before.diff(after).map(|item| match item {
        DiffItem::Add(_, is) => (None, Some(is)),
        DiffItem::Update { old: (_, was), new: (_, is) } => (Some(was), Some(is)),
        DiffItem::Remove(_, was) => (Some(was), None),
    })
}

/// Joins what is said in parts: all of it, once the last part is here.
pub(super) fn whole(part: &mut Option<NetworkNews>, news: NetworkNews) -> Option<NetworkNews> {
    let all = match part.take() {
        // A whole word that begins anew takes the place of one that broke off.
        Some(mut begun) if !news.complete => {
            begun.join(news);
            begun
        }
        _ => news,
    };
    if all.more {
        *part = Some(all);
        return None;
    }
    Some(all)
}

// === impl Known ===

impl Known {
    /// Takes in what the leader says.
    pub(crate) fn learn(&mut self, news: NetworkNews) {
        if news.complete {
            *self = Self { port: self.port, ..Self::default() };
        }
        if news.data_path_port != 0 {
            self.port = news.data_path_port;
        }
        news.remove_networks.iter().for_each(|id| drop(self.networks.remove(id)));
        news.remove_peers.iter().for_each(|id| drop(self.peers.remove(id)));
        news.remove_services.iter().for_each(|id| drop(self.services.remove(id)));
        news.remove_endpoints.iter().for_each(|id| drop(self.endpoints.remove(id)));
        self.networks.extend(news.networks.into_iter().map(|n| (n.id, n)));
        self.peers.extend(news.peers.into_iter().map(|p| (p.node, p)));
        self.services.extend(news.services.into_iter().map(|s| (s.id, s)));
        self.endpoints.extend(news.endpoints.into_iter().map(|e| (e.id, e)));
    }

    /// All of it, as a leader would say it.
    pub(crate) fn as_news(&self) -> NetworkNews {
        NetworkNews {
            complete: true,
            data_path_port: self.port,
            networks: self.networks.values().cloned().collect(),
            peers: self.peers.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
            endpoints: self.endpoints.values().cloned().collect(),
            ..NetworkNews::default()
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        Self {
            port: DATA_PATH_PORT,
            networks: OrdMap::new(),
            peers: OrdMap::new(),
            services: OrdMap::new(),
            endpoints: OrdMap::new(),
        }
    }
}
