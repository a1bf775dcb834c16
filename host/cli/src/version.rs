//! `swarmw version`: this program's, and what the daemon says of itself and its engine.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::failure::Failure;
use crate::inspect::{Look, one};
use crate::io::Io;
use crate::shape::VERSION_INFO;

/// `version`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct VersionArgs {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

/// A daemon that does not answer is an error; what is known without it is shown first.
pub(crate) async fn run(client: &Client, args: &VersionArgs, io: &mut Io) -> Result<(), Failure> {
    let (server, failed) = match client.get("/version").read::<Map<String, Value>>().await {
        Ok(told) => (Value::Object(told), None),
        Err(error) => (Value::Null, Some(error)),
    };
    let whole = versions(server);
    match args.format.as_deref().unwrap_or_default() {
        "" => io.text(&plain(&whole))?,
        format => io.line(one(format, Look::typed(&VERSION_INFO), &whole.to_string())?)?,
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Both sides. Requests name no version of the API: each is in the daemon's newest.
fn versions(server: Value) -> Value {
    let api = server["ApiVersion"].as_str().unwrap_or_default();
    json!({
        "Client": {
            "Version": env!("CARGO_PKG_VERSION"),
            "ApiVersion": api,
            "DefaultAPIVersion": api,
            "Os": std::env::consts::OS,
            "Arch": match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        },
        "Server": server,
    })
}

/// For people.
fn plain(whole: &Value) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, &whole["Client"], &whole["Server"]);
    out
}

fn write(out: &mut String, client: &Value, server: &Value) -> fmt::Result {
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    writeln!(out, "Client: swarmw")?;
    line(out, 1, "Version", &text(client, "Version"))?;
    line(out, 1, "API version", &text(client, "ApiVersion"))?;
    line(out, 1, "OS/Arch", &format!("{}/{}", text(client, "Os"), text(client, "Arch")))?;
    if !server.is_object() {
        return Ok(());
    }
    let platform = text(&server["Platform"], "Name");
    writeln!(out, "\n{}", format!("Server: {platform}").trim_end())?;
    for component in server["Components"].as_array().into_iter().flatten() {
        writeln!(out, " {}:", text(component, "Name"))?;
        line(out, 2, "Version", &text(component, "Version"))?;
        details(out, &component["Details"])?;
    }
    Ok(())
}

/// What a component says of itself beside its version.
fn details(out: &mut String, details: &Value) -> fmt::Result {
    let text = |key: &str| details[key].as_str().unwrap_or_default();
    let api = match (text("ApiVersion"), text("MinAPIVersion")) {
        (newest, "") => newest.to_owned(),
        (newest, oldest) => format!("{newest} (minimum version {oldest})"),
    };
    line(out, 2, "API version", &api)?;
    line(out, 2, "Go version", text("GoVersion"))?;
    line(out, 2, "Git commit", text("GitCommit"))?;
    line(out, 2, "Built", text("BuildTime"))?;
    let machine = format!("{}/{}", text("Os"), text("Arch"));
    line(out, 2, "OS/Arch", machine.trim_matches('/'))?;
    line(out, 2, "Experimental", text("Experimental"))
}

/// A name and its value in the column of Docker's client; nothing where there is no value.
fn line(out: &mut String, depth: usize, name: &str, value: &str) -> fmt::Result {
    let blanks = " ".repeat(depth);
    let name = format!("{blanks}{name}:");
    match value {
        "" => Ok(()),
        value => writeln!(out, "{name:<20}{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Value {
        versions(json!({
            "Platform": {"Name": "Docker Engine"}, "Version": "20.10.24", "ApiVersion": "1.47",
            "MinAPIVersion": "1.24",
            "Components": [
                {"Name": "Engine", "Version": "20.10.24", "Details": {"ApiVersion": "1.41",
                    "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64",
                    "Experimental": "false"}},
                {"Name": "runc", "Version": "1.1.5", "Details": {"GitCommit": "abc"}},
            ],
        }))
    }

    #[test]
    fn both_sides_read_as_dockers() {
        let shown = plain(&whole());
        let (client, server) = shown.split_once("\n\n").expect("two sides");
        let own = env!("CARGO_PKG_VERSION");
        let begins = format!(
            "Client: swarmw\n Version:           {own}\n API version:       1.47\n OS/Arch:           "
        );
        assert!(client.starts_with(&begins), "{client}");
        let want = "Server: Docker Engine
 Engine:
  Version:          20.10.24
  API version:      1.41 (minimum version 1.12)
  OS/Arch:          linux/amd64
  Experimental:     false
 runc:
  Version:          1.1.5
  Git commit:       abc
";
        assert_eq!(server, want);
    }

    #[test]
    fn templates_have_the_types_of_dockers_client_and_no_server_is_none() {
        let show = |whole: &Value, format: &str| {
            let shown = one(format, Look::typed(&VERSION_INFO), &whole.to_string());
            shown.map_err(|error| error.to_string())
        };
        let whole = whole();
        for (format, want) in [
            ("{{.Server.Version}} {{.Server.APIVersion}}", "20.10.24 1.47"),
            (
                "{{.Client.Version}} {{.Client.APIVersion}}",
                concat!(env!("CARGO_PKG_VERSION"), " 1.47"),
            ),
            ("{{range .Server.Components}}{{.Name}} {{end}}", "Engine runc "),
        ] {
            assert_eq!(show(&whole, format), Ok(want.to_owned()), "{format}");
        }
        let alone = versions(Value::Null);
        assert_eq!(show(&alone, "{{if .Server}}yes{{else}}no{{end}}"), Ok("no".to_owned()));
        assert!(!plain(&alone).contains("Server"));
    }
}
