//! `swarmw context install`: the docker client as a client of this daemon.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::ClientArgs;
use crate::client::{CERTIFICATES_VARIABLE, Host};
use crate::docker_config;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;

/// What the context is called unless one says otherwise.
const NAME: &str = "swarmw";
/// The context that Docker's client always has.
const RESERVED: &str = "default";

/// `context …`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum ContextCommand {
    /// Make a context of the docker client that leads to this daemon
    #[command(override_usage = "swarmw context install [OPTIONS] [CONTEXT]")]
    Install(InstallArgs),
}

/// `context install`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct InstallArgs {
    /// Replace a context of this name
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Description of the context
    #[arg(long, value_name = "string", default_value = "A cluster of swarmw")]
    description: String,
    /// What it is called; swarmw unless said otherwise
    #[arg(value_name = "CONTEXT", default_value = NAME, hide_default_value = true)]
    name: String,
}

pub(crate) fn run(
    client: &ClientArgs,
    command: ContextCommand,
    io: &mut Io,
) -> Result<(), Failure> {
    let ContextCommand::Install(args) = command;
    let host = Host::find(client.host.as_deref()).map_err(|e| Failure::new(e.to_string()))?;
    let folder = docker_config::folder().ok_or_else(|| {
        Failure::new("no folder for contexts: neither DOCKER_CONFIG nor HOME is set")
    })?;
    let certificates = match &host {
        Host::Tcp(_) => {
            let named = std::env::var_os(CERTIFICATES_VARIABLE).filter(|named| !named.is_empty());
            client.tls.files(named.map(PathBuf::from))
        }
        Host::Unix(_) => None,
    };
    install(&folder, &args, &host, certificates)?;
    io.line(&args.name)?;
    io.warn(format_args!("Successfully created context \"{}\"", args.name))?;
    io.warn(format_args!(
        "Use it with `docker --context {name} …`, or for good with `docker context use {name}`.",
        name = args.name
    ))?;
    Ok(())
}

/// Writes what `docker context create` would write.
fn install(
    folder: &Path,
    args: &InstallArgs,
    host: &Host,
    certificates: Option<[PathBuf; 3]>,
) -> Result<(), Failure> {
    check_name(&args.name)?;
    let digest: String =
        Sha256::digest(&args.name).iter().map(|byte| format!("{byte:02x}")).collect();
    let meta = folder.join("contexts/meta").join(&digest);
    let tls = folder.join("contexts/tls").join(&digest);
    if meta.exists() && !args.force {
        return Err(Failure::new(format!(
            "context \"{}\" already exists: replace it with --force",
            args.name
        )));
    }
    // Of a context that is replaced, no certificate may stay.
    if tls.exists() {
        std::fs::remove_dir_all(&tls).map_err(|error| failed(&tls, &error))?;
    }
    if let Some(files) = certificates {
        for (from, name) in files.iter().zip(["ca.pem", "cert.pem", "key.pem"]) {
            let bytes = std::fs::read(from).map_err(|error| Failure::opening(from, &error))?;
            write(&tls.join("docker").join(name), &bytes)?;
        }
    }
    let context = json!({
        "Name": args.name,
        "Metadata": {"Description": args.description},
        "Endpoints": {"docker": {"Host": host.to_string(), "SkipTLSVerify": false}},
    });
    write(&meta.join("meta.json"), context.to_string().as_bytes())
}

/// As Docker's client has them.
fn check_name(name: &str) -> Result<(), Failure> {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || b"_.+-".contains(&b));
    match name {
        RESERVED => Err(Failure::new("\"default\" is a reserved context name")),
        name if begins && goes_on && name.len() > 1 => Ok(()),
        name => Err(Failure::new(format!(
            "context name {name:?} is invalid, names are validated against regexp \
             \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        ))),
    }
}

/// Only its owner may read it: there are keys among them.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let parent = path.parent().unwrap_or(path);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(|error| failed(parent, &error))?;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, force: bool) -> InstallArgs {
        InstallArgs { force, description: "d".into(), name: name.into() }
    }

    #[test]
    fn a_context_is_what_docker_reads_and_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Host::Unix("/run/swarmw.sock".into());
        install(folder.path(), &args("swarmw", false), &host, None).expect("made");
        // Docker's folder of a context is the hash of its name.
        let meta = folder
            .path()
            .join("contexts/meta")
            .join("cdc06cf35501d7e4c126d0af9523bcd217c97f8487b474f6a4e4461a5fb75d2c")
            .join("meta.json");
        let text = std::fs::read_to_string(&meta).expect("a file");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["Endpoints"]["docker"]["Host"], "unix:///run/swarmw.sock");
        assert_eq!(
            (&json["Name"], &json["Metadata"]["Description"]),
            (&"swarmw".into(), &"d".into())
        );

        let again = install(folder.path(), &args("swarmw", false), &host, None).unwrap_err();
        assert_eq!(again.to_string(), "context \"swarmw\" already exists: replace it with --force");
        let other = Host::Tcp("10.0.0.1:2375".into());
        install(folder.path(), &args("swarmw", true), &other, None).expect("replaced");
        let text = std::fs::read_to_string(&meta).expect("a file");
        assert!(text.contains("tcp://10.0.0.1:2375"), "{text}");
    }

    #[test]
    fn certificates_go_with_it_and_with_it_they_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["ca", "cert", "key"].map(|name| folder.path().join(name));
        for file in &files {
            std::fs::write(file, file.to_string_lossy().as_bytes()).expect("written");
        }
        let host = Host::Tcp("10.0.0.1:2376".into());
        install(folder.path(), &args("a.b", false), &host, Some(files)).expect("made");
        let tls = folder.path().join("contexts/tls");
        let keys =
            || walk(&tls).into_iter().filter(|path| path.ends_with("docker/key.pem")).count();
        assert_eq!(keys(), 1);
        install(folder.path(), &args("a.b", true), &host, None).expect("replaced");
        assert_eq!(keys(), 0);
    }

    fn walk(folder: &Path) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries
            .map(|entry| entry.expect("an entry").path())
            .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
            .collect()
    }

    #[test]
    fn names_are_dockers() {
        for name in ["default", "", "a", "-a", "a/b", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("swarmw-2.x+y_z").expect("a name");
    }
}
