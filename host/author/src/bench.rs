//! `swarmw plugin bench`.

mod placement;
mod rollout;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use swarmw_model::PluginKind;
use swarmw_sdk::testing::read_folder;

use crate::project::Project;
use crate::wanted::WantedFlags;
use crate::{Workbench, build};

/// `plugin bench`
#[derive(clap::Args, Clone, Debug)]
pub struct BenchArgs {
    /// Nodes of the cluster
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    nodes: usize,
    /// Tasks to place, or to update
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    tasks: u32,
    /// Services that the tasks belong to
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    services: u32,
    #[command(flatten)]
    wanted: WantedFlags,
    /// The most that the first pass may spend in the plugin, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000)]
    budget: u64,
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn run(args: &BenchArgs, bench: &Workbench, out: &mut dyn Write) -> Result<()> {
    let project = Project::find(&args.folder)?;
    let built = build::build(&project.folder, bench)?;
    writeln!(out, "{}", build::summary(&built))?;
    let files = read_folder(&project.cases()).map_err(|error| anyhow!(error))?;
    match built.inspected.kind {
        PluginKind::Constraint | PluginKind::Preference => {
            placement::run(args, &files, bench.host(&project, &built)?, &built, out)
        }
        PluginKind::UpdatePolicy => {
            let mut component = crate::subject::Component::new(bench, &project, &built)?;
            rollout::run(args, &files, &mut component, out)
        }
        PluginKind::VolumeDriver => {
            bail!("a volume driver is asked once per volume and node: there is nothing to measure")
        }
    }
}
