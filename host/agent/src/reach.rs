//! The way to the containers of tasks on other nodes, for a node that is no manager: a manager
//! leads there, where the cluster lets other nodes ask.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use swarmw_model::{Refusal, RefusalKind};
use swarmw_proto::{Channels, PIECES_IN_FLIGHT, Wire, pb, pipe};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// How long a manager may take until it has said whether it answers; then the next is asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks managers.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) channels: Channels,
    pub(crate) managers: Arc<RwLock<Vec<String>>>,
}

// === impl Reach ===

impl Reach {
    /// Opens a connection that speaks HTTP as to an engine, to the first manager that answers.
    /// Nothing is sent over it yet.
    ///
    /// # Errors
    /// The cluster does not let this node; or no manager answers, and why each did not.
    pub(crate) async fn open(&self) -> Result<Box<dyn Wire>, Refusal> {
        let managers = self.managers.read().map(|known| known.clone()).unwrap_or_default();
        let mut tried = Vec::new();
        for manager in managers {
            match timeout(PATIENCE, self.call(&manager)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(status)) if let Some(refusal) = not_allowed(&status) => return Err(refusal),
                Ok(Err(status)) => tried.push(format!("{manager}: {}", status.message())),
                Err(_) => {
                    let waited = PATIENCE.as_secs();
                    tried.push(format!("{manager}: no answer within {waited} s"));
                }
            }
        }
        Err(nobody(&tried))
    }

    async fn call(&self, manager: &str) -> Result<Box<dyn Wire>, Status> {
        let (pieces, outgoing) = mpsc::channel(PIECES_IN_FLIGHT);
        let mut client = pb::reach_client::ReachClient::new(self.channels.get(manager)?);
        let answers = client.open(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(pipe(answers, pieces, |piece| piece))
    }
}

/// What a manager says that lets this node not ask. An older one lets nobody.
fn not_allowed(status: &Status) -> Option<Refusal> {
    match status.code() {
        Code::PermissionDenied | Code::Unimplemented => {
            Some(Refusal::plain(RefusalKind::PermissionDenied, status.message()))
        }
        _ => None,
    }
}

fn nobody(tried: &[String]) -> Refusal {
    let why = match tried {
        [] => "none is known".to_owned(),
        tried => tried.join("; "),
    };
    let message = format!("no manager answers, which would know of tasks on other nodes: {why}");
    Refusal::plain(RefusalKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_principle_ends_the_search_for_a_manager() {
        for (status, ends) in [
            (Status::permission_denied("this node is no manager"), true),
            (Status::unimplemented(""), true),
            (Status::unavailable("this node is not a manager"), false),
            (Status::resource_exhausted("1000 calls are open"), false),
        ] {
            assert_eq!(not_allowed(&status).is_some(), ends, "{status}");
        }
    }

    #[test]
    fn all_that_were_tried_are_named() {
        let tried = ["10.0.0.1:2377: tcp connect error", "10.0.0.2:2377: no answer within 3 s"];
        let refused = nobody(&tried.map(str::to_owned));
        assert_eq!(refused.kind.http_status(), 503);
        assert!(tried.iter().all(|one| refused.message.contains(one)), "{refused}");
        assert!(nobody(&[]).message.ends_with("none is known"));
    }
}
