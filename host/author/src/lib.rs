//! What an author of plugins works with: `swarmw plugin new`, `build`, `test`,
//! `bench`, `dev` and `publish`.
//!
//! All of it runs on the author's machine, without a cluster, and but for
//! `publish` without a network: the templates, the interface and an SDK that needs
//! no other crate are in the binary. Components are checked, limited and called by
//! the same `plugin-host` as in a cluster; placement is decided by the same
//! `scheduler`. This room knows no daemon and no HTTP API.
//!
//! | start reading | for |
//! |---|---|
//! | [`Command`] | the commands |
//! | `project` | what a plugin's folder is |
//! | `languages` | from source to component, and what is installed for that |
//! | `component` | from module to component, and what can be wrong |
//! | `subject` | a component as what cases and laws are played against |
//! | `laws` | what every plugin of a kind must keep |
//! | `dev` | the cluster of fake nodes |

mod bench;
mod build;
mod cluster;
mod component;
mod convert;
mod dev;
mod embedded;
mod languages;
mod laws;
mod names;
mod new;
mod project;
mod publish;
mod random;
mod steps;
mod subject;
mod test;
mod wanted;
mod workbench;

use std::io::Write;

use anyhow::Result;

pub use build::{BuildArgs, Built, build};
pub use languages::Language;
pub use new::{Kind, NewArgs};
pub use workbench::Workbench;

/// The commands for authors, beside the operator's under `swarmw plugin`.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Start a new plugin in a folder of its own
    #[command(override_usage = "swarmw plugin new [OPTIONS] --kind KIND NAME")]
    New(NewArgs),
    /// Make the component of the plugin in this folder
    #[command(override_usage = "swarmw plugin build [OPTIONS] [FOLDER]")]
    Build(BuildArgs),
    /// Play a plugin's cases natively and in the real host, and check its kind's laws
    #[command(override_usage = "swarmw plugin test [OPTIONS] [FOLDER]")]
    Test(test::TestArgs),
    /// Measure what a plugin costs a large cluster
    #[command(override_usage = "swarmw plugin bench [OPTIONS] [FOLDER]")]
    Bench(bench::BenchArgs),
    /// Show on a cluster of fake nodes what each save of a plugin changes
    #[command(override_usage = "swarmw plugin dev [OPTIONS] [FOLDER]")]
    Dev(dev::DevArgs),
    /// Push a plugin to a registry
    #[command(override_usage = "swarmw plugin publish [OPTIONS] REFERENCE [FOLDER]")]
    Publish(publish::PublishArgs),
}

/// Runs a command; results go to `out`, what cargo says to standard error.
///
/// # Errors
/// What went wrong, with the file and what to do.
pub fn run(command: Command, bench: &Workbench, out: &mut dyn Write) -> Result<()> {
    match command {
        Command::New(args) => new::run(&args, out),
        Command::Build(args) => build::run(&args, bench, out),
        Command::Test(args) => test::run(&args, bench, out),
        Command::Bench(args) => bench::run(&args, bench, out),
        Command::Dev(args) => dev::run(&args, bench, out),
        Command::Publish(args) => publish::run(&args, bench, out),
    }
}
