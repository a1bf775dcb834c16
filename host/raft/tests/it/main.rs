//! Managers in one process: what the log promises through elections, restarts,
//! damaged files and partitions.

mod alone;
mod chaos;
mod failover;
mod files;
mod snapshots;
mod support;
mod writes;
