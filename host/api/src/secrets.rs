//! `/secrets` and `/configs`: the cluster has none, and says so.

use axum::extract::Path;

use swarmw_model::Refusal;

use crate::refusals::not_supported;
use crate::reply::{Reply, ok};

/// The empty list.
pub(crate) async fn none() -> Reply {
    ok([(); 0])
}

/// `POST /secrets/create`
pub(crate) async fn no_secrets() -> Reply {
    Err(not_supported("secrets are").into())
}

/// `POST /configs/create`
pub(crate) async fn no_configs() -> Reply {
    Err(not_supported("configs are").into())
}

/// One secret.
pub(crate) async fn no_such_secret(Path(reference): Path<String>) -> Reply {
    Err(Refusal::not_found("secret", reference).into())
}

/// One config.
pub(crate) async fn no_such_config(Path(reference): Path<String>) -> Reply {
    Err(Refusal::not_found("config", reference).into())
}
