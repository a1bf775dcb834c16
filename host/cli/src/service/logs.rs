//! `service logs`

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::since;
use crate::client::api::service_path;
use crate::client::{Client, Service, Task, segment};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;
use crate::table::{now, short};
use crate::tasks::Names;
use crate::terminal::utc_offset;

/// Bytes before each piece of output: which stream, and how long.
const FRAME_HEADER: usize = 8;
/// Longest piece of output that a daemon may send, in bytes.
const FRAME_MAX: usize = 16 << 20;
const PREFIX: &str = "com.docker.swarm.";

/// `service logs`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct LogsArgs {
    /// Show extra details provided to logs
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    details: bool,
    /// Follow log output
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    follow: bool,
    /// Do not map IDs to Names in output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_resolve: bool,
    /// Do not include task IDs in output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_task_ids: bool,
    /// Do not truncate output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_trunc: bool,
    /// Do not neatly format logs
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    raw: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    timestamps: bool,
    /// Name, id or unique id prefix of a service, or a task's id
    #[arg(value_name = "SERVICE|TASK")]
    target: String,
}

/// What the lines come from.
enum Target {
    Service(Box<Service>),
    Task(Box<Task>),
}

pub(super) async fn run(client: &Client, args: LogsArgs, io: &mut Io) -> Result<(), Failure> {
    let target = find(client, &args.target).await?;
    if target.tty() && !args.raw {
        return Err(Failure::new("tty service logs only supported with --raw"));
    }
    let mut call = client
        .get(format!("{}/logs", target.path()))
        .query("stdout", 1)
        .query("stderr", 1)
        .query("tail", &args.tail);
    for (name, on) in [
        ("follow", args.follow),
        ("timestamps", args.timestamps),
        ("details", args.details || !args.raw),
    ] {
        if on {
            call = call.query(name, 1);
        }
    }
    if let Some(since) = args.since.as_deref().filter(|since| !since.is_empty()) {
        let unix = since::timestamp("since", since, now(), utc_offset).map_err(Failure::new)?;
        call = call.query("since", unix);
    }
    let mut printer = Printer {
        client,
        width: target.width(),
        args: &args,
        names: Names::default(),
        tasks: BTreeMap::new(),
    };
    let mut body = call.send().await?.into_body();
    let mut buffered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failure::new(format!("error from daemon in stream: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if target.tty() {
            io.stdout.write_all(&data)?;
            io.stdout.flush()?;
            continue;
        }
        buffered.extend_from_slice(&data);
        while let Some((output, line)) = next_frame(&mut buffered)? {
            let out = match output {
                Output::Stdout => &mut io.stdout,
                Output::Stderr => &mut io.stderr,
                Output::Errors => {
                    let said = String::from_utf8_lossy(&line);
                    let said = said.trim_end();
                    return Err(Failure::new(format!("error from daemon in stream: {said}")));
                }
            };
            let text = printer.line(&line).await?;
            out.write_all(&text)?;
            out.flush()?;
        }
    }
    Ok(())
}

async fn find(client: &Client, reference: &str) -> Result<Target, Failure> {
    match client.service(reference).await {
        Ok(service) => return Ok(Target::Service(Box::new(service))),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    match client.task(reference).await {
        Ok(task) => Ok(Target::Task(Box::new(task))),
        Err(error) if error.is_not_found() => {
            Err(Failure::new(format!("no such task or service: {reference}")))
        }
        Err(error) => Err(error.into()),
    }
}

// === impl Target ===

impl Target {
    fn path(&self) -> String {
        match self {
            Self::Service(service) => service_path(&service.id),
            Self::Task(task) => format!("/tasks/{}", segment(&task.id)),
        }
    }

    fn tty(&self) -> bool {
        let container = match self {
            Self::Service(service) => &service.spec.task_template.container_spec,
            Self::Task(task) => &task.spec.container_spec,
        };
        container.as_ref().is_some_and(|container| container.tty)
    }

    /// Digits of the highest slot, by which shorter ones are padded.
    fn width(&self) -> usize {
        let highest = match self {
            Self::Service(service) => service.spec.replicas().unwrap_or(0),
            Self::Task(task) => task.slot,
        };
        digits(highest)
    }
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}

/// Takes the next whole piece of output, and what it is of.
fn next_frame(buffered: &mut BytesMut) -> Result<Option<(Output, Bytes)>, Failure> {
    let Some(header) = buffered.get(..FRAME_HEADER) else {
        return Ok(None);
    };
    let output = match header[0] {
        0 | 1 => Output::Stdout,
        2 => Output::Stderr,
        3 => Output::Errors,
        other => {
            return Err(Failure::new(format!("Unrecognized stream: {other}")));
        }
    };
    let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if length > FRAME_MAX {
        return Err(Failure::new(format!(
            "the daemon sent a log line of {length} bytes; at most {FRAME_MAX} are read"
        )));
    }
    if buffered.len() < FRAME_HEADER + length {
        return Ok(None);
    }
    buffered.advance(FRAME_HEADER);
    Ok(Some((output, buffered.split_to(length).freeze())))
}

/// What a piece of output is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
    /// What the daemon says itself: why there is no more.
    Errors,
}

/// Puts before each line which task on which node wrote it.
struct Printer<'a> {
    client: &'a Client,
    args: &'a LogsArgs,
    width: usize,
    names: Names,
    /// Slot of each task seen.
    tasks: BTreeMap<String, Task>,
}

/// A line of output, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Line<'l> {
    timestamp: Option<&'l str>,
    details: BTreeMap<String, String>,
    text: &'l [u8],
}

// === impl Printer ===

impl Printer<'_> {
    async fn line(&mut self, line: &[u8]) -> Result<Vec<u8>, Failure> {
        if self.args.raw {
            return Ok(line.to_vec());
        }
        let mut parsed = Line::parse(line, self.args.timestamps)?;
        let mut take = |name: &str| {
            parsed
                .details
                .remove(&format!("{PREFIX}{name}"))
                .ok_or_else(|| Failure::new(format!("missing {name} in the details of a log line")))
        };
        let (node, service, task) = (take("node.id")?, take("service.id")?, take("task.id")?);
        let mut out = String::new();
        if let Some(timestamp) = parsed.timestamp {
            out += timestamp;
            out.push(' ');
        }
        out += &self.source(&node, &service, &task).await?;
        out += "    | ";
        if self.args.details {
            let details: Vec<_> =
                parsed.details.iter().map(|(key, value)| format!("{key}={value}")).collect();
            out += &details.join(",");
            out.push(' ');
        }
        let mut out = out.into_bytes();
        out.extend_from_slice(parsed.text);
        Ok(out)
    }

    /// `SERVICE.SLOT.TASK@NODE` and what pads it.
    async fn source(&mut self, node: &str, service: &str, task: &str) -> Result<String, Failure> {
        if !self.tasks.contains_key(task) {
            let found = match self.client.task(task).await {
                Ok(found) => found,
                // Gone since it wrote: its ids are still worth printing.
                Err(error) if error.is_not_found() => Task {
                    id: task.to_owned(),
                    service_id: service.to_owned(),
                    node_id: node.to_owned(),
                    ..Task::default()
                },
                Err(error) => return Err(error.into()),
            };
            if !self.args.no_resolve {
                let known = Names::of(self.client, std::slice::from_ref(&found)).await?;
                self.names.services.extend(known.services);
                self.names.nodes.extend(known.nodes);
            }
            self.tasks.insert(task.to_owned(), found);
        }
        let slot = self.tasks.get(task).map_or(0, |task| task.slot);
        let name = |names: &std::collections::HashMap<String, String>, id: &str| {
            names.get(id).cloned().unwrap_or_else(|| id.to_owned())
        };
        let mut title = format!("{}.{slot}", name(&self.names.services, service));
        if !self.args.no_task_ids {
            title.push('.');
            title += if self.args.no_trunc { task } else { short(task) };
        }
        let padding = " ".repeat(self.width.saturating_sub(digits(slot)));
        Ok(format!("{title}@{}{padding}", name(&self.names.nodes, node)))
    }
}

// === impl Line ===

impl<'l> Line<'l> {
    /// `[TIMESTAMP ]KEY=VALUE,… TEXT`
    fn parse(line: &'l [u8], timestamps: bool) -> Result<Self, Failure> {
        let invalid = || {
            Failure::new(format!(
                "invalid context in log message: {}",
                String::from_utf8_lossy(line)
            ))
        };
        let mut rest = line;
        let mut word = || -> Result<&'l str, Failure> {
            let end = rest.iter().position(|b| *b == b' ').ok_or_else(invalid)?;
            let (word, tail) = rest.split_at(end);
            rest = &tail[1..];
            std::str::from_utf8(word).map_err(|_| invalid())
        };
        let timestamp = if timestamps { Some(word()?) } else { None };
        // Keys and values are query-escaped, joined by commas.
        let details = word()?
            .split(',')
            .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()).into_owned())
            .collect();
        Ok(Self { timestamp, details, text: rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_waits_until_it_is_whole() {
        let mut buffered = BytesMut::from(&[2u8, 0, 0, 0, 0, 0, 0, 3, b'a', b'b'][..]);
        assert!(next_frame(&mut buffered).expect("no frame").is_none());
        buffered.extend_from_slice(b"c\x01");
        let (output, line) = next_frame(&mut buffered).expect("frames").expect("one");
        assert_eq!(output, Output::Stderr);
        assert_eq!(&line[..], b"abc");
        assert_eq!(&buffered[..], b"\x01");
        let mut ends = BytesMut::from(&[3u8, 0, 0, 0, 0, 0, 0, 1, b'!'][..]);
        let (output, _) = next_frame(&mut ends).expect("frames").expect("one");
        assert_eq!(output, Output::Errors);
        let mut bad = BytesMut::from(&[9u8, 0, 0, 0, 0, 0, 0, 0][..]);
        assert!(next_frame(&mut bad).is_err());
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = b"2026-11-20T00:00:00Z com.docker.swarm.task.id=t,k%3D=a%2Cb hello, a=b\n";
        let parsed = Line::parse(line, true).expect("a line");
        assert_eq!(parsed.timestamp, Some("2026-11-20T00:00:00Z"));
        assert_eq!(parsed.text, b"hello, a=b\n");
        assert_eq!(
            parsed.details,
            BTreeMap::from([
                ("com.docker.swarm.task.id".into(), "t".into()),
                ("k=".into(), "a,b".into())
            ])
        );
    }
}
