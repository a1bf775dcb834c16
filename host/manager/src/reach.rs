//! The way to the containers of all tasks for nodes that are no managers. A call is one
//! connection that speaks HTTP as to an engine, and the API of this manager answers it. That a
//! node may is the cluster's word, not its certificate's.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use swarmw_model::NodeId;
use swarmw_proto::{PIECES_IN_FLIGHT, Wire, pb, pipe};
use swarmw_state::State;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// Calls of other nodes at a time; further ones are refused.
const OPEN_MAX: usize = 1_000;

/// What answers a node's call: the API's own server of one connection.
pub type ReachHandler = Arc<dyn Fn(NodeId, Box<dyn Wire>) -> BoxFuture<'static, ()> + Send + Sync>;

/// A manager's side of all such calls.
pub(crate) struct Reach {
    handler: ReachHandler,
    places: Arc<Semaphore>,
}

// === impl Reach ===

impl Reach {
    pub(crate) fn new(handler: ReachHandler) -> Self {
        Self { handler, places: Arc::new(Semaphore::new(OPEN_MAX)) }
    }

    /// Answers a node's call until it ends, or this manager does.
    pub(crate) fn answer(
        &self,
        state: &State,
        node: NodeId,
        incoming: Streaming<pb::ContainerBytes>,
        end: CancellationToken,
    ) -> Result<BoxStream<'static, Result<pb::ContainerBytes, Status>>, Status> {
        check(state)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "{OPEN_MAX} calls of other nodes to containers are open here: try later"
            ))
        })?;
        let (outgoing, answers) = mpsc::channel(PIECES_IN_FLIGHT);
        tokio::spawn((self.handler)(node, pipe(incoming, outgoing, Ok)));
        // A connection that is taken over outlives its handler: the place is held for as long as
        // answers may go out.
        let answers = ReceiverStream::new(answers).map(move |piece| {
            let _place = &place;
            piece
        });
        Ok(answers.take_until(end.cancelled_owned()).boxed())
    }
}

/// Refuses while the cluster has only managers reach all tasks.
fn check(state: &State) -> Result<(), Status> {
    let from = state.cluster().map(|cluster| cluster.spec.tasks_from()).unwrap_or_default();
    from.check().map_err(|refusal| Status::permission_denied(refusal.message))
}

#[cfg(test)]
mod tests {
    use swarmw_model::{ClusterOptions, NodeRole, TasksFrom, Time};
    use swarmw_state::{Change, Transaction};
    use tonic::Code;

    use super::*;
    use crate::authority::new_node;
    use crate::found::tests::founded;

    #[test]
    fn nobody_is_let_in_before_the_operator_says_so() {
        let code = |from| {
            let mut cluster = founded().cluster;
            let options = ClusterOptions { tasks_from: from, ..ClusterOptions::default() };
            cluster.spec.swarmw = Some(options);
            let node = new_node(NodeId::from_bits(1), NodeRole::Manager, Default::default());
            let change = Change::InitCluster {
                cluster: Box::new(cluster),
                node: Box::new(node),
                plugins: Vec::new(),
            };
            let mut state = State::default();
            let found = Transaction { at: Time::ZERO, request: None, changes: vec![change] };
            state.apply(1, &found);
            check(&state).map_err(|status| status.code())
        };
        assert_eq!(code(TasksFrom::Managers), Err(Code::PermissionDenied));
        assert_eq!(code(TasksFrom::Nodes), Ok(()));
        let refused = check(&State::default()).expect_err("a manager that knows nothing yet");
        assert!(refused.message().ends_with("swarm update --tasks-from nodes"), "{refused}");
    }
}
