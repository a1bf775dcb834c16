//! What operators type by mistake is answered with what to type.

use crate::main_job::HELLO;
use crate::plugins::{path, picky, refused};
use crate::support::{Registry, eventually, guest};

/// What people type by mistake is answered with what to type instead.
#[test]
fn what_is_no_plugin_or_no_task_is_refused_with_the_way_out() {
    let cluster = picky();
    let first = &cluster.nodes[0];
    let manifest = cluster.file("Cargo.toml", b"[package]\nname = \"x\"\n");
    let module = cluster.file("module.wasm", b"\0asm\x01\0\0\0");
    let hello = cluster.file("hello.wasm", HELLO).to_string_lossy().into_owned();
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    for (typed, told) in [
        (text(&manifest), "no WebAssembly component: it begins with"),
        (text(&module), "the file is a core module"),
        (hello, "it was built for a WASI target; `swarmw plugin build`"),
        (text(cluster.folder()), "is a folder: name the component in it"),
        (path("picky-one"), "`swarmw plugin upgrade test/picky"),
    ] {
        refused(&first.try_swarmw(&["plugin", "add", &typed]), &[told]);
    }
    let create = ["service", "create", "--detach", "--constraint", "in_subnets(10.0.0.0/8)"];
    let hello = cluster.file("hello.wasm", HELLO);
    let unclaimed = first.try_swarmw(&[&create[..], &[&hello.to_string_lossy()]].concat());
    let told = "no plugin claims the call in_subnets(…)";
    refused(&unclaimed, &["constraint expected one operator from ==, !=", told]);

    // A plugin has nothing to run.
    let plugin = cluster.file("picky.wasm", &std::fs::read(guest("picky-one")).expect("a guest"));
    let words = ["service", "create", "--detach", "--name", "task", &plugin.to_string_lossy()];
    refused(&first.try_swarmw(&words), &["wasi:cli/run", "swarmw plugin add"]);
    // Told by the node, where no command line has looked: rejected before it is compiled.
    let registry = Registry::start(cluster.spare_address());
    registry.push_component("apps/picky", "v1", &std::fs::read(guest("picky-one")).expect("it"));
    let image = format!("{}/apps/picky:v1", registry.address);
    first.swarmw(&["service", "create", "--detach", "--name", "task", &image]);
    eventually("the task is rejected", || {
        let listed = first.swarmw(&["service", "ps", "--no-trunc", "task"]);
        let told = listed.contains("Rejected") && listed.contains("it is a plugin");
        if told { Ok(()) } else { Err(listed) }
    });
}

/// Other bytes under the version there was are taken, for an author's sake, and said.
#[test]
fn an_upgrade_under_the_same_version_is_warned_of() {
    let cluster = picky();
    let first = &cluster.nodes[0];
    let mut bytes = std::fs::read(guest("picky-one")).expect("a guest");
    // A custom section called `x`: other bytes, the same plugin.
    bytes.extend([0, 2, 1, b'x']);
    let other = cluster.file("other.wasm", &bytes);
    let upgraded = first.try_swarmw(&["plugin", "upgrade", "picky", &other.to_string_lossy()]);
    assert_eq!(upgraded.code, 0, "{upgraded}");
    let told = "Warning: both are version 0.1.0 of test/picky, with other bytes";
    assert!(upgraded.stderr.contains(told), "{upgraded}");
    let two = first.try_swarmw(&["plugin", "upgrade", "picky", &path("picky-two")]);
    assert!(two.code == 0 && !two.stderr.contains("Warning"), "{two}");
}
