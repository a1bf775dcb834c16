//! `nft`, in the router.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::namespace::Namespace;
use crate::{Error, Result};

/// It waits for no one but the kernel.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one transaction: all of it, or nothing.
pub(crate) async fn change(program: &Path, inside: &Namespace, text: String) -> Result<()> {
    let output = run(program, inside, &["-f", "-"], text).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Nft(said(&output.stderr)))
}

/// The table in JSON; none: it is not there.
pub(crate) async fn list(
    program: &Path,
    inside: &Namespace,
    table: &str,
) -> Result<Option<String>> {
    let words: Vec<_> = ["-n", "-j", "list", "table"].into_iter().chain(table.split(' ')).collect();
    let output = run(program, inside, &words, String::new()).await?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = said(&output.stderr);
    if said.contains("No such file or directory") { Ok(None) } else { Err(Error::Nft(said)) }
}

/// Whether it is there.
pub(crate) async fn there(program: &Path) -> Result<()> {
    let failed = failed_to_run(program);
    let output = Command::new(program).arg("--version").output().await.map_err(failed)?;
    if output.status.success() { Ok(()) } else { Err(Error::Nft(said(&output.stderr))) }
}

/// Runs a program in a namespace, with a text to read.
pub(crate) async fn run(
    program: &Path,
    inside: &Namespace,
    words: &[&str],
    text: String,
) -> Result<std::process::Output> {
    let mut command = Command::new(program);
    command.args(words).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process has the namespace of the thread that spawned it.
    let spawned = inside.within(move || command.spawn()).await?;
    let mut child = spawned.map_err(failed_to_run(program))?;
    let stdin = child.stdin.take();
    let written = async move {
        if let Some(mut stdin) = stdin {
            // It says itself why it stopped reading.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
    };
    let ended = async { tokio::join!(written, child.wait_with_output()).1 };
    let output = tokio::time::timeout(PATIENCE, ended).await;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "it did not end within 30 s");
    output.unwrap_or_else(|_| Err(late())).map_err(failed_to_run(program))
}

pub(crate) fn failed_to_run(program: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let program = PathBuf::from(program);
    move |source| match source.kind() {
        io::ErrorKind::NotFound => Error::NoNft(program),
        _ => Error::Run { program, source },
    }
}

/// The first lines: it repeats the whole command below them.
pub(crate) fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().take(3).map(str::trim).collect::<Vec<_>>().join(" ")
}
