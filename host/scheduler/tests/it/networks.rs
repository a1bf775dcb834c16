//! Tasks on networks between nodes.

use std::sync::Arc;

use swarmw_model::{
    Driver, FEATURE_LEVEL, NetworkAttachmentConfig, NetworkId, NetworkSpec, OVERLAY, Pool,
    ServiceId, ServiceSpec, TaskSpec, Time, Version,
};
use swarmw_scheduler::Supply;
use swarmw_state::Change;

use crate::cluster::*;

const NET: NetworkId = NetworkId::from_bits(5);

/// A founded cluster with a network; its manager takes no tasks.
fn with_network() -> Cluster {
    let mut cluster = Cluster::founded(Vec::new());
    cluster.commit(vec![Change::CreateNetwork(Box::new(swarmw_model::Network {
        id: NET,
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NetworkSpec {
            name: "web".into(),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            ..NetworkSpec::default()
        },
        pools: vec![Pool::of("10.9.0.0/24".parse().expect("a subnet")).expect("room")],
        vni: 5_000,
    }))]);
    cluster
}

fn on_network(mut spec: ServiceSpec) -> ServiceSpec {
    let target = NET.to_string();
    template(&mut spec).networks =
        vec![NetworkAttachmentConfig { target, ..NetworkAttachmentConfig::default() }];
    spec
}

/// What the tasks that wait are told.
fn told(changes: &[Change]) -> Vec<String> {
    let error = |change: &Change| match change {
        Change::Task(change) => change.status.as_ref().map(|status| status.error.to_string()),
        _ => None,
    };
    changes.iter().filter_map(error).collect()
}

#[test]
fn a_node_whose_swarmw_knows_no_networks_gets_no_task_that_is_on_one() {
    let mut cluster = with_network();
    cluster.add(node("a"));
    let plain = cluster.create(service("plain"));
    let joined = cluster.create(on_network(service("joined")));
    cluster.start(plain, [1]);
    cluster.start(joined, [1]);
    let (pass, changes) = cluster.decide();
    assert_eq!((pass.placed, pass.waiting), (1, 1));
    let why = "no suitable node (1 node not available for new tasks; swarmw too old for networks \
               on 1 node)";
    assert_eq!(told(&changes), [why]);
    cluster.describe("a", |description| {
        description.hostname = "upgraded".into();
        description.feature_level = FEATURE_LEVEL;
    });
    let (pass, _) = cluster.decide();
    assert_eq!(pass.placed, 2);
}

/// Enough of something for so many tasks of any service on a network.
struct Only(usize);

impl Supply for Only {
    fn enough(
        &mut self,
        _: ServiceId,
        _: &TaskSpec,
        wanted: usize,
    ) -> Result<(), (usize, Arc<str>)> {
        if wanted <= self.0 { Ok(()) } else { Err((self.0, "none is free".into())) }
    }
}

#[test]
fn tasks_that_lack_something_else_take_no_room_from_others() {
    let mut cluster = with_network();
    let mut big = sized("a", 4, 0);
    big.description.feature_level = FEATURE_LEVEL;
    cluster.add(big);
    let first = cluster.create(on_network(reserving("first", 1, 0)));
    let second = cluster.create(reserving("second", 1, 0));
    cluster.start(first, 1..=4);
    cluster.start(second, 1..=3);
    let mut changes = Vec::new();
    let now = cluster.now();
    let Cluster { scheduler, state, policies, .. } = &mut cluster;
    let pass = scheduler.schedule_with(state, &mut changes, now, policies, &mut Only(1));
    assert_eq!((pass.placed, pass.waiting), (4, 3));
    assert_eq!(told(&changes), ["none is free"; 3]);

    // Of a global service each task has its node: whoever fits nowhere needs nothing.
    let mut cluster = with_network();
    for name in ["a", "b", "c"] {
        let mut node = node(name);
        node.description.feature_level = if name == "a" { 0 } else { FEATURE_LEVEL };
        cluster.add(node);
    }
    let mut everywhere = on_network(service("everywhere"));
    everywhere.mode = swarmw_model::ServiceMode::Global(Default::default());
    let everywhere = cluster.create(everywhere);
    ["a", "b", "c"].iter().for_each(|name| cluster.start_on(everywhere, name));
    let (mut changes, now) = (Vec::new(), cluster.now());
    let Cluster { scheduler, state, policies, .. } = &mut cluster;
    let pass = scheduler.schedule_with(state, &mut changes, now, policies, &mut Only(1));
    assert_eq!((pass.placed, pass.waiting), (1, 2));
    let mut told = told(&changes);
    told.sort();
    assert_eq!(told, ["none is free", "swarmw too old for networks on 1 node"]);
}
