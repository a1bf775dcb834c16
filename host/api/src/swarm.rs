//! `/swarm`: founding, joining, leaving, and the cluster's settings.

use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Value, json};

use swarmw_model::{
    Availability, Cluster, ClusterSpec, JoinTokens, NodeRole, Reachability, Refusal, UnlockKey,
    validate,
};
use swarmw_state::Change;

use crate::api::Host;
use crate::body::{self, Params};
use crate::engine::asked_in;
use crate::forward::begin;
use crate::listing::at;
use crate::refusals::{self, not_supported};
use crate::reply::{Reply, done, ok};
use crate::{InitRequest, JoinRequest, Standing, since, words};

/// What an init or a join says, as posted.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    listen_addr: String,
    advertise_addr: String,
    data_path_addr: String,
    data_path_port: u32,
    default_addr_pool: Vec<String>,
    subnet_size: u32,
    force_new_cluster: bool,
    auto_lock_managers: bool,
    availability: Availability,
    remote_addrs: Vec<String>,
    join_token: String,
}

async fn entry(request: Request) -> Reply<(Entry, ClusterSpec)> {
    let version = asked_in(&request);
    let mut whole = body::json(request).await?;
    since::ask_founding(version, &mut whole);
    words::of_entry(&mut whole)?;
    let spec = match whole.get_mut("Spec").map(Value::take) {
        Some(spec) => self::spec(spec)?,
        None => ClusterSpec::default(),
    };
    let entry: Entry = body::typed(whole)?;
    Ok((entry, spec))
}

/// Reads the cluster's settings. An absent or empty one has its default; what
/// swarmw does not have is refused.
fn spec(mut posted: Value) -> Reply<ClusterSpec> {
    let asked = |path: &str| {
        posted.pointer(path).is_some_and(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Number(n) => n.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            Value::Bool(true) => true,
        })
    };
    for (path, what) in [
        ("/CAConfig/ExternalCAs", "external CAs are"),
        ("/CAConfig/ForceRotate", "rotation of the root CA is"),
        ("/CAConfig/SigningCACert", "rotation of the root CA is"),
        ("/CAConfig/SigningCAKey", "rotation of the root CA is"),
        ("/TaskDefaults/LogDriver", "a default log driver is"),
    ] {
        if asked(path) {
            return Err(not_supported(what).into());
        }
    }
    // The client sends only what was typed, and zeros for the rest.
    for (block, field) in [
        ("CAConfig", "NodeCertExpiry"),
        ("Dispatcher", "HeartbeatPeriod"),
        ("Raft", "SnapshotInterval"),
        ("Raft", "LogEntriesForSlowFollowers"),
        ("Raft", "ElectionTick"),
        ("Raft", "HeartbeatTick"),
    ] {
        if let Some(block) = posted.get_mut(block).and_then(Value::as_object_mut)
            && block.get(field).and_then(Value::as_f64) == Some(0.0)
        {
            block.remove(field);
        }
    }
    if posted.get("Name") == Some(&json!("")) {
        posted["Name"] = json!("default");
    }
    let spec = body::typed(posted)?;
    validate::cluster(&spec)?;
    Ok(spec)
}

/// `POST /swarm/init`
pub(crate) async fn init(State(host): State<Host>, request: Request) -> Reply {
    let (entry, mut spec) = entry(request).await?;
    // Docker's clients say it twice.
    spec.encryption.auto_lock_managers |= entry.auto_lock_managers;
    if !entry.force_new_cluster {
        check_free(&host)?;
    }
    let address_pools = validate::address_pools(&entry.default_addr_pool, entry.subnet_size)?;
    let data_path_port = validate::data_path_port(entry.data_path_port)?;
    let node = host
        .init(InitRequest {
            listen_addr: entry.listen_addr,
            advertise_addr: entry.advertise_addr,
            data_path_addr: entry.data_path_addr,
            data_path_port,
            address_pools,
            force_new_cluster: entry.force_new_cluster,
            availability: entry.availability,
            spec,
        })
        .await?;
    ok(node)
}

/// `POST /swarm/join`
pub(crate) async fn join(State(host): State<Host>, request: Request) -> Reply {
    let (entry, _) = entry(request).await?;
    check_free(&host)?;
    if entry.remote_addrs.iter().all(String::is_empty) {
        return Err(Refusal::invalid("at least 1 RemoteAddr is required to join").into());
    }
    host.join(JoinRequest {
        listen_addr: entry.listen_addr,
        advertise_addr: entry.advertise_addr,
        data_path_addr: entry.data_path_addr,
        remote_addrs: entry.remote_addrs,
        join_token: entry.join_token,
        availability: entry.availability,
    })
    .await?;
    done()
}

fn check_free(host: &Host) -> Result<(), Refusal> {
    match host.standing() {
        Standing::Inactive => Ok(()),
        _ => Err(refusals::already_in_swarm()),
    }
}

/// `POST /swarm/leave`
pub(crate) async fn leave(State(host): State<Host>, request: Request) -> Reply {
    let force = Params::of(request.uri()).is_on("force");
    match host.standing() {
        Standing::Inactive => return Err(refusals::not_in_swarm().into()),
        Standing::Locked if !force => return Err(refusals::locked_stays().into()),
        Standing::Manager { .. } if !force => return Err(manager_stays(&host).await.into()),
        _ => {}
    }
    host.leave(force).await?;
    done()
}

/// Why a manager must be demoted before it leaves, or forced.
async fn manager_stays(host: &Host) -> Refusal {
    let statuses = host.manager_statuses().await;
    let all = match host.state() {
        Some(state) => state.nodes().filter(|n| n.role == NodeRole::Manager).count().max(1),
        None => statuses.len().max(1),
    };
    let silent = statuses
        .values()
        .filter(|s| s.reachability == Reachability::Unreachable)
        .count()
        .min(all - 1);
    refusals::manager_leaves(all - silent, silent)
}

/// `GET /swarm`
pub(crate) async fn inspect(State(host): State<Host>, request: Request) -> Reply {
    let state = host.read().await?;
    let cluster = state.cluster().ok_or_else(refusals::no_swarm)?;
    let mut whole = shown(&host, cluster);
    since::tell_cluster(asked_in(&request), &mut whole);
    whole["JoinTokens"] = json!(cluster.join_tokens);
    Ok(at(state.index(), ok(whole)?))
}

/// The cluster as `/info` shows it, and `/swarm` with join tokens. Built field by
/// field: the root's key and the unlock key must never get out.
pub(crate) fn shown(host: &Host, cluster: &Cluster) -> Value {
    let tls = host.description().tls_info.unwrap_or_default();
    let mut spec = json!(cluster.spec);
    spec["TaskDefaults"] = json!({});
    spec["EncryptionConfig"] = json!(cluster.spec.encryption);
    json!({
        "ID": cluster.id,
        "Version": cluster.version,
        "CreatedAt": cluster.created_at,
        "UpdatedAt": cluster.updated_at,
        "Spec": spec,
        "TLSInfo": {
            "TrustRoot": cluster.root_ca.certificate,
            "CertIssuerSubject": tls.cert_issuer_subject,
            "CertIssuerPublicKey": tls.cert_issuer_public_key,
        },
        "RootRotationInProgress": false,
        "DefaultAddrPool": cluster.address_pools.pools,
        "SubnetSize": cluster.address_pools.subnet_size,
        "DataPathPort": cluster.data_path_port,
    })
}

/// `POST /swarm/update`
pub(crate) async fn update(State(host): State<Host>, request: Request) -> Reply {
    let params = Params::of(request.uri());
    let version = params.version("swarm")?;
    let (worker, manager) = (params.is_on("rotateWorkerToken"), params.is_on("rotateManagerToken"));
    let rotate_unlock_key = params.is_on("rotateManagerUnlockKey");
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return done();
    }
    let spec = spec(body::json(request).await?)?;
    let cluster = begun.state.cluster().ok_or_else(refusals::no_swarm)?;
    let token = |wanted: bool| match wanted {
        true => host.join_token(&cluster.root_ca.certificate),
        false => String::new(),
    };
    let needs_key =
        spec.encryption.auto_lock_managers && (rotate_unlock_key || cluster.unlock_key.is_none());
    let change = Change::UpdateCluster {
        version,
        spec: Box::new(spec),
        rotate: JoinTokens { worker: token(worker), manager: token(manager) },
        unlock_key: needs_key.then(|| host.new_unlock_key()),
    };
    host.write(begun.request, change).await?;
    done()
}

/// `GET /swarm/unlockkey`: empty while managers do not lock themselves.
pub(crate) async fn unlock_key(State(host): State<Host>) -> Reply {
    let state = host.read().await?;
    let cluster = state.cluster().ok_or_else(refusals::no_swarm)?;
    let key = cluster.unlock_key.as_ref().map(UnlockKey::to_string).unwrap_or_default();
    ok(json!({"UnlockKey": key}))
}

/// The key, as posted.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Unlocking {
    unlock_key: String,
}

/// `POST /swarm/unlock`
pub(crate) async fn unlock(State(host): State<Host>, request: Request) -> Reply {
    match host.standing() {
        Standing::Locked => {}
        Standing::Manager { ready: true, .. } => return Err(refusals::not_locked().into()),
        Standing::Manager { ready: false, .. } | Standing::Pending(_) => {
            return Err(refusals::manager_starting().into());
        }
        Standing::Worker(_) => return Err(refusals::worker().into()),
        Standing::Inactive => return Err(refusals::no_swarm().into()),
        Standing::Error(why) => return Err(refusals::out_of_order(&why).into()),
    }
    let posted: Unlocking = body::typed(body::json(request).await?)?;
    let key = posted.unlock_key.parse::<UnlockKey>();
    let key = key.map_err(|e| Refusal::invalid(e.to_string()))?;
    host.unlock(key).await?;
    done()
}
