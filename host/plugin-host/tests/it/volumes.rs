use std::collections::BTreeMap;

use swarmw_plugin_host::volumes::{NamedVolume, Node, Scope, Step, VolumeFailure};

use crate::support::host;

fn volume(driver: &str, options: &[(&str, &str)]) -> NamedVolume {
    NamedVolume {
        driver: driver.into(),
        name: "data".into(),
        options: options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn node(engine: bool) -> Node {
    Node { hostname: "n1".into(), engine }
}

#[test]
fn local_volumes_are_planned_for_both_kinds_of_nodes() {
    let host = host();
    let local = volume("local", &[]);
    assert_eq!(host.volume_check(&local), Ok(Scope::Local));
    let bare = host.volume_plan_mount(&local, &node(false), false).expect("a plan");
    assert!(matches!(&bare[..], [Step::Directory(_), Step::Subpath(p)] if p == "data"));
    let engine = host.volume_plan_mount(&local, &node(true), false).expect("a plan");
    assert!(matches!(&engine[..], [Step::EngineVolume(v)] if v.name == "data"));
    let removal = host.volume_plan_remove(&local, &node(false)).expect("a plan");
    assert!(matches!(&removal[..], [Step::RemoveTree(_)]));
}

#[test]
fn drivers_and_options_that_do_not_exist_are_told_apart() {
    let host = host();
    assert!(host.has_volume_driver("local") && !host.has_volume_driver("nfs"));
    let unclaimed = host.volume_check(&volume("nfs", &[]));
    assert!(matches!(unclaimed, Err(VolumeFailure::Unclaimed { .. })));
    let refused = host.volume_check(&volume("local", &[("colour", "red")])).expect_err("refused");
    assert!(refused.to_string().starts_with("unknown option colour: it has type ("), "{refused}");
    let grown = host.volume_expand(&volume("local", &[]), &node(true), 1 << 30);
    assert!(matches!(grown, Err(VolumeFailure::Unsupported { .. })));
}
