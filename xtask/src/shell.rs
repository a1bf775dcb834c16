//! Running other programs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's top folder.
pub fn root() -> PathBuf {
    // xtask's own folder stands directly below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Runs a program in `folder`, showing the command and its output.
pub fn run_in(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    run_command(Command::new(program).args(arguments).current_dir(folder))
}

/// Runs a prepared command, showing it and its output.
pub fn run_command(command: &mut Command) -> Result<()> {
    let shown = display(command);
    eprintln!("+ {shown}");
    let status = command.status().with_context(|| format!("cannot start: {shown}"))?;
    if !status.success() {
        bail!("failed ({status}): {shown}");
    }
    Ok(())
}

/// A command that runs beside others. What it says goes to a file, and is shown in one piece
/// when it ends.
pub struct Beside {
    shown: String,
    process: Child,
    log: PathBuf,
}

impl Beside {
    /// Starts it; `log` is where its output goes.
    pub fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let shown = display(command);
        eprintln!("+ {shown} (beside what follows; see {})", log.display());
        let said = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = command
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start: {shown}"))?;
        Ok(Self { shown, process, log })
    }

    /// Waits for its end, which must be a good one.
    pub fn end(mut self) -> Result<()> {
        let status = self.process.wait()?;
        eprintln!("+ {} (ran beside the above)", self.shown);
        std::io::stderr().write_all(&std::fs::read(&self.log)?)?;
        if !status.success() {
            bail!("failed ({status}): {}", self.shown);
        }
        Ok(())
    }
}

/// Whether a program runs and exits with 0, without showing anything.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a program of this name is on the PATH.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
