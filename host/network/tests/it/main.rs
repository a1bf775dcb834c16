//! Real sockets: what clients of a published port see.

mod support;
mod tcp;
mod udp;
