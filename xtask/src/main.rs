//! What the project does to itself: `cargo xtask test`, `lint`, `bars`, `nightly`,
//! `image`.

mod bars;
mod clients;
mod image;
mod lint;
mod shell;
mod system;
mod test;
mod whales;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What swarmw does to itself")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what is missing (as root), lints, runs every test, and the demo
    Test,
    /// Formatting, clippy, documentation warnings, licences and sources
    Lint,
    /// Measures the figures of BENCHMARKS.md and prints them; never part of `test`
    Bars {
        /// Only this one
        id: Option<String>,
    },
    /// What takes too long for every commit
    Nightly,
    /// Makes the images of examples/compose, on the engine that `docker` speaks to
    Image,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test => test::run(),
        Task::Lint => lint::run(),
        Task::Bars { id } => bars::run(id.as_deref()),
        Task::Nightly => test::nightly(),
        Task::Image => image::run(),
    }
}
