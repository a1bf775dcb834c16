//! How soon the lists of a large cluster are answered: from the request on a unix socket to the
//! last byte, by the leader and by a follower. It prints figures and judges none.
//!
//! The state, the API and HTTP are the real ones. The leader and the follower are in this
//! process, and so a follower's way to the leader is a call: what it adds is that the answer
//! goes through two managers' hands, not what TLS and a network between them cost.
//!
//! `cargo xtask bars lists`

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use swarmw_model::{
    ContainerSpec, Driver, NetworkAttachmentConfig, NetworkId, NetworkSpec, NodeRole, OVERLAY,
    Replicated, ServiceId, ServiceMode, ServiceSpec, Slot, TaskId, TaskSpec, TaskState, TaskStatus,
};
use swarmw_state::{Change, NewTask, State, TaskChange, Transaction};

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/client.rs"]
mod client;
#[expect(dead_code, unused_imports, reason = "the tests use all of it")]
#[path = "../tests/it/fake/mod.rs"]
mod fake;
#[expect(dead_code, reason = "other benchmarks use all of it")]
#[path = "../../overlay/benches/common/times.rs"]
mod times;

use client::{Client, filters};
use fake::{NOW, SELF, Served, following, leader, serve_with};
use times::print_spread;

/// With tasks: each has a network of its own, and as many tasks.
const BUSY: u64 = 100;
const TASKS_EACH: u64 = 100;
/// Of one task each, in a cluster of their own.
const SERVICES: u64 = 5_000;
/// How often a short list is asked for, and a long one.
const SHORT_ROUNDS: usize = 500;
const LONG_ROUNDS: usize = 50;
/// Changes in one entry of the log.
const CHANGES_AT_ONCE: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let (busy, many) = (leader().await, leader().await);
    fill(&busy, BUSY, TASKS_EACH);
    fill(&many, SERVICES, 1);
    let of_one = format!("/tasks?{}", filters(r#"{"service":["s7"]}"#));
    for (who, busy, many) in [
        ("leader", busy.client.clone(), many.client.clone()),
        ("follower", follower(&busy).await, follower(&many).await),
    ] {
        let list = async |client: &Client, what: &str, path: &str, items: u64, rounds: usize| {
            ask(client, path, items).await;
            let (mut took, mut bytes) = (Vec::new(), 0);
            for _ in 0..rounds {
                let (one, size) = ask(client, path, items).await;
                took.push(one);
                bytes = size;
            }
            print_spread(&format!("{who}: {what}, {} kB", bytes / 1_000), took);
        };
        let all = BUSY * TASKS_EACH;
        list(&busy, "100 tasks of a service", &of_one, TASKS_EACH, SHORT_ROUNDS).await;
        list(&busy, "a page of 100 tasks out of 10,000", "/tasks?limit=100", 100, SHORT_ROUNDS)
            .await;
        list(&busy, "10,000 tasks", "/tasks", all, LONG_ROUNDS).await;
        list(&many, "5,000 services", "/services", SERVICES, LONG_ROUNDS).await;
        list(&many, "5,000 services, as `service ls`", "/services?status=1", SERVICES, LONG_ROUNDS)
            .await;
    }
}

/// Asks once: how long it takes, and how much it is.
async fn ask(client: &Client, path: &str, items: u64) -> (Duration, usize) {
    let started = Instant::now();
    let answer = client.get(path).await;
    let took = started.elapsed();
    let body = answer.json();
    assert_eq!(body.as_array().map(Vec::len), usize::try_from(items).ok(), "{path}");
    (took, answer.body.len())
}

/// Another manager of the same cluster, served until the process ends.
async fn follower(of: &Served) -> Client {
    let follower = serve_with(following(), of.fake.shared.clone()).await;
    *follower.fake.leader.lock().expect("nobody panicked") = Some(of.api.clone());
    let client = follower.client.clone();
    std::mem::forget(follower);
    client
}

fn fill(served: &Served, services: u64, tasks_each: u64) {
    let mut state = served.fake.shared.state.lock().expect("nobody panicked");
    for node in 1..=50_u128 {
        let name = format!("n{node}");
        let id = swarmw_model::NodeId::from_bits(node);
        let node = fake::node(id, &name, NodeRole::Worker);
        apply(&mut state, vec![Change::AddNode(Box::new(node))]);
    }
    for number in 0..services {
        let network = (services == BUSY).then(|| network(&mut state, number));
        let id = ServiceId::from_bits(scattered(number));
        let spec = Box::new(service(number, tasks_each, network));
        apply(&mut state, vec![Change::CreateService { id, spec }]);
        tasks(&mut state, id, number, tasks_each);
    }
}

/// One with room for its tasks.
fn network(state: &mut State, number: u64) -> NetworkId {
    let id = NetworkId::from_bits(scattered(number));
    let spec = NetworkSpec {
        name: format!("net{number}"),
        driver: Driver { name: OVERLAY.to_owned(), ..Driver::default() },
        ..NetworkSpec::default()
    };
    let network = fake::network::made(state, id, spec).expect("a network");
    apply(state, vec![Change::CreateNetwork(Box::new(network))]);
    id
}

fn service(number: u64, replicas: u64, network: Option<NetworkId>) -> ServiceSpec {
    let join = network.map(|id| NetworkAttachmentConfig {
        target: id.to_string(),
        ..NetworkAttachmentConfig::default()
    });
    let container = ContainerSpec {
        image: "registry.example.org/shop/web:1.27.3".to_owned(),
        args: ["--listen", "0.0.0.0:80", "--workers", "4"].map(str::to_owned).to_vec(),
        env: (0..8).map(|n| format!("SETTING_{n}=value-{n}")).collect(),
        ..ContainerSpec::default()
    };
    ServiceSpec {
        name: format!("s{number}"),
        labels: [("com.docker.stack.namespace".to_owned(), "shop".to_owned())].into(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(container),
            networks: join.into_iter().collect(),
            ..TaskSpec::default()
        }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
        ..ServiceSpec::default()
    }
}

/// Its tasks, all of which run.
fn tasks(state: &mut State, service: ServiceId, number: u64, many: u64) {
    let known = state.service(service).expect("made just now").clone();
    let mut given = BTreeSet::new();
    let mut changes = Vec::new();
    for slot in 1..=many {
        let id = TaskId::from_bits(scattered(number * many + slot));
        let attachments = fake::network::attachments(state, &known.spec.task_template, &mut given);
        changes.push(Change::CreateTask(NewTask {
            id,
            service,
            spec_version: known.spec_version,
            slot: Slot::Replica(slot),
            node: Some(SELF),
            desired: TaskState::Running,
            error: "".into(),
            attachments,
            generic_resources: Vec::new(),
        }));
        let status = TaskStatus {
            timestamp: NOW,
            state: TaskState::Running,
            message: "started".into(),
            ..TaskStatus::default()
        };
        changes.push(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(id) }));
    }
    for changes in changes.chunks(CHANGES_AT_ONCE) {
        apply(state, changes.to_vec());
    }
}

fn apply(state: &mut State, changes: Vec<Change>) {
    let index = state.index() + 1;
    state.apply(index, &Transaction { at: NOW, request: None, changes });
}

/// Spread over all ids, as random ones are.
fn scattered(n: u64) -> u128 {
    u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}
