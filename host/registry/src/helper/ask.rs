//! One question to a program: the argument `get`, the registry's server on its standard
//! input, JSON on its standard output.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{HelperError, Program};
use crate::Credentials;

/// A program that has not ended by then is ended: a cloud's answers in a second or two.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The most that is read of each of its outputs, in bytes.
pub(super) const OUTPUT_MAX: u64 = 64 << 10;
/// The most that is shown of its words, in characters.
const WORDS_MAX: usize = 300;
/// What programs say of a registry that they have nothing for.
const NOTHING: &str = "credentials not found in native keychain";
/// The user name that stands for none: the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// A program's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What a program printed, and how it ended.
struct Said {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// The process group of a program that runs; it does not outlive this.
struct Group(Option<Pid>);

pub(super) async fn ask(program: Program, server: String) -> Result<Credentials, HelperError> {
    match tokio::time::timeout(PATIENCE, run(&program, &server)).await {
        Ok(said) => credentials(&program, server, &said?),
        Err(_) => {
            Err(HelperError::Silent { program: program.to_string(), seconds: PATIENCE.as_secs() })
        }
    }
}

/// Runs a program to its end; one that is not waited for any more is killed, with all that it
/// started.
async fn run(program: &Program, server: &str) -> Result<Said, HelperError> {
    let mut child = Command::new(program.find()?)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| not_run(program, &error))?;
    let mut group = Group::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let tell = async {
        if let Some(mut stdin) = stdin {
            // One that knows its registry without being told may have ended.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
        Ok::<(), HelperError>(())
    };
    let (stdout, stderr, ()) =
        tokio::try_join!(read(program, stdout), read(program, stderr), tell)?;
    let status = child.wait().await.map_err(|error| not_run(program, &error))?;
    group.has_ended();
    Ok(Said { status, stdout, stderr })
}

/// An output to its end.
async fn read(
    program: &Program,
    output: Option<impl AsyncRead + Unpin>,
) -> Result<Vec<u8>, HelperError> {
    let Some(output) = output else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    let read = output.take(OUTPUT_MAX + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| not_run(program, &error))?;
    match bytes.len() as u64 > OUTPUT_MAX {
        true => Err(HelperError::TooMuch { program: program.to_string(), max: OUTPUT_MAX }),
        false => Ok(bytes),
    }
}

fn not_run(program: &Program, error: &io::Error) -> HelperError {
    HelperError::NotRun { program: program.to_string(), why: error.to_string() }
}

/// Reads an answer. None of its text is in an error: it may hold the secret.
fn credentials(program: &Program, server: String, said: &Said) -> Result<Credentials, HelperError> {
    let program = program.to_string();
    if !said.status.success() {
        let words = said.words();
        return Err(match words.contains(NOTHING) {
            true => HelperError::Nothing { program, server },
            false => HelperError::Failed { program, status: said.status.to_string(), said: words },
        });
    }
    let Ok(Answer { username, secret }) = serde_json::from_slice(&said.stdout) else {
        return Err(HelperError::NoAnswer { program });
    };
    if username.is_empty() || secret.is_empty() {
        return Err(HelperError::Nothing { program, server });
    }
    Ok(match username.as_str() {
        TOKEN_USER => Credentials::identity_token(secret),
        _ => Credentials::user(username, secret),
    })
}

// === impl Said ===

impl Said {
    /// What one that failed says of it, on one line. An answer that it began with is left out.
    fn words(&self) -> String {
        let words: Vec<_> = [&self.stdout, &self.stderr]
            .map(|output| String::from_utf8_lossy(output).trim().replace(char::is_control, " "))
            .into_iter()
            .filter(|words| !words.is_empty() && !words.contains("\"Secret\""))
            .collect();
        match words.is_empty() {
            true => "it does not say why".to_owned(),
            false => words.join("; ").chars().take(WORDS_MAX).collect(),
        }
    }
}

// === impl Group ===

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// What the program has left behind on purpose, such as an agent with keys, stays.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody has waited for its leader yet, so the id is still its own.
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
