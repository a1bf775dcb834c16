//! Docker's plugin protocol for networks, served on a unix socket: what an engine asks of
//! the driver of its networks and of their addresses.
//!
//! This room speaks the protocol and decides nothing: who gets which address and how a
//! container is wired is up to an [`Attach`]. What the protocol expects a driver to know
//! for ever (an engine tells of a network once, when it is made, and never again, not even
//! after a restart) is in [`Memory`], on disk.
//!
//! The messages are libnetwork's, engines 20.10 to 28: see `api.go` in
//! `libnetwork/drivers/remote` and `libnetwork/ipams/remote` of moby.
//!
//! This room knows nothing of VXLAN, names, or the cluster.
#![forbid(unsafe_code)]

mod attach;
mod driver;
mod memory;
mod messages;
mod serve;

pub use attach::{
    AddressRequest, Attach, Endpoint, EndpointId, EngineNetwork, EngineNetworkId, InvalidEngineId,
    Joined, MacAddress, PoolOffer, PoolRequest, Purpose, Refused, Route,
};
pub use driver::Driver;
pub use memory::Memory;
pub use serve::{CALL_DEADLINE, CALLS_MAX, CONNECTIONS_MAX, REQUEST_MAX, ServeError, Serving};

/// The driver's name, as `docker network create --driver` takes it: that of its socket.
pub const NAME: &str = "swarmw";

/// Where engines look for drivers.
pub const SOCKET: &str = "/run/docker/plugins/swarmw.sock";

/// The option of a network, and of its address driver, that names the network of the
/// cluster that it stands for.
pub const NETWORK_OPTION: &str = "swarmw.network";
