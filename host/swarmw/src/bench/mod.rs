//! `swarmw bench`: what this machine, or a cluster, can do.

mod creates;
mod scheduler;

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
    }
}
