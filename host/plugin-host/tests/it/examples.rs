//! The examples are built and taken as anyone's components.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use swarmw_model::Preference;
use swarmw_plugin_host::{PluginHost, Profile, engine, load};
use swarmw_scheduler::{Policies, Questions};

use crate::support::{added, compiler, scratch};

fn examples(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(kind)
}

#[test]
fn the_example_preference_packs() {
    let built = swarmw_guest_build::build_plugins(&examples("plugins"), &scratch("examples"));
    let pack = built.iter().find(|g| g.name == "pack").expect("pack");
    let mut host = PluginHost::new(compiler());
    host.set_plugins(vec![added(&fs::read(&pack.path).expect("a component"))]);
    let wanted = Preference { name: "pack".into(), argument: "node.labels.rack".into() };
    for (options, want) in [(vec![], [4, 2]), (vec![("pack.leave", "1")], [3, 3])] {
        let options = options.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let compiled = host.preference(&wanted, &options).expect("compiles");
        let ask = Questions {
            first: vec![0, 2],
            tasks: vec![6],
            cpu: vec![0],
            memory: vec![0],
            priority: vec![0],
            room: vec![4, 4],
            service_tasks: vec![0, 0],
            total_tasks: vec![0, 0],
            failures: vec![0, 0],
            weight: vec![0.0, 0.0],
            extra: vec![],
        };
        assert_eq!(host.allocate(&compiled, &ask).expect("within bounds").counts, want);
    }
}

#[test]
fn the_example_tasks_compile_and_load() {
    let engine = engine(Profile::Task).expect("an engine");
    let built = swarmw_guest_build::build_tasks(&examples("tasks"), &scratch("examples"));
    for (name, export) in [
        ("hello-ask", "wasi:cli/run@0.2."),
        ("hello-cli", "wasi:cli/run@0.2."),
        ("hello-http", "wasi:http/incoming-handler@0.2."),
    ] {
        let task = built.iter().find(|g| g.name == name).expect(name);
        let bytes = fs::read(&task.path).expect("a component");
        let hex: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let compiler = compiler();
        let path =
            compiler.compiled(Profile::Task, &format!("sha256:{hex}"), &bytes).expect("compiles");
        let component = load(&engine, compiler.key(), &path).expect("loads");
        let ty = component.component_type();
        let exports: Vec<_> = ty.exports(&engine).map(|(name, _)| name.to_owned()).collect();
        assert!(exports.iter().any(|e| e.starts_with(export)), "{name}: {exports:?}");
    }
}
