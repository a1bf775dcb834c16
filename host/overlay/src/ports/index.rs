//! What is asked of a [`DesiredPorts`] as a whole, kept beside it: a change goes through what
//! differs and not through all tasks and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use swarmw_model::PortProtocol;

use super::part::without_ends;
use super::{DesiredPorts, Local, PublishedEnds, Remote};
use crate::beside::{unlike, unlike_shared};

/// A published port.
type Port = (PortProtocol, u16);

/// Of one `DesiredPorts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Ports by the ingress addresses of the tasks that serve them.
    served: BTreeMap<Ipv4Addr, BTreeSet<Port>>,
    /// How many tasks have an address of IPv6.
    v6: usize,
}

// === impl Index ===

impl Index {
    pub(super) fn of(desired: &DesiredPorts) -> Self {
        let mut index = Self::default();
        index.follow(&without_ends(desired), desired);
        index
    }

    /// Goes from what it is of to what is desired after that.
    pub(super) fn follow(&mut self, before: &DesiredPorts, after: &DesiredPorts) {
        for (port, was, is) in unlike_shared(&before.ports, &after.ports) {
            for task in tasks(was) {
                self.remove(task, port);
            }
            for task in tasks(is) {
                self.served.entry(task).or_default().insert(*port);
            }
        }
        let v6 = |local: Option<&Local>| usize::from(local.is_some_and(|local| local.v6.is_some()));
        for (_, was, is) in unlike(&before.here, &after.here) {
            self.v6 = self.v6 + v6(is) - v6(was);
        }
        let v6 = |remote: Option<&Remote>| usize::from(remote.is_some_and(|remote| remote.v6));
        for (_, was, is) in unlike_shared(&before.elsewhere, &after.elsewhere) {
            self.v6 = self.v6 + v6(is) - v6(was);
        }
    }

    /// Ports that a task serves.
    pub(super) fn ports_of(&self, task: Ipv4Addr) -> impl Iterator<Item = &Port> {
        self.served.get(&task).into_iter().flatten()
    }

    /// Whether any task has an address of IPv6.
    pub(super) fn has_v6(&self) -> bool {
        self.v6 > 0
    }

    fn remove(&mut self, task: Ipv4Addr, port: &Port) {
        if let Some(ports) = self.served.get_mut(&task) {
            ports.remove(port);
            if ports.is_empty() {
                self.served.remove(&task);
            }
        }
    }
}

/// Who serves a port.
fn tasks(ends: Option<&PublishedEnds>) -> impl Iterator<Item = Ipv4Addr> {
    ends.into_iter().flat_map(|ends| &ends.backends).map(|(task, _)| *task)
}
