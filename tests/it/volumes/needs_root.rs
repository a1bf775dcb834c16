//! With real file systems, mounts and servers.

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

    first.swarmw(&["service", "rm", "web"]);
    nothing_is_left(&cluster);
}

#[test]
fn what_was_not_granted_or_allowed_is_not_done() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    add(&cluster, "sshfs.wasm", SSHFS, &["helper=sshfs"]);
    create(&cluster, "volume-driver=sshfs,volume-opt=host=nowhere,volume-opt=path=/srv", &[]);
    fails_with(first, "helper sshfs) is not allowed on this node: its daemon would need");
    first.swarmw(&["service", "rm", "web"]);

    let file = cluster.file("ext4.wasm", EXT4);
    let file = file.to_string_lossy();
    first.try_swarmw(&["plugin", "add", &file]);
    let all = first.swarmw(&["plugin", "ls"]);
    assert!(!all.contains("ext4"), "nobody consented: {all}");
    nothing_is_left(&cluster);
}

#[test]
fn a_task_finds_its_data_on_another_node() {
    let mut cluster = Cluster::of_daemons(3);
    for node in &mut cluster.nodes {
        node.stop();
        node.give_flags(&["--volume-helper", "sshfs=/usr/bin/sshfs"]);
        node.start();
    }
    cluster.init(0);
    (1..3).for_each(|index| cluster.join(index, "worker"));
    cluster.wait_ready(3);
    let sshd = Sshd::start(cluster.folder());
    add(&cluster, "sshfs.wasm", SSHFS, &["helper=sshfs"]);
    let mount = format!("volume-driver=sshfs,{}", sshd.options());
    create(&cluster, &mount, &["--constraint", "node.role==worker"]);
    assert_eq!(visit(&cluster.nodes[0]), 1);
    assert_eq!(std::fs::read_to_string(sshd.data.join("visits")).expect("its file"), "1\n");

    // Drained, the node hands its task over; nothing stays mounted on it.
    let place = |cluster: &Cluster| {
        let id = running(&cluster.nodes[0], "web", 1)[0]["NodeID"].clone();
        let node = cluster.nodes[0].json(&format!("/nodes/{}", id.as_str().expect("an id")));
        let name = node.expect("a node")["Description"]["Hostname"].clone();
        cluster.nodes.iter().position(|n| name == n.name.as_str()).expect("a node")
    };
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
