//! An operator's life with plugins: added, used, upgraded, looked at before and
//! after, switched off, removed.

use serde_json::{Value, json};

use crate::main_job::{HELLO, running};
use crate::support::{Cluster, Node, Output, eventually, guest};

/// A cluster of one manager, `n1`, and one worker, `n2`, with version 1 of
/// `test/picky`, which passes every node, and `web`, which asks it.
pub fn picky() -> Cluster {
    let cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.swarmw(&["plugin", "add", &path("picky-one")]);
    let words = ["service", "create", "--detach", "--name", "web", "--replicas", "4"];
    first.swarmw(&[&words[..], &["--constraint", "picky==x", &hello.to_string_lossy()]].concat());
    running(first, "web", 4);
    cluster
}

pub fn path(name: &str) -> String {
    guest(name).to_string_lossy().into_owned()
}

pub fn inspect(node: &Node) -> Result<Value, String> {
    node.json("/swarmw/plugins/test/picky")
}

/// The hosts that run tasks of `web`, one word a task.
fn hosts(node: &Node) -> Vec<String> {
    let words = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}"];
    let listed = node.swarmw(&[&words[..], &["web"]].concat());
    let mut hosts: Vec<_> = listed.lines().map(str::to_owned).collect();
    hosts.sort();
    hosts
}

/// A command failed and said these texts.
#[track_caller]
pub fn refused(output: &Output, with: &[&str]) {
    assert_eq!(output.code, 1, "{output}");
    for text in with {
        assert!(output.stderr.contains(text), "no {text:?} in {output}");
    }
}

#[test]
fn a_plugin_in_use_stays_and_shows_what_it_does() {
    let cluster = picky();
    let first = &cluster.nodes[0];
    let by = "plugin test/picky is in use by the following service: web";
    refused(&first.try_swarmw(&["plugin", "rm", "picky"]), &[by]);
    refused(
        &first.try_swarmw(&["plugin", "disable", "picky"]),
        &[by, "--constraint-rm", "by --force"],
    );

    let shown = inspect(first).expect("a plugin");
    assert_eq!(shown["Services"], json!(["web"]));
    assert!(shown["Use"]["Calls"]["compile"]["Count"].as_u64() >= Some(1), "{shown}");
    assert_eq!(shown["Use"]["Breaker"]["Open"], false);
    let pretty = first.swarmw(&["plugin", "inspect", "--pretty", "test/picky"]);
    for text in ["Services:\tweb", " mood\thow it is today (text, well unless given)"] {
        assert!(pretty.contains(text), "{pretty}");
    }
    let log = first.swarmw(&["plugin", "logs", "picky"]);
    assert!(log.contains("INFO  version 0.1.0 reads picky==x"), "{log}");

    // Disabled, it lets nothing new in and leaves alone what runs.
    first.swarmw(&["plugin", "disable", "--force", "picky"]);
    assert_eq!(hosts(first).len(), 4);
    let hello = cluster.file("hello.wasm", HELLO);
    let words = ["service", "create", "--detach", "--constraint", "picky==x"];
    let created = first.try_swarmw(&[&words[..], &[&hello.to_string_lossy()]].concat());
    refused(&created, &["plugin test/picky is disabled: swarmw plugin enable test/picky"]);
    // Services that it has are still written to.
    first.swarmw(&["service", "scale", "--detach", "web=3"]);
    running(first, "web", 3);
    first.swarmw(&["plugin", "enable", "picky"]);
    first.swarmw(&["service", "scale", "web=5"]);

    first.swarmw(&["service", "rm", "web"]);
    first.swarmw(&["plugin", "rm", "picky"]);
    let gone = first.try_swarmw(&["plugin", "inspect", "picky"]);
    refused(&gone, &["plugin picky not found"]);
}

#[test]
fn options_of_a_plugin_are_typed_by_it() {
    let cluster = picky();
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.swarmw(&["plugin", "add", &path("hostile")]);
    for (option, said) in [
        ("picky.shade=1", "unknown option shade: it has mood (how it is today)"),
        ("test/hostile.mood=blue", "option mood: \"blue\" is not a duration such as 1m30s"),
        ("none.x=1", "policy option none.x: no plugin is called none"),
        // It would do nothing, and keep the plugin from being removed.
        ("picky.mood=well", "the service does not use the plugin picky, it uses no plugin"),
    ] {
        let flag = ["service", "create", "--detach", "--policy-opt", option];
        refused(&first.try_swarmw(&[&flag[..], &[&hello.to_string_lossy()]].concat()), &[said]);
        let label = format!("swarmw.opt.{option}");
        let flag = ["service", "create", "--detach", "--label", &label];
        refused(&first.try_swarmw(&[&flag[..], &[&hello.to_string_lossy()]].concat()), &[said]);
    }
}

#[test]
fn an_upgrade_is_planned_and_takes_over_at_once() {
    let cluster = picky();
    let first = &cluster.nodes[0];
    let two = path("picky-two");
    let again = first.try_swarmw(&["plugin", "add", &two]);
    refused(&again, &["plugin test/picky exists already, in version 0.1.0"]);
    let other = first.try_swarmw(&["plugin", "upgrade", "picky", &path("hostile")]);
    refused(&other, &["the component calls itself test/hostile"]);
    let same = first.try_swarmw(&["plugin", "upgrade", "picky", &path("picky-one")]);
    refused(&same, &["plugin test/picky runs this very component already"]);

    let before = hosts(first);
    let on_first = before.iter().filter(|host| *host == "n1").count();
    assert!(on_first > 0, "{before:?}");
    let plan = first.swarmw(&["plugin", "upgrade", "--plan", "picky", &two]);
    for text in [
        &format!("{on_first} running task"),
        "on n1: picky==x",
        "differs\tweb: picky==x on n1: now passes, then fails",
        "Nothing was changed.",
    ] {
        assert!(plan.contains(text), "no {text:?} in {plan}");
    }
    assert_eq!(hosts(first), before);

    let upgraded = first.swarmw(&["plugin", "upgrade", "picky", &two]);
    assert!(upgraded.contains("Upgraded plugin test/picky 0.2.0 (constraint)"), "{upgraded}");
    eventually("no task is left where none may run", || {
        let hosts = hosts(first);
        if hosts == ["n2"; 4] { Ok(()) } else { Err(format!("{hosts:?}")) }
    });
    running(first, "web", 4);
}

#[test]
fn releases_change_while_services_come_and_no_task_is_lost() {
    let cluster = picky();
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    let releases = [path("picky-two"), path("picky-one")];
    for swap in 0..SWAPS {
        first.swarmw(&["plugin", "upgrade", "picky", &releases[swap % 2]]);
        if swap % 5 == 0 {
            let name = format!("s{swap}");
            let words = ["service", "create", "--detach", "--replicas", "2", "--name", &name];
            let rest = ["--constraint", "picky==x", &hello.to_string_lossy()];
            first.swarmw(&[&words[..], &rest].concat());
        }
    }
    // The last one lets tasks run on n2 alone.
    first.swarmw(&["plugin", "upgrade", "picky", &releases[0]]);
    for swap in (0..SWAPS).step_by(5) {
        running(first, &format!("s{swap}"), 2);
    }
    running(first, "web", 4);
    eventually("no task is left where none may run", || {
        let hosts = hosts(first);
        if hosts == ["n2"; 4] { Ok(()) } else { Err(format!("{hosts:?}")) }
    });
    let shown = inspect(first).expect("a plugin");
    // A machine that stands still for a moment makes a call late, and no release wrong.
    for (call, counts) in shown["Use"]["Calls"].as_object().expect("calls") {
        assert_eq!(
            (&counts["Traps"], &counts["Invalid"]),
            (&json!(0), &json!(0)),
            "{call}: {shown}"
        );
    }
}

/// Upgrades there and back.
const SWAPS: usize = 20;

#[test]
fn powers_are_granted_by_the_operator_and_more_of_them_wait() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    let (one, two) = (path("watcher-one"), path("watcher-two"));
    let look = "observe=http://10.0.0.1/*";
    refused(
        &first.try_swarmw(&["plugin", "add", &two]),
        &["plugin test/watcher 0.2.0 asks for powers", &format!("{look} (likes to look)")],
    );
    refused(
        &first.try_swarmw(&["plugin", "add", "--grant", "observe=http://*", &two]),
        &[&format!("test/watcher does not ask for observe=http://*; it asks for {look}")],
    );
    first.swarmw(&["plugin", "add", "--yes", &two]);
    let shown = first.json("/swarmw/plugins/test/watcher").expect("a plugin");
    assert_eq!(shown["Granted"], json!([{"observe": "http://10.0.0.1/*"}]));
    first.swarmw(&["plugin", "rm", "watcher"]);

    first.swarmw(&["plugin", "add", &one]);
    let held = first.try_swarmw(&["plugin", "upgrade", "watcher", &two]);
    refused(&held, &["0.2.0 waits for your consent", "`swarmw plugin promote --yes test/watcher`"]);
    assert!(held.stdout.contains("Version 0.1.0 still serves"), "{held}");
    let pretty = first.swarmw(&["plugin", "inspect", "--pretty", "watcher"]);
    assert!(pretty.contains(&format!(" Wants:\t\t{look} (likes to look)")), "{pretty}");
    let listed = first.swarmw(&["plugin", "ls", "--format", "{{.Name}} {{.Version}} {{.Status}}"]);
    assert!(listed.contains("test/watcher 0.1.0 enabled, 0.2.0 waits"), "{listed}");
    refused(
        &first.try_swarmw(&["plugin", "promote", "watcher"]),
        &["asks for powers", "grant all with `swarmw plugin promote --yes test/watcher`"],
    );
    first.swarmw(&["plugin", "promote", "--grant", "observe=http://10.0.0.1/q", "watcher"]);
    let shown = first.json("/swarmw/plugins/test/watcher").expect("a plugin");
    assert_eq!(shown["Metadata"]["Version"], "0.2.0");
    assert_eq!(shown["Granted"], json!([{"observe": "http://10.0.0.1/q"}]));

    // The version that serves gets more and less without another component.
    let granted = || {
        let shown = first.json("/swarmw/plugins/test/watcher").expect("a plugin");
        shown["Granted"].clone()
    };
    let changed = first.run("plugin grant --yes watcher");
    assert!(changed.contains("Changed the grants of plugin test/watcher 0.2.0"), "{changed}");
    assert_eq!(granted(), json!([{"observe": "http://10.0.0.1/*"}]));
    refused(
        &first.try_run("plugin grant --yes watcher"),
        &["plugin test/watcher has observe=http://10.0.0.1/* already, and nothing else"],
    );
    refused(
        &first.try_swarmw(&["plugin", "upgrade", "--yes", "watcher", &two]),
        &["plugin test/watcher runs this very component already"],
    );
    refused(&first.try_run("plugin grant watcher"), &["name a power to grant or to revoke"]);
    first.swarmw(&["plugin", "upgrade", "--revoke", look, "watcher", &two]);
    assert_eq!(granted(), json!([]));
    refused(
        &first.try_run(format!("plugin grant --revoke {look} watcher")),
        &[&format!("plugin test/watcher was not granted {look}; it has no powers")],
    );
}

#[test]
fn a_version_in_shadow_tells_what_it_would_do_and_does_nothing() {
    let cluster = picky();
    let first = &cluster.nodes[0];
    let none = first.try_swarmw(&["plugin", "add", "--shadow", &path("hostile")]);
    refused(&none, &["plugin test/hostile is not in the cluster: there is nothing to shadow"]);
    first.swarmw(&["plugin", "add", "--shadow", &path("picky-two")]);
    let before = hosts(first);
    let report = eventually("the shadow has compared", || {
        let shown = inspect(first)?;
        let report = shown["Shadow"].clone();
        if report["Differing"].as_u64() > Some(0) { Ok(report) } else { Err(shown.to_string()) }
    });
    assert_eq!(report["Last"]["Differing"], 1, "{report}");
    assert_eq!(report["Last"]["Differences"][0]["Node"], "n1");
    assert_eq!(report["Last"]["Differences"][0]["Then"], "fails");
    assert_eq!(hosts(first), before, "it decides nothing");
    let pretty = first.swarmw(&["plugin", "inspect", "--pretty", "picky"]);
    assert!(pretty.contains("web: picky==x on n1: serving passes, shadow fails"), "{pretty}");

    first.swarmw(&["plugin", "rm", "--candidate", "picky"]);
    let shown = inspect(first).expect("a plugin");
    assert_eq!((&shown["Candidate"], &shown["Shadow"]), (&Value::Null, &Value::Null));
}

/// A cluster of one node with version 1 of `test/batch`, which replaces one task at a
/// time, and `web`, which is updated by it and has just begun to be.
fn batched() -> Cluster {
    let cluster = Cluster::of(1, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let first = &cluster.nodes[0];
    first.swarmw(&["plugin", "add", &path("batch-one")]);
    let words = ["service", "create", "--detach", "--name", "web", "--replicas", "6"];
    let policy = ["--update-failure-action", "batch", &hello.to_string_lossy()];
    first.swarmw(&[&words[..], &policy].concat());
    running(first, "web", 6);
    cluster
}

fn updated(node: &Node) {
    eventually("the update completes", || {
        let service = node.json("/services/web")?;
        let status = &service["UpdateStatus"];
        if status["State"] == "completed" { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn an_update_policy_in_shadow_is_put_the_calls_of_updates_under_way() {
    let cluster = batched();
    let first = &cluster.nodes[0];
    first.swarmw(&["plugin", "add", "--shadow", &path("batch-two")]);
    let shadow = || first.json("/swarmw/plugins/test/batch").map(|shown| shown["Shadow"].clone());
    // From here on it listens.
    eventually("the shadow is at work", || {
        let report = shadow()?;
        if report["Comparisons"].as_u64() > Some(0) { Ok(()) } else { Err(report.to_string()) }
    });
    first.swarmw(&["service", "update", "--detach", "--env-add", "VERSION=2", "web"]);
    updated(first);
    let report = eventually("all calls were compared", || {
        let report = shadow()?;
        let differing = report["StepsDiffering"].as_u64();
        if differing >= Some(6) { Ok(report) } else { Err(report.to_string()) }
    });
    // One difference for each task that version 1 replaced; waits and the end are alike.
    assert_eq!(report["StepsDiffering"], 6, "{report}");
    assert!(report["Steps"].as_u64() >= Some(12), "{report}");
    for difference in report["StepDifferences"].as_array().expect("a list") {
        assert_eq!(difference["Now"], "replace-next 1 stop-first", "{report}");
        assert_eq!(difference["Then"], "replace-next 2 stop-first", "{report}");
    }
    let pretty = first.swarmw(&["plugin", "inspect", "--pretty", "batch"]);
    let line = "web: call 1: serving replace-next 1 stop-first, shadow replace-next 2 stop-first";
    assert!(pretty.contains(line), "{pretty}");
}

#[test]
fn an_update_policy_takes_over_updates_under_way_where_the_operator_says_so() {
    let cluster = batched();
    let first = &cluster.nodes[0];
    let calls = |call: &str| {
        let shown = first.json("/swarmw/plugins/test/batch").expect("a plugin");
        shown["Use"]["Calls"][call]["Count"].as_u64().unwrap_or(0)
    };
    first.swarmw(&["service", "update", "--detach", "--env-add", "VERSION=2", "web"]);
    eventually("the update is under way", || match calls("step") {
        0 => Err("no step".to_owned()),
        _ => Ok(()),
    });
    first.swarmw(&["plugin", "upgrade", "--adopt", "batch", &path("batch-two")]);
    updated(first);
    let log = first.swarmw(&["plugin", "logs", "batch"]);
    assert_eq!(log.matches("goes on from version 0.1.0").count(), 1, "{log}");
    assert!(calls("step") > 0, "the new version drove the rest");

    // Without a word the next version leaves updates under way to the one before.
    let refusal = first.try_swarmw(&["plugin", "upgrade", "--adopt", "batch", &path("picky-one")]);
    refused(&refusal, &["the component calls itself test/picky"]);
    first.swarmw(&["plugin", "add", &path("picky-one")]);
    let refusal = first.try_swarmw(&["plugin", "upgrade", "--adopt", "picky", &path("picky-two")]);
    refused(&refusal, &["only an update policy has updates under way to adopt"]);
}
