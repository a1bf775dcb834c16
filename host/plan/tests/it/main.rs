//! Wishes on a small cluster, with native policies.

mod policies;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use swarmw_model::*;
use swarmw_plan::{Asked, foresee, grant};
use swarmw_state::{Change, State, TaskChange, Transaction};

use self::policies::{OneByOne, Places};

const NOW: Time = Time::from_nanos(1_763_682_093_000_000_000);
/// Of each node.
const CPUS: i64 = 4;

/// A cluster whose services run.
struct World {
    state: State,
    ids: u128,
    updates: OneByOne,
}

// === impl World ===

impl World {
    /// Nodes of these names, with [`CPUS`] each; the last letter is their zone.
    fn new(nodes: &[&str]) -> Self {
        let cluster = Cluster {
            id: ClusterId::from_bits(1),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: ClusterSpec::default(),
            root_ca: RootCa::default(),
            join_tokens: JoinTokens::default(),
            unlock_key: None,
            removed_nodes: BTreeMap::new(),
            feature_level: FEATURE_LEVEL,
            address_pools: AddressPools::default(),
            data_path_port: DATA_PATH_PORT,
        };
        let mut nodes = nodes.iter().zip(1..).map(|(name, number)| node(name, number));
        let first = Change::InitCluster {
            cluster: Box::new(cluster),
            node: Box::new(nodes.next().expect("a node")),
            plugins: Vec::new(),
        };
        let mut world = Self { state: State::default(), ids: 1_000, updates: OneByOne::default() };
        world.write(first);
        nodes.for_each(|node| world.write(Change::AddNode(Box::new(node))));
        world
    }

    fn write(&mut self, change: Change) {
        let transaction = Transaction { at: NOW, request: None, changes: vec![change] };
        self.state.apply(self.state.index() + 1, &transaction);
    }

    /// What would come of these services, and of the removal of those.
    fn plan(&mut self, services: &[Value], removed: &[&str]) -> Result<Outlook, Refusal> {
        self.plan_all(Wish {
            services: services.iter().map(spec).collect(),
            removed: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..Wish::default()
        })
    }

    fn plan_all(&mut self, mut wish: Wish) -> Result<Outlook, Refusal> {
        let ids = &mut self.ids;
        let mut random = || {
            *ids += 1;
            *ids
        };
        let then = grant(&self.state, &mut wish, NOW, &mut random)?;
        let asked = Asked { placement: &mut Places, updates: &mut self.updates };
        Ok(foresee(&self.state, then, &wish, NOW, asked, &mut random))
    }

    /// Has a service with tasks that run on these nodes.
    fn run(&mut self, service: &Value, on: &[&str]) {
        let spec = spec(service);
        self.ids += 1;
        let id = ServiceId::from_bits(self.ids);
        self.write(Change::CreateService { id, spec: Box::new(spec) });
        let spec_version = self.state.service(id).expect("made").spec_version;
        for (name, slot) in on.iter().zip(1..) {
            let node = self.state.nodes().find(|n| n.description.hostname == *name);
            self.ids += 1;
            let task = TaskId::from_bits(self.ids);
            self.write(Change::CreateTask(swarmw_state::NewTask {
                generic_resources: Vec::new(),
                id: task,
                service: id,
                spec_version,
                slot: Slot::Replica(slot),
                node: Some(node.expect("a node").id),
                desired: TaskState::Running,
                error: "".into(),
                attachments: Vec::new(),
            }));
            let status =
                TaskStatus { timestamp: NOW, state: TaskState::Running, ..Default::default() };
            self.write(Change::Task(TaskChange { status: Some(status), ..TaskChange::of(task) }));
        }
    }
}

fn node(name: &str, number: u128) -> Node {
    let zone = name.chars().last().expect("a name").to_string();
    Node {
        id: NodeId::from_bits(number),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec {
            labels: BTreeMap::from([("zone".to_owned(), zone)]),
            ..NodeSpec::default()
        },
        description: NodeDescription {
            hostname: name.to_owned(),
            resources: Resources { nano_cpus: CPUS * 1_000_000_000, ..Resources::default() },
            ..NodeDescription::default()
        },
        status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
        role: NodeRole::Worker,
        member: None,
        number: 0,
    }
}

fn spec(json: &Value) -> ServiceSpec {
    serde_json::from_value(json.clone()).expect("a spec")
}

/// A service of so many replicas of an image.
fn service(name: &str, image: &str, replicas: u64) -> Value {
    json!({
        "Name": name,
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ContainerSpec": {"Image": image}},
        "UpdateConfig": {"Parallelism": 1, "Delay": 10_000_000_000_u64,
            "FailureAction": "pause", "Order": "stop-first"},
    })
}

/// The same, where the zone is this one, with so many CPUs for each task.
fn in_zone(mut service: Value, zone: &str, cpus: i64) -> Value {
    let constraint = format!("node.labels.zone=={zone}");
    service["TaskTemplate"]["Placement"] = json!({"Constraints": [constraint]});
    if cpus > 0 {
        service["TaskTemplate"]["Resources"] =
            json!({"Reservations": {"NanoCPUs": cpus * 1_000_000_000}});
    }
    service
}

fn only(outlook: &Outlook) -> &ServiceOutlook {
    let [one] = &outlook.services[..] else { panic!("one service: {outlook:#?}") };
    one
}

fn placed(one: &ServiceOutlook) -> Vec<(&str, u64)> {
    one.placed.iter().map(|(node, count)| (node.as_str(), *count)).collect()
}

#[test]
fn a_new_service_is_placed_and_what_has_no_place_waits_with_its_reason() {
    let mut world = World::new(&["n-a", "n-b"]);
    let outlook = world.plan(&[service("web", "x", 4)], &[]).expect("granted");
    let web = only(&outlook);
    assert_eq!((web.act, web.added), (PlannedAct::Create, 4));
    assert_eq!(placed(web), [("n-a", 2), ("n-b", 2)]);
    assert!(outlook.is_settled && web.changes.is_empty() && web.pending.is_empty());

    let tight = in_zone(service("tight", "x", 5), "b", 1);
    let outlook = world.plan(&[tight], &[]).expect("granted");
    let tight = only(&outlook);
    assert_eq!(placed(tight), [("n-b", 4)]);
    let waiting: Vec<_> = tight.pending.iter().collect();
    let [(reason, 1)] = waiting[..] else { panic!("one waits: {tight:#?}") };
    assert!(reason.contains("insufficient resources on 1 node"), "{reason}");
}

#[test]
fn an_update_is_played_to_its_end_with_the_time_that_it_takes() {
    let mut world = World::new(&["n-a", "n-b"]);
    world.run(&service("web", "x:1", 3), &["n-a", "n-a", "n-b"]);
    let outlook = world.plan(&[service("web", "x:2", 3)], &[]).expect("granted");
    let web = only(&outlook);
    assert_eq!((web.act, web.replaced, web.kept, web.added), (PlannedAct::Update, 3, 0, 0));
    let change = &web.changes[0];
    assert_eq!(change.field, "TaskTemplate.ContainerSpec.Image");
    assert_eq!(
        (change.old.as_ref(), change.new.as_ref()),
        (Some(&json!("x:1")), Some(&json!("x:2")))
    );
    assert_eq!(web.placed.values().sum::<u64>(), 3);
    // One by one, with a delay between two.
    assert!(outlook.duration >= Duration::from_secs(20), "{}", outlook.duration);
    assert!(outlook.is_settled);

    let outlook = world.plan(&[service("web", "x:1", 3)], &[]).expect("granted");
    assert!(only(&outlook).is_quiet(), "the same again is nothing: {outlook:#?}");
}

#[test]
fn tasks_move_where_a_constraint_leads_and_stay_where_it_is_satisfied() {
    let mut world = World::new(&["n-a", "n-b"]);
    world.run(&service("web", "x", 2), &["n-a", "n-b"]);
    let outlook = world.plan(&[in_zone(service("web", "x", 2), "b", 0)], &[]).expect("granted");
    let web = only(&outlook);
    assert_eq!(placed(web), [("n-b", 2)]);
    let moves: Vec<_> =
        web.moved.iter().map(|m| (m.task.as_str(), m.from.as_str(), m.to.as_str())).collect();
    assert_eq!(moves, [("web.1", "n-a", "n-b")]);
}

#[test]
fn scaling_and_removal_stop_tasks_and_make_room_for_others() {
    let mut world = World::new(&["n-b"]);
    world.run(&in_zone(service("old", "x", 4), "b", 1), &["n-b"; 4]);
    world.run(&in_zone(service("waits", "x", 1), "b", 1), &[]);
    let outlook = world.plan(&[in_zone(service("old", "x", 1), "b", 1)], &[]).expect("granted");
    let [old, waits] = &outlook.services[..] else { panic!("two: {outlook:#?}") };
    assert_eq!((old.act, old.stopped, old.kept), (PlannedAct::Update, 3, 1));
    // Nobody wished for it, and it is told all the same.
    assert_eq!((waits.name.as_str(), waits.act, waits.added), ("waits", PlannedAct::Keep, 1));

    let outlook = world.plan(&[], &["old"]).expect("granted");
    assert_eq!(outlook.services[0].act, PlannedAct::Remove);
    assert_eq!(outlook.services[0].stopped, 4);
    let refused = world.plan(&[], &["nobody"]).expect_err("refused");
    assert_eq!(refused.message, "service nobody not found");
}

#[test]
fn what_is_to_be_made_may_be_named_and_what_is_missing_is_refused() {
    let mut world = World::new(&["n-a"]);
    let mut web = service("web", "x", 1);
    web["TaskTemplate"]["ContainerSpec"]["Secrets"] = json!([{"SecretName": "key",
        "File": {"Name": "key", "UID": "0", "GID": "0", "Mode": 292}}]);
    let refused = world.plan(&[web.clone()], &[]).expect_err("refused");
    assert_eq!(refused.message, "service web: secret key not found");
    let wish =
        Wish { secrets: vec!["key".to_owned()], services: vec![spec(&web)], ..Wish::default() };
    let outlook = world.plan_all(wish).expect("granted");
    assert_eq!(only(&outlook).added, 1);
}

#[test]
fn an_update_that_stops_says_why() {
    let mut world = World::new(&["n-a"]);
    world.updates.pauses = true;
    world.run(&service("web", "x:1", 2), &["n-a", "n-a"]);
    let outlook = world.plan(&[service("web", "x:2", 2)], &[]).expect("granted");
    let web = only(&outlook);
    assert_eq!((web.replaced, web.kept), (0, 2));
    assert!(web.trouble.contains("not on a Friday"), "{web:#?}");
}
