//! `swarmw bench tasks`: what Wasm tasks cost a node.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use swarmw_agent::measure_wasm_tasks;
use swarmw_plugin_host::{Compiler, Profile};

use super::{Format, share};

/// The example HTTP service.
const HELLO: &[u8] = include_bytes!(env!("SWARMW_HELLO_HTTP"));

/// What to run.
#[derive(Args, Clone, Debug)]
pub(super) struct TasksArgs {
    /// Tasks at a time
    #[arg(long, default_value_t = 200)]
    tasks: usize,
    /// A `wasi:http` component that answers `GET /` with 200 [default: the example]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Figures {
    tasks: usize,
    /// From before the process was made to the end of its first response.
    first_response_p50_ms: f64,
    first_response_p99_ms: f64,
    /// Proportional share of memory, all tasks idle.
    pss_mean_bytes: u64,
    pss_max_bytes: u64,
}

/// Starts the tasks one after the other, prints the figures, and ends them.
///
/// # Errors
/// The component cannot be compiled, or does not answer.
pub(super) fn run(args: &TasksArgs) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for the tasks")?;
    let exe = std::env::current_exe().context("cannot find this binary")?;
    let bytes = match &args.image {
        Some(path) => {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => HELLO.to_vec(),
    };
    let key = [0; 32];
    let compiler = Compiler::new(exe.clone(), folder.path().join("compiled"), key);
    let digest = swarmw_manager::digest_of(&bytes);
    let compiled = compiler.compiled(Profile::Task, &digest, &bytes)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured =
        runtime.block_on(measure_wasm_tasks(&exe, folder.path(), compiled, key, args.tasks))?;
    let mut first = measured.first_response;
    first.sort_unstable();
    let millis = |percent| share(&first, percent).map_or(0.0, |t: Duration| t.as_secs_f64() * 1e3);
    let pss = &measured.pss_bytes;
    let figures = Figures {
        tasks: args.tasks,
        first_response_p50_ms: millis(50),
        first_response_p99_ms: millis(99),
        pss_mean_bytes: pss.iter().sum::<u64>() / pss.len().max(1) as u64,
        pss_max_bytes: pss.iter().copied().max().unwrap_or(0),
    };
    match args.format {
        Format::Json => println!("{}", serde_json::to_string(&figures)?),
        Format::Text => println!(
            "{} tasks: first response after {:.1} ms (p50), {:.1} ms (p99); \
             {:.2} MB each at rest, {:.2} MB at most",
            figures.tasks,
            figures.first_response_p50_ms,
            figures.first_response_p99_ms,
            figures.pss_mean_bytes as f64 / 1e6,
            figures.pss_max_bytes as f64 / 1e6,
        ),
    }
    Ok(())
}
