//! Plugins that change while they are used.

use swarmw_model::{Plugin, PluginClaim, PluginState, ServiceSpec};
use swarmw_plugin_host::{Compiler, PluginHost, builtin};
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
    let want = "plugin test/hostile is disabled: swarmw plugin enable test/hostile";
    assert_eq!((said.as_str(), host.calls()), (want, calls));
}

#[test]
fn a_service_of_a_disabled_plugin_is_updated_as_long_as_it_asks_nothing_new_of_it() {
    let host = PluginHost::new(compiler());
    assert_eq!(host.set_plugins(hostile_as(|p| p.status.state = PluginState::Disabled)), []);
    let before = service("hostile==good");
    let mut scaled = before.clone();
    scaled.labels.insert("team".into(), "a".into());
    assert_eq!(host.check_update(&scaled, &before), Ok(()));
    for (spec, what) in [
        (service("hostile==better"), "another expression"),
        (
            ServiceSpec {
                labels: [("swarmw.opt.hostile.mood".to_owned(), "1s".to_owned())].into(),
                ..before.clone()
            },
            "another option",
        ),
    ] {
        let why = host.check_update(&spec, &before).expect_err(what);
        assert!(why.message.contains("is disabled: swarmw plugin enable"), "{what}: {why}");
    }
    host.check_service(&before).expect_err("a new service is refused");
}

#[test]
fn a_disabled_plugin_gives_back_what_the_built_in_one_answers() {
    let mut host = PluginHost::new(compiler());
    let labels = |state| {
        move |p: &mut Plugin| {
            p.status.state = state;
            p.release.metadata.claims.push(PluginClaim::KeyPrefix("node.labels.".into()));
        }
    };
    assert_eq!(host.set_plugins(hostile_as(labels(PluginState::Enabled))), []);
    assert!(host.takes_constraint("test/hostile", "node.labels.a==b"));
    assert_eq!(host.set_plugins(hostile_as(labels(PluginState::Disabled))), []);
    let given = host.constraint("node.labels.a==b", &no_options()).expect("the built-in's");
    assert_eq!(&*given.plugin, "swarmw/constraint");
    assert!(host.takes_constraint("test/hostile", "hostile==good"), "nobody else answers it");
}

#[test]
fn enabling_forgives() {
    let mut host = host_with(&["hostile"]);
    for what in ["trap", "loop", "memory"] {
        host.constraint(&format!("hostile=={what}"), &no_options()).expect_err(what);
    }
    host.constraint("hostile==good", &no_options()).expect_err("the breaker is open");
    assert_eq!(host.set_plugins(hostile_as(|p| p.status.enabled = 7)), []);
    host.constraint("hostile==good", &no_options()).expect("it is called again");
}

/// Compiles as the daemon does, but `test/hostile` waits until the gate is there.
fn gated(folder: &std::path::Path) -> (std::path::PathBuf, Compiler) {
    let gate = folder.join("gate");
    let script = format!(
        r#"if grep -q test/hostile "$3"; then
            while [ ! -e {} ]; do sleep 0.01; done
        fi
        exec {} --exact child::compiling_child "$@""#,
        gate.display(),
        std::env::current_exe().expect("the test's own binary").display(),
    );
    let before = ["-c", &script, "sh"].map(Into::into).to_vec();
    let compiler =
        Compiler::with_arguments("/bin/sh".into(), before, folder.join("cache"), [1; 32]);
    (gate, compiler)
}

#[test]
fn a_plugin_that_is_being_compiled_keeps_nobody_else_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gate, compiler) = gated(folder.path());
    let mut host = PluginHost::new(compiler);
    let mut uncompiled = host.follow(hostile_as(|_| {}));
    let hostile = uncompiled.iter().position(|u| &**u.plugin() == "test/hostile").expect("it is");
    let hostile = uncompiled.remove(hostile);
    for one in uncompiled {
        one.compile().expect("it compiles");
    }
    let compiling = std::thread::spawn(move || hostile.compile().map(drop));
    host.constraint("node.id==x", &no_options()).expect("others are called");
    assert!(host.is_settled(Some("swarmw/constraint")) && !host.is_settled(None));
    let not_yet = "plugin test/hostile is still being compiled on this node: try again soon";
    let said = host.constraint("hostile==good", &no_options()).expect_err("not yet");
    assert!(said.is_soon() && said.to_string() == not_yet, "{said}");
    assert!(host.waits_for_compiler(&service("hostile==good")));
    assert!(!host.waits_for_compiler(&service("node.id==x")));
    // It is compiled once, whoever wants it as well.
    assert_eq!(host.follow(hostile_as(|p| p.release.granted.clear())).len(), 0);
    std::fs::write(&gate, "").expect("a file");
    compiling.join().expect("no panic").expect("it compiles");
    host.constraint("hostile==good", &no_options()).expect("it is called now");
}

#[test]
fn until_a_release_is_compiled_the_one_before_serves_unless_it_is_disabled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_gate, compiler) = gated(folder.path());
    let mut host = PluginHost::new(compiler);
    // By the name of the one that waits at the gate.
    let (mut first, bytes) = added(&guest("fickle"));
    first.name = "test/hostile".into();
    assert_eq!(host.set_plugins(vec![(first, bytes)]), []);
    let _uncompiled = host.follow(hostile_as(|_| {}));
    host.constraint("fickle==x", &no_options()).expect("the release before");
    let _none = host.follow(hostile_as(|p| p.status.state = PluginState::Disabled));
    let said = host.constraint("hostile==x", &no_options()).expect_err("disabled").to_string();
    assert!(said.contains("is disabled"), "{said}");
}

#[test]
fn what_has_the_same_component_needs_no_compiler() {
    let host = host_with(&["hostile"]);
    for change in [
        (|p| p.status.state = PluginState::Disabled) as fn(&mut Plugin),
        |p| p.status.enabled = 9,
        |p| p.release.granted.clear(),
    ] {
        assert_eq!(host.follow(hostile_as(change)).len(), 0);
        assert!(host.is_settled(None));
    }
}

#[test]
fn a_component_that_does_not_compile_is_told_so_and_tried_again_but_by_no_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tries, may) = (folder.path().join("tries"), folder.path().join("may"));
    let script = format!(
        r#"echo try >> {}
        [ -e {} ] || {{ echo 'no room today' >&2; exit 1; }}
        exec {} --exact child::compiling_child "$@""#,
        tries.display(),
        may.display(),
        std::env::current_exe().expect("the test's own binary").display(),
    );
    let before = ["-c", &script, "sh"].map(Into::into).to_vec();
    let cache = folder.path().join("cache");
    let compiler = Compiler::with_arguments("/bin/sh".into(), before, cache, [1; 32]);
    let mut host = PluginHost::new(compiler);
    let count = || std::fs::read_to_string(&tries).unwrap_or_default().lines().count();
    let mut uncompiled = host.follow(vec![added(&guest("hostile"))]);
    let hostile = uncompiled.pop().expect("it is new");
    hostile.compile().expect_err("it does not compile");
    let said = host.constraint("hostile==good", &no_options()).expect_err("not compiled");
    let want = "plugin test/hostile is not compiled on this node: ";
    assert!(said.to_string().starts_with(want), "{said}");
    assert!(said.to_string().ends_with("no room today"), "{said}");
    assert_eq!((count(), host.is_settled(None)), (1, true), "no call compiles");
    let hostile = hostile.if_wanted().expect("the cluster has it");
    std::fs::write(&may, "").expect("a file");
    hostile.compile().expect("it compiles");
    host.constraint("hostile==good", &no_options()).expect("it is called now");
    assert!(host.follow(Vec::new()).is_empty() && hostile.if_wanted().is_none());
}

#[test]
fn what_nobody_needed_is_compiled_by_whoever_needs_it_again() {
    let mut host = PluginHost::new(compiler());
    let hostile = || vec![added(&guest("hostile"))];
    let first = host.follow(hostile()).pop().expect("it is new");
    assert!(host.follow(Vec::new()).is_empty());
    assert!(host.follow(hostile()).is_empty(), "somebody compiles it already");
    let kept = first.if_wanted().expect("the cluster has it again");

    assert!(host.follow(Vec::new()).is_empty());
    assert!(kept.if_wanted().is_none(), "nobody needs it");
    let again = host.follow(hostile()).pop().expect("nobody compiles it");
    again.compile().expect("it compiles");
    host.constraint("hostile==good", &no_options()).expect("it is called");
}

#[test]
fn the_built_in_constraint_answers_the_keys_that_routing_takes_for_swarms() {
    let mut host = host_with(&[]);
    let (own, _) =
        added(builtin().iter().find(|b| b.name == "swarmw/constraint").expect("it is").bytes);
    let routing = swarmw_model::Routing::of([&own]);
    for key in [
        "node.id",
        "node.hostname",
        "Node.IP",
        "node.role",
        "node.platform.os",
        "node.platform.arch",
        "node.labels.a",
        "engine.labels.a",
        "node.labels.",
        "engine.labels.",
        "node.name",
        "node.platform",
        "service.labels.a",
        "mood",
    ] {
        for expression in ["==", " != ", ">"].map(|o| format!("{key}{o}10.0.0.1")) {
            let compiled = host.constraint(&expression, &no_options());
            let answers = routing.answers(&own, &expression);
            assert_eq!(compiled.is_ok(), answers, "{expression}: {compiled:?}");
        }
    }
}
