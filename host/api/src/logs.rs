//! `/services/{id}/logs` and `/tasks/{id}/logs`: lines in Docker's frames.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Uri};

use swarmw_model::{Refusal, Service, Task, TaskSpec, Time};
use swarmw_state::Lookup;

use crate::api::Host;
use crate::body::Params;
use crate::reply::Reply;
use crate::version::{ApiVersion, MAXIMUM};
use crate::{LogLine, LogSource, LogsRequest};

/// First version whose answer says how it is framed.
const CONTENT_TYPE_SINCE: ApiVersion = ApiVersion::v1(42);
const FRAMED: &str = "application/vnd.docker.multiplexed-stream";
/// The number of the stream of the daemon's own errors.
const ERRORS: u8 = 3;
const RAW: &str = "application/vnd.docker.raw-stream";

/// How each line is written.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Without frames, for services with a terminal.
    raw: bool,
    timestamps: bool,
    details: bool,
}

/// `GET /services/{id}/logs`
pub(crate) async fn of_service(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let asked = Asked::of(&request);
    let state = host.read().await?;
    let service = Service::find(&state, &reference)?;
    let source = LogSource::Service(service.id);
    asked.answer(&host, source, &service.spec.task_template).await
}

/// `GET /tasks/{id}/logs`
pub(crate) async fn of_task(
    State(host): State<Host>,
    Path(reference): Path<String>,
    request: Request,
) -> Reply {
    let asked = Asked::of(&request);
    let state = host.read().await?;
    let task = Task::find(&state, &reference)?;
    asked.answer(&host, LogSource::Task(task.id), &task.spec).await
}

/// What a request says, without its body.
struct Asked {
    uri: Uri,
    version: ApiVersion,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let version = request.extensions().get::<ApiVersion>().copied();
        Self { uri: request.uri().clone(), version: version.unwrap_or(MAXIMUM) }
    }

    async fn answer(self, host: &Host, source: LogSource, spec: &TaskSpec) -> Reply {
        let params = Params::of(&self.uri);
        let wanted = wanted(&params, source)?;
        let form = Form {
            raw: spec.container_spec.as_ref().is_some_and(|c| c.tty),
            timestamps: params.is_on("timestamps"),
            details: params.is_on("details"),
        };
        let lines = host.logs(wanted).await?;
        let frames = lines.map(move |line| {
            Ok::<_, std::convert::Infallible>(match line {
                Ok(line) => frame(&line, form),
                Err(refusal) => trouble(&refusal, form),
            })
        });
        let mut response = Response::new(Body::from_stream(frames));
        if self.version >= CONTENT_TYPE_SINCE {
            let kind = HeaderValue::from_static(if form.raw { RAW } else { FRAMED });
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(response)
    }
}

fn wanted(params: &Params<'_>, source: LogSource) -> Result<LogsRequest, Refusal> {
    let (stdout, stderr) = (params.is_on("stdout"), params.is_on("stderr"));
    if !stdout && !stderr {
        return Err(Refusal::invalid("Bad parameters: you must choose at least one stream"));
    }
    let tail = match params.get("tail") {
        "" | "all" => None,
        text => match text.parse::<i64>() {
            Ok(lines) => Some(
                u64::try_from(lines)
                    .map_err(|_| Refusal::invalid("negative tail values not supported"))?,
            ),
            Err(_) => {
                return Err(Refusal::invalid("tail value must be a positive integer or \"all\""));
            }
        },
    };
    let since = params.get("since");
    Ok(LogsRequest {
        source,
        follow: params.is_on("follow"),
        tail,
        since: unix_time(since).ok_or_else(|| {
            Refusal::invalid(format!(
                "invalid value for \"since\": {since:?}: want seconds since 1970"
            ))
        })?,
        stdout,
        stderr,
        details: params.is_on("details"),
    })
}

/// Reads `1763682093.56`; an empty text is the beginning of time.
pub(crate) fn unix_time(text: &str) -> Option<Time> {
    if text.is_empty() {
        return Some(Time::ZERO);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    Some(Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// One line as it goes out: a header of the output's number and the length, then
/// the time, where the line is from, and its text.
fn frame(line: &LogLine, form: Form) -> Bytes {
    let mut payload = Vec::with_capacity(line.text.len() + 192);
    if form.timestamps {
        payload.extend_from_slice(go_nanos(line.at).as_bytes());
        payload.push(b' ');
    }
    if form.details {
        payload.extend_from_slice(details(line).as_bytes());
        payload.push(b' ');
    }
    payload.extend_from_slice(&line.text);
    framed(line.output as u8, payload, form)
}

/// Where a line is from, and what its log driver adds: pairs in the order of their keys,
/// escaped, joined by commas. What an attribute says of where it is from does not count.
fn details(line: &LogLine) -> String {
    let attributes = line.attributes.iter();
    let mut pairs: BTreeMap<_, _> =
        attributes.map(|(key, value)| (key.as_str(), Cow::Borrowed(value.as_str()))).collect();
    pairs.insert("com.docker.swarm.node.id", line.node.to_string().into());
    pairs.insert("com.docker.swarm.service.id", line.service.to_string().into());
    pairs.insert("com.docker.swarm.task.id", line.task.to_string().into());
    let written = pairs.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value)));
    written.collect::<Vec<_>>().join(",")
}

/// As Go's `url.QueryEscape`, which differs from forms in two characters.
fn escaped(text: &str) -> String {
    let form: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    form.replace("%7E", "~").replace('*', "%2A")
}

/// What could not be got, on the stream by which Docker's daemon tells clients of errors: they
/// end with it.
fn trouble(refusal: &Refusal, form: Form) -> Bytes {
    framed(ERRORS, format!("Error grabbing logs: {refusal}\n").into_bytes(), form)
}

fn framed(output: u8, payload: Vec<u8>, form: Form) -> Bytes {
    if form.raw {
        return payload.into();
    }
    let mut frame = BytesMut::with_capacity(payload.len() + 8);
    frame.put_u32(u32::from(output) << 24);
    frame.put_u32(payload.len() as u32);
    frame.put_slice(&payload);
    frame.freeze()
}

/// A time with all nine decimals, so that columns of log lines stand straight: Go's
/// `2006-01-02T15:04:05.000000000Z07:00`.
fn go_nanos(at: Time) -> String {
    let text = at.to_string();
    let (whole, fraction) = match text.trim_end_matches('Z').split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (text.trim_end_matches('Z'), ""),
    };
    format!("{whole}.{fraction:0<9}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogOutput;
    use swarmw_model::{NodeId, ServiceId, TaskId};

    fn line() -> LogLine {
        LogLine {
            task: TaskId::from_bits(3),
            service: ServiceId::from_bits(2),
            node: NodeId::from_bits(1),
            output: LogOutput::Stderr,
            at: Time::from_nanos(1_763_682_093_560_000_000),
            text: Bytes::from_static(b"hello\n"),
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn a_frame_has_output_length_time_origin_and_text() {
        let form = Form { raw: false, timestamps: true, details: true };
        let frame = frame(&line(), form);
        let payload = &frame[8..];
        assert_eq!(&frame[..4], [2, 0, 0, 0]);
        assert_eq!(frame[4..8], (payload.len() as u32).to_be_bytes());
        assert_eq!(
            std::str::from_utf8(payload).expect("text"),
            "2025-11-20T23:41:33.560000000Z com.docker.swarm.node.id=0000000000000000000000001,\
             com.docker.swarm.service.id=0000000000000000000000002,\
             com.docker.swarm.task.id=0000000000000000000000003 hello\n"
        );
    }

    #[test]
    fn attributes_of_the_log_driver_are_sorted_in_and_escaped() {
        let pairs = [("tier", "back, *2~"), ("A b", "1=2"), ("com.docker.swarm.node.id", "forged")];
        let attributes = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(
            details(&LogLine { attributes, ..line() }),
            "A+b=1%3D2,com.docker.swarm.node.id=0000000000000000000000001,\
             com.docker.swarm.service.id=0000000000000000000000002,\
             com.docker.swarm.task.id=0000000000000000000000003,tier=back%2C+%2A2~"
        );
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let form = Form { raw: true, timestamps: false, details: false };
        assert_eq!(frame(&line(), form), "hello\n");
    }

    #[test]
    fn times_are_seconds_with_a_fraction() {
        for (text, nanos) in [
            ("", Some(0)),
            ("12", Some(12_000_000_000)),
            ("12.5", Some(12_500_000_000)),
            ("12.000000001", Some(12_000_000_001)),
            ("yesterday", None),
            ("1.1234567891", None),
        ] {
            assert_eq!(unix_time(text), nanos.map(Time::from_nanos), "{text}");
        }
    }
}
