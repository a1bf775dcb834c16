//! Components as they were built when their interface was released go on working. That
//! of a version before the first is `interface/tests.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use swarmw_model::{PluginKind, Preference};
use swarmw_orchestrator::{Policy, UpdatePolicies};
use swarmw_plugin_host::{COMPONENT, PluginHost, inspect, volumes::NamedVolume};
use swarmw_scheduler::{Plan, Policies, Questions};

use crate::support::{added, compiler, no_options};

fn golden(minor: &str, kind: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(minor).join(kind).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_kind_of_interface_0_1_is_recognised_and_answers() {
    let kinds = [
        ("constraint", PluginKind::Constraint),
        ("preference", PluginKind::Preference),
        ("update", PluginKind::UpdatePolicy),
        ("volume", PluginKind::VolumeDriver),
    ];
    let mut host = PluginHost::new(compiler());
    let mut plugins = Vec::new();
    for (name, kind) in kinds {
        let bytes = golden("0.1", name);
        let said = inspect(&bytes, COMPONENT, &compiler()).expect(name);
        assert_eq!((said.kind, said.interface.as_str()), (kind, "0.1"), "{name}");
        plugins.push(added(&bytes));
    }
    assert_eq!(host.set_plugins(plugins), []);

    let constraint = host.constraint("node.role==worker", &no_options()).expect("compiles");
    assert!(matches!(&constraint.plan, Plan::Equals(wanted) if wanted.values == ["worker"]));
    let spread = Preference { name: "spread".into(), argument: "node.labels.az".into() };
    let spread = host.preference(&spread, &no_options()).expect("compiles");
    let questions = Questions {
        first: vec![0],
        tasks: vec![4],
        cpu: vec![0],
        memory: vec![0],
        priority: vec![0],
        room: vec![9, 9],
        service_tasks: vec![0, 2],
        total_tasks: vec![0, 2],
        failures: vec![0, 0],
        weight: vec![0.0, 0.0],
        extra: Vec::new(),
    };
    assert_eq!(host.allocate(&spread, &questions).expect("counts").counts, [3, 1]);
    let policy = Policy { failure_action: "pause".into(), parallelism: 1, ..Policy::default() };
    let needs = host.check(&policy).expect("needs");
    assert!(!needs.targets);
    let volume =
        NamedVolume { driver: "local".into(), name: "data".into(), options: BTreeMap::new() };
    host.volume_check(&volume).expect("a scope");
    for name in ["swarmw/constraint", "swarmw/spread", "swarmw/update", "swarmw/local-volume"] {
        let used = host.used(name).expect(name);
        assert_eq!((used.faults(), used.count() > 0), (0, true), "{name}");
    }
}
