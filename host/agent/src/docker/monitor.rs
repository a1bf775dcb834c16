//! Keeps one connection's worth of attention on the engine: its events ring for the
//! tasks they name, its description is told anew, its absence is told too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;
use swarmw_ambient::Ambient;
use swarmw_model::{NodeDescription, NodeId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::describe::{trouble, with_engine};
use super::engine::{Engine, HELLO_DEADLINE};
use super::failure::Failure;
use super::gateway;

/// Swarm's time between looks at what the engine says of itself; an engine that
/// does not answer then is away.
const DESCRIBE_EVERY: Duration = Duration::from_secs(20);
/// Before the next try to reach an engine: this…
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// …and twice as long each time, up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// Events this long before the stream began are asked for: seconds are its grain.
const OVERLAP_SECONDS: i64 = 2;
/// What may end a task, or make it healthy.
const EVENTS: [&str; 4] = ["die", "oom", "destroy", "health_status"];
/// On every container of a task.
const TASK_LABEL: &str = "com.docker.swarm.task";
/// The task's id.
const TASK_ID_LABEL: &str = "com.docker.swarm.task.id";

/// Follows the engine until cancelled.
pub(crate) async fn monitor(
    engine: Arc<Engine>,
    id: NodeId,
    description: watch::Sender<NodeDescription>,
    cancel: CancellationToken,
) {
    let node = Said { id, description: description.borrow().clone() };
    let mut times = 0;
    let mut backoff = BACKOFF_FIRST;
    loop {
        let before = times;
        let why = tokio::select! {
            () = cancel.cancelled() => return,
            why = follow(&engine, &node, &description, &mut times) => why,
        };
        engine.is_away(&why);
        if description.send_if_modified(|described| trouble(described, &why)) {
            warn!(%why, "the Docker engine is away: no tasks are placed here for now");
        }
        backoff = if times > before { BACKOFF_FIRST } else { (backoff * 2).min(BACKOFF_MAX) };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(backoff) => {}
        }
    }
}

/// What is known of the node without its engine.
pub(super) struct Said {
    pub(super) id: NodeId,
    pub(super) description: NodeDescription,
}

/// Follows one life of the engine; why it ended.
async fn follow(
    engine: &Engine,
    node: &Said,
    description: &watch::Sender<NodeDescription>,
    times: &mut u64,
) -> Failure {
    let began = Ambient::system().now().as_nanos() / 1_000_000_000 - OVERLAP_SECONDS;
    let client = match engine.connect().await {
        Ok(client) => client,
        Err(failure) => return failure,
    };
    // Before the first task comes: with the description the node says what the bridge has.
    if node.description.joins_networks()
        && let Err(why) = gateway::ensure(engine, node.id).await
    {
        warn!(%why, "the engine has no bridge for networks of the cluster");
    }
    if let Err(failure) = describe(engine, node, description).await {
        return failure;
    }
    *times += 1;
    info!(socket = %engine.socket().display(), "the Docker engine answers");
    engine.is_up(*times);
    let filters = [("type", &["container"][..]), ("label", &[TASK_LABEL]), ("event", &EVENTS)];
    let filters: HashMap<_, _> = filters
        .into_iter()
        .map(|(key, values)| (key.to_owned(), values.iter().map(|v| (*v).to_owned()).collect()))
        .collect();
    let options =
        EventsOptions { since: Some(began.to_string()), until: None, filters: Some(filters) };
    // Never silent for good: an engine that hangs does not answer `describe`.
    let mut events = std::pin::pin!(client.events(Some(options)));
    let mut look = tokio::time::interval(DESCRIBE_EVERY);
    look.reset();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    let attributes = event.actor.and_then(|actor| actor.attributes);
                    let task = attributes.as_ref().and_then(|a| a.get(TASK_ID_LABEL));
                    if let Some(task) = task.and_then(|task| task.parse().ok()) {
                        engine.ring(Some(task));
                    }
                }
                Some(Err(error)) => return Failure::of(engine.socket(), error),
                None => return Failure::away(engine.socket(), "its events have ended"),
            },
            _ = look.tick() => {
                if let Err(failure) = describe(engine, node, description).await {
                    return failure;
                }
            }
        }
    }
}

/// Tells anew what the engine says of itself, where that has changed.
pub(super) async fn describe(
    engine: &Engine,
    node: &Said,
    description: &watch::Sender<NodeDescription>,
) -> Result<(), Failure> {
    let info =
        engine.once(HELLO_DEADLINE, |docker: Docker| async move { docker.info().await }).await?;
    let mut whole = with_engine(&node.description, info);
    if node.description.joins_networks() {
        let bridge = gateway::keep(engine, node.id).await.unwrap_or_else(|why| {
            debug!(%why, "the engine's bridge could not be looked at");
            None
        });
        whole.gateway_v6 = bridge.is_some_and(|bridge| bridge.v6);
    }
    description.send_if_modified(|described| {
        // Its kernel is not its engine's business.
        whole.kernel_ports = described.kernel_ports;
        let news = *described != whole;
        *described = whole;
        news
    });
    Ok(())
}
