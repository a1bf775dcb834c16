//! Versions of secrets and configs under one name.

use std::sync::Arc;

use swarmw_model::{
    Cluster, ClusterVolume, Config, ConfigId, DataSpec, FileTarget, Node, NodeRole, Secret,
    SecretId, SecretReference, Series, ServiceId, ServiceSpec, Version, VolumeId, VolumeSecret,
    VolumeSpec,
};
use swarmw_state::{
    Change, Outcome, Rotation, State, Successor, VERSIONS_LEVEL, decode_transaction,
    encode_transaction,
};

use crate::build::{API, Log, N1, WEB, cluster, create, node, seat, service};
use crate::dump::dump;

const V1: SecretId = SecretId::from_bits(81);
const V2: SecretId = SecretId::from_bits(82);
const V3: SecretId = SecretId::from_bits(83);

fn spec(name: &str, data: &str) -> DataSpec {
    DataSpec {
        name: name.into(),
        data: data.as_bytes().to_vec().into(),
        labels: [("of".to_owned(), "us".to_owned())].into(),
        ..DataSpec::default()
    }
}

/// A cluster of this feature level.
fn founded(level: u32) -> Log {
    let mut log = Log { state: State::default() };
    log.done(Change::InitCluster {
        cluster: Box::new(Cluster { feature_level: level, ..cluster() }),
        node: Box::new(Node { member: Some(seat(1)), ..node(N1, NodeRole::Manager) }),
        plugins: Vec::new(),
    });
    log
}

/// A cluster with the secret `key`.
fn with_key() -> Log {
    let mut log = founded(VERSIONS_LEVEL);
    log.done(Change::CreateSecret(Box::new(Secret::new(V1, spec("key", "one")))));
    log
}

fn rotation(log: &Log, id: SecretId, to: Successor<SecretId>) -> Change {
    let version = log.state.secret(id).map_or(Version::default(), |secret| secret.version);
    Change::RotateSecret(Box::new(Rotation { id, version, to }))
}

fn rotate(log: &mut Log, from: SecretId, to: SecretId, data: &str) {
    let data = data.as_bytes().to_vec().into();
    let change = rotation(log, from, Successor::New { id: to, data });
    assert_eq!(log.one(change), Outcome::Done(Some(swarmw_model::DataId::id(to))));
}

fn back(log: &mut Log, from: SecretId, to: SecretId) {
    let change = rotation(log, from, Successor::Earlier(to));
    log.done(change);
}

/// A service that names a secret.
fn naming(name: &str, id: SecretId, secret: &str) -> ServiceSpec {
    let mut spec = service(name);
    let container = Arc::make_mut(&mut spec.task_template).container_spec.as_mut();
    container.expect("a container").secrets.push(SecretReference {
        file: Some(FileTarget { name: "k".into(), ..FileTarget::default() }),
        secret_id: id.to_string(),
        secret_name: secret.into(),
    });
    spec
}

/// What a service has: the secret's id and name.
fn has(spec: &ServiceSpec) -> (String, String) {
    let [one] = &spec.container().expect("a container").secrets[..] else { panic!("one secret") };
    assert_eq!(one.file.as_ref().map(|file| file.name.as_str()), Some("k"));
    (one.secret_id.clone(), one.secret_name.clone())
}

fn wanted(id: SecretId, name: &str) -> (String, String) {
    (id.to_string(), name.to_owned())
}

/// Names, numbers and bytes.
fn versions(state: &State) -> Vec<(String, u64, String)> {
    let told = |s: &Arc<Secret>| {
        let data = String::from_utf8_lossy(s.spec.data.bytes()).into_owned();
        assert_eq!(s.spec.labels.len(), 1);
        assert_eq!(state.secret_named(&s.spec.name).map(|found| found.id), Some(s.id));
        (s.spec.name.clone(), s.number(), data)
    };
    let mut all: Vec<_> = state.secrets().map(told).collect();
    all.sort();
    all
}

fn version(name: &str, number: u64, data: &str) -> (String, u64, String) {
    (name.to_owned(), number, data.to_owned())
}

fn spec_of(log: &Log, id: ServiceId) -> ServiceSpec {
    log.state.service(id).expect("a service").spec.clone()
}

#[test]
fn the_name_is_the_newest_versions_and_its_services_take_it_as_an_update() {
    let mut log = with_key();
    log.done(create(WEB, naming("web", V1, "key")));
    log.done(create(API, service("api")));
    let (web, api) = (log.version(WEB), log.version(API));
    rotate(&mut log, V1, V2, "two");

    assert_eq!(versions(&log.state), [version("key", 2, "two"), version("key.v1", 1, "one")]);
    assert_eq!(has(&spec_of(&log, WEB)), wanted(V2, "key"));
    let service = log.state.service(WEB).expect("a service");
    assert!(service.spec_version > web, "its tasks are of another spec");
    assert_eq!(has(service.previous_spec.as_ref().expect("one")), wanted(V1, "key.v1"));
    assert_eq!(log.version(API), api, "who does not name it is left alone");

    // Both are secrets like others: the one in use stays, the other may go.
    assert!(log.refusal(Change::RemoveSecret(V2)).contains("in use"));
    log.done(Change::RemoveSecret(V1));
    rotate(&mut log, V2, V3, "three");
    assert_eq!(versions(&log.state), [version("key", 3, "three"), version("key.v2", 2, "two")]);
}

#[test]
fn an_earlier_version_comes_back_and_the_next_one_has_a_number_of_its_own() {
    let mut log = with_key();
    log.done(create(WEB, naming("web", V1, "key")));
    rotate(&mut log, V1, V2, "two");
    let present = log.state.secret(V2).expect("a secret").clone();
    assert_eq!(log.state.secret_before(&present).map(|s| s.id), Some(V1));
    back(&mut log, V2, V1);
    assert_eq!(versions(&log.state), [version("key", 1, "one"), version("key.v2", 2, "two")]);
    assert_eq!(has(&spec_of(&log, WEB)), wanted(V1, "key"));
    let present = log.state.secret(V1).expect("a secret").clone();
    assert_eq!(log.state.secret_before(&present), None);

    rotate(&mut log, V1, V3, "three");
    assert_eq!(
        versions(&log.state),
        [version("key", 3, "three"), version("key.v1", 1, "one"), version("key.v2", 2, "two")]
    );
    let present = log.state.secret(V3).expect("a secret").clone();
    assert_eq!(log.state.secret_before(&present).map(|s| s.id), Some(V2));
}

#[test]
fn a_service_goes_back_to_the_version_that_it_had() {
    let mut log = with_key();
    log.done(create(WEB, naming("web", V1, "key")));
    rotate(&mut log, V1, V2, "two");
    let version = Some(log.version(WEB));
    log.done(Change::RollbackService { id: WEB, version, message: String::new() });
    assert_eq!(has(&spec_of(&log, WEB)), wanted(V1, "key.v1"));
    // One that names an earlier version keeps it.
    rotate(&mut log, V2, V3, "three");
    assert_eq!(has(&spec_of(&log, WEB)), wanted(V1, "key.v1"));
    back(&mut log, V3, V1);
    assert_eq!(has(&spec_of(&log, WEB)), wanted(V1, "key"), "under the name that it has now");
}

#[test]
fn what_cannot_be_rotated_is_refused_and_nothing_has_changed() {
    let mut log = with_key();
    rotate(&mut log, V1, V2, "two");
    log.done(Change::CreateSecret(Box::new(Secret::new(V3, spec("other", "x")))));
    let before = versions(&log.state);
    let new = |id: u128, data: &str| Successor::New {
        id: SecretId::from_bits(id),
        data: data.as_bytes().to_vec().into(),
    };
    for (id, to, want) in [
        (V1, new(99, "x"), "secret key.v1 is an earlier version of key: rotate secret key"),
        (V2, new(99, ""), "data must be larger than 0"),
        (V2, Successor::Earlier(V3), "secret other is no earlier version of key"),
        (V2, Successor::Earlier(V2), "secret key is no earlier version of key"),
        (SecretId::from_bits(77), new(99, "x"), "not found"),
    ] {
        let change = rotation(&log, id, to);
        let refused = log.refusal(change);
        assert!(refused.contains(want), "{refused}");
    }
    let stale = Rotation { id: V2, version: Version { index: 1 }, to: new(99, "x") };
    let refused = log.refusal(Change::RotateSecret(Box::new(stale)));
    assert!(refused.ends_with("update out of sequence"), "{refused}");
    assert_eq!(versions(&log.state), before);

    // The name of what is replaced is somebody else's already.
    log.done(Change::CreateSecret(Box::new(Secret::new(
        SecretId::from_bits(88),
        spec("other.v1", "x"),
    ))));
    let change = rotation(&log, V3, new(99, "y"));
    assert!(log.refusal(change).ends_with("secret other.v1 already exists"));
    assert_eq!(log.state.secret_named("other").map(|s| s.id), Some(V3));

    let secrets = vec![VolumeSecret { key: "k".into(), name: "key".into(), ..Default::default() }];
    let volume = VolumeSpec { name: "data".into(), secrets, ..VolumeSpec::default() };
    let volume = ClusterVolume::new(VolumeId::from_bits(7), volume);
    log.done(Change::CreateVolume(Box::new(volume)));
    let change = rotation(&log, V2, new(99, "x"));
    assert!(
        log.refusal(change).contains("it is granted to volumes, which keep what they have: data")
    );
}

#[test]
fn earlier_versions_are_kept_within_their_limit_and_while_they_are_named() {
    let mut log = with_key();
    log.done(create(WEB, naming("web", V1, "key")));
    let mut present = V1;
    for number in 2..=13_u128 {
        let next = SecretId::from_bits(100 + number);
        rotate(&mut log, present, next, &number.to_string());
        present = next;
        if number == 2 {
            log.done(create(API, naming("api", V1, "key.v1")));
        }
    }
    let mut left: Vec<_> = versions(&log.state).into_iter().map(|(_, number, _)| number).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], "the first is named by a service");
}

#[test]
fn configs_rotate_alike_and_versions_outlive_log_and_snapshot() {
    let mut log = founded(VERSIONS_LEVEL);
    let (c1, c2) = (ConfigId::from_bits(91), ConfigId::from_bits(92));
    log.done(Change::CreateConfig(Box::new(Config::new(c1, spec("conf", "one")))));
    let version = log.state.config(c1).expect("a config").version;
    let to = Successor::New { id: c2, data: b"two".to_vec().into() };
    let change = Change::RotateConfig(Box::new(Rotation { id: c1, version, to }));
    let transaction = swarmw_state::Transaction {
        at: Default::default(),
        request: None,
        changes: vec![change.clone()],
    };
    let bytes = encode_transaction(&transaction);
    assert_eq!(decode_transaction(&bytes).expect("a transaction"), transaction);
    log.done(change);
    assert_eq!(log.state.config_named("conf").map(|c| c.id), Some(c2));
    let series = log.state.config(c1).expect("a config").series.clone();
    assert_eq!(series, Some(Series { name: "conf".into(), number: 1 }));
    let restored = State::from_snapshot(&log.state.to_snapshot()).expect("a snapshot");
    assert_eq!(dump(&restored), dump(&log.state));
}

#[test]
fn a_cluster_with_an_older_manager_has_no_versions() {
    let mut log = founded(VERSIONS_LEVEL - 1);
    log.done(Change::CreateSecret(Box::new(Secret::new(V1, spec("key", "one")))));
    let to = Successor::New { id: V2, data: b"two".to_vec().into() };
    let change = rotation(&log, V1, to);
    let refused = log.refusal(change);
    assert!(refused.contains("versions of secrets and configs need a swarmw"), "{refused}");
    assert_eq!(log.state.secret(V2), None);
}
