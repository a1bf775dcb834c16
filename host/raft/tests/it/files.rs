//! Files: restarts, damage, other keys, full disks.

use std::process::Command;

use swarmw_raft::{ProposeError, Raft, RaftConfig, RaftError, Storage, Timing};

use swarmw_seal::{Seal, new_key};

use crate::support::{Cluster, KEY, TIMING, create, created, eventually, names, set};

#[tokio::test]
async fn a_follower_that_restarts_has_what_it_had_and_catches_up() {
    let cluster = Cluster::on_disk(3).await;
    cluster.create("before", 7).await;
    let leader = cluster.leader_id().await;
    let other = (1..=3).find(|id| *id != leader).unwrap();
    cluster.stop(other).await;
    cluster.create("while", 8).await;
    cluster.start(other).await;
    cluster.create("after", 9).await;
    cluster.holds(other, &set(["first", "before", "while", "after"])).await;
}

#[tokio::test]
async fn all_managers_restart_and_every_acknowledged_write_is_there() {
    restart_all(&Cluster::on_disk(3).await).await;
}

#[tokio::test]
async fn what_stands_in_for_a_disk_keeps_as_much() {
    restart_all(&Cluster::in_memory(3).await).await;
}

async fn restart_all(cluster: &Cluster) {
    let mut want = set(["first"]);
    for round in 0..3u128 {
        for n in 0..20 {
            let name = format!("s{round}-{n}");
            cluster.create(&name, 100 + round * 100 + n).await;
            want.insert(name);
        }
        for id in 1..=3 {
            cluster.stop(id).await;
        }
        for id in 1..=3 {
            cluster.start(id).await;
        }
        cluster.leader().await;
        for id in 1..=3 {
            cluster.holds(id, &want).await;
        }
    }
    // Names of writes survive too.
    assert_eq!(cluster.create("s0-3", 103).await, created(103));
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let often = Timing { snapshot_every: 20, keep_entries: 5, ..TIMING };
    let cluster = Cluster::with(1, often).await;
    cluster.create("web", 7).await;
    cluster.stop(1).await;
    let error = opened(&cluster, [1; 32]).await;
    assert!(error.contains("damaged, or sealed by another key"), "{error}");
    cluster.start(1).await;
    cluster.leader().await;
    cluster.holds(1, &set(["first", "web"])).await;
}

/// The error with which a manager's files are opened.
async fn opened(cluster: &Cluster, key: [u8; 32]) -> String {
    eventually("the file is free", || async {
        match cluster.open(1, Seal::new(key)).await {
            Ok(raft) => {
                raft.shutdown().await;
                Some(String::new())
            }
            Err(e) if e.to_string().contains("already open") => None,
            Err(e) => Some(e.to_string()),
        }
    })
    .await
}

#[tokio::test]
async fn what_is_sealed_anew_opens_by_the_new_key_alone() {
    let often = Timing { snapshot_every: 20, keep_entries: 5, ..TIMING };
    let cluster = Cluster::with(1, often).await;
    let mut want = set(["first"]);
    for n in 10..60 {
        cluster.create(&format!("s{n}"), n).await;
        want.insert(format!("s{n}"));
    }
    let path = cluster.dir(1).join("snapshot");
    eventually("a snapshot is kept", || async { path.exists().then_some(()) }).await;
    cluster.stop(1).await;

    let seal = Seal::new(KEY);
    let raft = eventually("the file is free", || cluster.opened_by(1, &seal)).await;
    eventually("it leads", || async { raft.role().leading.then_some(()) }).await;
    let key = new_key();
    seal.replace(key.clone());
    raft.propose(create("between", 90)).await.unwrap();
    raft.reseal().await.unwrap();
    seal.forget_before();
    raft.propose(create("after", 91)).await.unwrap();
    want.extend(["between".to_owned(), "after".to_owned()]);
    raft.shutdown().await;
    assert!(raft.reseal().await.is_err(), "its files are closed");

    let error = opened(&cluster, KEY).await;
    assert!(error.contains("sealed by another key"), "{error}");
    let seal = Seal::new(*key);
    let raft = eventually("the file is free", || cluster.opened_by(1, &seal)).await;
    eventually("everything is there", || async { (names(&raft.state()) == want).then_some(()) })
        .await;
    raft.shutdown().await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_named_and_not_started_from() {
    let often = Timing { snapshot_every: 20, keep_entries: 5, ..TIMING };
    let cluster = Cluster::with(1, often).await;
    for n in 10..60 {
        cluster.create(&format!("s{n}"), n).await;
    }
    let path = cluster.dir(1).join("snapshot");
    eventually("a snapshot is kept", || async { path.exists().then_some(()) }).await;
    cluster.stop(1).await;
    let good = std::fs::read(&path).unwrap();
    for at in [0, 30, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        std::fs::write(&path, bad).unwrap();
        let error = opened(&cluster, KEY).await;
        assert!(error.contains("snapshot"), "{error}");
        assert!(error.contains("damaged"), "byte {at}: {error}");
    }
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(opened(&cluster, KEY).await.contains("damaged"));
    // The log alone does not reach back to the beginning.
    std::fs::remove_file(&path).unwrap();
    let error = opened(&cluster, KEY).await;
    assert!(error.contains("snapshot"), "started without its snapshot: {error:?}");
    std::fs::write(&path, good).unwrap();
    cluster.start(1).await;
    cluster.leader().await;
    assert_eq!(names(&cluster.raft(1).state()).len(), 51);
}

#[tokio::test]
async fn a_damaged_log_is_named() {
    let cluster = Cluster::on_disk(1).await;
    cluster.create("web", 7).await;
    cluster.stop(1).await;
    assert_eq!(opened(&cluster, KEY).await, "");
    let path = cluster.dir(1).join("log.redb");
    eventually("the file is free", || async { redb::Database::open(&path).ok().map(drop) }).await;
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let error = opened(&cluster, KEY).await;
    assert!(error.contains("log.redb"), "{error}");
    std::fs::write(&path, b"something else altogether").unwrap();
    assert!(opened(&cluster, KEY).await.contains("log.redb"));
    std::fs::write(&path, good).unwrap();
    cluster.start(1).await;
    cluster.leader().await;
    cluster.holds(1, &set(["first", "web"])).await;
}

/// A file system of a few megabytes; only root may make one.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=5m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|o| o.status.success()).then(|| Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_writes_fail_and_nothing_acknowledged_is_lost() {
    let Some(disk) = Small::new() else {
        eprintln!("skipped: only root can mount a small file system");
        return;
    };
    let config = || RaftConfig {
        storage: Storage::Disk { dir: disk.0.path().join("raft"), seal: Seal::new(KEY) },
        raft_id: 1,
        address: "m1:2377".to_owned(),
        timing: TIMING,
    };
    struct Nobody;
    impl swarmw_raft::Peers for Nobody {
        fn call(
            &self,
            _: swarmw_raft::Peer,
            _: swarmw_raft::Rpc,
            _: Vec<u8>,
        ) -> futures::future::BoxFuture<'static, Result<Vec<u8>, swarmw_raft::PeerError>> {
            Box::pin(async { Err(swarmw_raft::PeerError("alone".to_owned())) })
        }
        fn snapshot(
            &self,
            _: swarmw_raft::Peer,
            _: futures::stream::BoxStream<'static, Vec<u8>>,
        ) -> futures::future::BoxFuture<'static, Result<Vec<u8>, swarmw_raft::PeerError>> {
            Box::pin(async { Err(swarmw_raft::PeerError("alone".to_owned())) })
        }
    }
    let peers = std::sync::Arc::new(Nobody);
    let raft = Raft::open(config(), peers.clone()).await.unwrap();
    raft.found(create("first", 1)).await.unwrap();
    let mut acknowledged = set(["first"]);
    let mut filled = false;
    for n in 2..10_000u128 {
        // Long names fill the disk soon.
        let name = format!("s{n}-{}", "x".repeat(60_000));
        match raft.propose(create(&name, n)).await {
            Ok(_) => drop(acknowledged.insert(name)),
            Err(e) => {
                assert!(matches!(e, ProposeError::Closed | ProposeError::Lost), "{e:?}");
                filled = true;
                break;
            }
        }
    }
    assert!(filled, "5 MB hold {} services of 60 kB", acknowledged.len());
    let after = raft.propose(create("after", 20_000)).await;
    assert_eq!(after, Err(ProposeError::Closed), "a log that failed takes nothing more");
    raft.shutdown().await;
    drop(raft);

    let remount = ["-o", "remount,size=64m"];
    assert!(Command::new("mount").args(remount).arg(disk.0.path()).status().unwrap().success());
    let raft = eventually("the file is free", || async {
        match Raft::open(config(), peers.clone()).await {
            Err(RaftError::Storage { message, .. }) if message.contains("already open") => None,
            opened => Some(opened.unwrap()),
        }
    })
    .await;
    eventually("it leads", || async { raft.role().leading.then_some(()) }).await;
    let kept = names(&raft.state());
    assert!(acknowledged.is_subset(&kept), "{} of {}", kept.len(), acknowledged.len());
    assert!(kept.len() <= acknowledged.len() + 1, "at most the write that failed is there too");
    raft.propose(create("after", 20_000)).await.unwrap();
    raft.shutdown().await;
}
