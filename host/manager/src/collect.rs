//! Blobs that nothing names any more go, after a time in which they could be named
//! again.
//!
//! A blob is stored before anything names it, and may be wanted again when nothing
//! has named it for long. So it goes only when it was neither named nor brought nor
//! asked for during all of [`GRACE`], and a manager that hears no leader, whose state
//! may be old, removes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{Duration, ImageKind, ImageReference, ServiceSpec, TaskSpec, Time};
use swarmw_state::State;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::blobs::{BlobError, BlobStore};
use crate::manager::Inner;

/// A blob that nothing has named for so long goes.
pub(crate) const GRACE: Duration = Duration::from_secs(3_600);
/// Between two looks.
const EVERY: std::time::Duration = std::time::Duration::from_secs(600);

/// Since when blobs have been unnamed.
#[derive(Debug, Default)]
struct Unnamed(BTreeMap<String, Time>);

/// Sweeps until cancelled.
pub(crate) async fn sweep(inner: Arc<Inner>, end: CancellationToken) {
    let mut unnamed = Unnamed::default();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if inner.log.raft.role().leader.is_none() {
            unnamed = Unnamed::default();
            continue;
        }
        let (blobs, state, now) = (inner.blobs.clone(), inner.log.raft.state(), inner.log.now());
        let swept = tokio::task::spawn_blocking(move || {
            let gone = unnamed.sweep(&blobs, &state, now);
            (unnamed, gone)
        });
        let gone;
        (unnamed, gone) = match swept.await {
            Ok(swept) => swept,
            Err(panic) => {
                warn!(%panic, "blobs could not be swept");
                (Unnamed::default(), Ok(Vec::new()))
            }
        };
        match gone {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => info!(?gone, "removed blobs that nothing names"),
            Err(error) => warn!(%error, "blobs could not be swept"),
        }
    }
}

// === impl Unnamed ===

impl Unnamed {
    /// Looks at the blobs that are here; those that had to go.
    fn sweep(
        &mut self,
        blobs: &BlobStore,
        state: &State,
        now: Time,
    ) -> Result<Vec<String>, BlobError> {
        let (here, touched) = blobs.look()?;
        let named = named(state);
        let stays = |digest: &String| named.contains(digest) || touched.contains(digest);
        self.0.retain(|digest, _| here.contains(digest) && !stays(digest));
        let mut gone = Vec::new();
        for digest in here.into_iter().filter(|digest| !stays(digest)) {
            let since = *self.0.entry(digest.clone()).or_insert(now);
            if now.since(since) >= GRACE && blobs.remove_untouched(&digest)? {
                self.0.remove(&digest);
                gone.push(digest);
            }
        }
        Ok(gone)
    }
}

/// Every digest that a plugin, a service or a task needs.
fn named(state: &State) -> BTreeSet<String> {
    let plugins = state.plugins().flat_map(|plugin| {
        // A version that waits or runs in shadow may serve next.
        let candidate = plugin.candidate.as_ref().map(|c| &c.release);
        let releases = std::iter::once(&plugin.release).chain(candidate);
        releases.map(|release| release.blob.digest.clone()).collect::<Vec<_>>()
    });
    let services = state.services().flat_map(|service| {
        let specs: [Option<&ServiceSpec>; 2] =
            [Some(&service.spec), service.previous_spec.as_ref()];
        specs.into_iter().flatten().filter_map(|spec| component(&spec.task_template))
    });
    let tasks = state.tasks().filter_map(|task| component(&task.spec));
    plugins.chain(services).chain(tasks).collect()
}

/// The uploaded component that a task runs, if it runs one.
fn component(spec: &TaskSpec) -> Option<String> {
    let image = ImageReference::parse(spec.image());
    image.digest.filter(|_| image.kind() == ImageKind::UploadedComponent).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmw_model::{ContainerSpec, ServiceId};
    use swarmw_state::{Change, Transaction};

    fn at(minutes: i64) -> Time {
        Time::from_nanos(1) + Duration::from_secs(60 * minutes)
    }

    fn naming(digest: &str) -> State {
        let container =
            ContainerSpec { image: format!("x.wasm@{digest}").into(), ..Default::default() };
        let template = TaskSpec { container_spec: Some(container), ..Default::default() };
        let spec = ServiceSpec {
            name: "x".into(),
            task_template: Arc::new(template),
            ..Default::default()
        };
        let id = ServiceId::from_bits(1);
        let changes = vec![Change::CreateService { id, spec: Box::new(spec) }];
        let mut state = State::default();
        state.apply(1, &Transaction { at: at(0), request: None, changes });
        state
    }

    #[test]
    fn a_blob_goes_when_nothing_has_named_or_wanted_it_for_the_whole_grace() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = BlobStore::open(folder.path()).expect("a store");
        let [kept, left, wanted] =
            [b"kept", b"left", b"want"].map(|bytes| blobs.put(bytes).expect("room").digest);
        let state = naming(&kept);
        let mut unnamed = Unnamed::default();
        let mut sweep = |minutes| unnamed.sweep(&blobs, &state, at(minutes)).expect("a disk");

        // The first look finds that all were brought just now.
        assert!(sweep(0).is_empty());
        assert!(sweep(10).is_empty());
        // Somebody is about to have it named, or brings it again.
        assert!(blobs.has(&wanted));
        assert!(sweep(69).is_empty());
        assert_eq!(sweep(70), [left.clone()]);
        blobs.put(b"want").expect("room");
        assert!(sweep(80).is_empty());
        assert!(sweep(90).is_empty());
        assert!(sweep(149).is_empty());
        assert_eq!(sweep(150), [wanted]);
        assert!(blobs.has(&kept) && !blobs.has(&left));
    }

    #[test]
    fn what_is_brought_while_a_sweep_goes_on_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = BlobStore::open(folder.path()).expect("a store");
        let digest = blobs.put(b"blob").expect("room").digest;
        blobs.look().expect("a disk");
        assert!(blobs.has(&digest));
        assert!(!blobs.remove_untouched(&digest).expect("a disk"));
        blobs.look().expect("a disk");
        assert!(blobs.remove_untouched(&digest).expect("a disk"));
    }
}
