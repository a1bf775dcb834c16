//! What each filter lets pass and says.

use std::collections::BTreeMap;

use swarmw_model::*;
use swarmw_state::Change;

use crate::cluster::Cluster;
use crate::cluster::*;

/// A node and a service that passes, each with one thing changed.
#[test]
fn each_filter_says_why() {
    type Edit = (fn(&mut Node), fn(&mut ServiceSpec), &'static str);
    let cases: &[Edit] = &[
        (
            |n| n.spec.availability = Availability::Drain,
            |_| {},
            "1 node not available for new tasks",
        ),
        (
            |n| n.spec.availability = Availability::Pause,
            |_| {},
            "1 node not available for new tasks",
        ),
        (
            |n| n.description.trouble = "the engine is away".into(),
            |_| {},
            "1 node not available for new tasks",
        ),
        (|_| {}, |s| *s = reserving("web", 0, 1), "insufficient resources on 1 node"),
        (
            |n| n.description.engine.engine_version = "28".into(),
            |s| template(s).container_spec = Some(volume("nfs")),
            "missing plugin on 1 node",
        ),
        (
            |n| n.description.engine.plugins = vec![plugin("Log", "json-file")],
            |s| template(s).log_driver = Some(Driver { name: "gelf".into(), ..Default::default() }),
            "missing plugin on 1 node",
        ),
        (
            |_| {},
            |s| *s = constrained("web", &["node.role==manager"]),
            "scheduling constraints not satisfied on 1 node",
        ),
        (
            |n| n.description.platform.architecture = "aarch64".into(),
            |s| {
                placement(s).platforms =
                    vec![Platform { architecture: "amd64".into(), os: "linux".into() }]
            },
            "unsupported platform on 1 node",
        ),
        (
            |n| n.description.platform.architecture = "x86_64".into(),
            |s| {
                template(s).container_spec = Some(ContainerSpec {
                    image: "hello.wasm@sha256:ab".into(),
                    ..Default::default()
                })
            },
            "unsupported platform on 1 node",
        ),
    ];
    for (edit_node, edit_spec, why) in cases {
        let mut machine = node("a");
        edit_node(&mut machine);
        let mut cluster = Cluster::new(vec![machine]);
        let mut spec = service("web");
        edit_spec(&mut spec);
        let web = cluster.run(spec, 1);
        assert_eq!(cluster.why(web), format!("no suitable node ({why})"));
    }
}

fn volume(driver: &str) -> ContainerSpec {
    ContainerSpec {
        mounts: vec![Mount {
            kind: MountKind::Volume,
            volume_options: Some(VolumeOptions {
                driver_config: Some(Driver { name: driver.into(), ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn plugin(kind: &str, name: &str) -> EnginePlugin {
    EnginePlugin { kind: kind.into(), name: name.into() }
}

#[test]
fn an_uploaded_component_lands_where_wasm_runs() {
    let mut wasm = node("b");
    wasm.description.runs = vec![Platform::wasm()];
    let mut cluster = Cluster::new(vec![node("a"), wasm]);
    cluster.describe("a", |d| d.platform.architecture = "x86_64".into());
    let mut spec = service("web");
    template(&mut spec).container_spec =
        Some(ContainerSpec { image: "hello.wasm@sha256:ab".into(), ..Default::default() });
    let web = cluster.run(spec, 2);
    assert_eq!(cluster.counts(web, &["a", "b"]), [0, 2]);
}

#[test]
fn an_image_wants_an_engine_which_a_node_with_wasm_alone_does_not_have() {
    let mut wasm = node("a");
    wasm.description.runs = vec![Platform::wasm()];
    let mut cluster = Cluster::new(vec![wasm]);
    let mut spec = service("web");
    template(&mut spec).container_spec =
        Some(ContainerSpec { image: "redis:7".into(), ..Default::default() });
    let web = cluster.run(spec, 1);
    assert_eq!(cluster.why(web), "no suitable node (unsupported platform on 1 node)");
}

#[test]
fn a_volume_driver_is_the_engines_or_a_component_of_the_cluster() {
    let mut cluster = Cluster::new(vec![node("a")]);
    cluster.describe("a", |d| d.engine.engine_version = "28".into());
    let mut spec = service("web");
    template(&mut spec).container_spec = Some(volume("nfs"));
    let web = cluster.run(spec, 1);
    assert_eq!(cluster.why(web), "no suitable node (missing plugin on 1 node)");

    // The engine gets the plugin.
    cluster.describe("a", |d| d.engine.plugins = vec![plugin("Volume", "nfs:latest")]);
    assert_eq!(cluster.schedule().placed, 1);

    // Another driver comes as a component.
    let mut spec = service("other");
    template(&mut spec).container_spec = Some(volume("zfs"));
    let other = cluster.run(spec, 1);
    assert_eq!(cluster.on(other, "a").len(), 0);
    let metadata = PluginMetadata {
        version: "1.0.0".into(),
        summary: String::new(),
        claims: vec![PluginClaim::Name("zfs".into())],
        options: vec![],
        grants: vec![],
    };
    let mut release = PluginRelease::new(Blob { digest: "sha256:ab".into(), size: 1 }, metadata);
    release.granted = vec![GrantRequest::Helper("zfs-fuse".into())];
    let kind = PluginKind::VolumeDriver;
    let zfs = Plugin::new(PluginId::from_bits(1), "acme/zfs".into(), kind, release);
    cluster.commit(vec![Change::AddPlugin(Box::new(zfs))]);
    // It runs a program, which the node's admin has to allow.
    assert_eq!(cluster.schedule().placed, 0);
    let want = "no suitable node (volume helper zfs-fuse not allowed on 1 node, which `swarmw \
                daemon --volume-helper zfs-fuse=/path/to/zfs-fuse` allows)";
    assert_eq!(cluster.why(other), want);
    cluster.describe("a", |d| d.engine.plugins.push(plugin("VolumeHelper", "zfs-fuse")));
    assert_eq!(cluster.schedule().placed, 1);
}

#[test]
fn tasks_go_where_the_volumes_of_the_cluster_are_reached() {
    let mut cluster = Cluster::new(vec![node("a"), node("b")]);
    cluster.edit("b", |n| drop(n.labels.insert("zone".into(), "east".into())));
    let zone = |zone: &str| BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
    let spec = VolumeSpec {
        name: "data".into(),
        driver: Driver { name: "local".into(), ..Driver::default() },
        reachable: vec![zone("west"), zone("east")],
        ..VolumeSpec::default()
    };
    let volume = ClusterVolume::new(VolumeId::from_bits(1), spec);
    cluster.commit(vec![Change::CreateVolume(Box::new(volume))]);
    let mut spec = service("web");
    let mount = Mount { source: "data".into(), target: "/data".into(), ..Default::default() };
    let container = ContainerSpec { mounts: vec![mount], ..Default::default() };
    template(&mut spec).container_spec = Some(container);
    let web = cluster.run(spec, 2);
    assert_eq!((cluster.on(web, "a").len(), cluster.on(web, "b").len()), (0, 2));

    cluster.edit("b", |n| drop(n.labels.insert("zone".into(), "north".into())));
    let mut more = service("more");
    let mount = Mount { source: "data".into(), target: "/data".into(), ..Default::default() };
    let container = ContainerSpec { mounts: vec![mount], ..Default::default() };
    template(&mut more).container_spec = Some(container);
    let more = cluster.run(more, 1);
    assert_eq!(cluster.why(more), "no suitable node (cannot reach its volumes on 2 nodes)");
}

#[test]
fn reasons_are_sorted_by_descending_count_and_a_node_counts_once() {
    let mut cluster =
        Cluster::new(vec![sized("a", 1, 0), sized("b", 1, 0), sized("c", 8, 0), sized("d", 1, 0)]);
    cluster.set_state("d", NodeState::Down);
    let mut spec = reserving("web", 4, 0);
    placement(&mut spec).constraints = vec!["node.role==manager".into()];
    let web = cluster.run(spec, 1);
    assert_eq!(
        cluster.why(web),
        "no suitable node (insufficient resources on 2 nodes; \
         1 node not available for new tasks; \
         scheduling constraints not satisfied on 1 node)"
    );
}

#[test]
fn a_cluster_without_nodes_has_nothing_to_explain() {
    let mut cluster = Cluster::new(vec![]);
    let web = cluster.run(service("web"), 1);
    assert_eq!(cluster.why(web), "no suitable node");
}
