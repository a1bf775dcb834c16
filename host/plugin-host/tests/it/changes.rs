//! Plugins that change while they are used.

use swarmw_model::{Plugin, PluginState};
use swarmw_plugin_host::{PluginHost, builtin};
use swarmw_scheduler::Policies;

use crate::constraints::service;
use crate::support::{added, compiler, guest, host_with, no_options};

/// The built-in plugins and `test/hostile`, changed.
fn hostile_as(change: impl FnOnce(&mut Plugin)) -> Vec<(Plugin, bytes::Bytes)> {
    let mut all: Vec<_> = builtin().iter().map(|b| added(b.bytes)).collect();
    let (mut plugin, bytes) = added(&guest("hostile"));
    change(&mut plugin);
    all.push((plugin, bytes));
    all
}

#[test]
fn a_pinned_handle_keeps_to_the_plugins_of_its_moment() {
    let mut host = host_with(&["hostile"]);
    let mut pass = host.pin();
    let before = pass.generation();
    let compiled = pass.constraint("hostile==good", &no_options()).expect("compiles");
    assert_eq!(host.set_plugins(builtin().iter().map(|b| added(b.bytes)).collect()), []);

    assert_eq!(pass.generation(), before);
    let again = pass.constraint("hostile==good", &no_options()).expect("it is still there");
    assert_eq!(again.id, compiled.id);
    assert_ne!(host.generation(), before);
    let now = host.constraint("hostile==good", &no_options()).expect_err("it is gone");
    assert!(now.to_string().starts_with("key 'hostile' is unknown"), "{now}");
}

#[test]
fn a_change_can_be_tried_without_making_it() {
    let host = host_with(&[]);
    let (plugin, bytes) = added(&guest("hostile"));
    let mut trial = host.with(plugin, bytes);
    trial.constraint("hostile==good", &no_options()).expect("it is there to be tried");
    for _ in 0..5 {
        trial.constraint("hostile==trap", &no_options()).expect_err("it traps");
    }
    assert!(host.used("test/hostile").is_none(), "the cluster has it not");
    let refusal = host.check_service(&service("hostile==good")).expect_err("refused");
    assert!(refusal.message.contains("is unknown"), "{refusal}");
}

#[test]
fn a_disabled_plugin_is_not_called_and_nobody_takes_its_place() {
    let mut host = PluginHost::new(compiler());
    let disable = |p: &mut Plugin| p.status.state = PluginState::Disabled;
    assert_eq!(host.set_plugins(hostile_as(disable)), []);
    let calls = host.calls();
    let said = host.constraint("hostile==good", &no_options()).expect_err("disabled").to_string();
    assert_eq!((said.as_str(), host.calls()), ("plugin test/hostile: is disabled", calls));
}

#[test]
fn enabling_forgives() {
    let mut host = host_with(&["hostile"]);
    for _ in 0..3 {
        host.constraint("hostile==trap", &no_options()).expect_err("it traps");
    }
    host.constraint("hostile==good", &no_options()).expect_err("the breaker is open");
    assert_eq!(host.set_plugins(hostile_as(|p| p.status.enabled = 7)), []);
    host.constraint("hostile==good", &no_options()).expect("it is called again");
}
