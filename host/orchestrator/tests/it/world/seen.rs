//! What can be seen.

use std::sync::Arc;

use swarmw_model::*;

use super::World;

impl<P> World<P> {
    pub fn now(&self) -> Time {
        Time::from_nanos(self.clock * 1_000_000)
    }

    pub fn service(&self, id: ServiceId) -> Arc<Service> {
        self.state.service(id).expect("the service").clone()
    }

    /// The update status: its state and message; an empty message where there is none.
    pub fn status(&self, id: ServiceId) -> (Option<UpdateState>, String) {
        match &self.service(id).update_status {
            Some(status) => (Some(status.state), status.message.clone()),
            None => (None, String::new()),
        }
    }

    /// Tasks that should run, by slot.
    pub fn live(&self, id: ServiceId) -> Vec<Arc<Task>> {
        let wanted = |t: &&Arc<Task>| t.desired_state <= TaskState::Running;
        self.state.tasks_of_service(id).filter(wanted).cloned().collect()
    }

    /// Tasks that should run and do.
    pub fn running(&self, id: ServiceId) -> Vec<Arc<Task>> {
        let mut live = self.live(id);
        live.retain(|t| t.status.state == TaskState::Running);
        live
    }

    /// The images of the tasks that run, by slot.
    pub fn images(&self, id: ServiceId) -> Vec<String> {
        self.running(id).iter().map(|t| t.spec.image().to_owned()).collect()
    }

    /// How many of the running tasks have this image.
    pub fn count(&self, id: ServiceId, image: &str) -> usize {
        self.images(id).iter().filter(|i| *i == image).count()
    }

    /// All tasks of a replica's slot, oldest first.
    pub fn slot(&self, id: ServiceId, slot: u64) -> Vec<Arc<Task>> {
        let mut tasks: Vec<_> =
            self.state.tasks_of_slot(id, Slot::Replica(slot)).cloned().collect();
        tasks.sort_by_key(|t| (t.created_at, t.id));
        tasks
    }

    /// Everything, for the message of a test that fails.
    pub fn picture(&self) -> String {
        let mut lines = Vec::new();
        for service in self.state.services() {
            lines.push(format!("{} {:?}", service.spec_version.index, service.update_status));
            lines.push(format!(
                "{:#?}",
                self.state.rollout(service.id).map(|r| (
                    r.spec_version.index,
                    r.seq,
                    r.targets.clone()
                ))
            ));
        }
        let mut tasks: Vec<_> = self.state.tasks().collect();
        tasks.sort_by_key(|t| (t.slot(), t.created_at, t.id));
        for t in tasks {
            lines.push(format!(
                "slot {} of {}: {} wants {} is {} on {:?}, since {} ms",
                t.slot,
                t.spec_version.index,
                t.spec.image(),
                t.desired_state,
                t.status.state,
                t.node_id.map(|n| n.bits()),
                self.clock - self.since.get(&t.id).map_or(0, |s| s.2),
            ));
        }
        lines.join("\n")
    }
}
