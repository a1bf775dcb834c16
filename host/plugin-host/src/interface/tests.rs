//! An older minor version goes on working behind its adapter.

use std::sync::Arc;

use bytes::Bytes;
use swarmw_model::{Blob, Plugin, PluginId, PluginKind, PluginRelease};
use swarmw_scheduler::{Policies, TupleColumn, Tuples};

use super::*;
use crate::compile::digest_of;
use crate::{COMPONENT, Compiler, Inspected, PluginHost, inspect};

const GOLDEN: &[u8] = include_bytes!("../../tests/golden/0.0/constraint.wasm");

fn compiler(folder: &tempfile::TempDir) -> Compiler {
    Compiler::in_process(folder.path().to_owned(), [1; 32])
}

#[test]
fn a_component_of_an_older_minor_is_added_and_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let inspected = inspect(GOLDEN, COMPONENT, &compiler(&folder)).expect("a plugin");
    let Inspected { kind, interface, name, metadata } = inspected;
    assert_eq!(
        (kind, interface.as_str(), name.as_str()),
        (PluginKind::Constraint, "0.0", "test/old")
    );

    let blob = Blob { digest: digest_of(GOLDEN), size: GOLDEN.len() as u64 };
    let release = PluginRelease { interface, ..PluginRelease::new(blob, metadata) };
    let plugin = Plugin::new(PluginId::from_bits(1), name, kind, release);
    let mut host = PluginHost::new(compiler(&folder));
    assert_eq!(host.set_plugins(vec![(plugin, Bytes::from_static(GOLDEN))]), []);
    let none = Default::default();
    let constraint = host.constraint("old==n", &none).expect("compiles");
    assert_eq!(&*constraint.reason, "another beginning");
    let values: Vec<Option<Arc<str>>> = (0..130)
        .map(|row| match row % 3 {
            0 => Some("n1".into()),
            1 => Some("m1".into()),
            _ => None,
        })
        .collect();
    let column = TupleColumn { read_as: constraint.reads[0].read_as, values };
    let batch = Tuples { rows: 130, columns: vec![column] };
    let verdicts = host.test(&constraint, &batch).expect("verdicts");
    let want: Vec<bool> = (0..130).map(|row| row % 3 == 0).collect();
    assert_eq!(verdicts, want);
    let refused = host.constraint("old==", &none).expect_err("refused").to_string();
    assert_eq!(refused, "want old==PREFIX");
    assert!(host.lines("test/old", 0).iter().any(|line| line.text == "reads old==n"));
}

#[test]
fn a_component_for_a_version_that_is_not_spoken_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    // The name is as long as before, so the component is whole.
    let text = b"swarmw:constraint/constraint@0.0.0";
    let mut newer = GOLDEN.to_vec();
    while let Some(at) = newer.windows(text.len()).position(|w| w == text) {
        newer[at + text.len() - 3] = b'9';
    }
    let said = inspect(&newer, COMPONENT, &compiler(&folder)).expect_err("refused").to_string();
    assert_eq!(
        said,
        "the component was built for version 0.9 of the plugin interface \
         (swarmw:constraint/constraint@0.9.0); this swarmw speaks 0.1 and 0.0: build it with an \
         SDK of that version, or use a swarmw that speaks 0.9"
    );
}

#[test]
fn exports_tell_the_kind_and_the_newest_version_spoken() {
    let kind_of = |names: &[&str]| kind(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    let constraint = |version: &str| format!("swarmw:constraint/constraint@{version}");
    for (exports, want) in [
        (vec![constraint("0.1.0")], Some(Minor::V0_1)),
        (vec![constraint("0.1.7")], Some(Minor::V0_1)),
        (vec![constraint("0.0.0"), constraint("0.1.0"), constraint("0.2.0")], Some(Minor::V0_1)),
        (vec![constraint("0.2.0"), constraint("0.0.0")], Some(Minor::V0_0)),
        (vec![constraint("0.10.0")], None),
        (vec![constraint("1.0.0")], None),
    ] {
        let names: Vec<&str> = exports.iter().map(String::as_str).collect();
        let found = kind_of(&names).ok();
        assert_eq!(found, want.map(|minor| (PluginKind::Constraint, minor)), "{exports:?}");
    }
    for names in [
        &[][..],
        &["run"],
        &["swarmw:constraint/constraint"],
        &["swarmw:constraint/constraint@0.1.0", "swarmw:volume/volume@0.1.0"],
    ] {
        assert!(matches!(kind_of(names), Err(NoPlugin::Exports { .. })), "{names:?}");
    }
}

#[test]
fn imports_are_ours_and_of_a_version_that_is_spoken() {
    let (good, newer) = ("swarmw:types/host@0.1.3", "swarmw:types/host@0.7.0");
    let list = |name: &str| vec![name.to_owned()];
    assert_eq!((check_authority(&list(good)), check_versions(&list(good))), (Ok(()), Ok(())));
    assert_eq!(check_authority(&list(newer)), Ok(()));
    assert!(matches!(check_versions(&list(newer)), Err(NoPlugin::Version { .. })));
    for name in ["wasi:cli/environment@0.2.3", "swarmw:types/secrets@0.1.0", "env"] {
        let imports = list(name);
        assert_eq!(check_authority(&imports.clone()), Err(NoPlugin::Imports { imports }), "{name}");
    }
}
