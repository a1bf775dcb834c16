//! `swarmw watch`: the cluster's objects as they change, from a revision on.

use swarmw_template::Value;

use crate::client::Client;
use crate::failure::Failure;
use crate::filter::{collect, filter};
use crate::io::Io;
use crate::lines;
use crate::table::Compiled;

/// `watch`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct WatchArgs {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Format output: json, or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show what came after this revision, as a line before or a list said it
    #[arg(long, value_name = "revision")]
    from: Option<u64>,
    /// Only objects of these kinds: cluster, node, service, task, network, volume, secret,
    /// config, plugin
    #[arg(short, long = "kind", value_name = "list", value_delimiter = ',')]
    kinds: Vec<String>,
}

pub(crate) async fn run(client: &Client, args: WatchArgs, io: &mut Io) -> Result<(), Failure> {
    let look = Look::new(args.format.as_deref())?;
    let mut call = client.get("/swarmw/watch");
    if let Some(from) = args.from {
        call = call.query("from", from.to_string());
    }
    if !args.kinds.is_empty() {
        call = call.query("kinds", args.kinds.join(","));
    }
    let filters = collect(&args.filter);
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    let body = call.send().await?.into_body();
    lines::each(body, |line| {
        let text = look.show(line)?;
        Ok(text.map_or(Ok(()), |text| io.text(&text))?)
    })
    .await
}

/// How changes are shown.
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

    /// A change as a line; `None` where nothing changed, which programs alone want to know.
    /// The end of what the daemon tells is a failure.
    fn show(&self, line: &[u8]) -> Result<Option<String>, Failure> {
        let told: Value = serde_json::from_slice(line)
            .map_err(|error| Failure::new(format!("unexpected answer: {error}")))?;
        let kind = text(&told, &["Kind"]);
        let mut shown = match (self, kind.as_str()) {
            (Self::Json, _) => String::from_utf8_lossy(line.trim_ascii()).into_owned(),
            (_, "bookmark") => return Ok(None),
            (_, "end") => return Err(Failure::new(text(&told, &["Message"]))),
            (Self::Text, _) => plain(&told, &kind),
            (Self::Template(template), _) => template.render(&told)?,
        };
        shown.push('\n');
        Ok(Some(shown))
    }
}

/// `4711 service update ID web`
fn plain(told: &Value, kind: &str) -> String {
    let revision = field(told, &["Revision"]).as_int().unwrap_or_default();
    let first = |paths: &[&[&str]]| {
        paths.iter().map(|path| text(told, path)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let id = first(&[&["Object", "ID"], &["Object", "Id"], &["Object", "ClusterVolume", "ID"]]);
    let name = first(&[
        &["Object", "Spec", "Name"],
        &["Object", "Name"],
        &["Object", "Description", "Hostname"],
        &["Object", "Status", "State"],
    ]);
    let action = text(told, &["Action"]);
    format!("{revision} {kind} {action} {id} {name}").trim_end().to_owned()
}

fn field(of: &Value, path: &[&str]) -> Value {
    path.iter().fold(of.clone(), |value, name| match value {
        Value::Map(map) => map.get(name).cloned().unwrap_or(Value::Missing),
        _ => Value::Missing,
    })
}

fn text(of: &Value, path: &[&str]) -> String {
    field(of, path).as_text().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &[u8] = br#"{"Revision":12,"Resume":12,"Kind":"service","Action":"update","Object":{"ID":"abc","Spec":{"Name":"web"}}}"#;

    fn shown(format: &str, line: &[u8]) -> Option<String> {
        Look::new(Some(format)).expect(format).show(line).expect("a line")
    }

    #[test]
    fn changes_are_a_line_each() {
        assert_eq!(shown("", CHANGE).as_deref(), Some("12 service update abc web\n"));
        let task = br#"{"Revision":13,"Kind":"task","Action":"create","Object":{"ID":"t","Status":{"State":"running"}}}"#;
        assert_eq!(shown("", task).as_deref(), Some("13 task create t running\n"));
        assert_eq!(shown("{{.Resume}} {{.Object.Spec.Name}}", CHANGE).as_deref(), Some("12 web\n"));
        let json = shown("json", CHANGE).expect("a line");
        assert_eq!(json.trim_end().as_bytes(), CHANGE);
    }

    #[test]
    fn bookmarks_are_for_programs_and_the_end_is_a_failure() {
        let bookmark = br#"{"Revision":12,"Resume":12,"Kind":"bookmark"}"#;
        assert_eq!(shown("", bookmark), None);
        assert!(shown("json", bookmark).is_some());
        let end = br#"{"Revision":12,"Resume":12,"Kind":"end","Message":"too slow"}"#;
        let failed = Look::new(None).expect("a look").show(end).expect_err("it is over");
        assert_eq!(failed.to_string(), "too slow");
    }
}
