//! Volumes that one task at a time may write to: who gets the claim, and when it ends.

use swarmw_model::{
    ClusterVolume, Driver, Duration, Mount, NodeState, ServiceId, Sharing, TaskId, Time, VolumeId,
    VolumeSpec,
};
use swarmw_orchestrator::{Claimed, Claims, LEASE};
use swarmw_state::Change;

use crate::swarm::Swarm;
use crate::world::*;

const V: VolumeId = VolumeId::from_bits(71);

/// A cluster with a volume and a service of tasks that mount it.
fn world(sharing: Sharing, replicas: u64, read_only: bool) -> (World<Swarm>, ServiceId) {
    let mut world = World::new(3, Swarm::default());
    let spec = VolumeSpec {
        name: "data-web".into(),
        driver: Driver { name: "nfs".into(), ..Driver::default() },
        sharing,
        ..VolumeSpec::default()
    };
    world.commit(Change::CreateVolume(Box::new(ClusterVolume::new(V, spec))));
    let mut spec = replicated("v1", replicas);
    // The service is called `web`.
    let source = "data-{{.Service.Name}}".to_owned();
    let mount = Mount { source, target: "/data".into(), read_only, ..Mount::default() };
    template(&mut spec).container_spec.as_mut().expect("a container").mounts.push(mount);
    let id = world.create(spec);
    world.run(2_000);
    (world, id)
}

/// One look at the claims, carried out.
fn look(claims: &mut Claims, world: &mut World<Swarm>) -> Claimed {
    let claimed = claims.tick(&world.state, world.now());
    claimed.changes.iter().for_each(|change| world.commit(change.clone()));
    claimed
}

fn holder(world: &World<Swarm>) -> Option<TaskId> {
    world.state.volume(V).expect("a volume").claim.map(|claim| claim.task)
}

fn number_of(world: &World<Swarm>, task: TaskId) -> u32 {
    let node = world.state.task(task).expect("a task").node_id.expect("a node");
    (1..=3).find(|number| node_id(*number) == node).expect("a node")
}

#[test]
fn one_task_gets_it_and_the_next_when_that_one_has_ended() {
    let (mut world, id) = world(Sharing::OneWriter, 2, false);
    let mut claims = Claims::default();
    look(&mut claims, &mut world);
    let first = holder(&world).expect("a holder");
    assert_eq!(look(&mut claims, &mut world), Claimed::default(), "it has it, the other waits");

    world.fail(first);
    look(&mut claims, &mut world);
    assert_eq!(holder(&world), None);
    look(&mut claims, &mut world);
    let second = holder(&world).expect("a holder");
    assert_ne!(second, first);
    assert!(world.live(id).iter().any(|task| task.id == second));
}

#[test]
fn who_only_reads_needs_none_but_of_a_volume_for_one() {
    for (sharing, read_only, wanted) in [
        (Sharing::OneWriter, true, false),
        (Sharing::All, false, false),
        (Sharing::ReadOnly, true, false),
        (Sharing::None, true, true),
    ] {
        let (mut world, _) = world(sharing, 1, read_only);
        look(&mut Claims::default(), &mut world);
        assert_eq!(holder(&world).is_some(), wanted, "{sharing:?} {read_only}");
    }
}

#[test]
fn a_node_that_says_nothing_has_the_lease_to_let_go() {
    let (mut world, _) = world(Sharing::OneWriter, 1, false);
    let mut claims = Claims::default();
    look(&mut claims, &mut world);
    let first = holder(&world).expect("a holder");
    let number = number_of(&world, first);
    world.power_off(number);

    let down = world.now();
    let claimed = look(&mut claims, &mut world);
    assert_eq!(claimed, Claimed { changes: Vec::new(), wake_at: Some(down + LEASE) });
    world.run(LEASE.as_millis() - 1);
    look(&mut claims, &mut world);
    assert_eq!(holder(&world), Some(first), "too early by a millisecond");

    // Another leader knows nothing of the wait, and waits anew.
    let mut others = Claims::default();
    let claimed = others.tick(&world.state, world.now());
    assert_eq!(claimed.wake_at, Some(world.now() + LEASE));

    world.run(1);
    look(&mut claims, &mut world);
    assert_eq!(holder(&world), None);
    look(&mut claims, &mut world);
    assert!(holder(&world).is_some_and(|task| task != first), "its replacement");
}

#[test]
fn a_node_that_is_heard_again_keeps_its_claims_and_the_wait_begins_anew() {
    let (mut world, _) = world(Sharing::OneWriter, 1, false);
    let mut claims = Claims::default();
    look(&mut claims, &mut world);
    let first = holder(&world).expect("a holder");
    let number = number_of(&world, first);
    world.set_state(number, NodeState::Unknown);
    look(&mut claims, &mut world);
    world.run(LEASE.as_millis() / 2);
    world.set_state(number, NodeState::Ready);
    assert_eq!(look(&mut claims, &mut world), Claimed::default());
    world.run(LEASE.as_millis());
    world.set_state(number, NodeState::Unknown);
    let claimed = look(&mut claims, &mut world);
    assert_eq!(claimed.wake_at, Some(world.now() + LEASE));
    assert_eq!(holder(&world), Some(first));
}

#[test]
fn a_node_that_was_removed_by_force_has_not_let_go_for_that() {
    let (mut world, _) = world(Sharing::None, 1, false);
    let mut claims = Claims::default();
    look(&mut claims, &mut world);
    let first = holder(&world).expect("a holder");
    let number = number_of(&world, first);
    world.power_off(number);
    world.remove_node(number);
    world.run(1_000);
    let begun: Time = world.now();
    look(&mut claims, &mut world);
    assert_eq!(holder(&world), Some(first));
    world.run(LEASE.as_millis());
    assert!(world.now().since(begun) >= LEASE && LEASE > Duration::ZERO);
    look(&mut claims, &mut world);
    assert_eq!(holder(&world), None);
}
