//! Rules of nodes and of the cluster itself.

use swarmw_model::{
    ClusterSpec, JoinTokens, NodeDescription, NodeId, NodeRole, NodeState, RaftMember, Time,
};
use swarmw_state::{Change, Dropped, Outcome, State, Transaction};

use crate::build::*;
use crate::dump::dump;

#[test]
fn the_last_manager_stays_one() {
    let mut log = Log::founded();
    let refused = log.node_spec(N1, |spec| spec.role = NodeRole::Worker);
    let Outcome::Refused(why) = refused else { panic!("{refused:?}") };
    assert_eq!(
        why.to_string(),
        "rpc error: code = FailedPrecondition desc = \
         attempting to demote the last manager of the swarm"
    );
    log.node_spec(N2, |spec| spec.role = NodeRole::Manager);
    let allowed = log.node_spec(N1, |spec| spec.role = NodeRole::Worker);
    assert_eq!(allowed, Outcome::Done(None));
}

#[test]
fn a_node_is_removed_when_it_is_down_and_no_manager() {
    let remove = |id, force| Change::RemoveNode { id, force, deny_until: Time::from_nanos(9) };
    let mut log = Log::founded();
    let why = log.refusal(remove(N1, true));
    assert!(why.contains("is a cluster manager and is a member of the raft cluster"), "{why}");
    let why = log.refusal(remove(N2, false));
    assert!(why.contains(&format!("node {N2} is not down and can't be removed")), "{why}");
    log.done(remove(N2, true));
    assert_eq!(log.refusal(remove(N2, true)), format!("node {N2} not found"));
    let silent = Change::RegisterNode { id: N2, description: Default::default(), addr: "".into() };
    log.dropped(silent, Dropped::Gone);
}

#[test]
fn denials_end_with_the_certificates() {
    let mut log = Log::founded();
    let early = Time::from_nanos(i64::try_from(log.state.index() + 2).unwrap() * 1_000);
    log.done(Change::RemoveNode { id: N2, force: true, deny_until: early });
    assert_eq!(log.state.cluster().unwrap().removed_nodes.len(), 1);
    let other = NodeId::from_bits(40);
    log.done(Change::AddNode(Box::new(node(other, NodeRole::Worker))));
    log.done(Change::RemoveNode { id: other, force: true, deny_until: Time::from_nanos(1 << 60) });
    let denied: Vec<_> = log.state.cluster().unwrap().removed_nodes.keys().cloned().collect();
    assert_eq!(denied, [other.to_string()]);
}

#[test]
fn raft_ids_are_never_given_twice() {
    let mut log = Log::founded();
    assert_eq!(log.state.next_raft_id(), 2);
    let role = |role, member| Change::SetNodeRole { id: N2, role, member };
    log.done(role(NodeRole::Manager, Some(seat(5))));
    log.done(role(NodeRole::Worker, None));
    assert_eq!(log.state.next_raft_id(), 6);
    let restored = State::from_snapshot(&log.state.to_snapshot()).unwrap();
    assert_eq!(restored.next_raft_id(), 6);
}

#[test]
fn a_manager_that_goes_on_alone_leaves_the_others_without_seats() {
    let mut log = Log::founded();
    let waiting = NodeId::from_bits(40);
    log.done(Change::AddNode(Box::new(node(waiting, NodeRole::Manager))));
    let sits = |id| Change::SetNodeRole { id, role: NodeRole::Manager, member: Some(seat(0)) };
    log.node_spec(N2, |spec| spec.role = NodeRole::Manager);
    log.done(sits(N2));
    let own = log.state.node(N2).unwrap().member.clone().unwrap();
    let moved = RaftMember { addr: "elsewhere:2377".into(), ..own };

    let seats = 1_763_900_000_000;
    let at = Time::from_nanos(seats * 1_000_000);
    for change in Transaction::alone(at, N2, moved.clone()).changes {
        log.done(change);
    }

    let node = |id| log.state.node(id).unwrap();
    for other in [N1, waiting] {
        let node = node(other);
        assert_eq!((node.spec.role, node.role), (NodeRole::Worker, NodeRole::Worker));
        assert_eq!(node.member, None);
    }
    assert_eq!(node(N2).role, NodeRole::Manager);
    assert_eq!(node(N2).member, Some(moved));
    let next = u64::try_from(seats).unwrap() + 1;
    assert_eq!(log.state.next_raft_id(), next, "nor is one that others gave meanwhile");
    let gone = Change::KeepManager { id: NodeId::from_bits(41), member: seat(1) };
    log.dropped(gone, Dropped::Gone);
}

#[test]
fn two_managers_that_join_at_once_get_two_seats() {
    let mut log = Log::founded();
    let other = NodeId::from_bits(40);
    log.done(Change::AddNode(Box::new(node(other, NodeRole::Worker))));
    let sits = |id| Change::SetNodeRole { id, role: NodeRole::Manager, member: Some(seat(0)) };
    log.done(sits(N2));
    log.done(sits(other));
    let raft_id = |log: &Log, id| log.state.node(id).unwrap().member.as_ref().unwrap().raft_id;
    assert_eq!((raft_id(&log, N2), raft_id(&log, other)), (2, 3));
    // One that asks again keeps its seat.
    log.dropped(sits(N2), Dropped::Stale);
    assert_eq!(log.state.next_raft_id(), 4);
}

#[test]
fn what_says_nothing_new_is_stale() {
    let mut log = Log::founded();
    let description = NodeDescription { hostname: "n2".into(), ..Default::default() };
    let register = Change::RegisterNode {
        id: N2,
        description: Box::new(description),
        addr: "10.0.0.2".into(),
    };
    log.done(register.clone());
    log.dropped(register.clone(), Dropped::Stale);
    let down = Change::SetNodeState { id: N2, state: NodeState::Down, message: "m".into() };
    log.done(down.clone());
    log.dropped(down, Dropped::Stale);
    log.done(register);
    log.dropped(Change::RaiseFeatureLevel(1), Dropped::Stale);
    log.done(Change::RaiseFeatureLevel(2));
    log.dropped(Change::RaiseFeatureLevel(1), Dropped::Stale);
}

#[test]
fn a_node_that_joins_again_keeps_its_spec() {
    let mut log = Log::founded();
    log.node_spec(N2, |spec| spec.labels = [("rack".into(), "a".into())].into());
    log.done(Change::AddNode(Box::new(node(N2, NodeRole::Worker))));
    assert_eq!(log.state.node(N2).unwrap().spec.labels["rack"], "a");
    assert_eq!(log.state.node_count(), 2);
}

#[test]
fn cluster_settings_have_versions_and_tokens_rotate_one_by_one() {
    let mut log = Log::founded();
    let update = |version, worker: &str| Change::UpdateCluster {
        version,
        spec: Box::new(ClusterSpec::default()),
        rotate: JoinTokens { worker: worker.into(), manager: String::new() },
        unlock_key: None,
    };
    let read = log.state.cluster().unwrap().version;
    log.done(update(read, "w2"));
    let want = "rpc error: code = Unknown desc = update out of sequence";
    assert_eq!(log.refusal(update(read, "w3")), want);
    let tokens = &log.state.cluster().unwrap().join_tokens;
    assert_eq!((tokens.worker.as_str(), tokens.manager.as_str()), ("w2", "m"));
}

#[test]
fn a_cluster_is_founded_once_and_completely_or_not_at_all() {
    let found = |plugins| Change::InitCluster {
        cluster: Box::new(cluster()),
        node: Box::new(node(N1, NodeRole::Manager)),
        plugins,
    };
    let mut log = Log { state: State::default() };
    let empty = dump(&log.state);
    let twice = vec![plugin(1, "acme/a", &["a"]), plugin(2, "acme/a", &["b"])];
    let applied = log.apply(vec![found(twice)]);
    assert!(matches!(&applied.outcomes[..], [Outcome::Refused(_)]), "{:?}", applied.outcomes);
    assert_eq!(dump(&log.state), empty);
    assert!(applied.events.is_empty(), "{:?}", applied.events);
    log.done(found(vec![plugin(1, "acme/a", &["a"])]));
    assert!(log.refusal(found(Vec::new())).contains("the cluster exists already"));
}

#[test]
fn one_refused_change_does_not_keep_the_others_out() {
    let mut log = Log::with_web();
    let changes =
        vec![create(API, service("web")), create(API, service("api")), Change::RemoveTask(T1)];
    let outcomes = log.apply(changes).outcomes;
    assert!(
        matches!(
            &outcomes[..],
            [Outcome::Refused(_), Outcome::Done(Some(_)), Outcome::Dropped(Dropped::Gone)]
        ),
        "{outcomes:?}"
    );
}

#[test]
fn what_a_newer_binary_wrote_is_refused_with_its_version() {
    for bytes in [&[2u8, 0xa0][..], &[]] {
        let error = State::from_snapshot(bytes).unwrap_err().to_string();
        let version = bytes.first().copied().unwrap_or_default();
        assert!(error.starts_with(&format!("format version {version}:")), "{error}");
    }
    let good = Log::with_task().state.to_snapshot();
    for cut in [1, good.len() / 2, good.len() - 1] {
        assert!(State::from_snapshot(&good[..cut]).is_err(), "{cut}");
    }
    let empty = Transaction { at: Time::ZERO, request: None, changes: Vec::new() };
    let mut bytes = swarmw_state::encode_transaction(&empty);
    assert_eq!(swarmw_state::decode_transaction(&bytes).unwrap(), empty);
    bytes[0] = 9;
    assert!(swarmw_state::decode_transaction(&bytes).is_err());
}
