use std::sync::Arc;

use swarmw_model::{
    ClusterVolume, Config, ConfigId, ConfigReference, DataSpec, FileTarget, Secret, SecretId,
    SecretReference, ServiceSpec, Version, VolumeId, VolumeSecret, VolumeSpec,
};
use swarmw_state::{
    Change, Event, Lookup, State, Transaction, decode_transaction, encode_transaction,
};

use crate::build::{API, Log, WEB, create, service};
use crate::dump::dump;

const S1: SecretId = SecretId::from_bits(81);
const S2: SecretId = SecretId::from_bits(82);
const C1: ConfigId = ConfigId::from_bits(91);
const C2: ConfigId = ConfigId::from_bits(92);

fn spec(name: &str, data: &str) -> DataSpec {
    DataSpec { name: name.into(), data: data.as_bytes().to_vec().into(), ..DataSpec::default() }
}

fn secret(id: SecretId, name: &str, data: &str) -> Change {
    Change::CreateSecret(Box::new(Secret::new(id, spec(name, data))))
}

fn config(id: ConfigId, name: &str, data: &str) -> Change {
    Change::CreateConfig(Box::new(Config::new(id, spec(name, data))))
}

/// A service that names a secret and a config.
fn naming(
    service_name: &str,
    secret: Option<(&str, &str)>,
    config: Option<(&str, &str)>,
) -> ServiceSpec {
    let mut spec = service(service_name);
    let container = Arc::make_mut(&mut spec.task_template).container_spec.as_mut();
    let container = container.expect("a container");
    let file = |name: &str| Some(FileTarget { name: name.into(), ..FileTarget::default() });
    container.secrets.extend(secret.map(|(id, name)| SecretReference {
        file: file(name),
        secret_id: id.into(),
        secret_name: name.into(),
    }));
    container.configs.extend(config.map(|(id, name)| ConfigReference {
        file: file(name),
        runtime: None,
        config_id: id.into(),
        config_name: name.into(),
    }));
    spec
}

#[test]
fn a_name_is_one_secret_whatever_its_letter_case_and_a_config_may_have_it_too() {
    let mut log = Log::founded();
    log.done(secret(S1, "db.pw", "x"));
    assert_eq!(
        log.refusal(secret(S2, "DB.pw", "y")),
        "rpc error: code = AlreadyExists desc = secret DB.pw already exists"
    );
    log.done(config(C1, "db.pw", "z"));
    assert_eq!(
        log.refusal(config(C2, "db.pw", "z")),
        "rpc error: code = AlreadyExists desc = config db.pw already exists"
    );
    assert!(log.refusal(secret(S2, "a b", "x")).contains("invalid name, only 64"));
    assert!(log.refusal(secret(S2, "a", "")).contains("must be larger than 0"));

    let id = S1.to_string();
    for reference in [id.as_str(), "db.pw", &id[..24]] {
        assert_eq!(Secret::find(&log.state, reference).expect(reference).id, S1);
    }
    let missed = Config::find(&log.state, "nope").expect_err("none");
    assert_eq!(missed.to_string(), "config nope not found");
}

#[test]
fn labels_change_and_nothing_else() {
    let mut log = Log::founded();
    log.done(secret(S1, "pw", "x"));
    let version = log.state.secret(S1).expect("a secret").version;
    let labelled = |name: &str, data: &str| DataSpec {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..spec(name, data)
    };
    let update = |spec, version| Change::UpdateSecret { id: S1, version, spec: Box::new(spec) };
    let only_labels = "rpc error: code = InvalidArgument desc = only updates to Labels are allowed";
    assert_eq!(log.refusal(update(labelled("other", ""), version)), only_labels);
    assert_eq!(log.refusal(update(labelled("pw", "y"), version)), only_labels);
    assert_eq!(
        log.refusal(update(labelled("pw", ""), Version { index: 1 })),
        "rpc error: code = Unknown desc = update out of sequence"
    );
    log.done(update(labelled("pw", ""), version));
    let updated = log.state.secret(S1).expect("a secret").clone();
    assert_eq!((updated.spec.labels.len(), updated.spec.data.bytes()), (1, &b"x"[..]));
    log.done(update(labelled("pw", "x"), updated.version));
    assert_eq!(
        log.refusal(Change::UpdateConfig { id: C1, version, spec: Box::new(spec("pw", "x")) }),
        format!("config {C1} not found")
    );
}

#[test]
fn what_services_name_is_there_and_stays() {
    let mut log = Log::founded();
    log.done(secret(S1, "pw", "x"));
    log.done(config(C1, "conf", "x"));
    let (s1, c1) = (S1.to_string(), C1.to_string());
    for (secret, config, want) in [
        (Some(("nothing", "pw")), None, "secret not found: pw"),
        (Some((&*s1, "other")), None, "secret not found: other"),
        (None, Some((&*s1, "conf")), "config not found: conf"),
    ] {
        assert_eq!(
            log.refusal(create(WEB, naming("web", secret, config))),
            format!("rpc error: code = InvalidArgument desc = {want}")
        );
    }
    log.done(create(WEB, naming("web", Some((&s1, "pw")), Some((&c1, "conf")))));
    assert_eq!(
        log.refusal(Change::RemoveSecret(S1)),
        "rpc error: code = InvalidArgument desc = secret 'pw' is in use by the following service: \
         web"
    );
    log.done(create(API, naming("api", Some((&s1, "pw")), Some((&c1, "conf")))));
    assert_eq!(
        log.refusal(Change::RemoveConfig(C1)),
        "rpc error: code = InvalidArgument desc = config 'conf' is in use by the following \
         services: api, web"
    );

    // The spec before does not count, as in Swarm, but nobody can go back to it.
    log.update(WEB, |spec| *spec = naming("web", None, None));
    log.done(Change::RemoveService { id: API });
    log.done(Change::RemoveSecret(S1));
    log.done(Change::RemoveConfig(C1));
    let version = Some(log.version(WEB));
    let back = Change::RollbackService { id: WEB, version, message: String::new() };
    assert_eq!(log.refusal(back), "rpc error: code = InvalidArgument desc = secret not found: pw");
    assert_eq!(log.refusal(Change::RemoveSecret(S1)), format!("secret {S1} not found"));
}

#[test]
fn a_secret_that_a_volume_grants_is_there_and_stays() {
    let mut log = Log::founded();
    log.done(secret(S1, "nas-pw", "x"));
    let volume = |keys: &[(&str, &str)]| {
        let secrets = keys.iter().map(|(key, name)| VolumeSecret {
            key: (*key).into(),
            name: (*name).into(),
            ..VolumeSecret::default()
        });
        let spec =
            VolumeSpec { name: "data".into(), secrets: secrets.collect(), ..VolumeSpec::default() };
        Change::CreateVolume(Box::new(ClusterVolume::new(VolumeId::from_bits(7), spec)))
    };
    for (keys, want) in [
        (&[("pw", "other")][..], "secret not found: other"),
        (&[("../x", "nas-pw")], "invalid key \"../x\" of a volume's secret"),
        (&[("pw", "nas-pw"), ("pw", "nas-pw")], "secret pw of a volume is given twice"),
    ] {
        let refused = log.refusal(volume(keys));
        assert!(refused.starts_with(want), "{refused}");
    }
    log.done(volume(&[("pw", "nas-pw")]));
    // The same one, by its id.
    log.done(volume(&[("pw", &S1.to_string())]));
    let made = log.state.volume_named("data").expect("a volume").clone();
    assert_eq!(made.spec.secrets[0].id, S1);
    assert_eq!(
        log.refusal(Change::RemoveSecret(S1)),
        "rpc error: code = InvalidArgument desc = secret 'nas-pw' is in use by the following \
         volume: data"
    );
    log.done(Change::GiveUpVolume(made.id));
    log.done(Change::RemoveVolume(made.id));
    log.done(Change::RemoveSecret(S1));
}

#[test]
fn both_outlive_the_log_and_no_text_shows_a_secret() {
    let mut log = Log::founded();
    let long = "hush".repeat(100_000);
    let change = secret(S1, "pw", &long);
    let transaction =
        Transaction { at: Default::default(), request: None, changes: vec![change.clone()] };
    let bytes = encode_transaction(&transaction);
    assert!(bytes.len() < long.len() + 1_000, "bytes are bytes");
    let again = decode_transaction(&bytes).expect("a transaction");
    assert_eq!(again, transaction);
    assert!(change.weight() >= long.len());

    let applied = log.apply(vec![change]);
    log.done(config(C1, "conf", "hello"));
    let restored = State::from_snapshot(&log.state.to_snapshot()).expect("a snapshot");
    assert_eq!(dump(&restored), dump(&log.state));
    assert_eq!(restored.secret_named("PW").map(|s| s.id), Some(S1));

    assert!(matches!(&applied.events[..], [Event::Secret { old: None, new: Some(_) }]));
    for text in [format!("{applied:?}"), format!("{transaction:#?}"), format!("{:?}", log.state)] {
        assert!(!text.contains("hush"), "a secret in debug output");
        assert!(!text.contains("104, 117"), "a secret in debug output");
    }
}
