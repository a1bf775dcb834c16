//! `swarmw bench`: what this machine, or a cluster, can do.

mod client;
mod cluster;
mod creates;
mod lists;
mod scheduler;
mod tasks;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

/// Measures parts of swarmw.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Places tasks on nodes through the real policy components: the transactions
    /// that create the tasks, the choice of nodes, the transactions that assign
    /// them, and the events of both
    Scheduler(scheduler::SchedulerArgs),
    /// Creates services without replicas on a running cluster, and removes them
    Creates(creates::CreatesArgs),
    /// Starts three managers and two workers on 127.0.0.2 to 127.0.0.6 and measures
    /// them at rest, writing, and losing their leader
    Cluster(cluster::ClusterArgs),
    /// Starts the same nodes, gives them 10,000 tasks that wait and 5,000 services, and
    /// measures how soon lists of them are answered by the leader and by another manager
    Lists(lists::ListsArgs),
    /// Starts tasks of an HTTP component on this machine, without a cluster
    Tasks(tasks::TasksArgs),
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Runs the benchmark that was asked for.
///
/// # Errors
/// What it could not do.
pub fn run(args: BenchArgs) -> Result<()> {
    match args.what {
        What::Scheduler(args) => scheduler::run(&args),
        What::Creates(args) => creates::run(&args),
        What::Cluster(args) => cluster::run(&args),
        What::Lists(args) => lists::run(&args),
        What::Tasks(args) => tasks::run(&args),
    }
}

/// Of sorted values the one that this percentage does not exceed.
fn share<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied()
}
