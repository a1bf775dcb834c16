//! Managers that lock themselves: what is on their disks opens by the unlock key alone.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Cluster, Node, eventually, request};

const LOCKED: &str = "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to unlock it.";
const WRONG: &str = "swarm could not be unlocked: invalid key provided";
/// The data of a secret, as they are nowhere else.
const DATA: &[u8] = b"correct horse battery staple";
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";

/// Files of a node that show these bytes.
fn showing(node: &Node, bytes: &[u8]) -> Vec<String> {
    fn search(folder: &Path, bytes: &[u8], found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
                search(&path, bytes, found);
            } else if kind.is_ok_and(|kind| kind.is_file()) {
                let content = fs::read(&path).unwrap_or_default();
                if content.windows(bytes.len()).any(|part| part == bytes) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    let mut found = Vec::new();
    search(&node.state_dir(), bytes, &mut found);
    found
}

/// The file that says by what the others are sealed, and whether it is locked itself.
fn keyring(node: &Node) -> Vec<u8> {
    fs::read(node.state_dir().join("keys/raft")).unwrap_or_default()
}

/// Waits until a node's files are locked, at a later version of the cluster than `after`;
/// at which one.
fn locked(node: &Node, after: u64) -> u64 {
    eventually(&format!("the files of {} are locked", node.name), || {
        let file = keyring(node);
        let read: Value = serde_json::from_slice(&file).map_err(|e| format!("{e}: {file:?}"))?;
        let version = read["Locked"]["version"]["Index"].as_u64().unwrap_or_default();
        if version > after { Ok(version) } else { Err(read.to_string()) }
    })
}

/// Waits until a node says that it stands so: a daemon answers before it has looked.
fn stands(node: &Node, state: &str) {
    eventually(&format!("{} is {state}", node.name), || {
        let info = node.json("/info")?;
        if info["Swarm"]["LocalNodeState"] == state {
            Ok(())
        } else {
            Err(info["Swarm"].to_string())
        }
    });
}

fn unlock_key(node: &Node) -> String {
    node.swarmw(&["swarm", "unlock-key", "-q"]).trim().to_owned()
}

/// Unlocks a node that must be locked, by a key that must be the one.
fn unlock(node: &Node, key: &str) {
    let unlocked = node.typing(&["swarm", "unlock"], &format!("{key}\n"));
    assert_eq!(unlocked.code, 0, "{unlocked}\n{}", node.log_end());
}

/// Waits until a node answers as one of three managers.
fn manages(node: &Node) {
    eventually(&format!("{} is a manager", node.name), || {
        let format = "{{.Status}} {{.ManagerStatus}}";
        let listed = node.try_swarmw(&["node", "ls", "--format", format]);
        let reachable = ["Ready Leader", "Ready Reachable"];
        let there = listed.stdout.lines().filter(|line| reachable.contains(line)).count();
        if there == 3 { Ok(()) } else { Err(listed.to_string()) }
    });
}

#[test]
fn a_manager_that_starts_waits_for_the_key_it_was_locked_by_and_follows_then() {
    let mut cluster = Cluster::of_daemons(3);
    let (n1, ip) = (&cluster.nodes[0], cluster.nodes[0].ip.to_string());
    let init = ["swarm", "init", "--autolock", "--listen-addr", &ip, "--advertise-addr", &ip];
    let began = n1.swarmw(&init);
    let first = unlock_key(n1);
    assert!(began.contains(&format!("\n    {first}\n")), "{began}");
    for index in 1..3 {
        cluster.join(index, "manager");
    }
    cluster.wait_ready(3);
    let data = cluster.file("data", DATA);
    cluster.nodes[0].swarmw(&["secret", "create", "horse", &data.to_string_lossy()]);
    let versions: Vec<_> = cluster.nodes.iter().map(|node| locked(node, 0)).collect();
    for node in &cluster.nodes {
        for bytes in [DATA, PRIVATE_KEY, first.as_bytes()] {
            assert_eq!(showing(node, bytes), Vec::<String>::new());
        }
    }

    // It is away when the key changes, and is locked by the key that there was.
    cluster.nodes[2].kill();
    let rotated = cluster.nodes[0].swarmw(&["swarm", "unlock-key", "--rotate", "-q"]);
    let rotated = rotated.trim();
    assert_ne!(rotated, first);
    for (node, version) in cluster.nodes.iter().zip(&versions).take(2) {
        locked(node, *version);
    }
    cluster.nodes[2].start();
    let n3 = &cluster.nodes[2];
    stands(n3, "locked");
    for path in ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/swarm/unlockkey"] {
        let (status, body) = n3.api("GET", path).expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["message"]), (503, &Value::from(LOCKED)), "{path}");
    }
    let alone = n3.try_swarmw(&["swarm", "init", "--force-new-cluster"]);
    assert!(alone.stderr.contains(LOCKED), "{alone}");
    for _ in 0..5 {
        let refused = n3.typing(&["swarm", "unlock"], &format!("{rotated}\n"));
        assert!(refused.code == 1 && refused.stderr.contains(WRONG), "{refused}");
    }
    let refused = n3.typing(&["swarm", "unlock"], "swordfish\n");
    assert!(refused.stderr.contains("invalid key string"), "{refused}");
    for bytes in [DATA, PRIVATE_KEY, first.as_bytes(), rotated.as_bytes()] {
        assert_eq!(showing(n3, bytes), Vec::<String>::new(), "while it is locked");
    }
    stands(n3, "locked");
    unlock(n3, &first);
    manages(n3);
    locked(n3, versions[2]);

    // The machines all lose power. Nobody has a majority before the second one is unlocked.
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.nodes.iter().for_each(|node| stands(node, "locked"));
    let old = cluster.nodes[2].typing(&["swarm", "unlock"], &first);
    assert!(old.stderr.contains(WRONG), "{old}");
    cluster.nodes.iter().for_each(|node| unlock(node, rotated));
    cluster.nodes.iter().for_each(manages);
    let secrets = cluster.nodes[2].swarmw(&["secret", "ls", "--format", "{{.Name}}"]);
    assert_eq!(secrets.trim(), "horse");
    let again = cluster.nodes[0].typing(&["swarm", "unlock"], "");
    assert_eq!((again.code, again.stderr.trim()), (1, "Error: swarm is not locked"));
}

#[test]
fn the_lock_comes_and_goes_with_the_setting_and_with_the_role() {
    let mut cluster = Cluster::of(3, 0);
    let n1 = &cluster.nodes[0];
    for (command, why) in [
        (&["swarm", "unlock"][..], "Error: swarm is not locked"),
        (&["swarm", "unlock-key"], "no unlock key is set"),
        (&["swarm", "unlock-key", "--rotate"], "cannot rotate because autolock is not turned on"),
    ] {
        let refused = n1.try_swarmw(command);
        assert_eq!((refused.code, refused.stderr.trim()), (1, why));
    }
    let bare = keyring(n1);
    assert_eq!(bare.len(), 32, "the key of the log, in the open");
    assert_ne!(showing(n1, PRIVATE_KEY), Vec::<String>::new());

    let updated = n1.swarmw(&["swarm", "update", "--autolock"]);
    let key = unlock_key(n1);
    assert!(updated.starts_with("Swarm updated.\nTo unlock a swarm manager"), "{updated}");
    assert!(updated.contains(&format!("\n    {key}\n")), "{updated}");
    cluster.nodes.iter().for_each(|node| _ = locked(node, 0));
    for node in &cluster.nodes {
        assert_eq!(showing(node, PRIVATE_KEY), Vec::<String>::new());
    }
    assert_eq!(showing(&cluster.nodes[0], &bare), Vec::<String>::new());

    // A worker has nothing to lock, and a manager again it is locked again.
    let demoted = || n3_role(&cluster.nodes[0], "worker");
    cluster.nodes[0].swarmw(&["node", "demote", "n3"]);
    eventually("n3 is a worker", demoted);
    eventually("its files are open", || {
        let refused = cluster.nodes[2].try_swarmw(&["node", "ls"]);
        let worker = refused.stderr.contains("Worker nodes can't be used");
        let open = serde_json::from_slice::<Value>(&keyring(&cluster.nodes[2]));
        let open = open.is_ok_and(|file| file["Open"].is_object());
        if worker && open { Ok(()) } else { Err(refused.to_string()) }
    });
    cluster.nodes[2].kill();
    cluster.nodes[2].start();
    cluster.wait_ready(3);
    stands(&cluster.nodes[2], "active");
    let body = format!(r#"{{"UnlockKey":"{key}"}}"#);
    let refused = request(&cluster.nodes[2].socket(), "POST", "/swarm/unlock", &body);
    let (status, text) = refused.expect("an answer");
    assert!(status == 503 && text.contains("Worker nodes can't be used"), "{status} {text}");
    cluster.nodes[0].swarmw(&["node", "promote", "n3"]);
    manages(&cluster.nodes[2]);
    locked(&cluster.nodes[2], 0);

    // Who has no key can still go.
    cluster.nodes[2].kill();
    cluster.nodes[2].start();
    let n3 = &cluster.nodes[2];
    stands(n3, "locked");
    let stays = n3.try_swarmw(&["swarm", "leave"]);
    assert!(
        stays.stderr.contains("Swarm is encrypted and locked. Please unlock it first"),
        "{stays}"
    );
    n3.swarmw(&["swarm", "leave", "--force"]);
    stands(n3, "inactive");
    let outside = n3.try_swarmw(&["swarm", "unlock"]);
    assert_eq!(outside.stderr.trim(), "Error: This node is not part of a swarm");

    cluster.nodes[0].swarmw(&["swarm", "update", "--autolock=false"]);
    eventually("the files are open", || {
        let file = String::from_utf8_lossy(&keyring(&cluster.nodes[0])).into_owned();
        if file.contains("\"Open\"") { Ok(()) } else { Err(file) }
    });
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    eventually("it is a manager by itself", || cluster.nodes[0].json("/nodes").map(drop));
}

fn n3_role(node: &Node, role: &str) -> Result<(), String> {
    let nodes = node.json("/nodes")?;
    let all = nodes.as_array().into_iter().flatten();
    let mut n3 = all.filter(|n| n["Description"]["Hostname"] == "n3");
    match n3.any(|n| n["Spec"]["Role"] == role && n["ManagerStatus"].is_null()) {
        true => Ok(()),
        false => Err(nodes.to_string()),
    }
}
