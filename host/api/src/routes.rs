//! The table of paths.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post};

use swarmw_model::{ConfigId, SecretId};

use crate::api::Host;
use crate::{
    containers, data, doctor, engine, events, forward, info, logs, metrics, networks, nodes, plan,
    plugins, reply, services, swarm, tasks, volumes, watch,
};

/// Every path, relative to the version in front of it.
pub(crate) fn router(host: Host) -> Router {
    let of_the_leader = Router::new()
        .route("/swarm", get(swarm::inspect))
        .route("/swarm/update", post(swarm::update))
        .route("/swarm/unlockkey", get(swarm::unlock_key))
        .route("/nodes", get(nodes::list))
        .route("/nodes/{id}", get(nodes::inspect).delete(nodes::remove))
        .route("/nodes/{id}/update", post(nodes::update))
        .route("/services", get(services::list))
        .route("/services/create", post(services::create))
        .route("/services/{id}", get(services::inspect).delete(services::remove))
        .route("/services/{id}/update", post(services::update))
        .route("/services/{id}/logs", get(logs::of_service))
        .route("/tasks", get(tasks::list))
        .route("/tasks/{id}", get(tasks::inspect))
        .route("/tasks/{id}/logs", get(logs::of_task))
        .route("/secrets", get(data::list::<SecretId>))
        .route("/secrets/create", post(data::create::<SecretId>))
        .route("/secrets/{id}", get(data::inspect::<SecretId>).delete(data::remove::<SecretId>))
        .route("/secrets/{id}/update", post(data::update::<SecretId>))
        .route("/configs", get(data::list::<ConfigId>))
        .route("/configs/create", post(data::create::<ConfigId>))
        .route("/configs/{id}", get(data::inspect::<ConfigId>).delete(data::remove::<ConfigId>))
        .route("/configs/{id}/update", post(data::update::<ConfigId>))
        .route("/swarmw/plugins", get(plugins::list).post(plugins::add))
        // Names of plugins have a slash: `publisher/name`.
        .route(
            "/swarmw/plugins/{*id}",
            get(plugins::inspect).post(plugins::act).delete(plugins::remove),
        )
        .route("/swarmw/volumes", post(volumes::make))
        .route("/swarmw/volumes/{id}", post(volumes::change).delete(volumes::change))
        .route("/swarmw/networks", get(networks::cluster_list).post(networks::make))
        .route("/swarmw/networks/{id}", delete(networks::cluster_remove))
        .route("/swarmw/net/doctor", get(doctor::examine))
        .route("/swarmw/secrets/{id}/rotate", post(data::rotate::<SecretId>))
        .route("/swarmw/configs/{id}/rotate", post(data::rotate::<ConfigId>))
        .route("/swarmw/blobs", post(plugins::put_blob))
        .route("/swarmw/plan", post(plan::plan))
        .route_layer(from_fn_with_state(host.clone(), forward::to_the_leader));
    let of_this_node = Router::new()
        .route("/_ping", get(info::ping))
        .route("/info", get(info::info))
        .route("/version", get(info::version))
        .route("/events", get(events::events))
        .route("/swarm/init", post(swarm::init))
        .route("/swarm/join", post(swarm::join))
        .route("/swarm/leave", post(swarm::leave))
        .route("/swarm/unlock", post(swarm::unlock))
        .route("/volumes", get(volumes::list))
        .route("/volumes/create", post(volumes::create))
        .route("/volumes/prune", post(volumes::prune))
        .route("/volumes/{name}", get(volumes::inspect).delete(volumes::remove))
        .route("/swarmw/metrics", get(metrics::metrics))
        .route("/swarmw/watch", get(watch::watch))
        .route("/networks", get(networks::list))
        .route("/networks/{id}", get(networks::inspect).delete(networks::remove))
        .route("/networks/create", post(networks::create))
        .route("/networks/prune", post(networks::prune))
        .route_layer(from_fn_with_state(host.clone(), forward::in_time));
    // They take as long as they take: a file system grows, an engine counts.
    let without_deadline = Router::new()
        .route("/swarmw/volumes/{name}/expand", post(volumes::expand))
        .route("/system/df", get(volumes::df))
        .route("/networks/{id}/connect", post(networks::connect))
        .route("/networks/{id}/disconnect", post(networks::disconnect))
        .route("/containers/create", post(networks::create_container))
        .route("/containers/json", get(networks::list_containers))
        .route("/containers/{id}/{call}", any(containers::anywhere))
        .route("/containers/{id}/{call}/{part}", any(containers::anywhere))
        .route("/exec/{id}/{call}", any(containers::anywhere));
    of_the_leader
        .merge(of_this_node)
        .merge(without_deadline)
        .method_not_allowed_fallback(async || reply::page_not_found())
        .fallback(engine::anything)
        .with_state(host)
}
