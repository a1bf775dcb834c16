//! Names of services, tasks and containers, as those on the same networks resolve them.
//!
//! [`Table`] is what a node knows, and answers questions without any I/O; a [`Resolver`]
//! asks it for the processes of a container, ahead of the engine's own resolver, which gets
//! what is not ours.
//!
//! # Why in the container's own namespace, ahead of the engine
//!
//! A container on a user-defined network has `nameserver 127.0.0.11`. Nothing listens there:
//! the engine has a socket on a port of its own in the container's network namespace, and NAT
//! rules that lead port 53 to it. Its resolver knows the containers of that one engine and
//! forwards the rest, with the servers and search domains of `docker run --dns`; a driver of
//! networks has no say in it. What else there is to do, and why we do not:
//!
//! - *Telling the engine another server* (`--dns`, `/etc/resolv.conf`): it comes after the
//!   engine's own names, is asked from whatever networks the container happens to have, and
//!   changes what the user said and sees.
//! - *A server outside*, reached over the network: it sees addresses that a process may
//!   forge, and has to find out who asks. A socket *in* the namespace knows: only this
//!   container's processes reach its loopback device, so an asker's networks are certain.
//! - *Instead of the engine's resolver*: its names, its servers, its options would be ours to
//!   follow, for every release.
//!
//! So the sandbox has two sockets of ours (UDP and TCP) and one nft table, whose rules come
//! before the engine's. What is not ours is asked again from an address that our rules
//! pass by, goes where the engine's rules lead, and comes back byte for byte. If this
//! daemon is away its port answers nothing, as the engine's does when the engine is away:
//! lookups fail for the moment ("try again"), and nobody hears that a service does not exist.
//!
//! # Bounds
//!
//! [`FORWARDS_MAX`] queries of a node and [`FORWARDS_OF_SANDBOX_MAX`] of a sandbox wait for
//! an engine at a time, each for [`FORWARD_DEADLINE`]; beyond, and when the engine does not
//! answer, a query fails (SERVFAIL). A sandbox has [`CONNECTIONS_MAX`] connections, closed
//! when nothing moves for [`CONNECTION_IDLE`]. Answers over UDP have as many addresses as the
//! asker takes in a datagram, others than the last time, and say that there are more; over
//! TCP 64 KiB, which are 4,000 addresses of IPv4.

mod counts;
mod desk;
mod forward;
mod question;
mod resolver;
mod reverse;
mod rules;
mod sandbox;
mod table;

pub use counts::Counts;
pub use forward::{FORWARD_DEADLINE, FORWARDS_MAX, FORWARDS_OF_SANDBOX_MAX};
pub use question::{Answer, Question, Want};
pub use resolver::{CONNECTION_IDLE, CONNECTIONS_MAX, Resolver, ServeError, Serving};
pub use table::{LIST_TTL, Table, VIRTUAL_IP_TTL};
