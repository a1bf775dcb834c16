//! Plugins on a manager: the built-in ones of a new cluster, checking one that is
//! added, keeping the plugin host in step with the state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_model::{
    Blob, MountKind, Plugin, PluginClaim, PluginId, PluginKind, Refusal, RefusalKind, ServiceSpec,
};
use swarmw_plugin_host::{Compiler, Inspected, builtin, inspect as inspect_component};
use swarmw_raft::Received;
use swarmw_state::{Event, State};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{error, info};

use crate::blobs::{BlobStore, digest_of};
use crate::manager::{Inner, undated};
use crate::replicate;

/// After a component could not be had from any manager.
const FETCH_RETRY: Duration = Duration::from_secs(5);

/// The plugins that come with the binary, by the path that anyone's take.
pub(crate) async fn built_in(
    blobs: &BlobStore,
    compiler: &Compiler,
    ambient: &Ambient,
) -> Result<Vec<Plugin>, Refusal> {
    let mut all = Vec::new();
    for component in builtin() {
        let bytes = Bytes::from_static(component.bytes);
        let inspected = inspect(compiler, bytes.clone()).await?;
        let blob =
            blobs.put(&bytes).map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))?;
        let id = PluginId::from_bits(ambient.chance().random());
        all.push(record(id, inspected, blob, true));
    }
    Ok(all)
}

/// Checks a component: imports, exports, size, metadata.
pub(crate) async fn inspect(compiler: &Compiler, bytes: Bytes) -> Result<Inspected, Refusal> {
    let compiler = compiler.clone();
    tokio::task::spawn_blocking(move || inspect_component(&bytes, &compiler))
        .await
        .map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))?
        .map_err(|e| Refusal::invalid(e.to_string()))
}

/// The record that the state keeps of a plugin.
pub fn record(id: PluginId, inspected: Inspected, blob: Blob, built_in: bool) -> Plugin {
    let (version, created_at, updated_at) = undated();
    Plugin {
        id,
        version,
        created_at,
        updated_at,
        name: inspected.name,
        kind: inspected.kind,
        blob,
        built_in,
        metadata: inspected.metadata,
    }
}

/// What the plugin host was given: each plugin and its digest.
pub(crate) type Given = BTreeSet<(PluginId, String)>;

/// Gives the plugin host what the state names, unless it has it already. A
/// component that cannot be had is left out, so what needs it waits with a reason,
/// and the next call tries again. Whether all could be had.
pub(crate) async fn sync(inner: &Arc<Inner>) -> bool {
    let mut given = inner.given.lock().await;
    let state = inner.log.raft.state();
    let named: Given = state.plugins().map(|p| (p.id, p.blob.digest.clone())).collect();
    if *given == named {
        return true;
    }
    let mut wanted = Vec::new();
    for plugin in state.plugins() {
        let digest = &plugin.blob.digest;
        match component(inner, &state, digest).await {
            Ok(bytes) => wanted.push((Plugin::clone(plugin), bytes)),
            Err(status) => error!(plugin = %plugin.name, %status, "a plugin cannot be loaded"),
        }
    }
    *given = wanted.iter().map(|(p, _)| (p.id, p.blob.digest.clone())).collect();
    let policies = inner.policies.clone();
    let loaded = tokio::task::spawn_blocking(move || policies.set_plugins(wanted)).await;
    match loaded {
        Ok(failures) => {
            for (plugin, why) in failures {
                error!(%plugin, %why, "a plugin cannot be loaded");
            }
        }
        Err(panic) => error!(%panic, "plugins cannot be loaded"),
    }
    *given == named
}

/// A component from this manager, from the binary, or from any other manager.
async fn component(inner: &Inner, state: &State, digest: &str) -> Result<Bytes, Status> {
    if !inner.blobs.has(digest)
        && let Some(own) = builtin().iter().find(|c| digest_of(c.bytes) == digest)
    {
        // The folder was lost, and the other managers may have lost theirs.
        let bytes = Bytes::from_static(own.bytes);
        inner.blobs.put(&bytes).map_err(|e| Status::unavailable(e.to_string()))?;
        return Ok(bytes);
    }
    replicate::fetch(&inner.blobs, &inner.channels, state, inner.node, digest).await
}

/// Follows changes of plugins, on every manager: a new leader has them compiled and
/// loaded already.
pub(crate) async fn follow(inner: &Arc<Inner>, end: CancellationToken) {
    let mut events = inner.log.raft.subscribe();
    let mut complete = sync(inner).await;
    loop {
        let again = if complete { Duration::MAX } else { FETCH_RETRY };
        let received = tokio::select! {
            () = end.cancelled() => return,
            received = events.next() => received,
            () = tokio::time::sleep(again) => Some(Received::Lagged),
        };
        let changed = match received {
            None => return,
            Some(Received::Lagged) => true,
            Some(Received::Batch(batch)) => {
                batch.events.iter().any(|event| matches!(event, Event::Plugin { .. }))
            }
        };
        if changed {
            info!("the plugins may have changed");
            complete = sync(inner).await;
        }
    }
}

/// Refuses to remove a plugin that services name, with their names.
pub(crate) fn check_unused(state: &State, id: PluginId) -> Result<(), Refusal> {
    let Some(plugin) = state.plugin(id) else { return Ok(()) };
    if plugin.built_in {
        return Err(Refusal::rpc(
            RefusalKind::FailedPrecondition,
            format!("plugin {} is built in and cannot be removed", plugin.name),
        ));
    }
    let users: Vec<_> =
        state.services().filter(|s| uses(plugin, &s.spec)).map(|s| s.spec.name.as_str()).collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(Refusal::rpc(
        RefusalKind::FailedPrecondition,
        format!("plugin {} is in use by services: {}", plugin.name, users.join(", ")),
    ))
}

/// Whether a service names a plugin, by any of its claims or options.
fn uses(plugin: &Plugin, spec: &ServiceSpec) -> bool {
    let claims = |text: &str| plugin.metadata.claims.iter().any(|claim| claims(claim, text));
    let named = match plugin.kind {
        PluginKind::Constraint => spec.task_template.constraints().iter().any(|c| claims(c)),
        PluginKind::Preference => spec.preferences().iter().any(|p| claims(&p.name)),
        PluginKind::UpdatePolicy => spec.update_config.iter().any(|u| claims(&u.failure_action)),
        PluginKind::VolumeDriver => spec
            .container()
            .iter()
            .flat_map(|c| &c.mounts)
            .filter(|m| m.kind == MountKind::Volume)
            .filter_map(|m| m.volume_options.as_ref()?.driver_config.as_ref())
            .any(|driver| claims(&driver.name)),
    };
    let short = plugin.name.rsplit('/').next().unwrap_or_default();
    named || spec.policy_options().keys().any(|k| k.split('.').next() == Some(short))
}

/// Whether a claim may take this expression or name. Another plugin may claim the
/// same expression more closely; removing is refused all the same, on the safe side.
fn claims(claim: &PluginClaim, text: &str) -> bool {
    let text = text.trim().to_lowercase();
    match claim {
        PluginClaim::Key(key) => {
            let key = key.to_lowercase();
            text.strip_prefix(&key)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        }
        PluginClaim::KeyPrefix(prefix) => text.starts_with(&prefix.to_lowercase()),
        PluginClaim::Call(name) => text.starts_with(&format!("{}(", name.to_lowercase())),
        PluginClaim::Name(name) => text == name.to_lowercase(),
        PluginClaim::Operator(_) => false,
    }
}
