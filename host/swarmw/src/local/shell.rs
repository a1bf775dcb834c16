//! Commands as a person would type them, shown and run.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// A terminal on one node.
pub struct Shell {
    pub(super) exe: PathBuf,
    pub(super) host: String,
    pub(super) node: usize,
}

// === impl Shell ===

impl Shell {
    /// Shows a command and runs it, with its output on the terminal.
    pub async fn run(&self, command: &str) -> Result<()> {
        println!("n{}$ {command}", self.node);
        let status = self.command(command)?.status().await.context("cannot run the command")?;
        if !status.success() {
            bail!("`{command}` ended with {status}");
        }
        Ok(())
    }

    /// Runs a command without showing it.
    ///
    /// # Errors
    /// It fails: with what it said.
    pub async fn quietly(&self, command: &str) -> Result<()> {
        self.capture(command).await.map(drop)
    }

    /// Runs a command without showing it; its output.
    pub async fn capture(&self, command: &str) -> Result<String> {
        let output = self
            .command(command)?
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .await
            .context("cannot run the command")?;
        if !output.status.success() {
            bail!("`{command}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, line: &str) -> Result<Command> {
        let words = split(line);
        let Some(("swarmw", arguments)) = words.split_first().map(|(w, rest)| (w.as_str(), rest))
        else {
            bail!("not a swarmw command: {line}");
        };
        let mut command = Command::new(&self.exe);
        command
            .args(arguments)
            .env("SWARMW_HOST", &self.host)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Splits a line into words; single quotes keep spaces.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().into_iter().for_each(|w| w.push(c)),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_keep_spaces() {
        assert_eq!(super::split("a  'b c' d=e"), ["a", "b c", "d=e"]);
    }
}
