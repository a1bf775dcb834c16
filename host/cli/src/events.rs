//! `swarmw events`: what happens in the cluster and on this node, as it happens.

use swarmw_template::Value;

use crate::client::Client;
use crate::failure::Failure;
use crate::filter::{collect, filter};
use crate::io::Io;
use crate::lines;
use crate::service::since;
use crate::shape::EVENT;
use crate::table::{Compiled, now};
use crate::terminal::utc_offset;

const NANOS: i64 = 1_000_000_000;

/// `events`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct EventsArgs {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Format output: json, or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

pub(crate) async fn run(client: &Client, args: EventsArgs, io: &mut Io) -> Result<(), Failure> {
    let look = Look::new(args.format.as_deref())?;
    let mut call = client.get("/events");
    for (name, moment) in [("since", &args.since), ("until", &args.until)] {
        if let Some(moment) = moment.as_deref().filter(|moment| !moment.is_empty()) {
            let unix = since::timestamp(name, moment, now(), utc_offset).map_err(Failure::new)?;
            call = call.query(name, unix);
        }
    }
    let filters = collect(&args.filter);
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    let body = call.send().await?.into_body();
    lines::each(body, |line| Ok(io.text(&look.show(line, utc_offset)?)?)).await
}

/// How events are shown.
enum Look {
    Text,
    Json,
    Template(Compiled),
}

// === impl Look ===

impl Look {
    fn new(format: Option<&str>) -> Result<Self, Failure> {
        match format.unwrap_or_default() {
            "" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            text => Compiled::inspecting(text).map(Self::Template),
        }
    }

    /// One event as a line. `offset` is how far the clock on the wall is ahead.
    fn show(&self, line: &[u8], offset: impl Fn(i64) -> i64) -> Result<String, Failure> {
        let event: Value = serde_json::from_slice(line)
            .map_err(|error| Failure::new(format!("unexpected answer: {error}")))?;
        let mut text = match self {
            Self::Text => plain(&event, offset),
            Self::Json => String::from_utf8_lossy(line.trim_ascii()).into_owned(),
            Self::Template(template) => template.render(&EVENT.value(&event))?,
        };
        text.push('\n');
        Ok(text)
    }
}

/// `2026-11-22T18:00:00.000000000Z service update ID (name=web, replicas.new=3)`
fn plain(event: &Value, offset: impl Fn(i64) -> i64) -> String {
    let field = |of: &Value, name: &str| match of {
        Value::Map(map) => map.get(name).cloned().unwrap_or(Value::Missing),
        _ => Value::Missing,
    };
    let text = |value: Value| value.as_text().unwrap_or_default().to_owned();
    let number = |name: &str| field(event, name).as_int().unwrap_or_default();
    let mut out = match (number("timeNano"), number("time")) {
        (0, 0) => String::new(),
        (0, seconds) => moment(seconds * NANOS, offset) + " ",
        (nanos, _) => moment(nanos, offset) + " ",
    };
    let actor = field(event, "Actor");
    out += &format!(
        "{} {} {}",
        text(field(event, "Type")),
        text(field(event, "Action")),
        text(field(&actor, "ID"))
    );
    if let Value::Map(attributes) = field(&actor, "Attributes") {
        let mut pairs: Vec<_> = attributes.iter().collect();
        pairs.sort_by_key(|(key, _)| *key);
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if !pairs.is_empty() {
            out += &format!(" ({})", pairs.join(", "));
        }
    }
    out
}

/// A moment on the clock on the wall, with nine digits of its second.
fn moment(nanos: i64, offset: impl Fn(i64) -> i64) -> String {
    let ahead = offset(nanos.div_euclid(NANOS));
    let wall = swarmw_model::Time::from_nanos(nanos + ahead * NANOS).to_string();
    let seconds = wall.trim_end_matches('Z').split('.').next().unwrap_or_default().to_owned();
    let zone = match ahead {
        0 => "Z".to_owned(),
        ahead => {
            let (sign, size) = (if ahead < 0 { '-' } else { '+' }, ahead.abs());
            format!("{sign}{:02}:{:02}", size / 3_600, size % 3_600 / 60)
        }
    };
    format!("{seconds}.{:09}{zone}", nanos.rem_euclid(NANOS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] = br#"{"Type":"service","Action":"update","Actor":{"ID":"abc","Attributes":{"updatestate.new":"updating","name":"web"}},"scope":"swarm","time":1790000000,"timeNano":1790000000120000000}"#;

    fn shown(format: &str) -> String {
        let look = Look::new(Some(format)).expect(format);
        look.show(EVENT, |_| 0).expect("a line")
    }

    #[test]
    fn events_read_as_dockers() {
        assert_eq!(
            shown(""),
            "2026-09-21T14:13:20.120000000Z service update abc (name=web, updatestate.new=updating)\n"
        );
        assert_eq!(shown("json").trim_end().as_bytes(), EVENT);
        assert_eq!(
            shown(
                "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Scope}} {{.Time}}"
            ),
            "service update abc web swarm 1790000000\n"
        );
        assert_eq!(
            shown(
                r#"{{index .Actor.Attributes "name"}}{{with index .Actor.Attributes "no"}}{{.}}{{end}}"#
            ),
            "web\n"
        );
    }

    #[test]
    fn moments_are_those_of_the_clock_on_the_wall() {
        assert_eq!(
            moment(1_790_000_000_000_000_000, |_| 5_400),
            "2026-09-21T15:43:20.000000000+01:30"
        );
        assert_eq!(
            moment(1_790_000_000_000_000_001, |_| -3_600),
            "2026-09-21T13:13:20.000000001-01:00"
        );
    }
}
