//! `swarmw plugin dev`: what each save of a plugin changes.

mod show;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::project::Project;
use crate::wanted::WantedFlags;
use crate::{Workbench, build};
use show::Scene;
use watch::Watch;

/// `plugin dev`
#[derive(clap::Args, Clone, Debug)]
pub struct DevArgs {
    /// Nodes of the cluster; they have the labels zone, rack, disk, cores, price and geo
    #[arg(long, value_name = "NUMBER", default_value_t = 12)]
    nodes: usize,
    /// Tasks of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    replicas: u32,
    #[command(flatten)]
    wanted: WantedFlags,
    /// Bytes that each task reserves
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    reserve_memory: i64,
    /// End after so many saves; 0 shows the plugin as it is and ends
    #[arg(long, value_name = "NUMBER")]
    saves: Option<u32>,
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn run(args: &DevArgs, bench: &Workbench, out: &mut dyn Write) -> Result<()> {
    let project = Project::find(&args.folder)?;
    let mut watch = Watch::new(&project);
    let mut before: Option<Scene> = None;
    let mut saves = 0;
    loop {
        let started = Instant::now();
        match look(args, bench, &project) {
            Ok(scene) => {
                let took = started.elapsed().as_secs_f64();
                match &before {
                    None => writeln!(out, "{scene}")?,
                    Some(before) => writeln!(out, "\n[{took:.1} s] {}", scene.since(before))?,
                }
                before = Some(scene);
            }
            // The author is in the middle of something: it is said, and goes on.
            Err(error) if args.saves != Some(0) => writeln!(out, "\n{error:#}")?,
            Err(error) => return Err(error),
        }
        if args.saves.is_some_and(|most| saves >= most) {
            return Ok(());
        }
        if before.is_some() && saves == 0 {
            writeln!(out, "\nwatching {}; Ctrl-C ends", project.folder.display())?;
        }
        out.flush()?;
        watch.wait();
        saves += 1;
    }
}

/// Builds the plugin and sees what it does.
fn look(args: &DevArgs, bench: &Workbench, project: &Project) -> Result<Scene> {
    let built = build::build(&project.folder, bench)?;
    show::scene(args, bench, project, &built)
}
