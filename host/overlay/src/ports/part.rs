//! What of a [`DesiredPorts`] a change may touch: the same of before and after, and nothing
//! of what stays. Both are small `DesiredPorts`, whose tasks and ports mean what they mean
//! in the whole ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use imbl::OrdMap;
use swarmw_model::PortProtocol;

use super::DesiredPorts;
use super::index::Index;
use crate::beside::{unlike, unlike_shared};

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
    /// What differs between two, the index being of the first; none: it is better told from the
    /// whole, as more differs than tasks and ports.
    pub(super) fn between(
        before: &DesiredPorts,
        after: &DesiredPorts,
        index: &Index,
    ) -> Option<Self> {
        let same = without_ends(before) == without_ends(after)
            && before.has_ends() == after.has_ends()
            && after.peers.values().all(|end| end.is_ipv4() == after.address.is_ipv4());
        let touched = Touched::between(before, after);
        let few = touched.tasks.len() <= TASKS_MAX;
        (same && few).then(|| {
            let touched = touched.with_neighbours(before, after, index);
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
        let elsewhere = unlike_shared(&before.elsewhere, &after.elsewhere);
        tasks.extend(elsewhere.map(|(address, ..)| *address));
        let ports = unlike_shared(&before.ports, &after.ports).map(|(port, ..)| *port).collect();
        Self { tasks, ports }
    }

    /// With ports that a touched task serves, and those who serve a touched port besides.
    fn with_neighbours(
        mut self,
        before: &DesiredPorts,
        after: &DesiredPorts,
        index: &Index,
    ) -> Self {
        // A port that a task did not serve before is touched anyway.
        self.ports.extend(self.tasks.iter().flat_map(|task| index.ports_of(*task)));
        for side in [before, after] {
            let published = self.ports.iter().filter_map(|port| side.ports.get(port));
            let backends = published.flat_map(|published| &published.backends);
            self.tasks.extend(backends.map(|(task, _)| *task));
        }
        self
    }

    fn of(&self, whole: &DesiredPorts) -> DesiredPorts {
        DesiredPorts {
            here: some_of(&self.tasks, |task| whole.here.get(task).copied()),
            elsewhere: some_of(&self.tasks, |task| whole.elsewhere.get(task).copied()),
            ports: some_of(&self.ports, |port| whole.ports.get(port).cloned()),
            ..without_ends(whole)
        }
    }
}

/// What is neither a task nor a port.
pub(super) fn without_ends(desired: &DesiredPorts) -> DesiredPorts {
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
        elsewhere: OrdMap::new(),
        ports: OrdMap::new(),
    }
}

fn some_of<K: Copy, V, M: FromIterator<(K, V)>>(
    keys: &BTreeSet<K>,
    get: impl Fn(&K) -> Option<V>,
) -> M {
    keys.iter().filter_map(|key| Some((*key, get(key)?))).collect()
}

#[cfg(test)]
mod tests;
