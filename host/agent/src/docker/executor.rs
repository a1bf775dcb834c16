//! Tasks as containers.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, StopContainerOptions,
};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, ready};
use swarmw_model::{Assignment, EngineSocket, NetworkNews, PortProtocol, TaskId};
use swarmw_overlay::Local;
use swarmw_registry::CredentialHelpers;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::engine::{CALL_DEADLINE, Engine, Wake, version};
use super::failure::Failure;
use super::gateway::{self, OnBridge};
use super::image::Pulls;
use super::places::wants_several;
use super::shadows::Shadows;
use super::state::{
    Health, Life, Reached, UNHEALTHY, exit, life, may_lack_memory, networks_of, reached, started,
};
use super::{create, logs};
use crate::executor::{Executor, Exit, Found, Leaves, Started, TaskError};
use crate::logs::{LogOptions, LogStream};
use crate::runner::lead_away;

/// The longest that is waited for an engine to say that a killed task lacked memory: on a
/// busy machine that is more than half a second.
const OUT_OF_MEMORY_GRACE: Duration = Duration::from_secs(3);
/// A container that its node did not reach is looked for this often at most, when somebody
/// asks for its ports.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Runs tasks as containers of the node's engine.
pub(crate) struct DockerExecutor {
    engine: Arc<Engine>,
    shadows: Arc<Shadows>,
    /// The node's name, for templates.
    hostname: String,
    /// What containers get that mount the engine's socket.
    engine_socket: EngineSocket,
    pulls: Pulls,
    /// For calls that keep the engine busy: more at a time take longer each, and
    /// all of them together.
    turns: Arc<Semaphore>,
    /// Containers that were made and never told to start.
    made: Mutex<HashSet<TaskId>>,
    /// Ears that have listened since before the last look at a running container.
    listening: Mutex<HashMap<TaskId, Wake>>,
    /// Starts under way: the engine goes on with one that nobody waits for any more.
    starts: Mutex<HashMap<TaskId, Start>>,
    /// Where running containers are reached from the node.
    addresses: Mutex<HashMap<TaskId, IpAddr>>,
    /// Containers that should be on the engine's bridge and were not.
    unreached: Mutex<HashMap<TaskId, Unreached>>,
}

/// A container that its node does not reach, and when it was last looked for.
struct Unreached {
    container: String,
    looked: Instant,
}

/// A start under way.
type Start = Shared<BoxFuture<'static, Result<(), TaskError>>>;

// === impl DockerExecutor ===

impl DockerExecutor {
    /// Runs tasks on this engine, with these shadows, of images that are pulled with the
    /// credentials of these programs.
    pub(crate) fn new(
        engine: Arc<Engine>,
        shadows: Arc<Shadows>,
        hostname: String,
        engine_socket: EngineSocket,
        helpers: CredentialHelpers,
    ) -> Self {
        Self {
            engine,
            shadows,
            hostname,
            engine_socket,
            pulls: Pulls::new(helpers),
            turns: Arc::new(Semaphore::new(turns())),
            made: Mutex::default(),
            listening: Mutex::default(),
            starts: Mutex::default(),
            addresses: Mutex::default(),
            unreached: Mutex::default(),
        }
    }

    async fn inspect(&self, task: &Assignment) -> Result<ContainerInspectResponse, Failure> {
        let name = &task.name();
        let inspect =
            move |docker: Docker| async move { docker.inspect_container(name, None).await };
        self.engine.call(inspect).await
    }

    /// The container, or `None` where there is none; an engine that is away is
    /// waited for, however long that takes.
    async fn look(
        &self,
        task: &Assignment,
        wake: &mut Wake,
    ) -> Result<Option<ContainerInspectResponse>, TaskError> {
        let name = &task.name();
        let inspect =
            move |docker: Docker| async move { docker.inspect_container(name, None).await };
        loop {
            match self.engine.once(CALL_DEADLINE, inspect).await {
                Ok(seen) => return Ok(Some(seen)),
                Err(failure) if failure.is_not_found() => return Ok(None),
                Err(Failure::Away(why)) => {
                    debug!(task = %task.id, why, "a task waits for the engine");
                    wake.changed().await;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    async fn do_find(&self, task: &Assignment) -> Result<Found, TaskError> {
        let mut wake = self.engine.wake(task.id);
        let Some(seen) = self.look(task, &mut wake).await? else { return Ok(Found::Nothing) };
        Ok(match life(&seen) {
            Life::Created => Found::Prepared,
            Life::Running(Health::Starting) => Found::Starting(self.started(task, &seen).await),
            Life::Running(_) => Found::Running(self.started(task, &seen).await),
            Life::Ended => Found::Ended(exit(&seen)),
        })
    }

    async fn do_prepare(&self, task: &Assignment) -> Result<(), TaskError> {
        let mut body = create::container(task, &self.hostname, &self.engine_socket)?;
        let spoken = |docker: Docker| async move { Ok(docker.client_version()) };
        let spoken = version(&self.engine.call(spoken).await?);
        create::check_known(&body, spoken)?;
        let image = body.image.clone().unwrap_or_default();
        self.pulls.ensure(&self.engine, &image, task).await?;
        let places = self.shadows.places(task).await?;
        create::put(&mut body, &places);
        let (name, body) = (&task.name(), &body);
        let make = move |docker: Docker| async move {
            let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
            docker.create_container(Some(options), body.clone()).await.map(drop)
        };
        let turn = self.turns.acquire().await;
        let made = self.engine.call(make).await;
        drop(turn);
        match made {
            // Made before the daemon, or the engine, was away: names end in the task's id.
            Err(failure) if failure.is_conflict() => {
                self.inspect(task).await.map(drop).map_err(|_| failure.into())
            }
            made => {
                made?;
                self.made().insert(task.id);
                Ok(())
            }
        }
    }

    async fn do_start(&self, task: &Assignment) -> Result<Started, TaskError> {
        let mut wake = self.engine.wake(task.id);
        let name = &task.name();
        let is_new = self.made().remove(&task.id);
        if is_new || life(&self.inspect(task).await?) == Life::Created {
            self.connect(task).await?;
            let started = self.begin(task).await;
            self.starts().remove(&task.id);
            started?;
        }
        loop {
            let Some(seen) = self.look(task, &mut wake).await? else {
                return Err(TaskError(format!("No such container: {name}")));
            };
            match life(&seen) {
                Life::Running(Health::Good) => {
                    self.listening().insert(task.id, wake);
                    let started = self.started(task, &seen).await;
                    if !task.attachments.is_empty() {
                        self.shadows.is_led_to(task.id).await;
                    }
                    return Ok(started);
                }
                Life::Running(Health::Starting) => wake.changed().await,
                Life::Running(Health::Bad) => {
                    self.do_stop(task).await?;
                    return Err(TaskError(UNHEALTHY.to_owned()));
                }
                Life::Created => return Err(TaskError("the container did not start".to_owned())),
                // One that was quick has run all the same; one whose health was
                // waited for has not come up.
                Life::Ended => {
                    let exit = exit(&seen);
                    let code = exit.container.exit_code;
                    if code == 0 || !checks_health(&seen) {
                        return Ok(Started { container: exit.container, ports: None });
                    }
                    let error = format!("task: non-zero exit ({code})");
                    return Err(TaskError(exit.error.unwrap_or(error)));
                }
            }
        }
    }

    /// Has the engine start the container, whether or not somebody waits for that.
    fn begin(&self, task: &Assignment) -> Start {
        let (engine, turns, name) = (self.engine.clone(), self.turns.clone(), task.name());
        let start = tokio::spawn(async move {
            let _turn = turns.acquire().await;
            let name = &name;
            let start =
                move |docker: Docker| async move { docker.start_container(name, None).await };
            let started = engine.call(start).await;
            started.map_err(|failure| TaskError(format!("starting container failed: {failure}")))
        });
        let flat = |joined: Result<_, tokio::task::JoinError>| {
            joined.unwrap_or_else(|error| Err(TaskError(error.to_string())))
        };
        let start = start.map(flat).boxed().shared();
        self.starts().insert(task.id, start.clone());
        start
    }

    /// Puts a container that was made on those networks of its task that it is not on yet.
    async fn connect(&self, task: &Assignment) -> Result<(), TaskError> {
        if task.attachments.is_empty() || !wants_several(task) {
            return Ok(());
        }
        let places = self.shadows.places(task).await?;
        if places.len() > 1 {
            let on = networks_of(&self.inspect(task).await?);
            self.shadows.connect(&task.name(), &places, &on).await?;
        }
        Ok(())
    }

    async fn started(&self, task: &Assignment, seen: &ContainerInspectResponse) -> Started {
        let started = started(seen, &task.service.ports);
        let mut local = gateway::made_on_bridge(seen);
        match reached(seen, task) {
            Reached::At(address) => drop(self.addresses().insert(task.id, address)),
            Reached::Nowhere => {}
            Reached::OnBridge => {
                let container = &started.container.container_id;
                local = self.look_on_bridge(task.id, container).await;
                if local == Local::default() && !task.service.ports.is_empty() {
                    warn!(
                        task = %task.id, service = task.service.name,
                        "a task's published ports are not reached: it is on internal networks \
                         only, or its engine has no bridge for it"
                    );
                }
            }
        }
        if task.spec.has_no_ipv6() {
            // Some engines give it one all the same, which it does not answer at.
            local.v6 = None;
        }
        if !task.attachments.is_empty() {
            let attachments = task.attachments.clone();
            self.shadows.is_bridged(task.id, OnBridge { attachments, local });
        }
        started
    }

    /// Where a container is reached by the bridge that its engine connects it to.
    async fn look_on_bridge(&self, task: TaskId, container: &str) -> Local {
        let found = self.shadows.on_bridge(container).await.unwrap_or_else(|why| {
            debug!(%task, %why, "the engine's bridge could not be looked at");
            None
        });
        let local = found.unwrap_or_default();
        match gateway::address_of(local) {
            Some(address) => {
                self.unreached().remove(&task);
                self.addresses().insert(task, address);
            }
            None => {
                let container = container.to_owned();
                let unreached = Unreached { container, looked: Instant::now() };
                self.unreached().insert(task, unreached);
            }
        }
        local
    }

    /// Where a task is reached; one that was not is looked for again, now and then.
    async fn do_address(&self, task: TaskId) -> Option<IpAddr> {
        let known = self.addresses().get(&task).copied();
        if known.is_some() {
            return known;
        }
        let container = {
            let mut unreached = self.unreached();
            let one = unreached.get_mut(&task)?;
            if one.looked.elapsed() < LOOK_AGAIN {
                return None;
            }
            one.looked = Instant::now();
            one.container.clone()
        };
        let local = self.look_on_bridge(task, &container).await;
        self.shadows.is_found_on_bridge(task, local);
        gateway::address_of(local)
    }

    fn is_reached_no_more(&self, task: TaskId) {
        self.addresses().remove(&task);
        self.unreached().remove(&task);
    }

    async fn do_wait(&self, task: &Assignment, leaves: &Leaves) -> Result<Exit, TaskError> {
        let listening = self.listening().remove(&task.id);
        let mut wake = match listening {
            Some(mut wake) => {
                wake.changed().await;
                wake
            }
            None => self.engine.wake(task.id),
        };
        let ended = loop {
            let Some(seen) = self.look(task, &mut wake).await? else {
                break Err(TaskError(format!("No such container: {}", task.name())));
            };
            match life(&seen) {
                Life::Running(Health::Bad) => {
                    leaves.say();
                    lead_away(task).await;
                    let exit = self.do_stop(task).await?;
                    break Ok(Exit { error: Some(UNHEALTHY.to_owned()), ..exit });
                }
                Life::Running(_) => wake.changed().await,
                Life::Created => break Ok(exit(&seen)),
                Life::Ended => {
                    let told = match may_lack_memory(&seen) {
                        true => {
                            leaves.say();
                            self.told_late(task, &mut wake).await?
                        }
                        false => None,
                    };
                    break Ok(exit(&told.unwrap_or(seen)));
                }
            }
        };
        self.is_reached_no_more(task.id);
        self.shadows.is_bridged_no_more(task.id);
        ended
    }

    /// The container once its engine had time to say why it was killed.
    async fn told_late(
        &self,
        task: &Assignment,
        wake: &mut Wake,
    ) -> Result<Option<ContainerInspectResponse>, TaskError> {
        let until = Instant::now() + OUT_OF_MEMORY_GRACE;
        loop {
            let late = tokio::time::timeout_at(until, wake.changed()).await.is_err();
            let seen = self.look(task, wake).await?;
            if late || !seen.as_ref().is_some_and(may_lack_memory) {
                return Ok(seen);
            }
        }
    }

    async fn do_stop(&self, task: &Assignment) -> Result<Exit, TaskError> {
        self.is_reached_no_more(task.id);
        let stopped = self.end(task).await?;
        // Until then connections that it had went on.
        self.shadows.is_bridged_no_more(task.id);
        Ok(stopped)
    }

    async fn end(&self, task: &Assignment) -> Result<Exit, TaskError> {
        let under_way = self.starts().remove(&task.id);
        if let Some(start) = under_way {
            // Its outcome is seen below.
            let _ = start.await;
        }
        let grace = create::spec(task).map_or(0, create::grace_seconds);
        match self.inspect(task).await {
            Ok(seen) if matches!(life(&seen), Life::Running(_)) => {}
            Ok(seen) => return Ok(exit(&seen)),
            Err(failure) if failure.is_not_found() => return Ok(Exit::default()),
            Err(failure) => return Err(failure.into()),
        }
        let name = &task.name();
        let patience = CALL_DEADLINE + Duration::from_secs(grace.unsigned_abs().into());
        let stop = move |docker: Docker| async move {
            let options = StopContainerOptions { signal: None, t: Some(grace) };
            docker.stop_container(name, Some(options)).await
        };
        match self.engine.call_within(patience, stop).await {
            Err(failure) if !failure.is_not_found() => return Err(failure.into()),
            _ => {}
        }
        match self.inspect(task).await {
            Ok(seen) => Ok(exit(&seen)),
            Err(failure) if failure.is_not_found() => Ok(Exit::default()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn do_remove(&self, task: &Assignment) -> Result<(), TaskError> {
        self.made().remove(&task.id);
        self.listening().remove(&task.id);
        // Removal is by force: what could not be stopped in order goes too.
        if let Err(error) = self.do_stop(task).await {
            debug!(task = %task.id, %error, "a container did not stop in order");
        }
        let name = &task.name();
        let remove = move |docker: Docker| async move {
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            docker.remove_container(name, Some(options)).await
        };
        match self.engine.call(remove).await {
            Err(failure) if failure.is_not_found() || failure.is_conflict() => {}
            removed => removed?,
        }
        self.shadows.is_bridged_no_more(task.id);
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listening(&self) -> MutexGuard<'_, HashMap<TaskId, Wake>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn starts(&self) -> MutexGuard<'_, HashMap<TaskId, Start>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreached(&self) -> MutexGuard<'_, HashMap<TaskId, Unreached>> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<TaskId, IpAddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls at a time that keep the engine busy.
fn turns() -> usize {
    2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn checks_health(seen: &ContainerInspectResponse) -> bool {
    seen.state.as_ref().is_some_and(|state| state.health.is_some())
}

impl Executor for DockerExecutor {
    fn find<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Found, TaskError>> {
        self.do_find(task).boxed()
    }

    fn prepare<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        self.do_prepare(task).boxed()
    }

    fn start<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Started, TaskError>> {
        self.do_start(task).boxed()
    }

    fn wait<'a>(
        &'a self,
        task: &'a Assignment,
        leaves: &'a Leaves,
    ) -> BoxFuture<'a, Result<Exit, TaskError>> {
        self.do_wait(task, leaves).boxed()
    }

    fn stop<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Exit, TaskError>> {
        self.do_stop(task).boxed()
    }

    fn remove<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        self.do_remove(task).boxed()
    }

    fn address(
        &self,
        task: TaskId,
        port: u16,
        _: PortProtocol,
    ) -> BoxFuture<'_, Option<SocketAddr>> {
        async move { Some(SocketAddr::new(self.do_address(task).await?, port)) }.boxed()
    }

    fn hear_networks(&self, news: &NetworkNews) {
        self.shadows.hear(news);
    }

    fn logs<'a>(
        &'a self,
        task: &'a Assignment,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, TaskError>> {
        ready(Ok(logs::read(self.engine.clone(), task, options))).boxed()
    }
}
