//! The child: runs one component until it ends or is told to.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use swarmw_plugin_host::{Profile, engine, load};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::folder::{Ended, Folder, Orders, Running};
use super::http::Server;
use super::log::Writer;
use super::outgoing::Outgoing;
use super::sockets;
use super::ways::{Led, Ways};
use crate::logs::Output;
use crate::process;

/// Epochs never tick in a task's process; the deadline is out of reach.
const NO_DEADLINE: u64 = u64::MAX / 2;
/// Exit code of a task that was told to stop.
const STOPPED: i32 = 0;
/// Exit code of a component that trapped or could not be started.
const BROKEN: i32 = 134;

/// What belongs to one instance.
pub(super) struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    limits: StoreLimits,
    outgoing: Outgoing,
    /// Its connections over networks, by the number of the socket.
    led: HashMap<u32, Led>,
}

/// Makes instances' hosts.
#[derive(Clone)]
pub(super) struct Maker {
    orders: std::sync::Arc<Orders>,
    log: Writer,
    /// To networks, if it is on some.
    ways: Option<Ways>,
}

/// Runs the task of a folder, in a process of its own. How it ended is written
/// there; the exit code says the same.
pub(super) fn run_wasm_task(folder: &Folder) -> ExitCode {
    // A session of its own: the daemon's end is not the task's.
    let _ = rustix::process::setsid();
    let claim = match folder.claim() {
        Ok(claim) => claim,
        Err(error) => return failed(folder, &error),
    };
    // A daemon that was killed in the middle may ask twice.
    let Some(_claim) = claim else { return ExitCode::SUCCESS };
    if let Err(error) = process::own().and_then(|own| folder.put_process(own)) {
        return failed(folder, &error);
    }
    let ended = match prepare(folder) {
        Ok((orders, log)) => {
            let ended = run(folder, orders, &log);
            if !ended.error.is_empty() {
                log.note(&ended.error);
            }
            log.finish();
            ended
        }
        Err(error) => Ended { exit_code: BROKEN, error: error.to_string() },
    };
    if let Err(error) = folder.put_ended(&ended) {
        return failed(folder, &error);
    }
    ExitCode::from(u8::try_from(ended.exit_code).unwrap_or(u8::MAX))
}

fn failed(folder: &Folder, error: &std::io::Error) -> ExitCode {
    eprintln!("{}: {error}", folder.path().display());
    ExitCode::FAILURE
}

fn prepare(folder: &Folder) -> std::io::Result<(Orders, Writer)> {
    let orders = folder.orders()?.ok_or_else(|| std::io::Error::other("no orders"))?;
    Ok((orders, Writer::open(folder)?))
}

fn run(folder: &Folder, orders: Orders, log: &Writer) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(start(folder, orders, log)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(exit_code) => Ended { exit_code, error: String::new() },
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ended { exit_code: exit.0, error: String::new() },
            None => Ended { exit_code: BROKEN, error: format!("{error:#}") },
        },
    }
}

async fn start(folder: &Folder, orders: Orders, log: &Writer) -> wasmtime::Result<i32> {
    let mut terminate = signal(SignalKind::terminate())?;
    let engine = engine(Profile::Task)?;
    let component = load(&engine, &orders.key, &orders.compiled)
        .map_err(|e| wasmtime::Error::msg(e.to_string()))?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let ways = orders.networks.then(|| Ways::of(folder.path().to_owned()));
    if ways.is_some() {
        sockets::add_to_linker(&mut linker)?;
    }
    let grace = Duration::from_millis(orders.grace_millis);
    let maker = Maker { orders: orders.into(), log: log.clone(), ways };
    let pre = linker.instantiate_pre(&component)?;
    if serves_http(&engine, &component) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        folder.put_running(&Running { address: Some(listener.local_addr()?) })?;
        tell_parent();
        let server = Server::new(ProxyPre::new(pre)?, maker);
        server.serve(listener, async { stop(&mut terminate).await }, grace).await;
        return Ok(STOPPED);
    }
    let pre = CommandPre::new(pre)?;
    let mut store = maker.store(pre.engine());
    folder.put_running(&Running { address: None })?;
    tell_parent();
    let command = pre.instantiate_async(&mut store).await?;
    tokio::select! {
        ended = command.wasi_cli_run().call_run(&mut store) => Ok(i32::from(ended?.is_err())),
        () = stop(&mut terminate) => Ok(128 + 15),
    }
}

fn serves_http(engine: &Engine, component: &Component) -> bool {
    component
        .component_type()
        .exports(engine)
        .any(|(name, _)| name.starts_with("wasi:http/incoming-handler@"))
}

async fn stop(terminate: &mut Signal) {
    terminate.recv().await;
}

/// The parent waits for the end of our standard output: then the task runs.
fn tell_parent() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

// === impl Maker ===

impl Maker {
    /// A store for one instance.
    pub(super) fn store(&self, engine: &Engine) -> Store<Host> {
        let mut limits = StoreLimitsBuilder::new().trap_on_grow_failure(true);
        if self.orders.memory > 0 {
            limits = limits.memory_size(usize::try_from(self.orders.memory).unwrap_or(usize::MAX));
        }
        let host = Host {
            wasi: self.wasi(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            limits: limits.build(),
            outgoing: Outgoing(self.ways.clone()),
            led: HashMap::new(),
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        store.set_epoch_deadline(NO_DEADLINE);
        store
    }

    fn wasi(&self) -> WasiCtx {
        let mut wasi = WasiCtx::builder();
        wasi.args(&self.orders.args)
            .envs(&self.orders.env)
            .stdout(self.log.sink(Output::Stdout))
            .stderr(self.log.sink(Output::Stderr))
            .allow_tcp(self.ways.is_some())
            .allow_udp(false);
        if let Some(ways) = self.ways.clone() {
            wasi.socket_addr_check(move |address, what| {
                Box::pin(ways.clone().may_use(address, what))
            });
        }
        for (host, guest, read_only) in &self.orders.mounts {
            let permitted = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            if let Err(error) = wasi.preopened_dir(host, guest, permitted) {
                self.log.note(&format!("{}: {error:#}", host.display()));
            }
        }
        wasi.build()
    }

    pub(super) fn log(&self) -> &Writer {
        &self.log
    }
}

// === impl Host ===

impl Host {
    /// The way to its networks, if it is on some.
    pub(super) fn ways(&self) -> Option<&Ways> {
        self.outgoing.0.as_ref()
    }

    /// Its connections over networks.
    pub(super) fn led(&mut self) -> &mut HashMap<u32, Led> {
        &mut self.led
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}
