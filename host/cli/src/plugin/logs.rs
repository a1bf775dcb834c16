//! `plugin logs`

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use swarmw_model::PluginLine;

use super::path;
use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;

/// `plugin logs`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LogsArgs {
    /// Follow log output
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    follow: bool,
    /// Number of lines to show from the end of the log
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    timestamps: bool,
    /// A name or id
    #[arg(value_name = "PLUGIN")]
    plugin: String,
}

pub(super) async fn run(client: &Client, args: LogsArgs, io: &mut Io) -> Result<(), Failure> {
    let mut call = client.get(format!("{}/logs", path(&args.plugin))).query("tail", &args.tail);
    if args.follow {
        call = call.query("follow", 1);
    }
    let mut body = call.send().await?.into_body();
    let mut buffered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failure::new(format!("error from daemon in stream: {error}")))?;
        if let Ok(data) = frame.into_data() {
            buffered.extend_from_slice(&data);
        }
        while let Some(end) = buffered.iter().position(|byte| *byte == b'\n') {
            let line = buffered.split_to(end);
            buffered.advance(1);
            io.line(shown(&line, args.timestamps)?)?;
        }
        io.stdout.flush()?;
    }
    Ok(())
}

fn shown(line: &[u8], with_time: bool) -> Result<String, Failure> {
    let line: PluginLine = serde_json::from_slice(line)
        .map_err(|error| Failure::new(format!("unexpected answer: {error}")))?;
    let time = if with_time { format!("{} ", line.at) } else { String::new() };
    Ok(format!("{time}{:<5} {}", line.level.as_str(), line.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_its_level_and_its_time_when_asked() {
        let line = br#"{"Number":1,"At":"2026-11-20T00:00:00Z","Level":"warn","Text":"hot"}"#;
        assert_eq!(shown(line, false).expect("a line"), "WARN  hot");
        assert_eq!(shown(line, true).expect("a line"), "2026-11-20T00:00:00Z WARN  hot");
        assert!(shown(b"x", false).is_err());
    }
}
