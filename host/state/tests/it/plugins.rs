//! Plugins and the services that need them.

use swarmw_model::{
    CandidateState, ClusterVolume, Driver, GrantRequest, Placement, Plugin, PluginClaim, PluginId,
    PluginKind, PluginRelease, PluginState, Preference, ServiceId, ServiceSpec, SwarmwOptions,
    UpdateConfig, VolumeId, VolumeSpec,
};
use swarmw_state::{Change, Dropped, Outcome, State};

use crate::build::*;

pub const PACK: PluginId = PluginId::from_bits(1);

pub fn add(plugin: Plugin) -> Change {
    Change::AddPlugin(Box::new(plugin))
}

pub fn upgrade(serving: &str, release: PluginRelease, hold: Option<CandidateState>) -> Change {
    let serving = format!("sha256:{serving}");
    Change::UpgradePlugin { id: PACK, serving, release: Box::new(release), hold, version: None }
}

pub fn set(state: PluginState, force: bool) -> Change {
    Change::SetPluginState { id: PACK, state, message: "because".into(), force }
}

fn packed(name: &str) -> ServiceSpec {
    let preference = Preference { name: "pack".into(), argument: "x".into() };
    let mut spec = service(name);
    let placed = swarmw_model::PlacedPreference { preference, after: 0 };
    spec.swarmw = Some(SwarmwOptions { preferences: vec![placed], ..Default::default() });
    spec
}

/// A cluster with the preference `acme/pack`.
pub fn with_pack() -> Log {
    let mut log = Log::founded();
    log.done(add(plugin(1, "acme/pack", &["pack"])));
    log
}

pub fn pack(log: &Log) -> &Plugin {
    log.state.plugin(PACK).expect("it stays")
}

#[test]
fn plugins_share_neither_names_nor_claims() {
    let mut log = with_pack();
    assert!(
        log.refusal(add(plugin(2, "acme/pack", &["other"])))
            .contains("`swarmw plugin upgrade acme/pack")
    );
    let why = log.refusal(add(plugin(2, "acme/other", &["pack"])));
    assert!(why.contains("which plugin acme/pack claims already"), "{why}");
    log.done(Change::RemovePlugin(PACK));
    log.done(add(plugin(2, "acme/other", &["pack"])));
}

#[test]
fn a_plugin_stays_while_services_need_it() {
    let mut log = with_pack();
    log.done(create(WEB, packed("web")));
    let want = "plugin acme/pack is in use by the following service: web; end that with `swarmw \
                service update --placement-pref-rm NAME=ARGUMENT --policy-opt-rm PLUGIN.OPTION`";
    assert_eq!(log.refusal(Change::RemovePlugin(PACK)), want);

    let mut option = service("api");
    let options = [("acme/pack.room".to_owned(), "1".to_owned())];
    option.swarmw = Some(SwarmwOptions { policy_options: options.into(), ..Default::default() });
    log.done(create(API, option));
    let want = "plugin acme/pack is in use by the following services: api, web; end that";
    assert!(log.refusal(Change::RemovePlugin(PACK)).starts_with(want));
    let why = log.refusal(set(PluginState::Disabled, false));
    assert!(why.starts_with(want) && why.contains("by --force"), "{why}");

    for n in 0..20 {
        log.done(create(ServiceId::from_bits(100 + n), packed(&format!("s{n:02}"))));
    }
    let why = log.refusal(Change::RemovePlugin(PACK));
    assert!(why.contains("api, s00, s01") && why.contains("s08, and 12 more; end that"), "{why}");
}

#[test]
fn a_constraint_counts_for_the_plugin_that_it_is_routed_to() {
    let mut log = Log::founded();
    let constraint = |id, name: &str, claims: &[PluginClaim]| {
        let mut plugin = plugin(id, name, &[]);
        plugin.kind = PluginKind::Constraint;
        plugin.release.metadata.claims = claims.to_vec();
        plugin
    };
    let every = [PluginClaim::KeyPrefix(String::new())];
    let memory = [PluginClaim::Key("node.labels.mem".into()), PluginClaim::Operator(">=".into())];
    log.done(add(constraint(1, "acme/all", &every)));
    log.done(add(constraint(2, "acme/mem", &memory)));
    let with = |name: &str, text: &str| {
        let mut spec = service(name);
        let constraints = vec![text.to_owned()];
        std::sync::Arc::make_mut(&mut spec.task_template).placement =
            Some(Placement { constraints, ..Default::default() });
        spec
    };
    log.done(create(WEB, with("web", "node.labels.mem>=4")));
    log.done(create(API, with("api", "node.labels.mem==4")));
    for (id, user) in [(1, "api"), (2, "web")] {
        let why = log.refusal(Change::RemovePlugin(PluginId::from_bits(id)));
        assert!(why.contains(&format!("the following service: {user}; end that")), "{why}");
    }
}

#[test]
fn an_option_counts_for_the_one_plugin_that_it_means() {
    let mut log = with_pack();
    log.done(add(plugin(2, "bob/pack", &["bobs"])));
    let mut spec = packed("web");
    let options = [("pack.room".to_owned(), "1".to_owned())];
    spec.swarmw.as_mut().expect("options").policy_options = options.into();
    log.done(create(WEB, spec));
    log.done(Change::RemovePlugin(PluginId::from_bits(2)));
    assert!(log.refusal(Change::RemovePlugin(PACK)).contains("service: web"));
}

#[test]
fn built_in_plugins_are_disabled_by_force_alone() {
    let mut log = Log::founded();
    log.done(add(Plugin { built_in: true, ..plugin(1, "swarmw/spread", &["spread"]) }));
    let why = log.refusal(set(PluginState::Disabled, false));
    assert!(why.contains("swarmw/spread is built in") && why.contains("--force"), "{why}");
    log.done(set(PluginState::Disabled, true));
}

#[test]
fn a_driver_stays_while_the_cluster_has_volumes_of_it() {
    let mut log = Log::founded();
    let driver = Plugin { kind: PluginKind::VolumeDriver, ..plugin(1, "me/disk", &["disk"]) };
    log.done(add(driver));
    let driver = Driver { name: "disk".into(), ..Driver::default() };
    let spec = VolumeSpec { name: "data".into(), driver, ..VolumeSpec::default() };
    let volume = ClusterVolume::new(VolumeId::from_bits(1), spec);
    log.done(Change::CreateVolume(Box::new(volume)));
    let want = "plugin me/disk is the driver of the following volume: data; remove them first \
                with `swarmw volume rm`";
    assert_eq!(log.refusal(Change::RemovePlugin(PACK)), want);
}

#[test]
fn an_upgrade_replaces_the_release_and_forgives() {
    let mut log = with_pack();
    let id = pack(&log).id;
    let trouble =
        Change::PluginTrouble { id, digest: "sha256:1.0.0".into(), message: "trapped".into() };
    log.done(trouble.clone());
    assert_eq!(pack(&log).status.trouble.as_ref().map(|t| t.message.as_str()), Some("trapped"));
    log.done(upgrade("1.0.0", release("2.0.0", &["pack", "more"]), None));
    let now = pack(&log);
    assert_eq!((now.release.metadata.version.as_str(), now.id), ("2.0.0", id));
    assert_eq!(now.status.trouble, None);

    // What was decided on the old release no longer holds.
    log.dropped(trouble, Dropped::Changed);
    let stale = log.refusal(upgrade("1.0.0", release("3.0.0", &["pack"]), None));
    assert_eq!(stale, "rpc error: code = Unknown desc = update out of sequence");
    let same = log.refusal(upgrade("2.0.0", release("2.0.0", &["pack"]), None));
    assert!(same.contains("runs this very component already"), "{same}");
}

#[test]
fn an_upgrade_keeps_what_services_name() {
    let mut log = with_pack();
    log.done(create(WEB, packed("web")));
    let mut update = service("api");
    update.update_config =
        Some(UpdateConfig { failure_action: "pack".into(), ..UpdateConfig::swarm_default() });
    log.done(create(API, update));
    for hold in [None, Some(CandidateState::Shadow)] {
        let why = log.refusal(upgrade("1.0.0", release("2.0.0", &["other"]), hold));
        let want = "plugin acme/pack in version 2.0.0 no longer claims what the following \
                    service names: web";
        assert_eq!(why, want);
    }
    log.done(upgrade("1.0.0", release("2.0.0", &["other", "pack"]), None));
}

#[test]
fn a_candidate_waits_until_it_is_promoted_or_dropped() {
    let mut log = with_pack();
    let granted = vec![GrantRequest::Observe("http://m/*".into())];
    let promote = |candidate: &str| Change::PromotePlugin {
        id: PACK,
        candidate: format!("sha256:{candidate}"),
        granted: granted.clone(),
        version: None,
    };
    assert!(log.refusal(promote("2.0.0")).contains("has no other version"));
    log.done(upgrade("1.0.0", release("2.0.0", &["pack"]), Some(CandidateState::Shadow)));
    assert_eq!(pack(&log).release.metadata.version, "1.0.0");
    assert!(log.refusal(promote("3.0.0")).contains("out of sequence"));

    log.done(Change::DropCandidate(PACK));
    assert!(log.refusal(promote("2.0.0")).contains("has no other version"));
    log.done(upgrade("1.0.0", release("2.0.0", &["pack"]), Some(CandidateState::Consent)));
    // Another plugin takes a name that the candidate would claim as well.
    log.done(upgrade("1.0.0", release("2.1.0", &["pack", "near"]), Some(CandidateState::Shadow)));
    log.done(add(plugin(2, "acme/near", &["near"])));
    assert!(log.refusal(promote("2.1.0")).contains("acme/near claims already"));
    log.done(Change::RemovePlugin(PluginId::from_bits(2)));
    log.done(promote("2.1.0"));
    let now = pack(&log);
    assert_eq!((&now.release.granted, now.candidate.is_none()), (&granted, true));
    assert_eq!(now.release.metadata.version, "2.1.0");
}

#[test]
fn a_plugin_is_switched_off_and_on() {
    let mut log = with_pack();
    log.done(set(PluginState::Disabled, false));
    assert_eq!(pack(&log).status.message, "because");
    assert!(log.refusal(set(PluginState::Disabled, false)).contains("disabled already"));
    log.done(upgrade("1.0.0", release("2.0.0", &["pack"]), None));
    assert_eq!(pack(&log).status.state, PluginState::Disabled, "an upgrade does not enable");
    log.done(set(PluginState::Enabled, false));
    assert_eq!(pack(&log).status.message, "");

    let before = pack(&log).status.enabled;
    log.done(set(PluginState::Enabled, false));
    assert!(pack(&log).status.enabled > before, "enabled anew, it is forgiven");
    log.done(create(WEB, packed("web")));
    log.done(set(PluginState::Disabled, true));
    log.done(set(PluginState::Quarantined, false));
    log.dropped(set(PluginState::Quarantined, false), Dropped::Stale);
    log.done(upgrade("2.0.0", release("3.0.0", &["pack"]), None));
    assert_eq!(pack(&log).status.state, PluginState::Enabled, "another release did not lie");
}

#[test]
fn what_is_stored_of_a_plugin_comes_back_from_a_snapshot_and_json() {
    let mut log = with_pack();
    let mut second = release("2.0.0", &["pack"]);
    second.granted = vec![GrantRequest::Mount("nfs4".into(), "10.0.0.0/8:/*".into())];
    second.source = Some("reg.example/pack:2@sha256:ab".into());
    log.done(upgrade("1.0.0", second, Some(CandidateState::Consent)));
    let back = State::from_snapshot(&log.state.to_snapshot()).expect("a snapshot");
    assert_eq!(back.plugin(PACK).map(|p| &**p), Some(pack(&log)));
    let json = serde_json::to_value(pack(&log)).expect("JSON");
    assert_eq!(json["Blob"]["Digest"], "sha256:1.0.0");
    assert_eq!(json["Candidate"]["Release"]["Granted"][0]["mount"][0], "nfs4");
    assert_eq!(serde_json::from_value::<Plugin>(json).expect("a plugin"), *pack(&log));
    assert!(matches!(log.one(Change::DropCandidate(PACK)), Outcome::Done(_)));
}
