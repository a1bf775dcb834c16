//! Gives published ports and virtual addresses to services, addresses to tasks, subnets
//! to networks. Pure: it chooses, and `apply` drops what is taken meanwhile.
//!
//! [`Allocator`] remembers which services are to be looked at. A tick looks at them first
//! ([`Allocator::services`]), and at the tasks after the scheduler has found nodes for
//! them ([`Allocator::tasks`]): a task gets its addresses with its node, or waits and
//! says why. Both choose from [`Addresses`], the state with what this tick has given.
//!
//! Every search starts at a place that the receiver's id gives, so that what was freed a
//! moment ago is not the next given away. For ten seconds it is not given at all, as long as
//! the network has another: [`Allocator::addresses`].

mod addresses;
mod allocator;
mod ports;
mod resting;
mod subnets;

pub use addresses::Addresses;
pub use allocator::{Allocator, Failure, TakenBack};
pub use ports::{FIRST_PORT, LAST_PORT};
pub use subnets::{choose_subnets, choose_vni};
