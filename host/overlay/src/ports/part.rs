//! What of a [`DesiredPorts`] a change may touch: the same of before and after, and nothing
//! of what stays. Both are small `DesiredPorts`, whose tasks and ports mean what they mean
//! in the whole ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use swarmw_model::PortProtocol;

use super::{DesiredPorts, PublishedEnds};
use crate::beside::unlike;

/// More tasks than these are better seen to with all others.
const TASKS_MAX: usize = 64;

/// A part, before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) before: DesiredPorts,
    pub(super) after: DesiredPorts,
}

/// What a change touches.
struct Touched {
    /// By their ingress addresses; and all others that serve a port that is touched.
    tasks: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<(PortProtocol, u16)>,
}

// === impl Part ===

impl Part {
    /// What differs between two; none: it is better told from the whole, as more differs
    /// than tasks and ports.
    pub(super) fn between(before: &DesiredPorts, after: &DesiredPorts) -> Option<Self> {
        let same = without_ends(before) == without_ends(after)
            && before.has_ends() == after.has_ends()
            && after.peers.values().all(|end| end.is_ipv4() == after.address.is_ipv4());
        let touched = Touched::between(before, after);
        let few = touched.tasks.len() <= TASKS_MAX;
        (same && few).then(|| {
            let touched = touched.with_neighbours(before, after);
            Self { before: touched.of(before), after: touched.of(after) }
        })
    }

    /// Both.
    pub(super) fn sides(&self) -> [&DesiredPorts; 2] {
        [&self.before, &self.after]
    }
}

// === impl Touched ===

impl Touched {
    fn between(before: &DesiredPorts, after: &DesiredPorts) -> Self {
        let mut tasks: BTreeSet<_> =
            unlike(&before.here, &after.here).map(|(address, ..)| *address).collect();
        tasks.extend(unlike(&before.elsewhere, &after.elsewhere).map(|(address, ..)| *address));
        let ports = unlike(&before.ports, &after.ports).map(|(port, ..)| *port).collect();
        Self { tasks, ports }
    }

    /// With ports that a touched task serves, and those who serve a touched port besides.
    fn with_neighbours(mut self, before: &DesiredPorts, after: &DesiredPorts) -> Self {
        for (port, published) in before.ports.iter().chain(&after.ports) {
            let serves = |task| published.backends.range((task, 0)..=(task, u16::MAX)).next();
            if self.tasks.iter().any(|task| serves(*task).is_some()) {
                self.ports.insert(*port);
            }
        }
        for side in [before, after] {
            let published = self.ports.iter().filter_map(|port| side.ports.get(port));
            let backends = published.flat_map(|published| &published.backends);
            self.tasks.extend(backends.map(|(task, _)| *task));
        }
        self
    }

    fn of(&self, whole: &DesiredPorts) -> DesiredPorts {
        DesiredPorts {
            here: some_of(&whole.here, &self.tasks),
            elsewhere: some_of(&whole.elsewhere, &self.tasks),
            ports: some_of(&whole.ports, &self.ports),
            ..without_ends(whole)
        }
    }
}

fn without_ends(desired: &DesiredPorts) -> DesiredPorts {
    DesiredPorts {
        node: desired.node,
        number: desired.number,
        address: desired.address,
        port: desired.port,
        vni: desired.vni,
        bridge: desired.bridge.clone(),
        peers: desired.peers.clone(),
        nodes: desired.nodes.clone(),
        here: BTreeMap::new(),
        elsewhere: BTreeMap::new(),
        ports: BTreeMap::<_, PublishedEnds>::new(),
    }
}

fn some_of<K: Ord + Copy, V: Clone>(all: &BTreeMap<K, V>, keys: &BTreeSet<K>) -> BTreeMap<K, V> {
    keys.iter().filter_map(|key| Some((*key, all.get(key)?.clone()))).collect()
}

#[cfg(test)]
mod tests;
