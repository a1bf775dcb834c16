//! Random clusters against brute force: nothing hard is ever violated, and a task
//! waits only where no node fits.

use proptest::prelude::*;
use swarmw_model::*;

use crate::cluster::Cluster;
use crate::cluster::*;

#[derive(Clone, Debug)]
struct RandomNode {
    cpus: i64,
    zone: u8,
    active: bool,
}

#[derive(Clone, Debug)]
struct RandomService {
    tasks: u64,
    cpus: i64,
    not_zone: Option<u8>,
    max: u64,
    port: Option<u16>,
    spread: bool,
}

prop_compose! {
    fn random_node()(cpus in 0..6i64, zone in 0..3u8, active in prop::bool::weighted(0.85)) -> RandomNode {
        RandomNode { cpus, zone, active }
    }
}

prop_compose! {
    fn random_service()(
        tasks in 1..8u64,
        cpus in 0..3i64,
        not_zone in prop::option::of(0..3u8),
        max in 0..3u64,
        port in prop::option::weighted(0.2, 80..82u16),
        spread in any::<bool>(),
    ) -> RandomService {
        RandomService { tasks, cpus, not_zone, max, port, spread }
    }
}

fn spec(name: String, random: &RandomService) -> ServiceSpec {
    let mut spec = reserving(&name, random.cpus, 0);
    if let Some(port) = random.port {
        spec.endpoint_spec = publishing("x", port).endpoint_spec;
    }
    let wanted = placement(&mut spec);
    wanted.max_replicas = random.max;
    wanted.constraints =
        random.not_zone.map(|z| format!("node.labels.zone!={z}")).into_iter().collect();
    if random.spread {
        wanted.preferences = placement(&mut self::spread("x", &["zone"])).preferences.clone();
    }
    spec
}

/// Whether the node takes one more task of the service, by looking at everything.
fn fits(cluster: &Cluster, node: &Node, id: ServiceId, random: &RandomService) -> bool {
    let here: Vec<_> = cluster.state.tasks_of_node(node.id).collect();
    let reserved: i64 = here.iter().map(|t| t.spec.reserved().0).sum();
    let free = node.description.resources.nano_cpus - reserved;
    let mine = here.iter().filter(|t| t.service_id == id).count() as u64;
    let ports = here.iter().flat_map(|t| &t.service.ports).map(|p| p.published_port);
    let zone = &node.spec.labels["zone"];
    node.takes_tasks()
        && free >= random.cpus * 1_000_000_000
        && random.not_zone.is_none_or(|z| *zone != z.to_string())
        && (random.max == 0 || mine < random.max)
        && random.port.is_none_or(|port| !ports.clone().any(|p| p == port))
}

fn check(cluster: &Cluster, services: &[(ServiceId, RandomService)]) {
    for node in cluster.state.nodes() {
        let here: Vec<_> = cluster.state.tasks_of_node(node.id).collect();
        let reserved: i64 = here.iter().map(|t| t.spec.reserved().0).sum();
        assert!(reserved <= node.description.resources.nano_cpus, "too much reserved");
        let mut ports: Vec<_> =
            here.iter().flat_map(|t| &t.service.ports).map(|p| p.published_port).collect();
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all, "one port twice");
        assert!(here.is_empty() || node.takes_tasks());
    }
    for (id, random) in services {
        for node in cluster.state.nodes() {
            let mine =
                cluster.state.tasks_of_node(node.id).filter(|t| t.service_id == *id).count() as u64;
            assert!(random.max == 0 || mine <= random.max, "more than max replicas");
            let zone = &node.spec.labels["zone"];
            assert!(mine == 0 || random.not_zone.is_none_or(|z| *zone != z.to_string()));
        }
        let waits = cluster.tasks(*id).iter().any(|t| t.node_id.is_none());
        let place = cluster.state.nodes().find(|n| fits(cluster, n, *id, random));
        assert!(!waits || place.is_none(), "waits though {place:?} fits: {random:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_hard_is_violated_and_tasks_wait_only_where_nothing_fits(
        nodes in prop::collection::vec(random_node(), 1..8),
        waves in prop::collection::vec(prop::collection::vec(random_service(), 1..6), 1..3),
    ) {
        let build = |(n, random): (usize, &RandomNode)| {
            let mut node = sized(&format!("n{n}"), random.cpus, 0);
            node.spec.labels.insert("zone".into(), random.zone.to_string());
            if !random.active {
                node.spec.availability = Availability::Pause;
            }
            node
        };
        let mut cluster = Cluster::new(nodes.iter().enumerate().map(build).collect());
        let mut services = Vec::new();
        for wave in waves {
            for random in wave {
                let id = cluster.create(spec(format!("s{}", services.len()), &random));
                cluster.start(id, 1..=random.tasks);
                services.push((id, random));
            }
            cluster.schedule();
            check(&cluster, &services);
        }
        let (pass, changes) = cluster.decide();
        prop_assert_eq!((pass.placed, changes.len()), (0, 0));
        // A leader that starts anew sees the same cluster.
        cluster.scheduler = swarmw_scheduler::Scheduler::new(&cluster.state);
        prop_assert_eq!(cluster.schedule().placed, 0);
        check(&cluster, &services);
    }
}
