//! `/swarmw/volumes`: changes of the cluster's own volumes, on the leader.

use axum::extract::{Path, Request, State};
use http::Method;

use swarmw_model::{ClusterVolume, Refusal, RefusalKind, VolumeId, VolumeSpec};
use swarmw_state::{Change, Lookup};

use super::{create, show, unknown};
use crate::api::Host;
use crate::body;
use crate::forward::begin;
use crate::reply::{Reply, done};

/// `POST /swarmw/volumes`: the body is a volume's spec, which its driver has taken.
pub(crate) async fn make(State(host): State<Host>, request: Request) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    let id = match begun.first {
        Some(first) => first?,
        None => {
            let content = body::bytes(request.into_body(), body::JSON_MAX).await?;
            let spec: VolumeSpec = serde_json::from_slice(&content)
                .map_err(|e| Refusal::invalid(format!("invalid JSON: {e}")))?;
            let volume = ClusterVolume::new(VolumeId::from_bits(host.random()), spec);
            host.write(begun.request, Change::CreateVolume(Box::new(volume))).await?
        }
    };
    let state = host.read().await?;
    let made = id.and_then(|id| state.volume(VolumeId::from_bits(id.bits())));
    match made {
        Some(volume) => Ok(create::made(show::of_cluster(&state, volume))),
        None => Err(Refusal::plain(RefusalKind::Unknown, "the volume went at once").into()),
    }
}

/// `POST /swarmw/volumes/{id}`: no task takes it any more. `DELETE`: it is forgotten.
pub(crate) async fn change(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let begun = begin(&host, request.headers()).await?;
    if let Some(first) = begun.first {
        first?;
        return done();
    }
    let found = ClusterVolume::find(&begun.state, &reference);
    let id = found.map_err(|_| unknown("get", &reference))?.id;
    let change = match *request.method() {
        Method::DELETE => Change::RemoveVolume(id),
        _ => Change::GiveUpVolume(id),
    };
    host.write(begun.request, change).await?;
    done()
}
