//! A plugin that claims what services use and another plugin answers.

use crate::main_job::{HELLO, running};
use crate::plugins::{path, refused};
use crate::support::{Cluster, eventually};

#[test]
fn what_services_use_is_taken_with_consent_and_given_back() {
    let cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO).to_string_lossy().into_owned();
    let first = &cluster.nodes[0];
    let taker = path("taker");
    first.run("node update --label-add zone=b n2");
    let words = "service create --detach --name web --replicas 2 --constraint node.labels.zone==b";
    first.run(format!("{words} {hello}"));
    running(first, "web", 2);

    let takes = "claim=node.labels.* (takes node.labels.zone==b of web from swarmw/constraint)";
    let unsaid = first.try_run(format!("plugin add {taker}"));
    refused(&unsaid, &[takes, "`swarmw plugin add --yes FILE`"]);
    let plan = first.run(format!("plugin add --plan {taker}"));
    assert!(plan.contains(takes) && plan.contains("2 running tasks would be violated"), "{plan}");
    running(first, "web", 2);

    first.run(format!("plugin add --grant claim=node.labels.* {taker}"));
    let pretty = first.run("plugin inspect --pretty taker");
    assert!(pretty.contains("  claim=node.labels.*: granted"), "{pretty}");
    eventually("the plugin's verdict counts", || {
        let listed = first.run("service ps --filter desired-state=running --format {{.Node}} web");
        if listed.trim().is_empty() { Ok(()) } else { Err(listed) }
    });
    // What it alone answers binds it, and what the built-in one answers does not.
    first.run(format!("service create --detach --name own --constraint taker==x {hello}"));
    let bound = first.try_run("plugin rm taker");
    refused(&bound, &["plugin test/taker is in use by the following service: own; end that"]);
    first.run("service rm own");
    first.run("plugin rm taker");
    first.run("service scale --detach web=3");
    running(first, "web", 3);
}

#[test]
fn a_version_that_takes_more_waits_for_a_word_and_gives_it_back_when_it_goes() {
    let cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO).to_string_lossy().into_owned();
    let first = &cluster.nodes[0];
    let (modest, taker) = (path("taker-none"), path("taker"));
    first.run("node update --label-add zone=b n2");
    let words = "service create --detach --name web --replicas 2 --constraint node.labels.zone==b";
    first.run(format!("{words} {hello}"));
    running(first, "web", 2);
    first.run(format!("plugin add {modest}"));

    let wants = "claim=node.labels.* (takes node.labels.zone==b of web from swarmw/constraint)";
    let held = first.try_run(format!("plugin upgrade taker {taker}"));
    refused(&held, &["plugin test/taker 0.1.0 waits for your consent"]);
    assert!(held.stdout.contains(wants), "{held}");
    assert!(!held.stdout.contains("none asked"), "{held}");
    let pretty = first.run("plugin inspect --pretty taker");
    assert!(pretty.contains(wants), "{pretty}");
    refused(&first.try_run("plugin promote taker"), &[wants]);
    running(first, "web", 2);

    first.run("plugin promote --grant claim=node.labels.* taker");
    eventually("its verdict counts", || {
        let listed = first.run("service ps --filter desired-state=running --format {{.Node}} web");
        if listed.trim().is_empty() { Ok(()) } else { Err(listed) }
    });
    let kept = first.try_run("plugin grant --revoke claim=node.labels.* taker");
    refused(&kept, &["takes constraints by claim=node.labels.* as long as it serves"]);
    first.run(format!("plugin upgrade taker {modest}"));
    running(first, "web", 2);
}

#[test]
fn a_plugin_that_would_take_what_came_while_it_was_disabled_is_enabled_with_consent() {
    let cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO).to_string_lossy().into_owned();
    let first = &cluster.nodes[0];
    first.run("node update --label-add zone=b n2");
    // Nobody uses labels yet, so nothing is asked.
    first.run(format!("plugin add {}", path("taker")));
    first.run("plugin disable taker");
    let words = "service create --detach --name web --replicas 2 --constraint node.labels.zone==b";
    first.run(format!("{words} {hello}"));
    running(first, "web", 2);

    let wants = "claim=node.labels.* (takes node.labels.zone==b of web from swarmw/constraint)";
    let unsaid = first.try_run("plugin enable taker");
    refused(&unsaid, &[wants, "`swarmw plugin enable --yes test/taker`"]);
    running(first, "web", 2);
    first.run("plugin enable --grant claim=node.labels.* taker");
    let pretty = first.run("plugin inspect --pretty taker");
    assert!(pretty.contains("  claim=node.labels.*: granted"), "{pretty}");
    eventually("its verdict counts", || {
        let listed = first.run("service ps --filter desired-state=running --format {{.Node}} web");
        if listed.trim().is_empty() { Ok(()) } else { Err(listed) }
    });
}
