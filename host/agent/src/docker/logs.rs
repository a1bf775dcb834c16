//! What a container prints, line by line.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::{StreamExt, TryStreamExt, stream};
use swarmw_model::{Assignment, TaskId, Time};

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
    let details = options.details;
    let docker = if details { docker.with_request_modifier(with_details) } else { docker };
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
    Ok(lines.map_ok(move |frame| line(frame, details)).try_filter(wanted).boxed())
}

/// The same request, for what the log driver adds to each line too: bollard has no word for it.
fn with_details<B>(mut request: http::Request<B>) -> http::Request<B> {
    let mut parts = request.uri().clone().into_parts();
    let path = parts.path_and_query.as_ref().filter(|path| path.path().ends_with("/logs"));
    let detailed = path.and_then(|path| format!("{path}&details=true").parse().ok());
    if detailed.is_some() {
        parts.path_and_query = detailed;
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// One frame of the engine: a time, a space, with details those and another space, and a
/// line, or a piece of a long one.
fn line(frame: LogOutput, details: bool) -> Line {
    let output = match frame {
        LogOutput::StdErr { .. } => Output::Stderr,
        _ => Output::Stdout,
    };
    let bytes = frame.into_bytes();
    let (at, rest) = match word(&bytes).map(|(word, rest)| (word.parse::<Time>(), rest)) {
        Some((Ok(at), rest)) => (at, rest),
        // Some log drivers keep no time.
        _ => (swarmw_ambient::Ambient::system().now(), &bytes[..]),
    };
    let (attributes, text) = match word(rest).filter(|_| details) {
        Some((pairs, rest)) => (attributes(pairs), rest),
        None => (BTreeMap::new(), rest),
    };
    Line { at, output, text: text.to_vec(), attributes }
}

/// What is before the first space, and what is behind it.
fn word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    Some((std::str::from_utf8(&bytes[..space]).ok()?, &bytes[space + 1..]))
}

/// `key=value,…`, keys and values escaped as in a query; nothing where there are none.
fn attributes(pairs: &str) -> BTreeMap<String, String> {
    let pairs = pairs.split(',').filter(|pair| !pair.is_empty());
    pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_its_time_its_output_and_its_line() {
        let message = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
        let printed =
            line(LogOutput::StdErr { message: message("2026-11-21T07:00:00.5Z a b\n") }, false);
        assert_eq!(printed.output, Output::Stderr);
        assert_eq!(printed.text, b"a b\n");
        assert_eq!(printed.at.as_nanos() % 1_000_000_000, 500_000_000);

        let empty =
            line(LogOutput::Console { message: message("2026-11-21T07:00:00Z \r\n") }, false);
        assert_eq!((empty.output, &empty.text[..]), (Output::Stdout, &b"\r\n"[..]));

        let timeless = line(LogOutput::StdOut { message: message("no time here\n") }, false);
        assert_eq!(timeless.text, b"no time here\n");
    }

    #[test]
    fn a_frame_with_details_has_them_before_its_line() {
        let printed = |text: &str| {
            let message = bytes::Bytes::copy_from_slice(text.as_bytes());
            line(LogOutput::StdOut { message }, true)
        };
        let two = printed("2026-11-21T07:00:00Z A%2Cb=1%3D2,tier=the+back a=b c\n");
        let pairs = [("A,b", "1=2"), ("tier", "the back")];
        assert_eq!(two.attributes, pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(two.text, b"a=b c\n");

        let none = printed("2026-11-21T07:00:00Z  a=b c\n");
        assert_eq!((none.attributes.len(), &none.text[..]), (0, &b"a=b c\n"[..]));
    }

    #[test]
    fn details_are_asked_for_of_logs_alone() {
        let asked = |uri: &str| {
            let request = http::Request::get(uri).body(()).expect("a request");
            with_details(request).uri().to_string()
        };
        let logs = "unix://2f72756e/v1.41/containers/web.1/logs?stdout=true";
        assert_eq!(asked(logs), format!("{logs}&details=true"));
        let version = "unix://2f72756e/version";
        assert_eq!(asked(version), version);
    }
}
