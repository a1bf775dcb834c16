//! Containers with volumes whose driver is a plugin.

use super::{container, import_everywhere, running, take_turn};
use crate::support::{Cluster, eventually, mounted_below, mounts_below};

const EXT4: &[u8] = include_bytes!(env!("SWARMW_EXT4_IMAGE"));
/// The start of a volume's mount, as a container sees it.
const MOUNTED: &str = " /data ext4 rw,nosuid,nodev";

#[test]
fn a_container_has_the_volume_that_a_plugin_planned() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(1, 0);
    import_everywhere(&cluster, &[("tool:1", &[])]);
    let (node, machine) = (&cluster.nodes[0], &cluster.machines[0]);
    let plugin = cluster.file("ext4.wasm", EXT4);
    node.swarmw(&["plugin", "add", "--yes", &plugin.to_string_lossy()]);
    let create = ["service", "create", "--detach", "--no-resolve-image", "--name", "db"];
    let mount = "source=db-{{.Task.Slot}},target=/data,volume-driver=ext4,volume-opt=size=16MiB";
    let command = ["tool:1", "sh", "-c", "cat /data/kept; echo x >> /data/kept; sleep 1000"];
    let more = ["--stop-grace-period", "1s", "--mount", mount];
    node.swarmw(&[&create[..], &more, &command].concat());

    let task = &running(node, "db", 1)[0];
    let seen = machine.docker(&["exec", &container(task), "cat", "/proc/mounts"]);
    assert!(seen.contains(MOUNTED), "{seen}");
    let table = machine.run(&["cat", "/proc/1/mountinfo"]).stdout;
    assert!(!mounted_below(&node.state_dir(), &table).is_empty(), "{table}");
    assert_eq!(node.swarmw(&["volume", "ls", "--quiet", "--filter", "driver=ext4"]), "db-1\n");

    node.swarmw(&["service", "update", "--detach", "--force", "db"]);
    eventually("the next one finds what the first one wrote", || {
        let logs = node.swarmw(&["service", "logs", "--raw", "db"]);
        if logs.trim() == "x" { Ok(()) } else { Err(logs) }
    });
    node.swarmw(&["service", "rm", "db"]);
    let own = node.state_dir();
    eventually("nothing is mounted", || {
        let table = machine.run(&["cat", "/proc/1/mountinfo"]).stdout;
        match (mounted_below(&own, &table), mounts_below(&own).1) {
            (mounts, loops) if mounts.is_empty() && loops.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
    assert_eq!(node.swarmw(&["volume", "rm", "db-1"]), "db-1\n");
    assert_eq!(node.swarmw(&["volume", "ls", "--quiet", "--filter", "driver=ext4"]), "");
}
