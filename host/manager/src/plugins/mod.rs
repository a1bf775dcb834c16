//! Plugins on a manager: the built-in ones of a new cluster, keeping the plugin host
//! in step with the state and having it [compile](compile); what is [offered](offer), [done](act),
//! [compared](compare), run in [shadow](shadow) and [rehearsed](rehearse) there, and what
//! [went wrong](trouble), told [now and then](told).

mod act;
mod compare;
mod compile;
mod front;
mod offer;
mod rehearse;
mod shadow;
mod told;
mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_model::{Blob, Plugin, PluginId, PluginRelease, Refusal, RefusalKind, Version};
use swarmw_plugin_host::{COMPONENT, Compiler, Inspected, builtin, inspect as inspect_component};
use swarmw_raft::Received;
use swarmw_state::{Event, State};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{error, info};

use crate::blobs::{BlobStore, digest_of};
use crate::manager::Inner;
use crate::replicate;

pub(crate) use compile::{Compiling, check, settled};
pub(crate) use rehearse::Rehearsals;
pub(crate) use shadow::{Shadows, keep as keep_shadows};
pub(crate) use told::Told;
pub(crate) use trouble::{Troubles, keep as keep_troubles};

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
        let inspected = inspect(compiler, bytes.clone(), COMPONENT).await?;
        let blob =
            blobs.put(&bytes).map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))?;
        let id = PluginId::from_bits(ambient.chance().random());
        all.push(Plugin { built_in: true, ..record(id, inspected, blob) });
    }
    Ok(all)
}

/// Checks a component: imports, exports, size, metadata.
pub(crate) async fn inspect(
    compiler: &Compiler,
    bytes: Bytes,
    max: usize,
) -> Result<Inspected, Refusal> {
    let compiler = compiler.clone();
    tokio::task::spawn_blocking(move || inspect_component(&bytes, max, &compiler))
        .await
        .map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))?
        .map_err(|e| Refusal::invalid(e.to_string()))
}

/// The record that the state keeps of a plugin, without powers.
pub fn record(id: PluginId, inspected: Inspected, blob: Blob) -> Plugin {
    let Inspected { kind, interface, name, metadata } = inspected;
    let release = PluginRelease { interface, ..PluginRelease::new(blob, metadata) };
    Plugin::new(id, name, kind, release)
}

/// What the plugin host was given: each plugin as of its last write.
pub(crate) type Given = BTreeSet<(PluginId, Version)>;

/// Gives the plugin host what the state names, unless it has it already. A
/// component that cannot be had is left out, so what needs it waits with a reason,
/// and the next call tries again. Whether all could be had. Does not wait until they
/// are compiled: see [`settled`].
pub(crate) async fn sync(inner: &Arc<Inner>) -> bool {
    let mut given = inner.given.lock().await;
    let state = inner.log.raft.state();
    let named: Given = state.plugins().map(|p| (p.id, p.version)).collect();
    if *given == named {
        return true;
    }
    let mut wanted = Vec::new();
    for plugin in state.plugins() {
        let digest = &plugin.release.blob.digest;
        match component(inner, &state, digest).await {
            Ok(bytes) => wanted.push((Plugin::clone(plugin), bytes)),
            Err(status) => error!(plugin = %plugin.name, %status, "a plugin cannot be loaded"),
        }
    }
    *given = wanted.iter().map(|(p, _)| (p.id, p.version)).collect();
    let uncompiled = inner.policies.follow(wanted);
    inner.loaded.send_replace(());
    if !uncompiled.is_empty() {
        tokio::spawn(compile::all(Arc::clone(inner), uncompiled));
    }
    *given == named
}

/// A component from this manager, from the binary, or from any other manager.
pub(crate) async fn component(inner: &Inner, state: &State, digest: &str) -> Result<Bytes, Status> {
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
