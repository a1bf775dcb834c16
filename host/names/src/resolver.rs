//! Answers the processes of containers.

mod tcp;
mod udp;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use swarmw_ambient::Ambient;
use swarmw_model::NetworkId;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::counts::{Counts, Tally};
use crate::desk::{self, Decision, Desk, Transport};
use crate::forward::{Engine, FORWARDS_MAX};
use crate::rules::{self, Ports};
use crate::sandbox::{Sandbox, Sockets};
use crate::table::Table;

pub use tcp::{CONNECTION_IDLE, CONNECTIONS_MAX};

/// Answers the processes of a node's containers from one table. Clones share it, and the
/// bound on what is forwarded.
#[derive(Clone)]
pub struct Resolver {
    table: Arc<ArcSwap<Table>>,
    ambient: Ambient,
    forwards: Arc<Semaphore>,
    tally: Arc<Tally>,
}

/// One sandbox that is answered for, until this is dropped.
///
/// A drop closes the sockets and leaves the rules, as a daemon that dies does: queries are
/// refused until the next [`Resolver::serve`], and nobody is told that names of services do
/// not exist. A container that goes on without our networks is given back to the
/// engine's resolver with [`Serving::withdraw`].
#[must_use = "dropping it ends the answers"]
#[derive(Debug)]
pub struct Serving {
    sandbox: Sandbox,
    path: PathBuf,
    ports: Ports,
    /// The number of the namespace's ruleset when the rules were last seen there.
    generation: Option<u32>,
    loops: [JoinHandle<()>; 2],
}

/// A sandbox cannot be answered for.
#[derive(Debug, thiserror::Error)]
#[error("names cannot be resolved in the sandbox {}: {reason}", sandbox.display())]
pub struct ServeError {
    /// The namespace.
    pub sandbox: PathBuf,
    /// What went wrong.
    #[source]
    pub reason: io::Error,
}

/// What one sandbox's sockets answer with.
struct Responder {
    desk: Desk,
    engine: Engine,
    tally: Arc<Tally>,
}

// === impl Resolver ===

impl Resolver {
    /// Answers from a table; who keeps it swaps in the next one, which the next query sees.
    pub fn new(table: Arc<ArcSwap<Table>>, ambient: Ambient) -> Self {
        let forwards = Arc::new(Semaphore::new(FORWARDS_MAX));
        Self { table, ambient, forwards, tally: Arc::default() }
    }

    /// What it did since it began.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// Answers what is sent to 127.0.0.11 in a network namespace, given by a file of it, for
    /// a container on these networks, which may change. What an earlier daemon left
    /// there is replaced. The table should have what the node knew before it restarted: a
    /// name that is not in it is not ours, and the engine's resolver says that it does not
    /// exist. Must be called within a tokio runtime.
    pub async fn serve(
        &self,
        sandbox: &Path,
        networks: Arc<ArcSwap<Vec<NetworkId>>>,
    ) -> Result<Serving, ServeError> {
        self.begin(sandbox, networks)
            .await
            .map_err(|reason| ServeError { sandbox: sandbox.to_owned(), reason })
    }

    async fn begin(
        &self,
        path: &Path,
        networks: Arc<ArcSwap<Vec<NetworkId>>>,
    ) -> io::Result<Serving> {
        let sandbox = Sandbox::open(path)?;
        let open = || {
            let sockets = Sockets::open()?;
            let udp = sockets.udp.local_addr()?.port();
            let tcp = sockets.tcp.local_addr()?.port();
            let ports = Ports { udp, tcp };
            rules::put(ports)?;
            Ok((sockets, ports))
        };
        let (sockets, ports) = sandbox.within(open).await?;
        let (udp, tcp) = (UdpSocket::from_std(sockets.udp)?, TcpListener::from_std(sockets.tcp)?);
        let ambient = self.ambient.clone();
        let engine = Engine::new(sandbox.clone(), ambient.clone(), self.forwards.clone());
        let desk = Desk { table: self.table.clone(), networks, ambient };
        let responder = Arc::new(Responder { desk, engine, tally: self.tally.clone() });
        let loops = [
            tokio::spawn(udp::serve(udp, responder.clone())),
            tokio::spawn(tcp::serve(tcp, responder)),
        ];
        let serving = Serving { sandbox, path: path.to_owned(), ports, generation: None, loops };
        // Last: a container that has just been made has none, and is about to begin.
        let forget = || {
            rules::forget_flows();
            Ok(())
        };
        serving.sandbox.within(forget).await?;
        Ok(serving)
    }
}

// === impl Serving ===

impl Serving {
    /// Whether the file that named the sandbox still does.
    pub fn is_current(&self) -> bool {
        self.sandbox.is_at(&self.path)
    }

    /// What keeps questions from being answered here, if anything does; changes nothing.
    pub async fn fault(&self) -> Result<Option<&'static str>, ServeError> {
        if self.loops.iter().any(JoinHandle::is_finished) {
            return Ok(Some("the sockets that answer for names are closed"));
        }
        let (ports, seen) = (self.ports, self.generation);
        let look = move || {
            let is_as_it_was = Some(swarmw_overlay::generation_here()?) == seen;
            Ok(is_as_it_was || rules::are_there(ports)?)
        };
        let looked = self.sandbox.within(look).await;
        let are_there =
            looked.map_err(|reason| ServeError { sandbox: self.path.clone(), reason })?;
        Ok((!are_there).then_some("the rules that lead questions for names here are missing"))
    }

    /// Puts the rules again where somebody took them away (`nft flush ruleset` in the
    /// container); whether that was so. Costs little where nobody changed any rules.
    pub async fn repair(&mut self) -> Result<bool, ServeError> {
        let (ports, seen) = (self.ports, self.generation);
        let look = move || {
            // Before the look: a change meanwhile is seen the next time.
            let generation = swarmw_overlay::generation_here()?;
            if Some(generation) == seen || rules::are_there(ports)? {
                return Ok((Some(generation), false));
            }
            rules::put(ports)?;
            rules::forget_flows();
            Ok((None, true))
        };
        let looked = self.sandbox.within(look).await;
        let (generation, repaired) =
            looked.map_err(|reason| ServeError { sandbox: self.path.clone(), reason })?;
        self.generation = generation;
        Ok(repaired)
    }

    /// Gives the sandbox back to the engine's resolver.
    pub async fn withdraw(self) -> Result<(), ServeError> {
        let removed = self.sandbox.within(rules::remove).await;
        removed.map_err(|reason| ServeError { sandbox: self.path.clone(), reason })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.loops.iter().for_each(JoinHandle::abort);
    }
}

// === impl Responder ===

impl Responder {
    /// The answer, where it takes no waiting.
    fn at_once(&self, query: &[u8], transport: Transport) -> Decision {
        let decision = self.desk.decide(query, transport);
        if matches!(decision, Decision::Reply(_)) {
            self.tally.answered();
        }
        decision
    }

    /// The engine's answer, or that there is none.
    async fn forwarded(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        match self.engine.ask(query, transport).await {
            Ok(answer) => {
                self.tally.forwarded();
                Some(answer)
            }
            Err(why) => {
                self.tally.unanswered(&why);
                desk::failure(query, ResponseCode::ServFail)
            }
        }
    }
}
