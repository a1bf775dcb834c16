//! Cargo, and what it says.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Language;
use crate::component::encode;
use crate::project::Project;

/// The target of components: no WASI, so nothing can be imported from it.
const TARGET: &str = "wasm32-unknown-unknown";

/// Makes the component of a plugin's crate: `NAME.wasm` beside its Cargo.toml.
pub fn component(project: &Project) -> Result<PathBuf> {
    let module = module(project)?;
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let path = project.folder.join(module.file_name().context("a module has a name")?);
    fs::write(&path, encode(&bytes, Language::Rust)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Builds the plugin's module and names its file. What rustc says goes to standard
/// error as it is.
fn module(project: &Project) -> Result<PathBuf> {
    require_target()?;
    let mut cargo = cargo(project);
    cargo
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let output = cargo.output().context(NO_CARGO)?;
    if !output.status.success() {
        bail!("{} does not build: see above", project.folder.display());
    }
    let manifest = project.folder.join("Cargo.toml");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| artifact(&serde_json::from_str(line).ok()?, &manifest))
        .next_back()
        .with_context(|| {
            format!(
                "{}: cargo made no .wasm file: [lib] needs crate-type = [\"cdylib\", \"rlib\"]",
                manifest.display()
            )
        })
}

const NO_CARGO: &str =
    "cannot run cargo: install Rust from https://rustup.rs, and see that cargo is on the PATH";

/// The module of the plugin's own crate.
fn artifact(message: &Value, manifest: &Path) -> Option<PathBuf> {
    let ours = Path::new(message.get("manifest_path")?.as_str()?);
    let same = fs::canonicalize(ours).ok()? == *manifest;
    let files = message.get("filenames")?.as_array()?.iter().filter_map(Value::as_str);
    files.filter(|file| same && file.ends_with(".wasm")).map(PathBuf::from).next()
}

/// Runs the plugin's own tests; what they say when they fail. A test that runs for long
/// is told at once: cases end themselves, a test of the author's own may loop for ever.
pub fn tests(project: &Project) -> Result<Result<String, String>> {
    let mut cargo = cargo(project);
    cargo.args(["test", "--quiet"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = cargo.spawn().context(NO_CARGO)?;
    let (stdout, stderr) = (running.stdout.take(), running.stderr.take());
    let errors = thread::spawn(move || read(stderr.into_iter(), |_| ()));
    let said = read(stdout.into_iter(), |line| {
        if line.contains(LONG) {
            // On the author's terminal, while it lasts.
            eprintln!("{line}; Ctrl-C ends it");
        }
    });
    let ended = running.wait().context(NO_CARGO)?;
    let errors = errors.join().unwrap_or_default();
    Ok(match ended.success() {
        true => Ok(passed(&said)),
        false => Err(super::native::trimmed(&(errors + &said))),
    })
}

/// What the harness says of a test that takes long.
const LONG: &str = "has been running for over";

/// All lines of a child's output, each shown to `see` when it comes.
fn read(output: impl Iterator<Item = impl Read>, see: impl Fn(&str)) -> String {
    let mut all = String::new();
    for output in output {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            see(&line);
            all.push_str(&line);
            all.push('\n');
        }
    }
    all
}

/// `12 tests`, out of what the harness prints.
fn passed(output: &str) -> String {
    let counts = output.lines().filter_map(|line| {
        let rest = line.strip_prefix("test result: ok. ")?;
        rest.split_once(" passed")?.0.parse::<u32>().ok()
    });
    match counts.sum() {
        1 => "1 test".to_owned(),
        n => format!("{n} tests"),
    }
}

/// Cargo in the plugin's folder, as its author would call it.
fn cargo(project: &Project) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&project.folder).stdin(Stdio::null());
    cargo
}

/// rustc must have the standard library of the target.
fn require_target() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("cannot run rustc: install Rust from https://rustup.rs, and see that rustc is on the PATH")?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let there = output.status.success()
        && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if !there {
        bail!("Rust has not the target {TARGET}: run `rustup target add {TARGET}`, once");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_over_all_binaries() {
        let output = "test result: ok. 3 passed; 0 failed\n\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(passed(output), "4 tests");
    }
}
