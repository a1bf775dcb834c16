//! Swarm's scheduling scenarios.

use swarmw_model::*;
use swarmw_state::{Change, TaskChange};

use crate::cluster::Cluster;
use crate::cluster::*;

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn five() -> Cluster {
    Cluster::new(NODES.map(node).to_vec())
}

#[test]
fn replicas_land_level_and_a_second_service_prefers_the_emptier_nodes() {
    let mut cluster = five();
    let first = cluster.run(service("first"), 8);
    let counts = cluster.counts(first, &NODES);
    assert_eq!(counts, [2, 2, 2, 1, 1]);
    let second = cluster.run(service("second"), 2);
    assert_eq!(cluster.counts(second, &NODES), [0, 0, 0, 1, 1]);
}

#[test]
fn tasks_wait_with_a_reason_until_a_node_is_ready() {
    let mut cluster = Cluster::new(vec![node("a")]);
    cluster.set_state("a", NodeState::Down);
    let web = cluster.run(service("web"), 2);
    assert_eq!(cluster.why(web), "no suitable node (1 node not available for new tasks)");
    // The same reason is not written twice.
    assert_eq!(cluster.decide().1, []);
    cluster.set_state("a", NodeState::Ready);
    assert_eq!(cluster.schedule().placed, 2);
    assert_eq!(cluster.on(web, "a").len(), 2);
    assert_eq!(&*cluster.on(web, "a")[0].status.error, "");
}

#[test]
fn a_task_that_waits_is_tried_again_when_its_service_asks_for_less() {
    let mut cluster = Cluster::new(vec![node("a")]);
    let web = cluster.run(constrained("web", &["node.labels.zone == 1"]), 1);
    assert!(
        cluster.why(web).contains("scheduling constraints not satisfied"),
        "{}",
        cluster.why(web)
    );
    // The service is updated, tried once more as its tasks are, and then they adopt it.
    let service = cluster.state.service(web).expect("a service").clone();
    cluster.commit(vec![Change::UpdateService {
        id: web,
        version: service.version,
        spec: Box::new(constrained("web", &[])),
    }]);
    assert_eq!(cluster.schedule().placed, 0);
    let adopt = Some(cluster.state.service(web).expect("a service").spec_version);
    let task = cluster.tasks(web).remove(0);
    cluster.commit(vec![Change::Task(TaskChange { adopt, ..TaskChange::of(task.id) })]);
    assert_eq!(cluster.schedule().placed, 1);
}

#[test]
fn a_node_on_which_a_service_fails_five_times_is_avoided() {
    let mut cluster = Cluster::new(vec![node("a"), node("b")]);
    let bystander = cluster.run(service("bystander"), 1);
    assert_eq!(cluster.counts(bystander, &["a", "b"]), [1, 0]);
    let web = cluster.create(service("web"));
    for slot in 1..=5 {
        cluster.start(web, [slot]);
        cluster.schedule();
        let task = cluster.on(web, "b").pop().expect("the emptier node is chosen");
        cluster.report(&task, TaskState::Failed);
    }
    cluster.start(web, [6]);
    cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b"]), [1, 0]);

    // After five minutes the failures are forgotten.
    cluster.clock += 301;
    cluster.start(web, [7, 8]);
    cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b"]), [1, 2]);
}

#[test]
fn a_new_spec_version_forgets_failures() {
    let mut cluster = Cluster::new(vec![node("a"), node("b")]);
    cluster.run(service("bystander"), 1);
    let web = cluster.create(service("web"));
    for slot in 1..=5 {
        cluster.start(web, [slot]);
        cluster.schedule();
        let task = cluster.on(web, "b").pop().expect("a task");
        cluster.report(&task, TaskState::Rejected);
    }
    let version = cluster.state.service(web).expect("web").version;
    let mut spec = service("web");
    template(&mut spec).force_update = 1;
    cluster.commit(vec![Change::UpdateService { id: web, version, spec: Box::new(spec) }]);
    cluster.start(web, [6]);
    cluster.schedule();
    assert_eq!(cluster.counts(web, &["a", "b"]), [0, 1]);
}

#[test]
fn failures_of_global_tasks_do_not_count() {
    let mut cluster = Cluster::new(vec![node("a")]);
    let mut spec = service("global");
    spec.mode = ServiceMode::Global(Global {});
    let global = cluster.create(spec);
    for _ in 0..6 {
        cluster.start_on(global, "a");
        cluster.schedule();
        let task = cluster.on(global, "a").pop().expect("placed again");
        cluster.report(&task, TaskState::Failed);
    }
}

#[test]
fn a_reservation_too_large_waits_until_a_task_ends() {
    let mut cluster = Cluster::new(vec![sized("a", 2, 1 << 30)]);
    let first = cluster.run(reserving("first", 2, 0), 1);
    let second = cluster.run(reserving("second", 1, 0), 1);
    assert_eq!(cluster.why(second), "no suitable node (insufficient resources on 1 node)");
    let task = cluster.on(first, "a").remove(0);
    // A task told to stop holds its resources until it has stopped.
    cluster.commit(vec![Change::Task(TaskChange::desire(task.id, TaskState::Shutdown))]);
    assert_eq!(cluster.schedule().placed, 0);
    cluster.report(&task, TaskState::Shutdown);
    assert_eq!(cluster.schedule().placed, 1);
}

#[test]
fn dead_tasks_in_the_store_hold_nothing_when_a_leader_starts() {
    let mut cluster = Cluster::new(vec![sized("a", 1, 0)]);
    let first = cluster.run(reserving("first", 1, 0), 1);
    let task = cluster.on(first, "a").remove(0);
    cluster.report(&task, TaskState::Failed);
    cluster.scheduler = swarmw_scheduler::Scheduler::new(&cluster.state);
    let second = cluster.run(reserving("second", 1, 0), 1);
    assert_eq!(cluster.on(second, "a").len(), 1);
}

#[test]
fn running_tasks_in_the_store_hold_their_share_when_a_leader_starts() {
    let mut cluster = Cluster::new(vec![sized("a", 1, 0)]);
    cluster.run(reserving("first", 1, 0), 1);
    cluster.scheduler = swarmw_scheduler::Scheduler::new(&cluster.state);
    let second = cluster.run(reserving("second", 1, 0), 1);
    assert_eq!(cluster.on(second, "a").len(), 0);
}

#[test]
fn platform_aliases_match_and_an_empty_list_matches_all() {
    let platform = |architecture: &str, os: &str| Platform {
        architecture: architecture.into(),
        os: os.into(),
    };
    for (machine, image, fits) in [
        (platform("x86_64", "linux"), vec![platform("amd64", "linux")], true),
        (platform("amd64", "linux"), vec![platform("x86_64", "")], true),
        (platform("aarch64", "linux"), vec![platform("arm64", "linux")], true),
        (platform("aarch64", "linux"), vec![platform("amd64", "linux")], false),
        (platform("x86_64", "linux"), vec![platform("amd64", "windows")], false),
        (platform("riscv64", "linux"), vec![], true),
    ] {
        let mut machine_node = node("a");
        machine_node.description.platform = machine.clone();
        let mut cluster = Cluster::new(vec![machine_node]);
        let mut spec = service("web");
        placement(&mut spec).platforms = image.clone();
        let web = cluster.run(spec, 1);
        assert_eq!(cluster.on(web, "a").len() == 1, fits, "{machine:?} {image:?}");
    }
}

#[test]
fn preassigned_tasks_are_checked_on_their_node_and_go_first() {
    let mut cluster = Cluster::new(vec![sized("a", 1, 0), sized("b", 1, 0)]);
    let replicated = cluster.create(reserving("replicated", 1, 0));
    let mut spec = reserving("global", 1, 0);
    spec.mode = ServiceMode::Global(Global {});
    let global = cluster.create(spec);
    cluster.start(replicated, 1..=2);
    cluster.start_on(global, "a");
    cluster.schedule();
    assert_eq!(cluster.counts(global, &["a"]), [1]);
    assert_eq!(cluster.counts(replicated, &["a", "b"]), [0, 1]);
    cluster.start_on(global, "b");
    cluster.schedule();
    // Without the wrapper, as Swarm has it.
    assert_eq!(cluster.why(global), "insufficient resources on 1 node");
}

#[test]
fn two_services_with_one_host_port_never_share_a_node_and_a_freed_port_is_reused() {
    let mut cluster = Cluster::new(vec![node("a"), node("b")]);
    let first = cluster.run(publishing("first", 8080), 1);
    let second = cluster.run(publishing("second", 8080), 2);
    assert_eq!(cluster.counts(first, &["a", "b"]), [1, 0]);
    assert_eq!(cluster.counts(second, &["a", "b"]), [0, 1]);
    assert_eq!(cluster.why(second), "no suitable node (host-mode port already in use on 2 nodes)");
    let task = cluster.on(first, "a").remove(0);
    cluster.report(&task, TaskState::Complete);
    cluster.schedule();
    assert_eq!(cluster.counts(second, &["a", "b"]), [1, 1]);
}

#[test]
fn a_service_with_a_host_port_has_one_task_on_each_node_and_the_rest_say_why_they_wait() {
    let mut cluster = Cluster::new(vec![node("a"), node("b")]);
    let web = cluster.run(publishing("web", 8080), 4);
    assert_eq!(cluster.counts(web, &["a", "b"]), [1, 1]);
    assert_eq!(cluster.why(web), "no suitable node (host-mode port already in use on 2 nodes)");
    // The engine chooses the port of one that names none.
    let any = cluster.run(publishing("any", 0), 4);
    assert_eq!(cluster.counts(any, &["a", "b"]), [2, 2]);
}

#[test]
fn max_replicas_per_node_leaves_the_surplus_waiting() {
    let mut cluster = Cluster::new(vec![node("a"), node("b")]);
    let mut spec = service("web");
    placement(&mut spec).max_replicas = 2;
    let web = cluster.run(spec, 5);
    assert_eq!(cluster.counts(web, &["a", "b"]), [2, 2]);
    assert_eq!(cluster.why(web), "no suitable node (max replicas per node limit exceed)");
}

#[test]
fn a_deleted_waiting_task_leaves_the_queue() {
    let mut cluster = Cluster::new(vec![]);
    let web = cluster.run(service("web"), 1);
    let task = cluster.tasks(web).remove(0);
    cluster.commit(vec![Change::RemoveTask(task.id)]);
    cluster.add(node("a"));
    let (pass, changes) = cluster.decide();
    assert_eq!((pass.placed, changes.len()), (0, 0));
}

#[test]
fn a_task_of_an_older_spec_that_never_had_a_node_is_shut_down() {
    let mut cluster = Cluster::new(vec![]);
    let web = cluster.run(service("web"), 1);
    let version = cluster.state.service(web).expect("web").version;
    let mut spec = service("web");
    template(&mut spec).force_update = 1;
    cluster.commit(vec![Change::UpdateService { id: web, version, spec: Box::new(spec) }]);
    let task = cluster.tasks(web).remove(0);
    cluster.commit(vec![Change::Task(TaskChange::desire(task.id, TaskState::Shutdown))]);
    cluster.schedule();
    assert_eq!(cluster.tasks(web)[0].status.state, TaskState::Shutdown);
}

#[test]
fn tasks_of_the_same_tick_get_their_node_before_they_are_made() {
    let mut cluster = five();
    let web = cluster.create(service("web"));
    let mut decisions: Vec<_> = (1..=5).map(|n| cluster.new_task(web, Slot::Replica(n))).collect();
    let now = cluster.now();
    cluster.scheduler.schedule(&cluster.state, &mut decisions, now, &mut cluster.policies);
    assert_eq!(decisions.len(), 5);
    cluster.commit(decisions);
    assert_eq!(cluster.counts(web, &NODES), [1; 5]);
    assert_eq!(cluster.tasks(web)[0].status.state, TaskState::Assigned);
}

#[test]
fn decisions_that_get_lost_are_made_again() {
    let mut cluster = Cluster::new(vec![node("a")]);
    let web = cluster.create(service("web"));
    cluster.start(web, 1..=3);
    let (lost, _) = cluster.decide();
    assert_eq!(lost.placed, 3);
    assert_eq!(cluster.schedule().placed, 3);
    assert_eq!(cluster.schedule().placed, 0);
}

#[test]
fn a_pass_leaves_no_trace_of_its_own_in_the_mirror() {
    let mut cluster = Cluster::new(vec![sized("a", 4, 0), sized("b", 4, 0)]);
    let web = cluster.create(reserving("web", 1, 0));
    cluster.start(web, 1..=6);
    let first = cluster.decide();
    assert_eq!(first, cluster.decide());
}

#[test]
fn what_a_pass_places_counts_for_the_next_version_of_the_service_in_the_same_pass() {
    let mut cluster = Cluster::new(["a", "b"].map(node).to_vec());
    let mut spec = service("web");
    placement(&mut spec).max_replicas = 2;
    let web = cluster.create(spec);
    cluster.start(web, 1..=1);
    cluster.renew(web);
    cluster.start(web, 2..=2);
    cluster.renew(web);
    cluster.start(web, 3..=5);
    // What the first version placed is counted for the second and not again for the third.
    assert_eq!(cluster.schedule().placed, 4);
    assert_eq!(cluster.counts(web, &["a", "b"]), [2, 2]);
    assert_eq!(cluster.why(web), "no suitable node (max replicas per node limit exceed)");
}

#[test]
fn what_a_pass_places_counts_no_more_once_the_pass_is_lost() {
    let mut cluster = Cluster::new(["a", "b"].map(node).to_vec());
    let mut spec = service("web");
    placement(&mut spec).max_replicas = 1;
    let web = cluster.create(spec);
    cluster.start(web, 1..=1);
    cluster.renew(web);
    cluster.start(web, 2..=2);
    assert_eq!(cluster.decide().0.placed, 2);
    assert_eq!(cluster.schedule().placed, 2);
    assert_eq!(cluster.counts(web, &["a", "b"]), [1, 1]);
}

#[test]
fn a_node_that_left_with_its_tasks_is_no_obstacle_to_the_next_one() {
    let mut cluster = Cluster::founded(Vec::new());
    for name in ["a", "b"] {
        cluster.add(node(name));
    }
    let web = cluster.run(service("web"), 4);
    cluster.commit(vec![Change::RemoveNode {
        id: node_id("b"),
        force: true,
        deny_until: Time::ZERO,
    }]);
    cluster.start(web, 5..=6);
    assert_eq!(cluster.schedule().placed, 2);
    cluster.add(node("c"));
    cluster.start(web, 7..=9);
    assert_eq!(cluster.schedule().placed, 3);
    assert_eq!(cluster.counts(web, &["a", "c"]), [4, 3]);
}
