//! The agent's session with the leader: says what the node is and how its tasks
//! fare, hears what they should be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use rand::Rng;
use swarmw_ambient::Ambient;
use swarmw_ca::Tls;
use swarmw_model::{NodeDescription, StatusReport, TaskId};
use swarmw_network::PublishedPorts;
use swarmw_proto::pb::from_agent::Message as FromAgent;
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{Channels, pb, wire};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use crate::agent::Welcomed;
use crate::logs::{Line, LogOptions};
use crate::net::{Heard, KernelPorts, Listed, Networks};
use crate::port_list::PortList;
use crate::secrets::{Change, Secrets};
use crate::store::Store;
use crate::volumes::{Known, Volumes};
use crate::worker::Worker;

/// Messages on their way to the leader.
const MESSAGES_IN_FLIGHT: usize = 16;
/// Statuses in one message.
const STATUSES_MAX: usize = 500;
/// Before the next try: this…
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// …and twice the last wait, up to this and to the heartbeat period, so that a new
/// leader hears of the node in time; a random part of it is waited.
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// The heartbeat period before the leader has told one.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);
/// Log lines in one message.
const LINES_MAX: usize = 100;

/// What sessions work with; lives as long as the agent.
pub(crate) struct Link {
    pub(crate) tls: Tls,
    pub(crate) channels: Channels,
    pub(crate) managers: Arc<RwLock<Vec<String>>>,
    pub(crate) worker: Worker,
    pub(crate) store: Store,
    pub(crate) volumes: Option<Arc<Volumes>>,
    pub(crate) secrets: Option<Arc<Secrets>>,
    pub(crate) ports: PublishedPorts,
    /// What was heard of them.
    pub(crate) listed: Mutex<PortList>,
    pub(crate) kernel_ports: Option<KernelPorts>,
    pub(crate) networks: Option<Networks>,
    /// What is heard of networks, by whoever joins them or none.
    pub(crate) heard: Heard,
    /// Who leads, as the session knows it.
    pub(crate) leader: watch::Sender<Option<String>>,
    pub(crate) description: watch::Receiver<NodeDescription>,
    pub(crate) welcomed: watch::Sender<Option<Welcomed>>,
    pub(crate) ambient: Ambient,
    pub(crate) cancel: CancellationToken,
}

/// Why a session ended.
enum End {
    /// Ask this manager, which leads.
    Redirect(String),
    /// Try again.
    Lost(Status),
}

// === impl Link ===

impl Link {
    /// Holds a session with whoever leads, until cancelled.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut backoff = Duration::ZERO;
        let mut next: Option<String> = None;
        let mut turn = 0usize;
        let mut period = HEARTBEAT_DEFAULT;
        loop {
            let address = next.take().or_else(|| self.some_manager(&mut turn));
            let ended = match &address {
                Some(address) => tokio::select! {
                    () = self.cancel.cancelled() => return,
                    ended = self.session(address, &mut backoff, &mut period) => ended,
                },
                None => End::Lost(Status::unavailable("no manager is known")),
            };
            match ended {
                End::Redirect(leader) if !leader.is_empty() => {
                    next = Some(leader);
                    if backoff.is_zero() {
                        backoff = BACKOFF_FIRST;
                        continue;
                    }
                }
                End::Redirect(_) => debug!("no leader yet"),
                End::Lost(status) => debug!(?address, %status, "no session"),
            }
            backoff = (BACKOFF_FIRST + backoff * 2).min(BACKOFF_MAX).min(period);
            let wait = backoff.mul_f64(self.ambient.chance().random());
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn some_manager(&self, turn: &mut usize) -> Option<String> {
        let managers = self.managers.read().ok()?;
        *turn += 1;
        managers.get(*turn % managers.len().max(1)).cloned()
    }

    async fn session(
        self: &Arc<Self>,
        address: &str,
        backoff: &mut Duration,
        period: &mut Duration,
    ) -> End {
        let ended = self.converse(address, backoff, period).await;
        self.leader.send_replace(None);
        match ended {
            Ok(leader) => End::Redirect(leader),
            Err(status) => End::Lost(status),
        }
    }

    /// One session; the leader's address when another manager leads.
    async fn converse(
        self: &Arc<Self>,
        address: &str,
        backoff: &mut Duration,
        period: &mut Duration,
    ) -> Result<String, Status> {
        let channel = self.channels.get(address)?;
        let (out, outgoing) = mpsc::channel(MESSAGES_IN_FLIGHT);
        let mut description = self.description.clone();
        let hello = describe(&description.borrow_and_update(), &self.tls);
        send(&out, hello).await?;
        let mut client = pb::dispatcher_client::DispatcherClient::new(channel);
        let mut incoming = client.session(ReceiverStream::new(outgoing)).await?.into_inner();

        let mut sent: HashMap<u64, Vec<StatusReport>> = HashMap::new();
        let mut seq = 0;
        let mut begun = false;
        // When the first heartbeat was sent that has not been answered.
        let mut beaten: Option<Instant> = None;
        // Not a wait that begins anew with each message: a leader that has much to
        // tell must hear of the node nevertheless.
        let mut beat = Instant::now() + *period;
        loop {
            let reports = async {
                // One batch at a time: what comes meanwhile replaces what waits.
                if begun && sent.is_empty() {
                    self.worker.reports().next(STATUSES_MAX).await
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                message = incoming.message() => {
                    let Some(message) = message?.and_then(|m| m.message) else {
                        return Err(Status::unavailable("the session was closed"));
                    };
                    match message {
                        ToAgent::Redirect(redirect) => return Ok(redirect.address),
                        ToAgent::Welcome(welcome) => {
                            if !begun {
                                info!(leader = %address, "session with the leader");
                                self.leader.send_replace(Some(address.to_owned()));
                                begun = true;
                                *backoff = Duration::ZERO;
                                self.worker.report_all();
                                if let Some(secrets) = &self.secrets {
                                    secrets.vault().begin();
                                }
                            }
                            *period = Duration::from_millis(welcome.heartbeat_millis.max(1));
                            beat = beat.min(Instant::now() + *period);
                            self.welcome(&welcome)?;
                        }
                        ToAgent::Accepted(accepted) => {
                            if let Some(reports) = sent.remove(&accepted) {
                                self.worker.reports().accepted(&reports);
                            }
                        }
                        ToAgent::Heard(_) => {
                            if let (Some(at), Some(volumes)) = (beaten.take(), &self.volumes) {
                                volumes.in_touch(at);
                            }
                        }
                        message => self.hear(address, message)?,
                    }
                }
                () = tokio::time::sleep_until(beat) => {
                    beat = Instant::now() + *period;
                    // An answer speaks of the last beat at the latest.
                    beaten.get_or_insert_with(Instant::now);
                    send(&out, FromAgent::Heartbeat(pb::Heartbeat {})).await?;
                }
                changed = description.changed() => {
                    if changed.is_err() {
                        return Err(Status::cancelled("the agent stops"));
                    }
                    let message = describe(&description.borrow_and_update(), &self.tls);
                    send(&out, message).await?;
                }
                reports = reports => {
                    seq += 1;
                    let statuses = pb::Statuses { seq, reports: wire::encode(&reports) };
                    sent.insert(seq, reports);
                    send(&out, FromAgent::Statuses(statuses)).await?;
                }
            }
        }
    }

    fn welcome(&self, welcome: &pb::Welcome) -> Result<(), Status> {
        let node = wire::decode(&welcome.node).map_err(invalid)?;
        let managers: Vec<_> = welcome.managers.iter().map(|m| m.address.clone()).collect();
        let peers = welcome
            .managers
            .iter()
            .filter_map(|m| Some((m.node_id.parse().ok()?, m.address.clone())))
            .collect();
        if !managers.is_empty()
            && let Ok(mut known) = self.managers.write()
        {
            known.clone_from(&managers);
        }
        let root_pem = welcome.root_pem.clone();
        self.welcomed.send_replace(Some(Welcomed { node, managers, peers, root_pem }));
        Ok(())
    }

    /// What there is of published ports, once the last part of it has come.
    fn list(&self, message: &pb::Ports) -> Result<Option<Listed>, Status> {
        let ports = if message.news.is_empty() {
            wire::decode(&message.ports).map_err(invalid)?
        } else {
            let news = wire::decode(&message.news).map_err(invalid)?;
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(ports) = listed.learn(news) else { return Ok(None) };
            ports
        };
        let ingress = match message.ingress.is_empty() {
            true => None,
            false => wire::decode(&message.ingress).map_err(invalid)?,
        };
        Ok(Some(Listed { ports, ingress }))
    }

    fn hear(self: &Arc<Self>, leader: &str, message: ToAgent) -> Result<(), Status> {
        match message {
            ToAgent::Assignments(assignments) => {
                let update = wire::decode(&assignments.update).map_err(invalid)?;
                let remove: Vec<TaskId> =
                    assignments.remove.iter().filter_map(|id| id.parse().ok()).collect();
                if let Some(secrets) = self.secrets.as_ref().filter(|_| assignments.complete) {
                    secrets.vault().settle();
                }
                self.worker.assign(assignments.complete, update, &remove);
            }
            ToAgent::Ports(ports) => {
                let Some(listed) = self.list(&ports)? else { return Ok(()) };
                let written = self.store.put_ports(&listed.ports);
                if let Err(error) = written.and(self.store.put_ingress(listed.ingress.as_ref())) {
                    warn!(%error, "the published ports could not be written down");
                }
                if let Some(kernel) = &self.kernel_ports {
                    kernel.learn(listed.clone());
                }
                self.ports.set(listed.ports);
            }
            ToAgent::Drivers(drivers) => {
                let known = Known {
                    drivers: wire::decode(&drivers.plugins).map_err(invalid)?,
                    volumes: wire::decode(&drivers.volumes).map_err(invalid)?,
                };
                if let Some(volumes) = &self.volumes {
                    volumes.learn(known);
                }
            }
            ToAgent::Networks(networks) => {
                let news = wire::decode(&networks.news).map_err(invalid)?;
                match &self.networks {
                    Some(networks) => networks.learn(news),
                    None => {
                        self.worker.hear_networks(&news);
                        self.heard.learn(news);
                    }
                }
            }
            ToAgent::Given(given) => {
                let change = change(&given)?;
                if let Some(secrets) = &self.secrets {
                    secrets.vault().learn(change);
                }
            }
            ToAgent::Logs(wanted) => {
                let channel = self.channels.get(leader)?;
                tokio::spawn(publish(self.worker.clone(), channel, wanted));
            }
            // A subscription ends when its stream is refused: see `publish`.
            ToAgent::LogsDone(_) => {}
            ToAgent::Redirect(_)
            | ToAgent::Welcome(_)
            | ToAgent::Accepted(_)
            | ToAgent::Heard(_) => {}
        }
        Ok(())
    }
}

/// What the leader gives and takes back. An error does not show what it was.
fn change(given: &pb::Given) -> Result<Change, Status> {
    Ok(Change {
        secrets: wire::decode(&given.secrets).map_err(|_| unreadable())?,
        configs: wire::decode(&given.configs).map_err(|_| unreadable())?,
        remove_secrets: given.remove_secrets.iter().filter_map(|id| id.parse().ok()).collect(),
        remove_configs: given.remove_configs.iter().filter_map(|id| id.parse().ok()).collect(),
    })
}

fn unreadable() -> Status {
    Status::invalid_argument("secrets and configs that this binary cannot read")
}

/// Sends the log lines of some tasks until they end or nobody reads them.
fn publish(worker: Worker, channel: Channel, wanted: pb::LogsWanted) -> BoxFuture<'static, ()> {
    async move {
        let options = LogOptions {
            follow: wanted.follow,
            tail: u64::try_from(wanted.tail).ok(),
            since: swarmw_model::Time::from_nanos(wanted.since),
            stdout: wanted.stdout,
            stderr: wanted.stderr,
            details: wanted.details,
        };
        let subscription = wanted.subscription;
        let mut logs: Vec<BoxStream<'static, pb::LogLine>> = Vec::new();
        for id in wanted.tasks {
            logs.extend(lines_of(worker.clone(), id, options.clone()).await);
        }
        let (out, outgoing) = mpsc::channel(MESSAGES_IN_FLIGHT);
        let feed = feed(messages(subscription, logs), out);
        let mut client = pb::dispatcher_client::DispatcherClient::new(channel);
        let mut publishing = std::pin::pin!(client.publish_logs(ReceiverStream::new(outgoing)));
        let sent = tokio::select! {
            // Nobody reads on, though the tasks may be silent for long.
            sent = &mut publishing => sent,
            () = feed => publishing.await,
        };
        if let Err(status) = sent {
            debug!(%status, "a log subscription ends");
        }
    }
    .boxed()
}

/// Sends messages until they end or nobody takes them.
async fn feed(mut messages: BoxStream<'static, pb::LogLines>, out: mpsc::Sender<pb::LogLines>) {
    while let Some(message) = messages.next().await {
        if out.send(message).await.is_err() {
            return;
        }
    }
}

/// The first message is empty, so that the leader knows the subscription it is about.
fn messages(
    subscription: u64,
    logs: Vec<BoxStream<'static, pb::LogLine>>,
) -> BoxStream<'static, pb::LogLines> {
    let message = move |lines| pb::LogLines { subscription, lines };
    let first = futures::stream::iter([message(Vec::new())]);
    first.chain(futures::stream::select_all(logs).ready_chunks(LINES_MAX).map(message)).boxed()
}

/// The lines of one task, if it is here.
async fn lines_of(
    worker: Worker,
    id: String,
    options: LogOptions,
) -> Option<BoxStream<'static, pb::LogLine>> {
    let (task, executor) = worker.find(id.parse().ok()?)?;
    match executor.logs(&task, options).await {
        Ok(lines) => Some(
            lines
                .filter_map(move |line| ready(line.ok().map(|line| log_line(id.clone(), line))))
                .boxed(),
        ),
        Err(error) => {
            debug!(task = %id, %error, "no log");
            None
        }
    }
}

fn log_line(task: String, line: Line) -> pb::LogLine {
    pb::LogLine {
        task,
        stream: line.output as u32,
        at_nanos: line.at.as_nanos(),
        text: line.text,
        attributes: line.attributes.into_iter().collect(),
    }
}

fn describe(description: &NodeDescription, tls: &Tls) -> FromAgent {
    let mut description = description.clone();
    description.tls_info = Some(tls.info());
    let description = wire::encode(&description);
    FromAgent::Describe(pb::Describe { description, knows_port_news: true })
}

async fn send(out: &mpsc::Sender<pb::FromAgent>, message: FromAgent) -> Result<(), Status> {
    out.send(pb::FromAgent { message: Some(message) })
        .await
        .map_err(|_| Status::unavailable("the session was closed"))
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}
