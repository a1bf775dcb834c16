//! What holds at any time, and once nothing is to be done any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{Slot, TaskId};
use swarmw_state::State;
use tokio::time::Instant;

use crate::Cluster;
use crate::waits::{LOOK, SOON};

impl Cluster {
    /// What holds at any time: one leader a term, managers that agree on what they
    /// have both applied.
    ///
    /// # Panics
    /// It does not.
    pub fn check(&self) {
        self.terms.check();
        let mut seen: BTreeMap<u64, (String, Arc<State>)> = BTreeMap::new();
        for (node, manager) in self.managers() {
            let state = manager.state();
            let (other, known) =
                seen.entry(state.index()).or_insert_with(|| (node.name.clone(), state.clone()));
            let same = known.to_snapshot() == state.to_snapshot();
            assert!(same, "{other} and {} differ at entry {}", node.name, state.index());
        }
    }

    /// Waits until nothing is to be done any more: every replica that is wanted runs,
    /// once, and nothing else runs on any machine whose daemon is up.
    ///
    /// # Panics
    /// It does not come to that, or [`Cluster::check`] finds something.
    pub async fn settle(&self) {
        let unsettled = async || {
            let Some(state) = self.led() else { return Some("nobody leads".to_owned()) };
            self.unsettled(&state)
        };
        let deadline = Instant::now() + SOON;
        while let Some(why) = unsettled().await {
            assert!(Instant::now() < deadline, "not settled: {why}\n{}", self.picture());
            tokio::time::sleep(LOOK).await;
        }
        self.check();
    }

    /// What is not as it should be once nothing is to be done any more.
    fn unsettled(&self, state: &State) -> Option<String> {
        let mut wanted: BTreeSet<TaskId> = BTreeSet::new();
        for service in state.services() {
            let tasks = self.running_in(state, service.id);
            let slots: BTreeSet<Slot> = tasks.iter().filter_map(|t| t.slot()).collect();
            if slots.len() != tasks.len() {
                return Some(format!("two tasks in a slot of {}", service.spec.name));
            }
            if let Some(replicas) = service.spec.replicas()
                && tasks.len() as u64 != replicas
            {
                return Some(format!("{} of {replicas} run", tasks.len()));
            }
            wanted.extend(tasks.iter().map(|t| t.id));
        }
        let up = self.nodes.values().filter(|node| node.is_up());
        let runs: BTreeSet<TaskId> = up.flat_map(|node| node.machine.running()).collect();
        (runs != wanted).then(|| format!("machines run {runs:?}, wanted are {wanted:?}"))
    }

    /// Everything, for a message.
    pub fn picture(&self) -> String {
        let mut text = format!("after {:?}\n", self.elapsed());
        for node in self.nodes.values() {
            let up = node.is_up();
            let runs: Vec<_> = node.machine.running().iter().map(ToString::to_string).collect();
            text += &format!("{} up={up} leads={} runs={runs:?}\n", node.name, node.leads());
        }
        let newest = self.managers().map(|(_, m)| m.state()).max_by_key(|s| s.index());
        for state in newest.iter() {
            for node in state.nodes() {
                let name = self.name_of(node.id);
                text += &format!("  {name} {:?} {}\n", node.status.state, node.status.message);
            }
            for service in state.services() {
                text += &format!("  {} {:?}\n", service.spec.name, service.update_status);
                for task in state.tasks_of_service(service.id) {
                    let place = task.node_id.map(|id| self.name_of(id));
                    text += &format!(
                        "    {} slot={} {place:?} {} wanted {} {:?}\n",
                        task.id,
                        task.slot,
                        task.status.state,
                        task.desired_state,
                        task.status.error
                    );
                }
            }
        }
        text
    }
}
