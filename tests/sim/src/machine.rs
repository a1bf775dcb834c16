//! A machine in memory: it runs tasks that exist on paper.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt, stream};
use swarmw_agent::{
    Executor, Exit, Found, Leaves, Line, LogOptions, LogStream, Output, Started, TaskError,
};
use swarmw_ambient::Ambient;
use swarmw_model::{Assignment, ContainerStatus, PortProtocol, Slot, TaskId, Time};
use tokio::sync::watch;
use tokio::time::Instant;

/// Exit code of a process that a machine without power took with it.
const KILLED: i64 = 137;

/// How containers of an image behave.
#[derive(Clone, Debug)]
pub struct Image {
    /// To pull it; `None` where it cannot be had.
    pub pull: Option<Duration>,
    /// To start it.
    pub start: Duration,
    /// To stop it, once it is asked to.
    pub stop: Duration,
    /// How long it runs by itself, and its exit code; `None` for ever.
    pub life: Option<(Duration, i64)>,
}

/// One thing that happened to a task on its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, by the machine's clock.
    pub at: Time,
    /// The task.
    pub task: TaskId,
    /// Its service and slot.
    pub slot: (String, Slot),
    /// The image.
    pub image: String,
    /// What.
    pub what: What,
}

/// What happens to a task on its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It runs.
    Started,
    /// It was stopped.
    Stopped,
    /// It ended by itself.
    Ended,
}

/// A machine: its containers outlive the daemon. Clones are one.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    ambient: Ambient,
    images: Images,
    containers: Mutex<BTreeMap<TaskId, Container>>,
    journal: Mutex<Vec<Happening>>,
    changed: watch::Sender<()>,
}

/// The images that there are, for all machines of a cluster.
pub(crate) type Images = Arc<Mutex<BTreeMap<String, Image>>>;

struct Container {
    task: Assignment,
    state: State,
}

enum State {
    Made,
    Running { until: Option<(Instant, i64)> },
    Ended(i64),
}

/// A daemon's hold on its machine: once it is dead it does nothing more.
#[derive(Clone)]
pub(crate) struct Hands {
    machine: Machine,
    dead: watch::Receiver<bool>,
}

// === impl Image ===

impl Default for Image {
    /// Pulled and started in a tenth of a second each, runs until it is stopped.
    fn default() -> Self {
        let moment = Duration::from_millis(100);
        Self { pull: Some(moment), start: moment, stop: moment, life: None }
    }
}

// === impl Machine ===

impl Machine {
    pub(crate) fn new(ambient: Ambient, images: Images) -> Self {
        Self(Arc::new(Inner {
            ambient,
            images,
            containers: Mutex::default(),
            journal: Mutex::default(),
            changed: watch::Sender::new(()),
        }))
    }

    /// A new daemon's hold on it; the sender says when that one is dead.
    pub(crate) fn hands(&self) -> (Hands, watch::Sender<bool>) {
        let (kill, dead) = watch::channel(false);
        (Hands { machine: self.clone(), dead }, kill)
    }

    /// The tasks that run now.
    pub fn running(&self) -> Vec<TaskId> {
        self.settle();
        let runs = |c: &&Container| matches!(c.state, State::Running { .. });
        self.containers().values().filter(runs).map(|c| c.task.id).collect()
    }

    /// What happened so far.
    pub fn journal(&self) -> Vec<Happening> {
        self.settle();
        self.0.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends a task, as a crash of its process does.
    pub fn kill(&self, task: TaskId, exit_code: i64) {
        if let Some(container) = self.containers().get_mut(&task) {
            self.end(container, exit_code, What::Ended);
        }
        self.0.changed.send_replace(());
    }

    /// Takes its power: all that runs ends.
    pub(crate) fn power_off(&self) {
        for container in self.containers().values_mut() {
            self.end(container, KILLED, What::Ended);
        }
        self.0.changed.send_replace(());
    }

    fn end(&self, container: &mut Container, exit_code: i64, what: What) {
        if matches!(container.state, State::Running { .. }) {
            self.note(&container.task, what);
        }
        if !matches!(container.state, State::Ended(_)) {
            container.state = State::Ended(exit_code);
        }
    }

    /// Ends what has reached the end of its life.
    fn settle(&self) {
        let now = Instant::now();
        for container in self.containers().values_mut() {
            if let State::Running { until: Some((at, code)) } = container.state
                && at <= now
            {
                self.end(container, code, What::Ended);
            }
        }
    }

    fn note(&self, task: &Assignment, what: What) {
        let happening = Happening {
            at: self.0.ambient.now(),
            task: task.id,
            slot: (task.service.name.clone(), slot(task)),
            image: task.spec.image().to_owned(),
            what,
        };
        self.0.journal.lock().unwrap_or_else(PoisonError::into_inner).push(happening);
    }

    fn image(&self, task: &Assignment) -> Image {
        let images = self.0.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.get(task.spec.image()).cloned().unwrap_or_default()
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<TaskId, Container>> {
        self.0.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prepare(&self, task: &Assignment) -> Result<(), TaskError> {
        let image = task.spec.image();
        let Some(pull) = self.image(task).pull else {
            return Err(TaskError(format!("No such image: {image}")));
        };
        tokio::time::sleep(pull).await;
        let made = Container { task: task.clone(), state: State::Made };
        self.containers().entry(task.id).or_insert(made);
        Ok(())
    }

    async fn start(&self, task: &Assignment) -> Result<Started, TaskError> {
        let image = self.image(task);
        tokio::time::sleep(image.start).await;
        let mut containers = self.containers();
        let container = containers.get_mut(&task.id).ok_or_else(gone)?;
        if matches!(container.state, State::Made) {
            let until = image.life.map(|(life, code)| (Instant::now() + life, code));
            container.state = State::Running { until };
            self.note(task, What::Started);
        }
        Ok(Started { container: status(task, 0), ports: None })
    }

    async fn wait(&self, task: &Assignment) -> Result<Exit, TaskError> {
        let mut changed = self.0.changed.subscribe();
        loop {
            self.settle();
            let until = match self.containers().get(&task.id).ok_or_else(gone)?.state {
                State::Ended(code) => return Ok(exit(task, code)),
                State::Running { until } => until.map(|(at, _)| at),
                State::Made => None,
            };
            let ended = async {
                match until {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended => {}
                // The sender lives as long as the machine.
                _ = changed.changed() => {}
            }
        }
    }

    async fn stop(&self, task: &Assignment) -> Result<Exit, TaskError> {
        let runs = |c: &Container| matches!(c.state, State::Running { .. });
        if self.containers().get(&task.id).is_some_and(runs) {
            tokio::time::sleep(self.image(task).stop).await;
        }
        let code = match self.containers().get_mut(&task.id) {
            Some(container) => {
                self.end(container, 0, What::Stopped);
                match container.state {
                    State::Ended(code) => code,
                    _ => 0,
                }
            }
            None => 0,
        };
        self.0.changed.send_replace(());
        Ok(exit(task, code))
    }

    fn find(&self, task: &Assignment) -> Found {
        self.settle();
        match self.containers().get(&task.id).map(|c| &c.state) {
            None => Found::Nothing,
            Some(State::Made) => Found::Prepared,
            Some(State::Running { .. }) => {
                Found::Running(Started { container: status(task, 0), ports: None })
            }
            Some(State::Ended(code)) => Found::Ended(exit(task, *code)),
        }
    }

    async fn remove(&self, task: &Assignment) -> Result<(), TaskError> {
        self.stop(task).await?;
        self.containers().remove(&task.id);
        Ok(())
    }
}

fn slot(task: &Assignment) -> Slot {
    match task.slot {
        0 => Slot::Node(task.node_id),
        number => Slot::Replica(number),
    }
}

fn gone() -> TaskError {
    TaskError("the container is gone".to_owned())
}

fn status(task: &Assignment, exit_code: i64) -> ContainerStatus {
    ContainerStatus { container_id: task.id.to_string(), pid: 1, exit_code }
}

fn exit(task: &Assignment, code: i64) -> Exit {
    Exit { container: status(task, code), error: None }
}

// === impl Hands ===

impl Hands {
    /// Does something as long as the daemon lives.
    fn alive<'a, T: Send + 'a>(
        &self,
        work: impl Future<Output = T> + Send + 'a,
    ) -> BoxFuture<'a, T> {
        let mut dead = self.dead.clone();
        async move {
            // The sender is kept with the daemon.
            let died = async { drop(dead.wait_for(|dead| *dead).await) };
            tokio::select! {
                biased;
                () = died => {}
                done = work => return done,
            }
            std::future::pending().await
        }
        .boxed()
    }
}

impl Executor for Hands {
    fn find<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Found, TaskError>> {
        self.alive(async { Ok(self.machine.find(task)) })
    }

    fn prepare<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        self.alive(self.machine.prepare(task))
    }

    fn start<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Started, TaskError>> {
        self.alive(self.machine.start(task))
    }

    fn wait<'a>(
        &'a self,
        task: &'a Assignment,
        _: &'a Leaves,
    ) -> BoxFuture<'a, Result<Exit, TaskError>> {
        self.alive(self.machine.wait(task))
    }

    fn stop<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Exit, TaskError>> {
        self.alive(self.machine.stop(task))
    }

    fn remove<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        self.alive(self.machine.remove(task))
    }

    fn address(&self, _: TaskId, _: u16, _: PortProtocol) -> BoxFuture<'_, Option<SocketAddr>> {
        ready(None).boxed()
    }

    /// One line: who it is.
    fn logs<'a>(
        &'a self,
        task: &'a Assignment,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, TaskError>> {
        let line = Line {
            at: self.machine.0.ambient.now(),
            output: Output::Stdout,
            text: format!("this is {}\n", task.id).into_bytes(),
            attributes: match options.details {
                true => [("task".to_owned(), task.id.to_string())].into(),
                false => BTreeMap::new(),
            },
        };
        let lines: LogStream = stream::iter([Ok(line)]).boxed();
        self.alive(ready(Ok(lines)))
    }
}
