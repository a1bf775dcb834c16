//! The top of the command line: what runs here, and what goes to a daemon.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as _, FromArgMatches as _, Subcommand};
use swarmw_cli::{ClientArgs, Io, explain, prepare};
use tracing_subscriber::EnvFilter;

use crate::daemon::{DaemonArgs, LogFormat};
use crate::{bench, daemon, demo};

/// Exit code of what failed at run time.
const FAILED: u8 = 1;
/// What the daemon logs unless RUST_LOG says otherwise: openraft is talkative, and
/// tells of every heartbeat that a manager does not answer.
const LOG_DEFAULT: &str = "info,openraft=warn,openraft::core::heartbeat=error";

/// A container orchestrator with Docker Swarm's commands and API, and open policies.
#[derive(Subcommand, Clone, Debug)]
enum Own {
    /// Runs a node: the daemon that every other command talks to
    #[command(override_usage = "swarmw daemon [OPTIONS]")]
    Daemon(Box<DaemonArgs>),
    /// Shows what swarmw does: a cluster of five nodes on this machine, without Docker and root
    #[command(override_usage = "swarmw demo [OPTIONS]")]
    Demo(demo::DemoArgs),
    /// Measures what this machine can do
    #[command(override_usage = "swarmw bench COMMAND", arg_required_else_help = true)]
    Bench(bench::BenchArgs),
    /// Forks Wasm tasks; the daemon starts this
    #[command(hide = true)]
    WasmTasks {
        /// Room for the titles of tasks, without a meaning
        room: Option<OsString>,
    },
    /// Ends tasks that must not write to volumes any more; the daemon starts this
    #[command(hide = true)]
    VolumeWarden { folder: PathBuf },
    /// Compiles a component under limits; the daemon starts this
    #[command(hide = true)]
    CompileComponent { arguments: Vec<OsString> },
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let mut root = root();
    let matches = match root.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(error) => {
            return exit(explain(&error, &root, &arguments).tell(&mut Io::system()));
        }
    };
    if let Ok(own) = Own::from_arg_matches(&matches) {
        return run_own(own);
    }
    if let Some(command) = authors(&matches) {
        return run_authors(command);
    }
    let parsed = ClientArgs::from_arg_matches(&matches)
        .and_then(|args| Ok((args, swarmw_cli::Command::from_arg_matches(&matches)?)));
    match parsed {
        Ok((args, command)) => match runtime() {
            Ok(runtime) => {
                exit(runtime.block_on(swarmw_cli::run(&args, command, &root, &mut Io::system())))
            }
            Err(error) => failed(&error),
        },
        Err(error) => exit(explain(&error, &root, &arguments).tell(&mut Io::system())),
    }
}

fn root() -> clap::Command {
    let root = ClientArgs::augment_args(clap::Command::new("swarmw"))
        .about("A container orchestrator that speaks Docker Swarm, open to plugins")
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage("swarmw [OPTIONS] COMMAND")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let root = Own::augment_subcommands(swarmw_cli::Command::augment_subcommands(root));
    // The operator's commands for plugins and the author's stand in one list.
    prepare(root.mut_subcommand("plugin", |plugin| {
        let about = plugin.get_about().cloned().unwrap_or_default();
        swarmw_author::Command::augment_subcommands(plugin).about(about)
    }))
}

/// `swarmw plugin …` for those who write plugins, which asks no daemon.
fn authors(matches: &clap::ArgMatches) -> Option<swarmw_author::Command> {
    let (_, plugin) = matches.subcommand().filter(|(name, _)| *name == "plugin")?;
    swarmw_author::Command::from_arg_matches(plugin).ok()
}

fn run_authors(command: swarmw_author::Command) -> ExitCode {
    let result = std::env::current_exe().map_err(Into::into).and_then(|exe| {
        let bench = swarmw_author::Workbench::new(exe, Vec::new());
        swarmw_author::run(command, &bench, &mut std::io::stdout())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn run_own(own: Own) -> ExitCode {
    let result = match own {
        Own::Daemon(args) => {
            log(args.log_format);
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(Into::into)
                .and_then(|runtime| runtime.block_on(daemon::run(*args)))
        }
        Own::Demo(args) => demo::run(&args),
        Own::Bench(args) => bench::run(args),
        Own::WasmTasks { .. } => return swarmw_agent::run_wasm_tasks(),
        Own::VolumeWarden { folder } => return swarmw_agent::run_volume_warden(&folder),
        Own::CompileComponent { arguments } => {
            swarmw_plugin_host::compile_child(&arguments).map_err(Into::into)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| LOG_DEFAULT.into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("swarmw: {error:#}");
    ExitCode::from(FAILED)
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(FAILED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::EngineChoice;

    #[test]
    fn the_unit_of_systemd_starts_a_daemon_before_the_engine_that_it_names() {
        let unit = include_str!("../../../examples/systemd/swarmw.service");
        let of = |line: &'static str, key: &str| line.strip_prefix(key)?.strip_prefix('=');
        let values = |key: &str| unit.lines().filter_map(|line| of(line, key)).collect::<Vec<_>>();
        for (key, want) in [
            ("Type", "notify"),
            ("Before", "docker.service"),
            ("After", "network-online.target"),
            ("Restart", "always"),
            ("KillMode", "process"),
        ] {
            assert_eq!(values(key), [want], "{key}");
        }
        let starts = values("ExecStart");
        assert_eq!(starts.len(), 1, "{starts:?}");
        let read = root().try_get_matches_from(starts[0].split_whitespace());
        let matches = read.unwrap_or_else(|error| panic!("{}: {error}", starts[0]));
        let own = Own::from_arg_matches(&matches).expect("a command that runs here");
        let Own::Daemon(args) = own else { panic!("{} is no daemon", starts[0]) };
        // An engine that is not named is looked for, and starts later than this.
        assert_eq!(args.engine, Some(EngineChoice::Unix("/var/run/docker.sock".into())));
        assert_eq!(args.hosts.len(), 1, "where clients look for it");
    }
}
