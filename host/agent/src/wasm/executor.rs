//! The daemon's side of Wasm tasks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use rustix::process::Signal;
use swarmw_model::{
    Assignment, ContainerStatus, DEFAULT_STOP_GRACE_PERIOD, MountKind, PortProtocol, TaskId,
    component, resource_variables,
};
use swarmw_plugin_host::{Compiler, Profile};

use super::folder::{Folder, Orders};
use super::log;
use super::zygote::Zygote;
use crate::executor::{Executor, Exit, Found, Leaves, Started, TaskError};
use crate::forward::Forward;
use crate::images::Images;
use crate::logs::{Line, LogOptions, LogStream};
use crate::process::{self, ProcessId};
use crate::template::Template;

/// After SIGTERM and the grace period, until SIGKILL.
const KILL_MARGIN: Duration = Duration::from_millis(500);
/// Between looks at a followed log's file.
const FOLLOW_LOOK: Duration = Duration::from_millis(200);
/// Exit code of a process that was killed and could not write one.
const KILLED: i64 = 137;
/// Why a component is refused that should be on a network of a node's own.
const NOT_OVERLAY: &str = "components join networks with the driver overlay alone: leave out \
    --network host and --network bridge";

/// Runs WebAssembly components as child processes.
pub struct WasmExecutor {
    zygote: Zygote,
    folder: PathBuf,
    /// The node's name, for templates.
    hostname: String,
    compiler: Compiler,
    images: Images,
    forward: Forward,
    /// Tasks are one compile at a time each; two of one image share its result.
    compiling: tokio::sync::Mutex<()>,
    addresses: Arc<Mutex<HashMap<TaskId, SocketAddr>>>,
}

// === impl WasmExecutor ===

impl WasmExecutor {
    /// Keeps tasks in `folder`.
    pub(crate) fn new(
        exe: PathBuf,
        folder: PathBuf,
        hostname: String,
        compiler: Compiler,
        images: Images,
        forward: Forward,
    ) -> Self {
        Self {
            zygote: Zygote::new(exe),
            folder,
            hostname,
            compiler,
            images,
            forward,
            compiling: tokio::sync::Mutex::new(()),
            addresses: Arc::default(),
        }
    }

    fn folder(&self, task: TaskId) -> Folder {
        Folder::new(self.folder.join(task.to_string()))
    }

    fn found(&self, task: &Assignment) -> std::io::Result<Found> {
        let folder = self.folder(task.id);
        if folder.orders()?.is_none() {
            return Ok(Found::Nothing);
        }
        let Some(process) = folder.process()? else { return Ok(Found::Prepared) };
        if let Some(exit) = self.exit(task.id, &folder, process)? {
            return Ok(Found::Ended(exit));
        }
        self.open_door(task)?;
        Ok(Found::Running(self.started(task.id, &folder, process)?))
    }

    /// The way of the component to its networks, if it is on some.
    fn open_door(&self, task: &Assignment) -> std::io::Result<()> {
        match task.attachments.is_empty() {
            true => Ok(()),
            false => self.forward.open_door(self.folder(task.id).path(), task),
        }
    }

    fn started(
        &self,
        task: TaskId,
        folder: &Folder,
        process: ProcessId,
    ) -> std::io::Result<Started> {
        let address = folder.running()?.and_then(|running| running.address);
        if let Some(address) = address {
            self.addresses().insert(task, address);
        }
        Ok(Started { container: status(task, process, 0), ports: None })
    }

    /// How the process ended, if it has.
    fn exit(
        &self,
        task: TaskId,
        folder: &Folder,
        process: ProcessId,
    ) -> std::io::Result<Option<Exit>> {
        if let Some(ended) = folder.ended()? {
            let error = (!ended.error.is_empty()).then_some(ended.error);
            let container = status(task, process, i64::from(ended.exit_code));
            return Ok(Some(Exit { container, error }));
        }
        if process::is_alive(process) {
            return Ok(None);
        }
        // It may have written the file between our two looks.
        let ended = folder.ended()?;
        let code = ended.as_ref().map_or(KILLED, |ended| i64::from(ended.exit_code));
        let error = ended.map(|ended| ended.error).filter(|error| !error.is_empty());
        Ok(Some(Exit { container: status(task, process, code), error }))
    }

    async fn do_prepare(&self, task: &Assignment) -> Result<(), TaskError> {
        let is_joined = |target: &str| {
            let id = target.parse().ok();
            task.attachments.iter().any(|on| Some(on.network) == id)
        };
        if !task.spec.networks.iter().all(|on| is_joined(&on.target)) {
            return Err(TaskError(NOT_OVERLAY.to_owned()));
        }
        let folder = self.folder(task.id);
        let image = self.images.get(task).await?;
        // Before it is compiled: a start could only fail, time and again.
        if let Some(why) = component::not_a_task(&image.bytes) {
            return Err(TaskError(format!("invalid Wasm image {}: {why}", task.spec.image())));
        }
        let turn = self.compiling.lock().await;
        let compiler = self.compiler.clone();
        let compiled = tokio::task::spawn_blocking(move || {
            compiler.compiled(Profile::Task, &image.digest, &image.bytes)
        })
        .await
        .map_err(failed)?
        .map_err(|e| TaskError(format!("invalid Wasm image: {e}")))?;
        drop(turn);
        let orders = self.orders(task, compiled)?;
        std::fs::create_dir_all(folder.path()).map_err(failed)?;
        folder.put_orders(&orders).map_err(failed)
    }

    fn orders(&self, task: &Assignment, compiled: PathBuf) -> Result<Orders, TaskError> {
        let spec = task.spec.container_spec.as_ref();
        let spec = spec.ok_or_else(|| TaskError("a task without a container spec".to_owned()))?;
        let template = Template::of(task, &self.hostname);
        let mut args = vec![spec.image.split('@').next().unwrap_or_default().to_owned()];
        args.extend(spec.command.iter().chain(&spec.args).cloned());
        let mut env = spec
            .env
            .iter()
            // A bare name takes a variable of the image away; components have none.
            .filter_map(|entry| entry.split_once('='))
            .map(|(key, value)| Ok((template.expand(key)?, template.expand(value)?)))
            .collect::<Result<Vec<_>, TaskError>>()?;
        let given = resource_variables(&task.generic_resources);
        let pair = |entry: &String| entry.split_once('=').map(|(k, v)| (k.into(), v.into()));
        env.extend(given.iter().filter_map(pair));
        let limits = task.spec.resources.as_ref().and_then(|r| r.limits.as_ref());
        let grace = spec.stop_grace_period.unwrap_or(DEFAULT_STOP_GRACE_PERIOD);
        Ok(Orders {
            compiled,
            key: *self.compiler.key(),
            args,
            env,
            mounts: self.mounts(task, &template)?,
            memory: limits.map_or(0, |l| l.memory_bytes.unsigned_abs()),
            grace_millis: grace.as_millis().unsigned_abs(),
            networks: !task.attachments.is_empty(),
        })
    }

    fn mounts(
        &self,
        task: &Assignment,
        template: &Template,
    ) -> Result<Vec<(PathBuf, String, bool)>, TaskError> {
        let mounts = task.spec.container_spec.iter().flat_map(|c| &c.mounts);
        mounts
            .map(|mount| {
                let source = template.expand(&mount.source)?;
                let target = template.expand(&mount.target)?;
                let host = match mount.kind {
                    MountKind::Bind => PathBuf::from(&source),
                    MountKind::Tmpfs => {
                        return Err(TaskError(format!(
                            "tmpfs on {target}: Wasm tasks have bind mounts and volumes only"
                        )));
                    }
                    MountKind::Volume => self.volume(task, mount, &source)?,
                };
                if !host.is_dir() {
                    return Err(TaskError(format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {source}"
                    )));
                }
                Ok((host, target, mount.read_only))
            })
            .collect()
    }

    /// A volume without a name is a folder that goes with the task. Those with one were
    /// mounted by their driver and are binds by now.
    fn volume(
        &self,
        task: &Assignment,
        mount: &swarmw_model::Mount,
        name: &str,
    ) -> Result<PathBuf, TaskError> {
        let driver = mount.volume_options.as_ref().and_then(|o| o.driver_config.as_ref());
        let driver = driver.map_or("", |d| d.name.as_str());
        if !name.is_empty() || !matches!(driver, "" | "local") {
            return Err(TaskError(format!(
                "volume {name:?}: no plugin is a volume driver called {:?}, and Wasm tasks \
                 have none of an engine's",
                if driver.is_empty() { "local" } else { driver }
            )));
        }
        let folder = self.folder(task.id).path().join("volume");
        std::fs::create_dir_all(&folder).map_err(failed)?;
        Ok(folder)
    }

    async fn do_start(&self, task: &Assignment) -> Result<Started, TaskError> {
        let folder = self.folder(task.id);
        self.open_door(task).map_err(failed)?;
        self.zygote.start(&folder).await.map_err(failed)?;
        let process = folder.process().map_err(failed)?;
        let process = process.ok_or_else(|| TaskError("the process ended at once".to_owned()))?;
        if folder.running().map_err(failed)?.is_none() {
            // It ended before it ran: its error is the task's.
            let exit = self.exit(task.id, &folder, process).map_err(failed)?;
            let error = exit.and_then(|exit| exit.error).unwrap_or_default();
            return Err(TaskError(format!("starting the component failed: {error}")));
        }
        self.started(task.id, &folder, process).map_err(failed)
    }

    async fn do_wait(&self, task: &Assignment) -> Result<Exit, TaskError> {
        let folder = self.folder(task.id);
        let Some(process) = folder.process().map_err(failed)? else {
            return Err(TaskError("the task was never started".to_owned()));
        };
        process::wait(process).await.map_err(failed)?;
        self.addresses().remove(&task.id);
        self.forward.close_door(task.id);
        let exit = self.exit(task.id, &folder, process).map_err(failed)?;
        Ok(exit
            .unwrap_or_else(|| Exit { container: status(task.id, process, KILLED), error: None }))
    }

    async fn do_stop(&self, task: &Assignment) -> Result<Exit, TaskError> {
        let folder = self.folder(task.id);
        let Some(process) = folder.process().map_err(failed)? else { return Ok(Exit::default()) };
        self.addresses().remove(&task.id);
        process::signal(process, Signal::TERM);
        let spec = task.spec.container_spec.as_ref();
        let grace = spec.and_then(|c| c.stop_grace_period).unwrap_or(DEFAULT_STOP_GRACE_PERIOD);
        let patience = grace.to_std() + KILL_MARGIN;
        if tokio::time::timeout(patience, process::wait(process)).await.is_err() {
            process::signal(process, Signal::KILL);
        }
        self.do_wait(task).await
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, SocketAddr>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(task: TaskId, process: ProcessId, exit_code: i64) -> ContainerStatus {
    ContainerStatus { container_id: task.to_string(), pid: i64::from(process.pid), exit_code }
}

fn failed(error: impl std::fmt::Display) -> TaskError {
    TaskError(error.to_string())
}

impl Executor for WasmExecutor {
    fn find<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Found, TaskError>> {
        async move { self.found(task).map_err(failed) }.boxed()
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
        _: &'a Leaves,
    ) -> BoxFuture<'a, Result<Exit, TaskError>> {
        self.do_wait(task).boxed()
    }

    fn stop<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<Exit, TaskError>> {
        self.do_stop(task).boxed()
    }

    fn remove<'a>(&'a self, task: &'a Assignment) -> BoxFuture<'a, Result<(), TaskError>> {
        async move {
            self.do_stop(task).await?;
            self.forward.close_door(task.id);
            match std::fs::remove_dir_all(self.folder(task.id).path()) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e)),
                _ => Ok(()),
            }
        }
        .boxed()
    }

    /// A component is served on one address, whatever port the service names.
    fn address(
        &self,
        task: TaskId,
        _: u16,
        protocol: PortProtocol,
    ) -> BoxFuture<'_, Option<SocketAddr>> {
        let address = match protocol {
            PortProtocol::Tcp => self.addresses().get(&task).copied(),
            PortProtocol::Udp | PortProtocol::Sctp => None,
        };
        std::future::ready(address).boxed()
    }

    fn logs<'a>(
        &'a self,
        task: &'a Assignment,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, TaskError>> {
        async move { follow(self.folder(task.id), options).map_err(failed) }.boxed()
    }
}

/// A log's lines and, while its process runs, those to come.
fn follow(folder: Folder, options: LogOptions) -> std::io::Result<LogStream> {
    let (mut lines, end) = log::read(&folder, 0)?;
    lines.retain(|line| options.wants(line));
    if let Some(tail) = options.tail {
        let skip = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
        lines.drain(..skip);
    }
    let first = stream::iter(lines.into_iter().map(Ok));
    if !options.follow {
        return Ok(first.boxed());
    }
    let more = stream::try_unfold((folder, end, options), |(folder, end, options)| async move {
        let alive = folder.process().map_err(failed)?.is_some_and(process::is_alive);
        let (lines, end) = log::read(&folder, end).map_err(failed)?;
        if lines.is_empty() {
            if !alive {
                return Ok::<_, TaskError>(None);
            }
            tokio::time::sleep(FOLLOW_LOOK).await;
        }
        let lines: Vec<Line> = lines.into_iter().filter(|line| options.wants(line)).collect();
        Ok(Some((stream::iter(lines.into_iter().map(Ok)), (folder, end, options))))
    });
    use futures::TryStreamExt;
    Ok(first.chain(more.try_flatten()).boxed())
}
