//! Disks that fill up, files that are lost or damaged, ports that others have:
//! each is told clearly, and passes when its cause does.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use crate::main_job::{HELLO, running};
use crate::support::{Cluster, Node, eventually, request};

fn create(node: &Node, name: &str) -> Result<(), String> {
    let padding = "x".repeat(20_000);
    let spec = format!(
        r#"{{"Name":"{name}","Labels":{{"padding":"{padding}"}},
            "TaskTemplate":{{"ContainerSpec":{{"Image":"app:1"}}}},
            "Mode":{{"Replicated":{{"Replicas":0}}}}}}"#
    );
    match request(&node.socket(), "POST", "/services/create", &spec)? {
        (201 | 409, _) => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    }
}

fn services(node: &Node) -> Result<Vec<String>, String> {
    let all = node.json("/services")?;
    let name = |s: &serde_json::Value| s["Spec"]["Name"].as_str().unwrap_or_default().to_owned();
    Ok(all.as_array().into_iter().flatten().map(name).collect())
}

/// What only root can have.
mod needs_root {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::{create, services};
    use crate::support::{Cluster, eventually};

    /// A small file system; it goes when it is dropped.
    struct SmallDisk(PathBuf);

    impl SmallDisk {
        fn mount(at: PathBuf) -> Self {
            fs::create_dir_all(&at).expect("a folder");
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs"])
                .arg(&at)
                .output()
                .expect("mount");
            assert!(mounted.status.success(), "mounting needs root: {mounted:?}");
            Self(at)
        }

        fn fill(&self) {
            let filler = vec![0u8; 64 << 20];
            fs::write(self.0.join("filler"), filler).expect_err("a disk smaller than that");
        }

        fn make_room(&self) {
            fs::remove_file(self.0.join("filler")).expect("ours");
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }

    #[test]
    fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room() {
        let mut cluster = Cluster::of_daemons(1);
        let disk = SmallDisk::mount(cluster.folder().join("disk"));
        let node = &mut cluster.nodes[0];
        node.stop();
        node.keep_state_in(disk.0.join("state"));
        node.start();
        cluster.init(0);
        let node = &cluster.nodes[0];
        let mut acknowledged = vec!["first".to_owned()];
        create(node, "first").expect("there is room");

        disk.fill();
        let mut numbers = 0..;
        eventually("the disk is full, and the answer says so", || {
            let name = format!("s{}", numbers.next().unwrap_or_default());
            match create(node, &name) {
                Ok(()) => {
                    acknowledged.push(name);
                    Err("created".to_owned())
                }
                Err(why) if why.contains("No space left on device") => Ok(()),
                Err(why) => Err(why),
            }
        });

        disk.make_room();
        eventually("writes are taken again", || create(node, "last"));
        let there = services(node).expect("a list");
        for name in acknowledged {
            assert!(there.contains(&name), "{name} was acknowledged; there are {there:?}");
        }
        drop(cluster);
    }
}

#[test]
fn a_lost_blob_folder_comes_back_from_the_binary() {
    let mut cluster = Cluster::of(1, 0);
    let hello = cluster.file("hello.wasm", HELLO);
    let node = &mut cluster.nodes[0];
    node.kill();
    fs::remove_dir_all(node.state_dir().join("blobs")).expect("blobs");
    node.start();
    cluster.wait_ready(1);
    let node = &cluster.nodes[0];
    let words = ["service", "create", "--detach", "--name", "web"];
    let constrained = ["--constraint", "node.role==manager", &hello.to_string_lossy()];
    node.swarmw(&[&words[..], &constrained].concat());
    running(node, "web", 1);
}

#[test]
fn a_damaged_file_is_named_and_the_daemon_still_answers() {
    let mut cluster = Cluster::of(1, 0);
    let node = &mut cluster.nodes[0];
    let files = ["node.json", "certificates/node.crt", "certificates/ca.crt", "raft/log.redb"];
    for file in files {
        let path = node.state_dir().join(file);
        node.stop();
        let good = fs::read(&path).expect("a file");
        for bad in [&good[..good.len() / 3], b"\xff\x00garbage"] {
            fs::write(&path, bad).expect("a write");
            node.start();
            let refused = eventually("the node says what is wrong", || {
                let refused = node.try_swarmw(&["node", "ls"]);
                assert_eq!(refused.code, 1, "{file}: {refused}");
                let named = refused.stderr.contains(&path.to_string_lossy().into_owned());
                if named { Ok(refused) } else { Err(refused.to_string()) }
            });
            assert!(!refused.stderr.contains("swarm init"), "{refused}");
            let info = node.json("/info").expect("an answer");
            assert_eq!(info["Swarm"]["LocalNodeState"], "error", "{file}: {info}");
            node.stop();
        }
        fs::write(&path, &good).expect("a write");
        node.start();
        eventually("it is as before", || match node.try_swarmw(&["node", "ls"]) {
            listed if listed.code == 0 => Ok(()),
            refused => Err(refused.to_string()),
        });
    }
}

#[test]
fn a_port_that_another_process_has_is_told_and_served_once_it_is_free() {
    let cluster = Cluster::of(1, 1);
    let hello = cluster.file("hello.wasm", HELLO);
    let (first, second) = (&cluster.nodes[0], &cluster.nodes[1]);
    let other = TcpListener::bind((second.ip, 8080)).expect("a free port");
    let words = ["service", "create", "--detach", "--name", "web", "--publish", "8080:80"];
    first.swarmw(&[&words[..], &["--replicas", "2", &hello.to_string_lossy()]].concat());
    running(first, "web", 2);
    eventually("the other node serves", || first.get(8080, "/"));
    eventually("the node says that it cannot", || {
        let log = second.log_end();
        let told = log.lines().any(|l| l.contains("8080") && l.contains("in use"));
        if told { Ok(()) } else { Err(log) }
    });
    drop(other);
    eventually("it is served when the port is free", || second.get(8080, "/"));
}

/// Runs a command that must come through, while the daemon is killed and started
/// again at moments that differ.
fn through_kills(node: &mut Node, words: &[&str], done: impl Fn(&Node) -> bool) {
    for round in 0..6 {
        std::thread::scope(|scope| {
            let socket = node.socket();
            let client = scope.spawn(move || Node::run_against(&socket, words));
            std::thread::sleep(Duration::from_millis(10 + round * 60));
            node.kill();
            drop(client.join());
            node.start();
        });
        if done(node) {
            return;
        }
    }
    node.swarmw(words);
}

#[test]
fn a_daemon_killed_while_it_founds_or_joins_does_it_the_next_time() {
    let mut cluster = Cluster::of_daemons(2);
    let member = |node: &Node| node.state_dir().join("node.json").exists();
    let ip = cluster.nodes[0].ip.to_string();
    let words = ["swarm", "init", "--listen-addr", &ip, "--advertise-addr", &ip];
    through_kills(&mut cluster.nodes[0], &words, member);
    // As after a crash between the log's first entry and the note of membership.
    cluster.nodes[0].kill();
    fs::remove_file(cluster.nodes[0].state_dir().join("node.json")).expect("a note");
    cluster.nodes[0].start();
    cluster.nodes[0].swarmw(&words);

    let token = cluster.nodes[0].swarmw(&["swarm", "join-token", "-q", "manager"]);
    let (own, first) = (cluster.nodes[1].ip.to_string(), format!("{ip}:2377"));
    let addresses = ["--listen-addr", &own, "--advertise-addr", &own, &first];
    let words = [&["swarm", "join", "--token", token.trim()], &addresses[..]].concat();
    through_kills(&mut cluster.nodes[1], &words, member);
    eventually("both are managers", || {
        let listed = cluster.nodes[1].try_swarmw(&["node", "ls", "--format", "{{.ManagerStatus}}"]);
        let managers = ["Leader", "Reachable"];
        match listed.stdout.lines().filter(|l| managers.contains(l)).count() {
            2 => Ok(()),
            _ => Err(listed.to_string()),
        }
    });
}
