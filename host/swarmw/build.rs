//! Builds the examples that `swarmw demo` and the whole-cluster tests run.

use std::path::Path;

use swarmw_guest_build::{build_plugins, build_tasks, nested_target_dir, rerun_if_changed};

fn main() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (plugins, tasks) = (top.join("examples/plugins"), top.join("examples/tasks"));
    rerun_if_changed(&[&plugins, &tasks, &top.join("sdk/rust"), &top.join("wit")]);
    let target = nested_target_dir();
    for guest in build_plugins(&plugins, &target).into_iter().chain(build_tasks(&tasks, &target)) {
        let name = guest.name.to_uppercase().replace('-', "_");
        println!("cargo:rustc-env=SWARMW_{name}={}", guest.path.display());
    }
}
