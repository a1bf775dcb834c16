//! What one agent has still to be told: marks, bounded by what there is to mark.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use swarmw_model::TaskId;
use swarmw_proto::pb;
use tokio::sync::Notify;

use super::networks::NetworkMarks;

/// Log subscriptions that one agent has not been told yet; beyond it the oldest
/// goes, and its reader sees the node as unreachable.
const LOGS_WAITING_MAX: usize = 256;

/// Marks for one session.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    marks: Mutex<Marks>,
    wake: Notify,
}

/// What has changed since the session last looked.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Everything: the first time, or after events were missed.
    pub(crate) all: bool,
    /// The node object, the managers or the root.
    pub(crate) welcome: bool,
    /// The published ports.
    pub(crate) ports: bool,
    /// The volume drivers.
    pub(crate) drivers: bool,
    /// Networks, and who is on them.
    pub(crate) networks: NetworkMarks,
    /// Tasks of the node.
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Log subscriptions to begin.
    pub(crate) logs: Vec<pb::LogsWanted>,
}

// === impl Inbox ===

impl Inbox {
    /// Marks everything.
    pub(crate) fn mark_all(&self) {
        self.mark(|m| m.all = true);
    }

    /// Marks the node object, the managers or the root.
    pub(crate) fn mark_welcome(&self) {
        self.mark(|m| m.welcome = true);
    }

    /// Marks the published ports.
    pub(crate) fn mark_ports(&self) {
        self.mark(|m| m.ports = true);
    }

    /// Marks the volume drivers.
    pub(crate) fn mark_drivers(&self) {
        self.mark(|m| m.drivers = true);
    }

    /// Marks what changed of networks.
    pub(crate) fn mark_networks(&self, marks: NetworkMarks) {
        self.mark(|m| m.networks.extend(marks));
    }

    /// Marks tasks.
    pub(crate) fn mark_tasks(&self, tasks: impl IntoIterator<Item = TaskId>) {
        self.mark(|m| m.tasks.extend(tasks));
    }

    /// Asks for log lines.
    pub(crate) fn ask_logs(&self, wanted: pb::LogsWanted) {
        self.mark(|m| {
            if m.logs.len() >= LOGS_WAITING_MAX {
                m.logs.remove(0);
            }
            m.logs.push(wanted);
        });
    }

    /// Waits for marks and takes them.
    pub(crate) async fn take(&self) -> Marks {
        loop {
            let marks = std::mem::take(&mut *self.marks());
            if marks.any() {
                return marks;
            }
            self.wake.notified().await;
        }
    }

    fn mark(&self, set: impl FnOnce(&mut Marks)) {
        set(&mut self.marks());
        self.wake.notify_one();
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Marks ===

impl Marks {
    fn any(&self) -> bool {
        let kinds = self.all || self.welcome || self.ports || self.drivers;
        kinds || self.networks.any() || !self.tasks.is_empty() || !self.logs.is_empty()
    }
}
