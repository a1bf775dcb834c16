//! What a node that has left its cluster still has on its engine, which was away then: the
//! containers of its tasks, and networks that stood for those of the cluster.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use swarmw_engine_driver::{
    AddressRequest, Attach, Driver, Endpoint, EngineNetwork, Joined, MacAddress, Memory, PoolOffer,
    PoolRequest, Refused, Serving,
};
use swarmw_model::{NetworkId, NodeId};

use super::engine::Engine;
use super::orphans::remove_orphans;
use super::shadows::Shadows;
use crate::executor::TaskError;

/// What an engine may have of a node that is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOnEngine {
    /// The node: its tasks' containers name it.
    pub node: NodeId,
    /// Networks of its cluster that somebody of it was on.
    pub networks: Vec<NetworkId>,
}

/// Removes it from an engine that answers: how many containers that were. The engine asks the
/// driver of its networks about each that goes. Where no agent serves one, it is served
/// meanwhile: `driver` says on which socket, and in which folder it remembers.
///
/// # Errors
/// The engine refuses, or is away again; or the driver cannot be served.
pub async fn clear_left(
    engine: &Path,
    driver: Option<(&Path, PathBuf)>,
    left: &[LeftOnEngine],
) -> Result<usize, TaskError> {
    let engine = Engine::new(engine.to_owned());
    engine.connect().await?;
    engine.is_up(1);
    let is_needed = driver.is_some() && has_shadows(&engine, left).await?;
    let serving = match driver.filter(|_| is_needed) {
        Some((socket, folder)) => Some(serve(socket, folder).await?),
        None => None,
    };
    let cleared = clear(&engine, left).await;
    if let Some(serving) = serving {
        serving.end().await;
    }
    cleared
}

async fn clear(engine: &Arc<Engine>, left: &[LeftOnEngine]) -> Result<usize, TaskError> {
    let mut gone = 0;
    for one in left {
        gone += remove_orphans(engine, one.node, |_| false).await?;
    }
    Shadows::new(engine.clone(), true).remove_those(|id| is_of(left, id)).await?;
    Ok(gone)
}

async fn has_shadows(engine: &Arc<Engine>, left: &[LeftOnEngine]) -> Result<bool, TaskError> {
    let all = Shadows::new(engine.clone(), true).shadows().await?;
    Ok(all.iter().any(|shadow| is_of(left, shadow.network)))
}

fn is_of(left: &[LeftOnEngine], network: NetworkId) -> bool {
    left.iter().any(|one| one.networks.contains(&network))
}

async fn serve(socket: &Path, folder: PathBuf) -> Result<Serving, TaskError> {
    let memory = Memory::open(folder).map_err(|error| TaskError(error.to_string()))?;
    let driver = Driver::new(Arc::new(Undo), Arc::new(memory));
    driver.serve(socket).await.map_err(|error| TaskError(error.to_string()))
}

/// A driver of networks that go: it makes nothing, and has nothing to undo.
struct Undo;

fn refused<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, Refused>> {
    ready(Err(Refused::new("this node has left its cluster, and its networks"))).boxed()
}

fn done<'a>() -> BoxFuture<'a, Result<(), Refused>> {
    ready(Ok(())).boxed()
}

impl Attach for Undo {
    fn pool<'a>(&'a self, _: &'a PoolRequest) -> BoxFuture<'a, Result<PoolOffer, Refused>> {
        refused()
    }

    fn pool_gone(&self, _: NetworkId, _: IpNet) -> BoxFuture<'_, Result<(), Refused>> {
        done()
    }

    fn address<'a>(&'a self, _: &'a AddressRequest) -> BoxFuture<'a, Result<IpNet, Refused>> {
        refused()
    }

    fn release(&self, _: NetworkId, _: IpAddr) -> BoxFuture<'_, Result<(), Refused>> {
        done()
    }

    fn network<'a>(&'a self, _: &'a EngineNetwork) -> BoxFuture<'a, Result<(), Refused>> {
        refused()
    }

    fn network_gone<'a>(&'a self, _: &'a EngineNetwork) -> BoxFuture<'a, Result<(), Refused>> {
        done()
    }

    fn endpoint<'a>(
        &'a self,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Result<Option<MacAddress>, Refused>> {
        refused()
    }

    fn endpoint_gone<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>> {
        done()
    }

    fn join<'a>(&'a self, _: &'a Endpoint, _: &'a Path) -> BoxFuture<'a, Result<Joined, Refused>> {
        refused()
    }

    fn leave<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, Result<(), Refused>> {
        done()
    }
}
