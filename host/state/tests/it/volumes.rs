use std::sync::Arc;

use swarmw_model::{
    ClusterVolume, Driver, Mount, ServiceSpec, Sharing, Slot, TaskId, TaskState, VolumeId,
    VolumeSpec,
};
use swarmw_state::{Change, Dropped, NewTask, State, TaskChange};

use crate::build::{Log, N1, N2, T1, T2, WEB, create, service};

const V1: VolumeId = VolumeId::from_bits(71);
const V2: VolumeId = VolumeId::from_bits(72);

fn volume(id: VolumeId, name: &str, driver: &str) -> Change {
    let spec = VolumeSpec {
        name: name.into(),
        driver: Driver { name: driver.into(), ..Driver::default() },
        sharing: Sharing::OneWriter,
        ..VolumeSpec::default()
    };
    Change::CreateVolume(Box::new(ClusterVolume::new(id, spec)))
}

fn mounting(name: &str, source: &str) -> ServiceSpec {
    let mut spec = service(name);
    let template = Arc::make_mut(&mut spec.task_template);
    let mount = Mount { source: source.into(), target: "/data".into(), ..Mount::default() };
    template.container_spec.as_mut().expect("a container").mounts.push(mount);
    spec
}

fn placed(log: &Log, id: TaskId, node: swarmw_model::NodeId) -> NewTask {
    let slot = Slot::Replica(u64::try_from(id.bits()).expect("small"));
    NewTask { node: Some(node), ..log.new_task(id, WEB, slot) }
}

fn claim(task: TaskId, claims: u64) -> Change {
    Change::ClaimVolume { volume: V1, task, claims }
}

fn epoch(log: &Log) -> Option<u64> {
    log.state.volume(V1).expect("a volume").claim.map(|claim| claim.epoch)
}

#[test]
fn a_name_is_one_volume_and_making_it_again_changes_nothing() {
    let mut log = Log::founded();
    log.done(volume(V1, "data", "nfs"));
    log.done(volume(V2, "data", "nfs"));
    assert_eq!(log.state.volumes().count(), 1);
    assert_eq!(
        log.refusal(volume(V2, "data", "sshfs")),
        "A volume named data already exists with the nfs driver. Choose a different volume name."
    );
    assert!(log.refusal(volume(V2, "../x", "nfs")).contains("includes invalid characters"));
    let bytes = log.state.to_snapshot();
    let again = State::from_snapshot(&bytes).expect("a snapshot");
    assert_eq!(again.volume_named("data").map(|v| v.id), Some(V1));
}

#[test]
fn a_volume_in_use_stays_and_its_users_are_named() {
    let mut log = Log::founded();
    log.done(volume(V1, "data-1", "nfs"));
    log.done(create(WEB, mounting("web", "data-{{.Task.Slot}}")));
    assert_eq!(log.refusal(Change::GiveUpVolume(V1)), "remove data-1: volume is in use - [web]");
    // Its service is gone, and a task of it still stops.
    log.done(Change::CreateTask(placed(&log, T1, N1)));
    log.done(Change::RemoveService { id: WEB });
    assert_eq!(log.refusal(Change::GiveUpVolume(V1)), "remove data-1: volume is in use - [web]");
    log.done(Change::RemoveTask(T1));
    log.dropped(Change::RemoveVolume(V1), Dropped::Changed);
    log.done(Change::GiveUpVolume(V1));
    assert!(log.refusal(volume(V2, "data-1", "nfs")).contains("is being removed"));
    log.done(Change::RemoveVolume(V1));
    assert_eq!(log.state.volumes().count(), 0);
    log.done(volume(V2, "data-1", "nfs"));
}

#[test]
fn one_task_at_a_time_has_the_claim_and_each_claim_outranks_the_last() {
    let mut log = Log::founded();
    log.done(volume(V1, "data", "nfs"));
    log.done(create(WEB, mounting("web", "data")));
    log.done(Change::CreateTask(placed(&log, T1, N1)));
    log.done(Change::CreateTask(placed(&log, T2, N2)));

    log.dropped(claim(T1, 7), Dropped::Changed);
    log.done(claim(T1, 0));
    assert_eq!(epoch(&log), Some(1));
    log.dropped(claim(T2, 0), Dropped::Changed);
    log.dropped(claim(T2, 1), Dropped::Changed);
    log.dropped(Change::ReleaseVolume { volume: V1, epoch: 9 }, Dropped::Changed);
    log.done(Change::ReleaseVolume { volume: V1, epoch: 1 });
    log.dropped(Change::ReleaseVolume { volume: V1, epoch: 1 }, Dropped::Changed);
    // Decided before the release, and so too early.
    log.dropped(claim(T2, 0), Dropped::Changed);
    log.done(claim(T2, 1));
    assert_eq!(epoch(&log), Some(2));
    assert_eq!(log.state.volume(V1).expect("a volume").claim.map(|c| c.node), Some(N2));
}

#[test]
fn who_has_ended_or_is_nowhere_gets_no_claim() {
    let mut log = Log::founded();
    log.done(volume(V1, "data", "nfs"));
    log.done(create(WEB, mounting("web", "data")));
    log.done(Change::CreateTask(NewTask { node: None, ..placed(&log, T1, N1) }));
    log.dropped(claim(T1, 0), Dropped::Changed);
    log.dropped(claim(T2, 0), Dropped::Gone);
    log.done(Change::CreateTask(placed(&log, T2, N2)));
    let mut status = log.state.task(T2).expect("a task").status.clone();
    status.state = TaskState::Failed;
    log.done(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(T2) }));
    log.dropped(claim(T2, 0), Dropped::Changed);
}
