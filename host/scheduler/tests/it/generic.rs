//! Generic resources: counted, or given by name.

use std::collections::BTreeSet;

use swarmw_model::*;
use swarmw_state::{Change, TaskChange};

use crate::cluster::Cluster;
use crate::cluster::*;

fn of(text: &str) -> Vec<GenericResource> {
    parse_generic_resources(text.split_whitespace()).expect("resources")
}

/// A node that has these.
fn with(name: &str, has: &str) -> Node {
    let mut node = node(name);
    node.description.resources.generic_resources = of(has);
    node
}

/// A service whose tasks ask for these.
fn asking(name: &str, asks: &str) -> ServiceSpec {
    let mut spec = service(name);
    template(&mut spec).resources = Some(ResourceRequirements {
        reservations: Some(Resources { generic_resources: of(asks), ..Default::default() }),
        ..Default::default()
    });
    spec
}

/// What the service's tasks on a node were given, in the order of their slots.
fn given(cluster: &Cluster, service: ServiceId, node: &str) -> Vec<String> {
    let words = |task: &std::sync::Arc<Task>| {
        let words: Vec<_> = task.generic_resources.iter().map(ToString::to_string).collect();
        words.join(" ")
    };
    cluster.on(service, node).iter().map(words).collect()
}

#[test]
fn names_are_given_once_and_counts_until_they_are_used_up() {
    let mut cluster =
        Cluster::founded(vec![with("a", "gpu=x gpu=y ssd=3"), with("b", "gpu=1"), node("c")]);
    let web = cluster.run(asking("web", "gpu=1"), 4);
    assert_eq!(given(&cluster, web, "a"), ["gpu=x", "gpu=y"]);
    assert_eq!(given(&cluster, web, "b"), ["gpu=1"]);
    assert_eq!(
        cluster.why(web),
        "no suitable node (insufficient resources on 3 nodes; 1 node not available for new tasks)"
    );
    let disk = cluster.run(asking("disk", "ssd=2"), 2);
    assert_eq!(given(&cluster, disk, "a"), ["ssd=2"]);
    assert!(cluster.why(disk).contains("insufficient resources on 3 nodes"));
}

#[test]
fn what_a_task_had_is_given_again_once_it_has_ended() {
    let mut cluster = Cluster::founded(vec![with("a", "gpu=x gpu=y")]);
    let first = cluster.run(asking("first", "gpu=1"), 2);
    let second = cluster.run(asking("second", "gpu=1"), 1);
    let task = cluster.on(first, "a").remove(1);
    assert_eq!(task.generic_resources, of("gpu=y"));
    cluster.commit(vec![Change::Task(TaskChange::desire(task.id, TaskState::Shutdown))]);
    assert_eq!(cluster.schedule().placed, 0, "it may still be using it");
    cluster.report(&task, TaskState::Shutdown);
    assert_eq!(cluster.schedule().placed, 1);
    assert_eq!(given(&cluster, second, "a"), ["gpu=y"]);
}

#[test]
fn a_pass_that_is_not_committed_leaves_everything_as_it_was() {
    let mut cluster = Cluster::founded(vec![with("a", "gpu=x ssd=1")]);
    let web = cluster.create(asking("web", "gpu=1 ssd=1"));
    cluster.start(web, 1..=2);
    let (pass, _) = cluster.decide();
    assert_eq!((pass.placed, pass.waiting), (1, 1));
    cluster.scheduler.try_again();
    cluster.schedule();
    assert_eq!(given(&cluster, web, "a"), ["gpu=x ssd=1"]);
}

#[test]
fn a_new_leader_knows_what_tasks_have() {
    let mut cluster = Cluster::founded(vec![with("a", "gpu=x gpu=y")]);
    cluster.run(asking("first", "gpu=1"), 1);
    cluster.scheduler = swarmw_scheduler::Scheduler::new(&cluster.state);
    let second = cluster.run(asking("second", "gpu=1"), 2);
    assert_eq!(given(&cluster, second, "a"), ["gpu=y"]);
}

#[test]
fn tasks_of_a_global_service_are_given_theirs_too() {
    let mut cluster = Cluster::founded(vec![with("a", "gpu=x"), with("b", "gpu=0")]);
    let mut spec = asking("web", "gpu=1");
    spec.mode = ServiceMode::Global(Global {});
    let web = cluster.create(spec);
    cluster.start_on(web, "a");
    cluster.start_on(web, "b");
    cluster.schedule();
    assert_eq!(given(&cluster, web, "a"), ["gpu=x"]);
    assert_eq!(cluster.why(web), "insufficient resources on 1 node");
}

#[test]
fn a_node_that_gets_more_takes_what_waits() {
    let mut cluster = Cluster::founded(vec![node("a")]);
    let web = cluster.run(asking("web", "gpu=2"), 1);
    cluster.describe("a", |node| node.resources.generic_resources = of("gpu=3"));
    assert_eq!(cluster.schedule().placed, 1);
    assert_eq!(given(&cluster, web, "a"), ["gpu=2"]);
    // And one that has less than it gave takes nothing more.
    cluster.describe("a", |node| node.resources.generic_resources = of("gpu=1"));
    let more = cluster.run(asking("more", "gpu=1"), 1);
    assert!(cluster.on(more, "a").is_empty());
}

#[test]
fn no_name_is_given_twice_whatever_comes_and_goes() {
    let names = |name: &str| -> String { (0..5).map(|n| format!("gpu={name}{n} ")).collect() };
    let mut cluster = Cluster::founded(vec![with("a", &names("a")), with("b", &names("b"))]);
    for round in 0..12_u64 {
        let asks = 1 + round % 3;
        let web = cluster.run(asking(&format!("s{round}"), &format!("gpu={asks}")), 1 + round % 2);
        if round % 4 == 3
            && let Some(task) = cluster.tasks(web).into_iter().find(|t| t.node_id.is_some())
        {
            cluster.report(&task, TaskState::Failed);
        }
        let mut held = BTreeSet::new();
        for task in cluster.state.tasks().filter(|t| t.status.state <= TaskState::Running) {
            for one in &task.generic_resources {
                let node = task.node_id.expect("a node");
                assert!(held.insert((node, one.clone())), "round {round}: {one} twice");
            }
        }
    }
}
