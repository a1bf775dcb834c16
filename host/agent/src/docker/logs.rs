//! What a container prints, line by line.

use std::sync::Arc;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::{StreamExt, TryStreamExt, stream};
use swarmw_model::{Assignment, TaskId};

use super::engine::Engine;
use super::failure::Failure;
use super::state::{Life, life};
use crate::executor::TaskError;
use crate::logs::{Line, LogOptions, LogStream, Output};

/// The container's lines. One that has not started yet is waited for when following;
/// that, too, is left to who reads.
pub(super) fn read(engine: Arc<Engine>, task: &Assignment, options: LogOptions) -> LogStream {
    let (id, name) = (task.id, task.name());
    stream::once(async move {
        if options.follow {
            until_started(&engine, id, &name).await?;
        }
        open(&engine, &name, options).await
    })
    .try_flatten()
    .boxed()
}

async fn until_started(engine: &Engine, task: TaskId, name: &str) -> Result<(), TaskError> {
    let mut wake = engine.wake(task);
    let inspect = move |docker: Docker| async move { docker.inspect_container(name, None).await };
    loop {
        match engine.call(inspect).await {
            // An engine ends the log of one that was never started, followed or not.
            Ok(seen) if life(&seen) == Life::Created => wake.changed().await,
            Ok(_) => return Ok(()),
            Err(failure) if failure.is_not_found() => wake.changed().await,
            Err(failure) => return Err(failure.into()),
        }
    }
}

async fn open(engine: &Engine, name: &str, options: LogOptions) -> Result<LogStream, TaskError> {
    let docker = engine.connect().await?;
    let socket = engine.socket().to_owned();
    let asked = LogsOptions {
        follow: options.follow,
        stdout: options.stdout,
        stderr: options.stderr,
        since: i32::try_from(options.since.as_nanos() / 1_000_000_000).unwrap_or(i32::MAX),
        until: 0,
        timestamps: true,
        tail: options.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()),
    };
    let lines = docker.logs(name, Some(asked)).map_err(move |e| Failure::of(&socket, e).into());
    // The engine's `since` has seconds for its grain.
    let wanted = move |line: &Line| std::future::ready(options.wants(line));
    Ok(lines.map_ok(line).try_filter(wanted).boxed())
}

/// One frame of the engine: a time, a space, and a line, or a piece of a long one.
fn line(frame: LogOutput) -> Line {
    let output = match frame {
        LogOutput::StdErr { .. } => Output::Stderr,
        _ => Output::Stdout,
    };
    let bytes = frame.into_bytes();
    let space = bytes.iter().position(|byte| *byte == b' ');
    let time = space.and_then(|at| std::str::from_utf8(&bytes[..at]).ok()?.parse().ok());
    match (space, time) {
        (Some(space), Some(at)) => Line { at, output, text: bytes[space + 1..].to_vec() },
        // Some log drivers keep no time.
        _ => Line { at: swarmw_ambient::Ambient::system().now(), output, text: bytes.to_vec() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_its_time_its_output_and_its_line() {
        let message = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
        let printed = line(LogOutput::StdErr { message: message("2026-11-21T07:00:00.5Z a b\n") });
        assert_eq!(printed.output, Output::Stderr);
        assert_eq!(printed.text, b"a b\n");
        assert_eq!(printed.at.as_nanos() % 1_000_000_000, 500_000_000);

        let empty = line(LogOutput::Console { message: message("2026-11-21T07:00:00Z \r\n") });
        assert_eq!((empty.output, &empty.text[..]), (Output::Stdout, &b"\r\n"[..]));

        let timeless = line(LogOutput::StdOut { message: message("no time here\n") });
        assert_eq!(timeless.text, b"no time here\n");
    }
}
