//! From nothing to a tested component, for each kind.

use std::fs;

use crate::support::Desk;

/// A new plugin is tested with all that it has, and without a network.
fn new_plugin_passes(kind: &str, laws: &[&str]) {
    let desk = Desk::new();
    let said = desk.well(&format!("new --kind {kind} --publisher acme @my-{kind}"));
    assert!(said.contains("swarmw plugin test"), "{said}");

    let said = desk.well(&format!("test @my-{kind}"));
    for part in ["native", "build", "host"].iter().chain(laws) {
        let line = said.lines().find(|line| line.contains(part));
        assert!(line.is_some_and(|line| line.contains(" ok")), "{part}\n{said}");
    }
    assert!(said.contains(&format!("{kind} acme/my-{kind} 0.1.0")), "{said}");

    let lock = fs::read_to_string(desk.path(&format!("my-{kind}/Cargo.lock"))).expect("a lock");
    assert!(!lock.contains("source = "), "nothing comes from a registry: {lock}");
    let wasm = desk.path(&format!("my-{kind}/my_{}.wasm", kind.replace('-', "_")));
    let size = fs::metadata(wasm).expect("a component").len();
    assert!(size < 110_000, "{size} bytes");
}

#[test]
fn a_new_constraint_passes_its_cases_and_the_laws() {
    new_plugin_passes(
        "constraint",
        &["twice", "shuffled", "in parts", "the most rows", "bad expr"],
    );
}

#[test]
fn a_new_preference_passes_its_cases_and_the_laws() {
    new_plugin_passes("preference", &["twice", "fresh", "above its room", "bad arguments"]);
}

#[test]
fn a_new_update_policy_passes_its_cases_and_the_laws() {
    new_plugin_passes("update-policy", &["twice", "something else", "all goes well", "10,000"]);
}

#[test]
fn a_new_volume_driver_passes_its_cases_and_the_laws() {
    new_plugin_passes("volume-driver", &["twice", "volume's directory", "bad names"]);
}
