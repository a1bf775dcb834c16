//! What tasks take of each node: counts, CPU, memory, host ports.

use std::sync::Arc;

use swarmw_model::{
    GenericResource, PortConfig, PortProtocol, PublishMode, ServiceId, Task, TaskState,
};

use crate::generic::Stock;
use crate::hash::{FastMap, FastSet};
use crate::need::{Need, Reserved};
use crate::table::Row;

/// Active tasks of one service per row; rows without any are left out.
pub(crate) type Counts = FastMap<Row, u32>;

/// A host port.
pub(crate) type Port = (PortProtocol, u16);

/// What the tasks on each node take, by row.
#[derive(Default)]
pub(crate) struct Usage {
    /// Active tasks of all services.
    pub(crate) active: Vec<u32>,
    /// Nano-CPUs that no task has reserved; negative where a node shrank.
    pub(crate) free_cpu: Vec<i64>,
    /// Bytes that no task has reserved.
    pub(crate) free_memory: Vec<i64>,
    /// Host ports in use; one that two tasks hold stands twice.
    pub(crate) ports: Vec<Vec<Port>>,
    /// Generic resources of the nodes that have any, or whose tasks do.
    stock: FastMap<Row, Stock>,
    services: FastMap<ServiceId, Counts>,
    /// What a pass has changed, to be taken back at its end.
    overlay: Option<Overlay>,
}

/// What one pass has changed.
#[derive(Default)]
struct Overlay {
    placed: Vec<Placed>,
    /// How many of `placed` are in the counts of their services.
    settled: usize,
    /// Services of the others.
    unsettled: FastSet<ServiceId>,
    dismissed: Vec<Row>,
    counts: FastMap<ServiceId, Option<Counts>>,
    /// As they were.
    stock: FastMap<Row, Stock>,
}

/// Tasks that a pass placed, of which each takes the same.
struct Placed {
    service: ServiceId,
    reserved: Reserved,
    /// How many host ports.
    ports: usize,
    /// A row per task.
    rows: Vec<Row>,
}

// === impl Usage ===

impl Usage {
    /// Makes place for `rows` rows.
    pub(crate) fn grow(&mut self, rows: usize) {
        if self.active.len() < rows {
            self.active.resize(rows, 0);
            self.free_cpu.resize(rows, 0);
            self.free_memory.resize(rows, 0);
            self.ports.resize(rows, Vec::new());
        }
    }

    /// A row is no node's any more.
    pub(crate) fn clear(&mut self, row: Row) {
        let at = row as usize;
        self.active[at] = 0;
        self.free_cpu[at] = 0;
        self.free_memory[at] = 0;
        self.ports[at].clear();
        self.stock.remove(&row);
        self.services.retain(|_, counts| {
            counts.remove(&row);
            !counts.is_empty()
        });
    }

    /// A node has more or less than before.
    pub(crate) fn resize(&mut self, row: Row, cpu: i64, memory: i64) {
        self.free_cpu[row as usize] += cpu;
        self.free_memory[row as usize] += memory;
    }

    /// A node says what generic resources it has.
    pub(crate) fn restock(&mut self, row: Row, there: &[GenericResource]) {
        let stock = self.stock.entry(row).or_default();
        stock.set(there);
        if stock.is_empty() {
            self.stock.remove(&row);
        }
    }

    /// How many of a kind are left on a row.
    pub(crate) fn free_of(&self, row: Row, kind: &str) -> i64 {
        self.stock.get(&row).map_or(0, |stock| stock.free(kind))
    }

    /// Gives a task that the pass has placed on a row its generic resources.
    pub(crate) fn give(&mut self, row: Row, need: &Need) -> Vec<GenericResource> {
        if need.generic.is_empty() {
            return Vec::new();
        }
        self.stock.entry(row).or_default().give(&need.generic)
    }

    /// Active tasks of a service, where it has any.
    pub(crate) fn of_service(&mut self, service: ServiceId) -> Option<&Counts> {
        if self.overlay.as_ref().is_some_and(|overlay| overlay.unsettled.contains(&service)) {
            self.settle();
        }
        self.services.get(&service)
    }

    /// The same, after [`Usage::settle`].
    pub(crate) fn of_settled(&self, service: ServiceId) -> Option<&Counts> {
        self.services.get(&service)
    }

    /// Counts for their services what the pass has placed so far. Most passes place the
    /// tasks of a service at once and never ask.
    pub(crate) fn settle(&mut self) {
        let Some(overlay) = &mut self.overlay else {
            return;
        };
        for Placed { service, rows, .. } in &overlay.placed[overlay.settled..] {
            if rows.is_empty() {
                continue;
            }
            let before = || self.services.get(service).cloned();
            overlay.counts.entry(*service).or_insert_with(before);
            let counts = self.services.entry(*service).or_default();
            for row in rows {
                *counts.entry(*row).or_default() += 1;
            }
        }
        overlay.settled = overlay.placed.len();
        overlay.unsettled.clear();
    }

    /// A task of the mirror came to a row, or one with other needs took its place.
    pub(crate) fn add(&mut self, row: Row, task: &Task) {
        if !holds(task) {
            return;
        }
        let at = row as usize;
        let (cpu, memory) = task.spec.reserved();
        self.free_cpu[at] -= cpu;
        self.free_memory[at] -= memory;
        self.ports[at].extend(host_ports(&task.service.ports));
        if !task.generic_resources.is_empty() {
            self.stock.entry(row).or_default().hold(&task.generic_resources);
        }
        if counts(task) {
            self.active[at] += 1;
            let of_service = self.services.entry(task.service_id).or_default();
            *of_service.entry(row).or_default() += 1;
        }
    }

    /// A task of the mirror left a row.
    pub(crate) fn take_away(&mut self, row: Row, task: &Task) {
        if !holds(task) {
            return;
        }
        let at = row as usize;
        let (cpu, memory) = task.spec.reserved();
        self.free_cpu[at] += cpu;
        self.free_memory[at] += memory;
        for port in host_ports(&task.service.ports) {
            if let Some(held) = self.ports[at].iter().position(|p| *p == port) {
                self.ports[at].swap_remove(held);
            }
        }
        if let Some(stock) = self.stock.get_mut(&row) {
            stock.let_go(&task.generic_resources);
        }
        if counts(task) {
            self.active[at] = self.active[at].saturating_sub(1);
            self.uncount(row, task.service_id);
        }
    }

    fn uncount(&mut self, row: Row, service: ServiceId) {
        let Some(of_service) = self.services.get_mut(&service) else {
            return;
        };
        if let Some(count) = of_service.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                of_service.remove(&row);
            }
        }
        if of_service.is_empty() {
            self.services.remove(&service);
        }
    }

    /// From here to [`Usage::end_pass`] changes are a pass's own.
    pub(crate) fn begin_pass(&mut self) {
        self.overlay = Some(Overlay::default());
    }

    /// Takes back what the pass changed.
    pub(crate) fn end_pass(&mut self) {
        let Some(overlay) = self.overlay.take() else {
            return;
        };
        for Placed { reserved, ports, rows, .. } in overlay.placed {
            for row in rows {
                let at = row as usize;
                self.active[at] -= 1;
                if reserved != Reserved::default() {
                    self.free_cpu[at] += reserved.cpu;
                    self.free_memory[at] += reserved.memory;
                }
                if ports > 0 {
                    let held = &mut self.ports[at];
                    held.truncate(held.len() - ports);
                }
            }
        }
        self.stock.extend(overlay.stock);
        for row in overlay.dismissed {
            self.active[row as usize] += 1;
        }
        for (service, before) in overlay.counts {
            match before {
                Some(counts) => self.services.insert(service, counts),
                None => self.services.remove(&service),
            };
        }
    }

    fn remember(&mut self, service: ServiceId) {
        if let Some(overlay) = &mut self.overlay {
            overlay.counts.entry(service).or_insert_with(|| self.services.get(&service).cloned());
        }
    }

    /// The pass places a task; [`Usage::placed`] is to be told of it.
    pub(crate) fn place(&mut self, row: Row, need: &Need) {
        let at = row as usize;
        self.active[at] += 1;
        if need.reserved != Reserved::default() {
            self.free_cpu[at] -= need.reserved.cpu;
            self.free_memory[at] -= need.reserved.memory;
        }
        if !need.ports.is_empty() {
            self.ports[at].extend_from_slice(&need.ports);
        }
        if !need.generic.is_empty() {
            let stock = self.stock.entry(row).or_default();
            if let Some(overlay) = &mut self.overlay {
                overlay.stock.entry(row).or_insert_with(|| stock.clone());
            }
            stock.promise(&need.generic);
        }
    }

    /// Keeps what the pass has placed of a service, a row per task of the same need, to
    /// be taken back at its end.
    pub(crate) fn placed(&mut self, service: ServiceId, need: &Need, rows: Vec<Row>) {
        if let Some(overlay) = &mut self.overlay {
            let (reserved, ports) = (need.reserved, need.ports.len());
            overlay.unsettled.insert(service);
            overlay.placed.push(Placed { service, reserved, ports, rows });
        }
    }

    /// The same tick stops a task: it counts no more, but holds what it holds
    /// until it has ended.
    pub(crate) fn dismiss(&mut self, row: Row, task: &Task) {
        if holds(task) && counts(task) {
            self.remember(task.service_id);
            self.uncount(row, task.service_id);
            self.active[row as usize] -= 1;
            if let Some(overlay) = &mut self.overlay {
                overlay.dismissed.push(row);
            }
        }
    }
}

/// Whether a task takes of its node: it was assigned and has not ended.
pub(crate) fn holds(task: &Task) -> bool {
    task.node_id.is_some()
        && (TaskState::Assigned..=TaskState::Running).contains(&task.status.state)
}

/// Whether a task that holds its node counts in the balance: it should go on.
fn counts(task: &Task) -> bool {
    task.is_wanted()
}

/// Whether two versions of a task take the same of the same node.
pub(crate) fn same(old: &Task, new: &Task) -> bool {
    old.node_id == new.node_id
        && holds(old) == holds(new)
        && counts(old) == counts(new)
        && Arc::ptr_eq(&old.spec, &new.spec)
        && Arc::ptr_eq(&old.service, &new.service)
}

/// Ports that a task takes of its node: published there under a fixed number.
pub(crate) fn host_ports(ports: &[PortConfig]) -> impl Iterator<Item = Port> {
    ports
        .iter()
        .filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0)
        .map(|p| (p.protocol, p.published_port))
}
