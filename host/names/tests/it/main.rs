//! Names as those find them who ask: a table, sandboxes with a stand-in for the engine's
//! resolver, containers of a real engine.

mod docker;
mod needs_root;
mod support;
mod table;
