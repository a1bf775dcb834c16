//! Components are compiled beside all else, a few at a time, and each serves as soon as
//! it is: a manager leads, and takes what needs no plugin that is missing, meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use swarmw_model::{Refusal, RefusalKind, ServiceSpec};
use swarmw_plugin_host::Uncompiled;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{error, info};

use super::sync;
use crate::manager::Inner;

/// Components that are compiled at once: what comes later need not wait for a large one,
/// and the machine has other work too.
const AT_ONCE: usize = 2;
/// After a component could not be compiled.
const RETRY: Duration = Duration::from_secs(300);
/// How long a request waits for a plugin that it needs; whoever passed it on to this
/// manager waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who may compile.
pub(crate) struct Compiling(Semaphore);

// === impl Compiling ===

impl Default for Compiling {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// Compiles these, and those that fail again later, until none is left that the cluster
/// still has.
pub(super) async fn all(inner: Arc<Inner>, uncompiled: Vec<Uncompiled>) {
    let work = async {
        let mut left = uncompiled;
        loop {
            // They take turns in this order.
            let tried = join_all(left.into_iter().map(|one| compile(&inner, one))).await;
            left = tried.into_iter().flatten().collect();
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = inner.cancel.cancelled() => {}
        () = work => {}
    }
}

/// Compiles one; itself when it is to be tried again.
async fn compile(inner: &Inner, one: Uncompiled) -> Option<Uncompiled> {
    let _turn = inner.compiling.0.acquire().await.ok()?;
    let one = one.if_wanted()?;
    let (plugin, size) = (Arc::clone(one.plugin()), one.size());
    info!(%plugin, size, "compiling");
    let done = tokio::task::spawn_blocking(move || {
        let compiled = one.compile();
        (one, compiled)
    });
    let left = match done.await {
        Ok((_, Ok(took))) => {
            info!(%plugin, size, ?took, "compiled");
            None
        }
        Ok((one, Err(why))) => {
            error!(%plugin, %why, again_in = ?RETRY, "a plugin cannot be compiled");
            Some(one)
        }
        Err(panic) => {
            error!(%plugin, %panic, "a plugin cannot be compiled");
            None
        }
    };
    inner.loaded.send_replace(());
    left
}

/// Waits until a plugin is compiled, or all are, or was tried to be; not for long.
pub(crate) async fn settled(inner: &Inner, plugin: Option<&str>) {
    // Whoever comes too early is told so by the plugin host.
    let _ = tokio::time::timeout(PATIENCE, until_settled(inner, plugin)).await;
}

/// As [`settled`], for as long as it takes.
pub(super) async fn until_settled(inner: &Inner, plugin: Option<&str>) {
    let mut loaded = inner.loaded.subscribe();
    while !inner.policies.is_settled(plugin) {
        if loaded.changed().await.is_err() {
            return;
        }
    }
}

/// Asks the plugins whether they can work with a spec. One that needs a plugin which is
/// still being compiled waits for it, though not for long.
pub(crate) async fn check(
    inner: &Arc<Inner>,
    spec: &ServiceSpec,
    before: Option<&ServiceSpec>,
) -> Result<(), Refusal> {
    sync(inner).await;
    let deadline = Instant::now() + PATIENCE;
    let mut loaded = inner.loaded.subscribe();
    loop {
        let waits = inner.policies.waits_for_compiler(spec);
        let checked = check_now(inner, spec, before).await;
        if checked.is_ok() || !waits {
            return checked;
        }
        tokio::select! {
            changed = loaded.changed() => if changed.is_err() { return checked },
            () = tokio::time::sleep_until(deadline) => return checked,
        }
    }
}

async fn check_now(
    inner: &Inner,
    spec: &ServiceSpec,
    before: Option<&ServiceSpec>,
) -> Result<(), Refusal> {
    let policies = inner.policies.clone();
    let (spec, before) = (spec.clone(), before.cloned());
    let check = move || match &before {
        None => policies.check_service(&spec),
        Some(before) => policies.check_update(&spec, before),
    };
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))?
}
