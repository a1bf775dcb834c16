//! `secret rotate` and `config rotate`

use serde::Deserialize;
use serde_json::json;
use swarmw_model::Payload;

use super::{Kind, read};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;
use crate::progress;

/// `secret rotate` and `config rotate`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RotateArgs {
    /// Exit immediately instead of waiting for the services to converge
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    detach: bool,
    /// Suppress progress output
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    quiet: bool,
    /// Put the version before back in its place
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    rollback: bool,
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The file with the data of the next version, or - for standard input
    #[arg(value_name = "file|-")]
    file: Option<String>,
}

/// What is the present version now.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rotated {
    name: String,
    number: u64,
    services: Vec<String>,
}

/// `rotate`
pub(crate) async fn rotate(
    client: &Client,
    kind: &Kind,
    args: RotateArgs,
    io: &mut Io,
) -> Result<(), Failure> {
    let body = match (args.rollback, &args.file) {
        (true, None) => json!({ "Rollback": true }),
        (false, Some(file)) => {
            let data = read(file)
                .map_err(|error| Failure::new(format!("error reading from {file}: {error}")))?;
            json!({ "Data": Payload::from(data) })
        }
        (true, Some(_)) => return Err(Failure::new("--rollback takes no file")),
        (false, None) => {
            let text = format!("a file with the next version of the {}, or --rollback", kind.word);
            return Err(Failure::new(format!("want {text}")));
        }
    };
    let path = format!("/swarmw{}/{}/rotate", kind.path, segment(&args.name));
    let rotated: Rotated = client.post(path).json(&body)?.read().await?;
    let services = match rotated.services.len() {
        0 => "no service has it".to_owned(),
        1 => "1 service takes it".to_owned(),
        n => format!("{n} services take it"),
    };
    io.line(format!("{} is version {} now, {services}", rotated.name, rotated.number))?;
    if args.detach {
        return Ok(());
    }
    let mut failed = Vec::new();
    for id in rotated.services {
        match progress::wait(client, &id, args.quiet, io).await {
            Err(Failure::Output(error)) => return Err(error.into()),
            Err(error) => failed.push(Failure::new(format!("{id}: {error}"))),
            Ok(()) => {}
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}
