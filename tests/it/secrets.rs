//! Secrets and configs: who gets them, who never does, and what stays of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::main_job::{HELLO, running};
use crate::support::{Cluster, Node, eventually, mounts_below};

/// What nobody writes by chance.
const HUSH: &str = "hush-7f3a9c51e2";

/// Whether a daemon has these bytes in its memory.
fn holds(node: &Node, text: &str) -> bool {
    let folder = format!("/proc/{}", node.pid());
    let memory = File::open(format!("{folder}/mem")).expect("the daemon's memory");
    let maps = std::fs::read_to_string(format!("{folder}/maps")).expect("its map");
    let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    maps.lines().filter(|line| line.contains(" rw-p ")).any(|line| {
        let range = line.split(' ').next().unwrap_or_default();
        let (from, to) = range.split_once('-').expect("a range");
        let (from, to) = (number(from), number(to));
        let mut bytes = vec![0; usize::try_from(to - from).expect("a size")];
        // What went meanwhile holds nothing.
        let read = memory.read_at(&mut bytes, from).unwrap_or_default();
        bytes[..read].windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// The files below a folder that have these bytes in them.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// The files of a node that have these bytes in them, but for those in its memory.
fn on_disk(node: &Node, text: &str) -> Vec<String> {
    let state = node.state_dir();
    let mut found = files_with(state.parent().expect("the node's folder"), text);
    let (mounts, _) = mounts_below(&state);
    found.retain(|path| !mounts.iter().any(|mount| path.starts_with(mount)));
    found
}

fn create(cluster: &Cluster, words: &str) {
    let hello = cluster.file("hello.wasm", HELLO);
    cluster.nodes[0]
        .run(format!("service create --quiet --publish 8080:80 {words} {}", hello.display()));
}

/// What the one service shows.
fn shown(node: &Node) -> String {
    eventually("the port answers", || node.get(8080, "/"))
}

#[test]
fn a_secret_is_on_the_nodes_whose_tasks_name_it_and_in_no_file_log_or_answer() {
    let mut cluster = Cluster::of(1, 2);
    let first = &cluster.nodes[0];
    let typed = |words: &str, typed: &str| {
        let words: Vec<_> = words.split_whitespace().collect();
        let made = first.typing(&words, typed);
        assert_eq!(made.code, 0, "{made}");
        made.stdout
    };
    let id = typed("secret create --label team=x pw -", HUSH);
    let conf = "{{.Service.Name}} {{.Task.Slot}} on {{.Node.Hostname}}";
    typed("config create --template-driver golang conf -", conf);
    create(
        &cluster,
        "--name web --constraint node.hostname==n2 --secret pw \
         --secret source=pw,target=/etc/app/pw --config source=conf,target=/etc/app/conf \
         --env SHOW=/run/secrets/pw:/etc/app/pw:/etc/app/conf --env VISITS=/run/secrets/pw",
    );
    let told = shown(first);
    assert!(told.contains(&format!(", /run/secrets/pw: {HUSH}, /etc/app/pw: {HUSH}, ")), "{told}");
    assert!(told.contains(", /etc/app/conf: web 1 on n2, visit 1, which cannot be kept"), "{told}");

    // The managers have it, the one worker has it, the other has not.
    let held: Vec<_> = cluster.nodes.iter().map(|node| holds(node, HUSH)).collect();
    assert_eq!(held, [true, true, false]);
    let encoded = "aHVzaC03ZjNhOWM1MWUy";
    for node in &cluster.nodes {
        for text in [HUSH, encoded] {
            assert_eq!(on_disk(node, text), [""; 0], "{}", node.name);
        }
    }
    for answer in ["/secrets", "/secrets/pw", "/services/web", "/tasks", "/info"] {
        let (_, body) = cluster.nodes[0].api("GET", answer).expect("an answer");
        assert!(!body.contains(HUSH) && !body.contains(encoded), "{answer}: {body}");
    }

    // It is in use, and says by whom.
    for (kind, name) in [("secret", "pw"), ("config", "conf")] {
        let refused = cluster.nodes[0].try_run(format!("{kind} rm {name}"));
        assert_eq!(
            (refused.code, refused.stderr.trim()),
            (
                1,
                &*format!(
                    "Error response from daemon: rpc error: code = InvalidArgument desc = {kind} \
                     '{name}' is in use by the following service: web"
                )
            )
        );
    }

    // The task outlives its daemon, and so do its files. The next task waits for the
    // leader's word.
    cluster.nodes[1].kill();
    cluster.nodes[1].start();
    let first = &cluster.nodes[0];
    assert!(shown(first).contains(HUSH));
    first.run("service update --quiet --force web");
    assert!(shown(first).contains(HUSH));
    let (mounts, _) = mounts_below(&cluster.nodes[1].state_dir());
    assert_eq!(mounts.len(), 1, "the one task's: {mounts:?}");

    // The task has ended: nothing of it is left, and the secret may go.
    first.run("service rm web");
    eventually("nothing is mounted", || match mounts_below(&cluster.nodes[1].state_dir()) {
        (mounts, _) if mounts.is_empty() => Ok(()),
        (mounts, _) => Err(format!("{mounts:?}")),
    });
    assert_eq!(first.run("secret rm pw"), "pw\n");
    assert_eq!(first.run("config rm conf"), "conf\n");
    let gone = first.try_run(format!("secret inspect {}", id.trim()));
    assert!(gone.stderr.contains(&format!("secret {} not found", id.trim())), "{gone}");
}

#[test]
fn a_service_gets_another_secret_by_an_update_and_one_that_is_gone_is_told() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    for (name, text) in [("pw-1", "one"), ("pw-2", "two")] {
        let file = cluster.file(name, text.as_bytes());
        first.run(format!("secret create {name} {}", file.display()));
    }
    create(
        &cluster,
        "--name web --secret source=pw-1,target=pw --update-order start-first \
         --env SHOW=/run/secrets/pw",
    );
    assert!(shown(first).contains("/run/secrets/pw: one"));
    let clash = first.try_run("service update --secret-add source=pw-2,target=pw web");
    assert!(
        clash
            .stderr
            .contains("secret references 'pw-1' and 'pw-2' have a conflicting target: 'pw'"),
        "{clash}"
    );
    first.run("service update --quiet --secret-rm pw-1 --secret-add source=pw-2,target=pw web");
    eventually("the new one is shown", || match shown(first) {
        told if told.contains("/run/secrets/pw: two") => Ok(()),
        told => Err(told),
    });
    let missing = first.try_run("service update --secret-add pw-3 web");
    assert_eq!(missing.stderr.trim(), "secret not found: pw-3");
    first.run("secret rm pw-1");
    let back = first.try_run("service rollback web");
    assert!(back.stderr.contains("secret not found: pw-1"), "{back}");
    assert!(shown(first).contains("/run/secrets/pw: two"), "nothing has happened");
    running(first, "web", 1);
    let listed = first.run("secret ls --format {{.Name}}");
    assert_eq!(listed, "pw-2\n");
    let pretty = first.run("service inspect --pretty web");
    assert!(pretty.contains("Secrets:\n Target:\tpw\n  Source:\tpw-2\n"), "{pretty}");
}

/// Waits until every answer at a port says this, many in a row.
fn all_say(node: &Node, port: u16, want: &str) {
    eventually(&format!("port {port} says {want:?}"), || {
        for _ in 0..ANSWERS {
            let told = node.get(port, "/")?;
            if !told.contains(want) {
                return Err(told);
            }
        }
        Ok(())
    });
}

/// So many answers are from each of a few tasks.
const ANSWERS: usize = 12;

/// Names and numbers of all secrets.
fn versions(node: &Node) -> String {
    node.swarmw(&["secret", "ls", "--format", "{{.Name}} {{.Version}}"])
}

#[test]
fn what_is_rotated_reaches_the_services_that_have_it_and_each_way_back_is_open() {
    let cluster = Cluster::of(1, 2);
    let first = &cluster.nodes[0];
    let hello = cluster.file("hello.wasm", HELLO);
    let file = |text: &str| cluster.file(text, text.as_bytes()).display().to_string();
    let serve = |name: &str, port: u16, words: &str| {
        let hello = hello.display();
        first.run(format!(
            "service create --quiet --name {name} --publish {port}:80 --update-monitor 1s \
             --rollback-monitor 1s --env SHOW=/run/secrets/pw:/etc/app/conf {words} {hello}"
        ));
    };
    first.run(format!("secret create pw {}", file("one")));
    first.run(format!("config create conf {}", file("red")));
    serve("web", 8080, "--replicas 3 --secret pw --config source=conf,target=/etc/app/conf");
    serve("api", 8081, "--replicas 2 --secret pw");
    let web = |pw: &str, conf: &str| {
        all_say(first, 8080, &format!(", /run/secrets/pw: {pw}, /etc/app/conf: {conf}"));
        running(first, "web", 3)
    };
    let api = |pw: &str| all_say(first, 8081, &format!(", /run/secrets/pw: {pw}, "));
    let before = web("one", "red");
    api("one");

    // The next version: both services roll, and the name stays.
    let told = first.run(format!("secret rotate --quiet pw {}", file("two")));
    assert!(told.starts_with("pw is version 2 now, 2 services take it\n"), "{told}");
    let after = web("two", "red");
    api("two");
    assert!(after.iter().all(|task| before.iter().all(|old| old["ID"] != task["ID"])), "{after:?}");
    assert_eq!(versions(first), "pw 2\npw.v1 1\n");

    // Back, and on: a number is given once.
    let told = first.run("secret rotate --quiet --rollback pw");
    assert!(told.starts_with("pw is version 1 now, 2 services take it\n"), "{told}");
    web("one", "red");
    api("one");
    assert_eq!(versions(first), "pw 1\npw.v2 2\n");
    let told = first.run(format!("secret rotate --quiet pw {}", file("three")));
    assert!(told.starts_with("pw is version 3 now, 2 services take it\n"), "{told}");
    web("three", "red");
    api("three");

    // A service goes back alone, and one stays with the version that it names.
    serve("old", 8082, "--secret source=pw.v2,target=pw");
    first.run("service rollback --quiet web");
    let told = first.run(format!("secret rotate --quiet pw {}", file("four")));
    assert!(told.starts_with("pw is version 4 now, 1 service takes it\n"), "{told}");
    web("one", "red");
    api("four");
    all_say(first, 8082, ", /run/secrets/pw: two, ");
    assert_eq!(versions(first), "pw 4\npw.v1 1\npw.v2 2\npw.v3 3\n");
    for (name, user) in [("pw.v1", "web"), ("pw.v2", "old")] {
        let refused = first.try_run(format!("secret rm {name}"));
        let why = format!("secret '{name}' is in use by the following service: {user}");
        assert!(refused.stderr.contains(&why), "{refused}");
    }
    first.run("secret rm pw.v3");

    a_rotation_that_fails_is_rolled_back(first, &file("blue"));
    web("one", "red");
    let found = first.json("/services/web").expect("the service");
    let config = &found["Spec"]["TaskTemplate"]["ContainerSpec"]["Configs"][0];
    assert_eq!(config["ConfigName"], "conf.v1", "{found}");
    assert_eq!(first.json("/configs/conf").expect("the config")["Spec"]["Data"], "Ymx1ZQ==");
}

/// Rotates a config, and kills the first task that has it while its update is watched.
fn a_rotation_that_fails_is_rolled_back(first: &Node, file: &str) {
    first.run("service update --detach --update-failure-action rollback --update-monitor 60s web");
    let told = first.run(format!("config rotate --detach conf {file}"));
    assert_eq!(told, "conf is version 2 now, 1 service takes it\n");
    let new = first.json("/configs/conf").expect("the config")["ID"].clone();
    let pid = eventually("a task has the new one", || {
        let tasks = first.json("/tasks")?;
        let all = tasks.as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |task: &&serde_json::Value| {
            task["Spec"]["ContainerSpec"]["Configs"][0]["ConfigID"] == new
                && task["Status"]["State"] == "running"
        };
        let pid = all.iter().find(has).map(|task| &task["Status"]["ContainerStatus"]["PID"]);
        pid.and_then(serde_json::Value::as_i64).ok_or_else(|| tasks.to_string())
    });
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    eventually("the update is rolled back", || {
        let status = first.json("/services/web")?["UpdateStatus"].clone();
        match status["State"] == "rollback_completed" {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
}
