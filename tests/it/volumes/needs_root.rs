//! With real file systems, mounts and servers.

use std::process::Command;

use super::{create, error, fails_with, visit};
use crate::main_job::running;
use crate::support::{Cluster, Sshd, eventually, mounts_below};

const EXT4: &[u8] = include_bytes!(env!("SWARMW_EXT4_IMAGE"));
const SSHFS: &[u8] = include_bytes!(env!("SWARMW_SSHFS"));

/// Waits until nothing is mounted any more for any node, and no device is attached.
fn nothing_is_left(cluster: &Cluster) {
    eventually("nothing is mounted", || match mounts_below(cluster.folder()) {
        (mounts, loops) if mounts.is_empty() && loops.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

fn add(cluster: &Cluster, name: &str, component: &[u8], grants: &[&str]) {
    let file = cluster.file(name, component);
    let words = ["plugin", "add"].into_iter().chain(grants.iter().flat_map(|g| ["--grant", g]));
    let file = file.to_string_lossy();
    let words: Vec<_> = words.chain([&*file]).collect();
    cluster.nodes[0].swarmw(&words);
}

#[test]
fn an_image_file_keeps_its_data_over_tasks_and_daemons() {
    let mut cluster = Cluster::of(1, 0);
    add(&cluster, "ext4.wasm", EXT4, &["mount=ext4:loop"]);
    let refused = cluster.nodes[0].try_swarmw(&[
        "service",
        "create",
        "--mount",
        "type=volume,source=a1,target=/a,volume-driver=ext4,volume-opt=size=1k",
        "x",
    ]);
    assert!(refused.stderr.contains("a volume has 8 MiB at least"), "{refused}");

    create(&cluster, "volume-driver=ext4,volume-opt=size=16MiB", &[]);
    assert_eq!(visit(&cluster.nodes[0]), 1);
    let (mounts, loops) = mounts_below(cluster.folder());
    assert_eq!((mounts.len(), loops.len()), (1, 1));

    // The task outlives its daemon, and the mount with it.
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    assert_eq!(visit(&cluster.nodes[0]), 2);
    assert_eq!(mounts_below(cluster.folder()), (mounts, loops));

    // Both are gone, as when the machine was.
    cluster.nodes[0].power_off();
    cluster.nodes[0].start();
    let first = &cluster.nodes[0];
    eventually("another task counts on", || match visit(first) {
        visits if visits > 2 => Ok(()),
        visits => Err(visits.to_string()),
    });

    // It grows when no task uses it, and only then.
    let size = |bytes: &str| first.try_swarmw(&["volume", "expand", "visits", bytes]);
    let used = size("64MiB");
    assert!(used.stderr.contains("scale its service to 0 first"), "{used}");
    let measured = || first.json("/system/df").expect("an answer")["Volumes"][0].clone();
    let before = measured();
    let whole = before["UsageData"]["Size"].as_i64().expect("bytes");
    assert!((1..16 << 20).contains(&whole), "{before}");
    assert_eq!(before["UsageData"]["RefCount"], 1, "{before}");
    first.swarmw(&["service", "scale", "--detach", "web=0"]);
    eventually("nobody uses it", || match size("64MiB") {
        grown if grown.code == 0 => Ok(()),
        refused => Err(refused.to_string()),
    });
    assert_eq!(measured()["UsageData"]["Size"], -1, "it is not mounted");
    assert_eq!(measured()["Options"]["size"], (64 << 20).to_string());
    let smaller = size("1MiB");
    assert!(smaller.stderr.contains("does not shrink to 1048576"), "{smaller}");
    first.swarmw(&["service", "scale", "--detach", "web=1"]);
    eventually("the next task counts on", || match visit(first) {
        visits if visits > 3 => Ok(()),
        visits => Err(visits.to_string()),
    });
    // Its service names the size from before; it has what it has grown to.
    assert_eq!(measured()["Options"]["size"], (64 << 20).to_string());
    let mounted = mounts_below(cluster.folder()).0;
    let room = rustix::fs::statvfs(&*mounted[0]).expect("a file system");
    assert!(room.f_blocks * room.f_frsize > 48 << 20, "{} blocks", room.f_blocks);

    first.swarmw(&["service", "rm", "web"]);
    nothing_is_left(&cluster);
}

#[test]
fn what_was_not_granted_or_allowed_is_not_done() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    add(&cluster, "sshfs.wasm", SSHFS, &["helper=sshfs"]);
    create(&cluster, "volume-driver=sshfs,volume-opt=host=nowhere,volume-opt=path=/srv", &[]);
    fails_with(first, "volume helper sshfs not allowed on 1 node, which `swarmw daemon");
    first.swarmw(&["service", "rm", "web"]);

    let file = cluster.file("ext4.wasm", EXT4);
    let file = file.to_string_lossy();
    first.try_swarmw(&["plugin", "add", &file]);
    let all = first.swarmw(&["plugin", "ls"]);
    assert!(!all.contains("ext4"), "nobody consented: {all}");
    nothing_is_left(&cluster);
}

/// A manager and two workers whose admin allows sshfs, and the driver.
fn three_with_sshfs() -> Cluster {
    let mut cluster = Cluster::of_daemons(3);
    for node in &mut cluster.nodes {
        node.stop();
        node.give_flags(&["--volume-helper", "sshfs=/usr/bin/sshfs"]);
        node.start();
    }
    cluster.init(0);
    (1..3).for_each(|index| cluster.join(index, "worker"));
    cluster.wait_ready(3);
    add(&cluster, "sshfs.wasm", SSHFS, &["helper=sshfs", "secret=nas-*"]);
    cluster
}

/// The index of the node that the one task that runs runs on.
fn place(cluster: &Cluster) -> usize {
    let id = running(&cluster.nodes[0], "web", 1)[0]["NodeID"].clone();
    let node = cluster.nodes[0].json(&format!("/nodes/{}", id.as_str().expect("an id")));
    let name = node.expect("a node")["Description"]["Hostname"].clone();
    cluster.nodes.iter().position(|n| name == n.name.as_str()).expect("a node")
}

#[test]
fn one_task_at_a_time_writes_and_a_node_that_hears_no_leader_stops_writing() {
    let cluster = three_with_sshfs();
    let first = &cluster.nodes[0];
    let sshd = Sshd::start(cluster.folder());
    let options = sshd.options();
    let options = options.iter().flat_map(|option| ["--opt", option.as_str()]);
    let words = ["volume", "create", "--driver", "sshfs", "--sharing", "onewriter"];
    let words: Vec<_> = words.into_iter().chain(options).chain(["visits"]).collect();
    assert_eq!(first.swarmw(&words), "visits\n");
    create(&cluster, "readonly=false", &["--replicas", "2", "--constraint", "node.role==worker"]);
    assert_eq!(visit(first), 1);
    let before = place(&cluster);
    eventually("the other waits", || match error(first) {
        all if all.contains("Preparing") => Ok(()),
        all => Err(all),
    });
    let listed = first.swarmw(&["volume", "ls", "--cluster", "--format", "{{.Name}} {{.Status}}"]);
    assert_eq!(listed, "visits in use (2 nodes)\n");
    let refused = first.try_swarmw(&["volume", "rm", "visits"]);
    assert!(refused.stderr.contains("remove visits: volume is in use - [web]"), "{refused}");

    // It ends, and the other may.
    let name = cluster.nodes[before].name.clone();
    first.swarmw(&["node", "update", "--availability", "drain", &name]);
    let after = eventually("the other runs", || match place(&cluster) {
        now if now != before => Ok(now),
        _ => Err(error(first)),
    });
    assert_eq!(visit(first), 2);

    // The leader says nothing any more: the writer stops by itself.
    let signal = |signal: &str| {
        let pid = first.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().is_ok_and(|s| s.success()));
    };
    signal("-STOP");
    eventually("the writer has let go", || match mounts_below(&cluster.nodes[after].state_dir()) {
        (mounts, _) if mounts.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    signal("-CONT");
    eventually("it is told why", || match error(first) {
        all if all.contains("no leader was heard for 15 s") => Ok(()),
        all => Err(all),
    });

    first.swarmw(&["service", "rm", "web"]);
    nothing_is_left(&cluster);
    eventually("nobody uses it", || match first.try_swarmw(&["volume", "rm", "visits"]) {
        output if output.code == 0 => Ok(()),
        output => Err(output.to_string()),
    });
    let kept = std::fs::read_to_string(sshd.data.join("visits"));
    assert_eq!(kept.expect("the data are the server's"), "2\n");
}

#[test]
fn a_writer_whose_daemon_is_dead_ends_before_another_writes() {
    let mut cluster = three_with_sshfs();
    let sshd = Sshd::start(cluster.folder());
    let options = sshd.options();
    let options = options.iter().flat_map(|option| ["--opt", option.as_str()]);
    let words = ["volume", "create", "--driver", "sshfs", "--sharing", "onewriter"];
    let words: Vec<_> = words.into_iter().chain(options).chain(["visits"]).collect();
    cluster.nodes[0].swarmw(&words);
    create(&cluster, "readonly=false", &["--constraint", "node.role==worker"]);
    assert_eq!(visit(&cluster.nodes[0]), 1);
    let before = place(&cluster);
    let task = running(&cluster.nodes[0], "web", 1)[0].clone();
    let pid = task["Status"]["ContainerStatus"]["PID"].as_u64().expect("a process");
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    assert!(process.exists());

    cluster.nodes[before].kill();
    eventually("another node's task writes", || match place(&cluster) {
        now if now != before => {
            assert!(!process.exists(), "two write");
            Ok(())
        }
        _ => Err(error(&cluster.nodes[0])),
    });
    assert_eq!(visit(&cluster.nodes[0]), 2);

    cluster.nodes[before].start();
    cluster.wait_ready(3);
    let id = task["ID"].as_str().expect("an id");
    eventually("it is told why it ended", || {
        let ended = cluster.nodes[0].json(&format!("/tasks/{id}"));
        let ended = ended.map(|task| task["Status"]["Err"].to_string()).unwrap_or_default();
        match ended.contains("its daemon was away, no leader was heard for 25 s") {
            true => Ok(()),
            false => Err(ended),
        }
    });
    cluster.nodes[0].swarmw(&["service", "rm", "web"]);
    nothing_is_left(&cluster);
}

#[test]
fn a_task_finds_its_data_on_another_node() {
    let mut cluster = three_with_sshfs();
    let sshd = Sshd::start(cluster.folder());
    let options = sshd.options().map(|option| format!("volume-opt={option}")).join(",");
    let mount = format!("volume-driver=sshfs,{options}");
    create(&cluster, &mount, &["--constraint", "node.role==worker"]);
    assert_eq!(visit(&cluster.nodes[0]), 1);
    assert_eq!(std::fs::read_to_string(sshd.data.join("visits")).expect("its file"), "1\n");

    // Drained, the node hands its task over; nothing stays mounted on it.
    let before = place(&cluster);
    let name = cluster.nodes[before].name.clone();
    cluster.nodes[0].swarmw(&["node", "update", "--availability", "drain", &name]);
    let after = eventually("it runs elsewhere", || match place(&cluster) {
        now if now != before => Ok(now),
        _ => Err(error(&cluster.nodes[0])),
    });
    assert_eq!(visit(&cluster.nodes[0]), 2);
    eventually("the first node has let go", || {
        match mounts_below(&cluster.nodes[before].state_dir()) {
            (mounts, _) if mounts.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });

    // A node that dies hands nothing over, and the data are there all the same.
    cluster.nodes[0].swarmw(&["node", "update", "--availability", "active", &name]);
    cluster.nodes[after].power_off();
    eventually("it runs elsewhere", || match place(&cluster) {
        now if now != after => Ok(()),
        _ => Err(error(&cluster.nodes[0])),
    });
    assert_eq!(visit(&cluster.nodes[0]), 3);
    cluster.nodes[0].swarmw(&["service", "rm", "web"]);
    cluster.nodes[after].start();
    nothing_is_left(&cluster);
}

#[test]
fn a_driver_logs_in_with_a_secret_that_it_never_sees() {
    let cluster = three_with_sshfs();
    let first = &cluster.nodes[0];
    let sshd = Sshd::start(cluster.folder());
    let key = sshd.folder.join("key");
    for name in ["nas-key", "db-key"] {
        first.run(format!("secret create {name} {}", key.display()));
    }
    std::fs::remove_file(&key).expect("no node has the key as a file");
    let mut options: Vec<_> = sshd.options().into();
    options.retain(|option| !option.starts_with("identity="));
    options.push("key=ssh".to_owned());
    let make = |secret: &str| {
        let options = options.iter().flat_map(|option| ["--opt", option.as_str()]);
        let words = ["volume", "create", "--driver", "sshfs", "--secret", secret];
        let words: Vec<_> = words.into_iter().chain(options).chain(["visits"]).collect();
        first.try_swarmw(&words)
    };
    let missing = make("ssh=nothing");
    assert!(missing.stderr.contains("secret not found: nothing"), "{missing}");

    // Under another key than the driver has for it.
    assert_eq!(make("other=nas-key").stdout, "visits\n");
    create(&cluster, "readonly=false", &["--constraint", "node.hostname==n2"]);
    fails_with(first, "the secret ssh, which the volume does not grant");
    first.swarmw(&["service", "rm", "web"]);
    let gone = || {
        eventually("it goes", || match first.try_swarmw(&["volume", "rm", "visits"]) {
            output if output.code == 0 => Ok(()),
            output => Err(output.to_string()),
        })
    };
    gone();

    // The plugin has not been granted it.
    assert_eq!(make("ssh=db-key").stdout, "visits\n");
    create(&cluster, "readonly=false", &["--constraint", "node.hostname==n2"]);
    fails_with(first, "is not granted: the plugin would need secret=db-key");
    first.swarmw(&["service", "rm", "web"]);
    gone();

    assert_eq!(make("ssh=nas-key").stdout, "visits\n");
    create(&cluster, "readonly=false", &["--constraint", "node.hostname==n2"]);
    assert_eq!(visit(first), 1);
    let refused = first.try_swarmw(&["secret", "rm", "nas-key"]);
    let told = "secret 'nas-key' is in use by the following volume: visits";
    assert!(refused.stderr.contains(told), "{refused}");

    // The journal and the command line name it, and have none of it.
    let folder = cluster.nodes[1].state_dir();
    let (mounts, _) = mounts_below(&folder);
    assert_eq!(mounts.len(), 2, "the volume, and its key in memory: {mounts:?}");
    let found = Command::new("grep")
        .args(["-rl", "--one-file-system", "OPENSSH PRIVATE KEY"])
        .arg(&folder)
        .output()
        .expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");

    // It is unmounted, and the key goes.
    first.swarmw(&["service", "rm", "web"]);
    nothing_is_left(&cluster);
    gone();
    assert_eq!(first.run("secret rm nas-key"), "nas-key\n");
}
