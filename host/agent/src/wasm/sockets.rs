//! `wasi:sockets` of a component that is on networks: names are its networks', and so are
//! the addresses that it may connect to. The rest is as for all components, which have no
//! sockets: it listens nowhere and has no UDP.
//!
//! A connection is begun by a socket of this process that leads to the daemon
//! ([`Ways::lead`]), so that the component waits for it, and polls, as for any other.

use std::net::{IpAddr, SocketAddr};
use std::vec;

use futures::FutureExt;
use tokio::task::JoinHandle;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, Pollable, SocketResult, TcpSocket,
    subscribe,
};
use wasmtime_wasi::sockets::WasiSocketsView;

use super::run::Host;
use super::ways::{Missed, Ways};
use crate::forward::Failure;

/// The interfaces as `wasmtime-wasi` names them.
const TCP: &str = "wasi:sockets/tcp@0.2.12";
const LOOKUP: &str = "wasi:sockets/ip-name-lookup@0.2.12";
/// Of a name (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;

/// What a component's call returns.
type Returned<T> = Result<(std::result::Result<T, ErrorCode>,)>;

/// A name that is looked up.
struct Lookup(Found);

enum Found {
    Asked(JoinHandle<std::result::Result<Vec<IpAddr>, ErrorCode>>),
    Known(std::result::Result<vec::IntoIter<IpAddr>, ErrorCode>),
}

/// Puts what is different into a linker that has all of `wasi:sockets`.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    linker.allow_shadowing(true);
    let mut tcp = linker.instance(TCP)?;
    tcp.func_wrap("[method]tcp-socket.start-connect", start_connect)?;
    tcp.func_wrap("[method]tcp-socket.finish-connect", finish_connect)?;
    tcp.func_wrap("[method]tcp-socket.remote-address", remote_address)?;
    let mut lookup = linker.instance(LOOKUP)?;
    let stream = ResourceType::host::<Lookup>();
    lookup.resource("resolve-address-stream", stream, |mut store, rep| {
        store.data_mut().table().delete(Resource::<Lookup>::new_own(rep))?;
        Ok(())
    })?;
    lookup.func_wrap("resolve-addresses", resolve_addresses)?;
    lookup
        .func_wrap("[method]resolve-address-stream.resolve-next-address", resolve_next_address)?;
    lookup.func_wrap("[method]resolve-address-stream.subscribe", subscribe_to_lookup)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn start_connect(
    mut store: StoreContextMut<'_, Host>,
    (socket, network, target): (Resource<TcpSocket>, Resource<Network>, IpSocketAddress),
) -> Returned<()> {
    let host = store.data_mut();
    let asked = SocketAddr::from(target);
    if asked.ip().is_unspecified() || asked.port() == 0 {
        return Ok((Err(ErrorCode::InvalidArgument),));
    }
    let Some(ways) = host.ways() else { return Ok((Err(ErrorCode::AccessDenied),)) };
    let led = match ways.lead(asked) {
        Ok(led) => led,
        Err(error) => return Ok((Err(no_door(&error)),)),
    };
    let of = socket.rep();
    let begun = host.sockets().start_connect(socket, network, led.door.into());
    if begun.is_ok() {
        host.led().insert(of, led);
    }
    returned(begun)
}

fn finish_connect(
    mut store: StoreContextMut<'_, Host>,
    (socket,): (Resource<TcpSocket>,),
) -> Returned<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
    let host = store.data_mut();
    let of = socket.rep();
    let streams = match host.sockets().finish_connect(socket) {
        Ok(streams) => streams,
        Err(error) => {
            let code = error.downcast()?;
            let known = host.led().get(&of).and_then(|led| led.failure());
            let waits = matches!(code, ErrorCode::WouldBlock | ErrorCode::NotInProgress);
            return Ok((Err(known.filter(|_| !waits).map_or(code, why)),));
        }
    };
    let local = host.sockets().local_address(Resource::new_borrow(of));
    if let (Ok(local), Some(led)) = (local, host.led().get_mut(&of)) {
        led.is_taken(local.into());
    }
    Ok((Ok(streams),))
}

/// Where the component wanted to go.
fn remote_address(
    mut store: StoreContextMut<'_, Host>,
    (socket,): (Resource<TcpSocket>,),
) -> Returned<IpSocketAddress> {
    let host = store.data_mut();
    let of = socket.rep();
    let remote = host.sockets().remote_address(socket).map(SocketAddr::from);
    returned(remote.map(|remote| match host.led().get(&of) {
        Some(led) if led.door == remote => led.target.into(),
        _ => remote.into(),
    }))
}

fn resolve_addresses(
    mut store: StoreContextMut<'_, Host>,
    (network, name): (Resource<Network>, String),
) -> Returned<Resource<Lookup>> {
    let host = store.data_mut();
    // The capability to ask.
    host.table().get(&network)?;
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let found = match (bare.parse::<IpAddr>(), host.ways()) {
        (Ok(address), _) => Found::Known(Ok(vec![address].into_iter())),
        _ if name.is_empty() || name.len() > NAME_MAX => {
            return Ok((Err(ErrorCode::InvalidArgument),));
        }
        (Err(_), Some(ways)) => Found::Asked(tokio::spawn(find(ways.clone(), name))),
        (Err(_), None) => return Ok((Err(ErrorCode::PermanentResolverFailure),)),
    };
    Ok((Ok(host.table().push(Lookup(found))?),))
}

fn resolve_next_address(
    mut store: StoreContextMut<'_, Host>,
    (lookup,): (Resource<Lookup>,),
) -> Returned<Option<IpAddress>> {
    let lookup = store.data_mut().table().get_mut(&lookup)?;
    if let Found::Asked(asked) = &mut lookup.0
        && let Some(answered) = asked.now_or_never()
    {
        lookup.0 = Found::Known(addresses(answered));
    }
    Ok((match &mut lookup.0 {
        Found::Asked(_) => Err(ErrorCode::WouldBlock),
        Found::Known(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
        Found::Known(Err(code)) => Err(*code),
    },))
}

fn subscribe_to_lookup(
    mut store: StoreContextMut<'_, Host>,
    (lookup,): (Resource<Lookup>,),
) -> Result<(Resource<DynPollable>,)> {
    Ok((subscribe(store.data_mut().table(), lookup)?,))
}

/// Names of the task's networks first, then what the machine knows.
async fn find(ways: Ways, name: String) -> std::result::Result<Vec<IpAddr>, ErrorCode> {
    match ways.find(&name).await {
        Ok(Some(found)) if found.is_empty() => Err(ErrorCode::NameUnresolvable),
        Ok(Some(found)) => Ok(found),
        Ok(None) => {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|_| ErrorCode::NameUnresolvable)?;
            Ok(found.map(|address| address.ip().to_canonical()).collect())
        }
        Err(_) => Err(ErrorCode::TemporaryResolverFailure),
    }
}

type Answered =
    std::result::Result<std::result::Result<Vec<IpAddr>, ErrorCode>, tokio::task::JoinError>;

fn addresses(answered: Answered) -> std::result::Result<vec::IntoIter<IpAddr>, ErrorCode> {
    Ok(answered.map_err(|_| ErrorCode::Unknown)??.into_iter())
}

fn returned<T>(result: SocketResult<T>) -> Returned<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// Why a connection was not begun.
fn no_door(error: &std::io::Error) -> ErrorCode {
    match error.kind() {
        std::io::ErrorKind::QuotaExceeded => ErrorCode::NewSocketLimit,
        _ => ErrorCode::from(error),
    }
}

/// Why a connection was not made.
fn why(missed: Missed) -> ErrorCode {
    match missed {
        Missed::NotOurs => ErrorCode::AccessDenied,
        Missed::Failed(Failure::Refused) => ErrorCode::ConnectionRefused,
        Missed::Failed(Failure::TimedOut) => ErrorCode::Timeout,
        Missed::Failed(Failure::Unreachable) => ErrorCode::RemoteUnreachable,
        Missed::Failed(Failure::TooMany) => ErrorCode::NewSocketLimit,
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Found::Asked(asked) = &mut self.0 {
            let answered = asked.await;
            self.0 = Found::Known(addresses(answered));
        }
    }
}

#[cfg(test)]
mod tests {
    use swarmw_plugin_host::{Profile, engine};

    use super::*;

    #[test]
    fn what_is_different_takes_the_place_of_what_wasmtime_has_under_the_same_names() {
        let engine = engine(Profile::Task).expect("an engine");
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("linked");
        let mut tcp = linker.instance(TCP).expect("an instance");
        for name in ["start-connect", "finish-connect", "remote-address"] {
            let twice = tcp.func_wrap(&format!("[method]tcp-socket.{name}"), start_connect);
            twice.expect_err("there is one of this name");
        }
        let mut lookup = linker.instance(LOOKUP).expect("an instance");
        for name in [
            "resolve-addresses",
            "[method]resolve-address-stream.resolve-next-address",
            "[method]resolve-address-stream.subscribe",
        ] {
            lookup.func_wrap(name, resolve_addresses).expect_err("there is one of this name");
        }
        add_to_linker(&mut linker).expect("shadowed");
    }
}
