//! `DELETE /volumes/{name}`.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use http::{Method, Response, StatusCode};
use serde_json::Value;

use swarmw_model::{ClusterVolume, Refusal};

use super::{of_cluster, on_this_node, spec, to_leader, unknown};
use crate::api::Host;
use crate::body::{self, Params};
use crate::reply::Reply;
use crate::{engine, forward};

/// `DELETE /volumes/{name}`
pub(crate) async fn remove(
    State(host): State<Host>,
    Path(name): Path<String>,
    request: Request,
) -> Reply {
    let force = Params::of(request.uri()).is_on("force");
    if let Some((_, volume)) = of_cluster(&host, &name) {
        remove_of_cluster(&host, volume, force).await?;
        return Ok(nothing());
    }
    if let Some(volume) = on_this_node(&host, &name).await?
        && (volume.driver != "local" || host.engine().is_none())
    {
        host.remove_node_volume(spec(&volume), None).await?;
        return Ok(nothing());
    }
    match host.engine() {
        Some(_) => engine::pass_on(&host, request).await,
        None if force => Ok(nothing()),
        None => Err(unknown("get", &name).into()),
    }
}

/// First nobody takes it any more, then its data go, from here, then its name. What
/// fails on the way can be asked for again; by force the data are left to themselves.
async fn remove_of_cluster(host: &Host, volume: ClusterVolume, force: bool) -> Reply<()> {
    let path = format!("/swarmw/volumes/{}", volume.id);
    let ask = async |method| {
        let request = to_leader(method, path.clone(), Value::Null)?;
        let answer = forward::at_the_leader(host, request, |host, request| {
            super::change(host, Path(volume.id.to_string()), request)
        });
        refused(answer.await?).await
    };
    ask(Method::POST).await?;
    match host.remove_node_volume(volume.spec.clone(), Some(volume.id)).await {
        Err(why) if !force => {
            let message = format!(
                "{}; it is still there, and no task takes it any more: try again, on a manager \
                 that can reach its data, or with --force, which leaves them to themselves",
                why.message
            );
            return Err(Refusal { message, ..why }.into());
        }
        _ => {}
    }
    ask(Method::DELETE).await
}

/// The refusal that an answer is, if it is one.
pub(super) async fn refused(answer: Response<Body>) -> Reply<()> {
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status().as_u16();
    let content = body::bytes(answer.into_body(), body::JSON_MAX).await?;
    let told: Value = serde_json::from_slice(&content).unwrap_or_default();
    let message = told["message"]
        .as_str()
        .map_or_else(|| format!("refused with status {status}"), str::to_owned);
    Err(Refusal::plain(forward::kind_of(status), message).into())
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
