//! Volumes that one task at a time may write to: a task waits for its claim, and stops
//! when it is lost, or when the node has not heard of the leader for so long that it
//! may be lost.

use std::time::Duration;

use swarmw_model::{ClusterVolume, Sharing, TaskId, VolumeId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::drivers::Known;

/// Writers stop when no heartbeat was answered that was sent within this time. It is
/// shorter than what the leader waits before it calls a node down and, after that,
/// before it gives the claim to another (`LEASE` of the orchestrator).
pub(super) const FENCE: Duration = Duration::from_secs(15);
/// A task waits so long for its claim before it is rejected, to be tried again.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is known of claims.
pub(crate) struct Claims {
    known: watch::Receiver<Known>,
    /// When the last heartbeat was sent that the leader has answered.
    touch: watch::Sender<Instant>,
}

// === impl Claims ===

impl Claims {
    /// What is known, and when the leader last answered.
    pub(crate) fn new(known: watch::Receiver<Known>, touch: Instant) -> Self {
        Self { known, touch: watch::Sender::new(touch) }
    }

    /// The leader has heard a heartbeat that was sent then.
    pub(crate) fn in_touch(&self, at: Instant) {
        self.touch.send_if_modified(|last| {
            let later = at > *last;
            *last = at.max(*last);
            later
        });
    }

    /// Returns when the task has the claim.
    pub(crate) async fn wait(&self, volume: VolumeId, task: TaskId) -> Result<(), String> {
        let mut known = self.known.clone();
        let has = |known: &Known| match known.volumes.iter().find(|v| v.id == volume) {
            Some(volume) => volume.claim.is_some_and(|claim| claim.task == task),
            None => true,
        };
        let waited = tokio::time::timeout(PATIENCE, known.wait_for(has)).await;
        // What it gives back keeps the leader's next word out.
        let has = matches!(waited, Ok(Ok(_)));
        drop(waited);
        if has {
            let known = self.known.borrow();
            return match known.volumes.iter().any(|v| v.id == volume) {
                true => Ok(()),
                false => Err("it was removed".to_owned()),
            };
        }
        Err(match self.claim(volume) {
            Some((task, node)) => format!("task {task} on node {node} may write to it, no other"),
            None => "the leader has not said who may write to it".to_owned(),
        })
    }

    fn claim(&self, volume: VolumeId) -> Option<(TaskId, swarmw_model::NodeId)> {
        let known = self.known.borrow();
        let claim = known.volumes.iter().find(|v| v.id == volume)?.claim?;
        Some((claim.task, claim.node))
    }

    /// Returns, with the reason, when the task must not write any more to one of these
    /// volumes.
    pub(crate) async fn lost(&self, volumes: &[VolumeId], task: TaskId) -> String {
        if volumes.is_empty() {
            return std::future::pending().await;
        }
        let mut known = self.known.clone();
        let mut touch = self.touch.subscribe();
        let mine = |volume: &&ClusterVolume| {
            volumes.contains(&volume.id) && volume.claim.is_none_or(|claim| claim.task != task)
        };
        loop {
            let taken = known.borrow_and_update().volumes.iter().find(mine).cloned();
            if let Some(volume) = taken {
                return format!("volume {}: its claim has ended", volume.spec.name);
            }
            let until = *touch.borrow_and_update() + FENCE;
            tokio::select! {
                () = tokio::time::sleep_until(until) => {
                    if *touch.borrow() + FENCE <= Instant::now() {
                        return format!(
                            "no leader was heard for {} s, and another node may have the claims \
                             on its volumes by now",
                            FENCE.as_secs()
                        );
                    }
                }
                changed = known.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                changed = touch.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }
}

/// Whether a task may use a volume so at all.
pub(crate) fn check(volume: &ClusterVolume, read_only: bool) -> Result<(), String> {
    if volume.removing {
        return Err("it is being removed".to_owned());
    }
    if volume.spec.sharing == Sharing::ReadOnly && !read_only {
        return Err("it is shared for reading only: mount it with readonly".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swarmw_model::{NodeId, VolumeClaim, VolumeSpec};

    use super::*;

    const V: VolumeId = VolumeId::from_bits(1);
    const T1: TaskId = TaskId::from_bits(11);
    const T2: TaskId = TaskId::from_bits(12);

    fn known(task: Option<TaskId>) -> Known {
        let spec = VolumeSpec { sharing: Sharing::OneWriter, ..VolumeSpec::default() };
        let claim = task.map(|task| VolumeClaim { task, node: NodeId::from_bits(21), epoch: 1 });
        let volume = ClusterVolume { claim, ..ClusterVolume::new(V, spec) };
        Known { drivers: Vec::new(), volumes: vec![volume] }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_waits_for_its_claim_and_says_who_has_it() {
        let leader = watch::Sender::new(known(Some(T1)));
        let claims = Claims::new(leader.subscribe(), Instant::now());
        claims.wait(V, T1).await.expect("it has it");
        let refused = claims.wait(V, T2).await.expect_err("another has it");
        assert_eq!(
            refused,
            "task 000000000000000000000000b on node 000000000000000000000000l may write to it, \
             no other"
        );
        let given = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            leader.send_replace(known(Some(T2)));
        };
        let (waited, ()) = tokio::join!(claims.wait(V, T2), given);
        waited.expect("now it has it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_lost_by_word_or_by_silence() {
        let leader = watch::Sender::new(known(Some(T1)));
        let claims = Claims::new(leader.subscribe(), Instant::now());
        let begun = Instant::now();
        let taken = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            leader.send_replace(known(Some(T2)));
        };
        let (why, ()) = tokio::join!(claims.lost(&[V], T1), taken);
        assert_eq!(why, "volume : its claim has ended");
        assert_eq!(begun.elapsed(), Duration::from_secs(5));

        leader.send_replace(known(Some(T1)));
        claims.in_touch(Instant::now());
        let begun = Instant::now();
        let touched = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            claims.in_touch(Instant::now() - Duration::from_secs(2));
            // An older one changes nothing.
            claims.in_touch(begun);
        };
        let (why, ()) = tokio::join!(claims.lost(&[V], T1), touched);
        assert!(why.starts_with("no leader was heard for 15 s"), "{why}");
        assert_eq!(begun.elapsed(), Duration::from_secs(23));
    }
}
