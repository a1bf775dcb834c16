//! The key that unlocks managers is there exactly while they lock themselves.

use swarmw_model::{Cluster, ClusterSpec, EncryptionConfig, JoinTokens, Node, NodeRole, UnlockKey};
use swarmw_state::{AUTOLOCK_LEVEL, Change, State};

use crate::build::*;

fn founded(level: u32) -> Log {
    let mut log = Log { state: State::default() };
    log.done(Change::InitCluster {
        cluster: Box::new(Cluster { feature_level: level, ..cluster() }),
        node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
        plugins: Vec::new(),
    });
    log
}

fn set(log: &Log, auto_lock_managers: bool, unlock_key: Option<&UnlockKey>) -> Change {
    let encryption = EncryptionConfig { auto_lock_managers };
    Change::UpdateCluster {
        version: log.state.cluster().unwrap().version,
        spec: Box::new(ClusterSpec { encryption, ..ClusterSpec::default() }),
        rotate: JoinTokens::default(),
        unlock_key: unlock_key.cloned(),
    }
}

fn unlock_key(n: u32) -> UnlockKey {
    format!("SWMKEY-1-{n:042}0").parse().unwrap()
}

fn key(log: &Log) -> Option<UnlockKey> {
    log.state.cluster().unwrap().unlock_key.clone()
}

#[test]
fn the_key_comes_stays_changes_and_goes_with_the_setting() {
    let mut log = founded(AUTOLOCK_LEVEL);
    let [first, second] = [1, 2].map(unlock_key);
    let refused = log.refusal(set(&log, true, None));
    assert!(refused.contains("need an unlock key"), "{refused}");
    for (on, new, want) in [
        (false, Some(&first), None),
        (true, Some(&first), Some(&first)),
        (true, None, Some(&first)),
        (true, Some(&second), Some(&second)),
        (false, None, None),
    ] {
        let change = set(&log, on, new);
        log.done(change);
        assert_eq!(key(&log).as_ref(), want, "{on} {new:?}");
        let snapshot = log.state.to_snapshot();
        let again = State::from_snapshot(&snapshot).expect("a snapshot");
        assert_eq!(again.cluster().unwrap().unlock_key.as_ref(), want);
    }
}

#[test]
fn no_manager_locks_itself_while_one_does_not_know_how() {
    let mut log = founded(AUTOLOCK_LEVEL - 1);
    let key = unlock_key(1);
    let want = "autolock needs a swarmw that knows it on every manager";
    assert!(log.refusal(set(&log, true, Some(&key))).contains(want));
    assert!(log.state.needs_autolock().is_err());
    log.done(Change::RaiseFeatureLevel(AUTOLOCK_LEVEL));
    let change = set(&log, true, Some(&key));
    log.done(change);
}
