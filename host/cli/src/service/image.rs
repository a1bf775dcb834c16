//! The image argument: a component's file is uploaded, a registry's image is
//! pinned to its digest.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use swarmw_model::{ImageKind, ImageReference, Platform, ServiceSpec, component, no_digest};

use super::flags::ImageFlags;
use crate::client::{Client, ClientError};
use crate::docker_config;
use crate::failure::Failure;

/// Docker's key for its own registry in the client's configuration.
const HUB: &str = "https://index.docker.io/v1/";
/// What a helper program says of a registry that it knows nothing of.
const NO_CREDENTIALS: &str = "credentials not found in native keychain";

/// An image as a spec names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Resolved {
    image: String,
    /// What it runs on; `None` where nobody could say.
    platforms: Option<Vec<Platform>>,
    warning: Option<String>,
}

/// Finds out what `typed` names: uploads it, or asks its registry.
pub(crate) async fn resolve(
    client: &Client,
    typed: &str,
    no_query: bool,
    auth: Option<&str>,
) -> Result<Resolved, Failure> {
    if is_component_file(typed) {
        return upload(client, Path::new(typed)).await;
    }
    let reference = ImageReference::parse(typed);
    if reference.kind() == ImageKind::UploadedComponent {
        return Ok(Resolved {
            image: typed.to_owned(),
            platforms: Some(vec![Platform::wasm()]),
            warning: None,
        });
    }
    let mut resolved = Resolved {
        image: match (reference.tag, reference.digest) {
            // What is no image is the daemon's to refuse, as it was typed.
            (None, None) if reference.is_valid() => format!("{typed}:latest"),
            _ => typed.to_owned(),
        },
        ..Resolved::default()
    };
    if no_query || typed.is_empty() {
        return Ok(resolved);
    }
    match client.distribution(&resolved.image, auth).await {
        Ok(found) if !found.descriptor.digest.is_empty() => {
            if reference.digest.is_none() {
                resolved.image = format!("{}@{}", resolved.image, found.descriptor.digest);
            }
            let platforms: Vec<_> =
                found.platforms.into_iter().flatten().map(Platform::from).collect();
            resolved.platforms = Some(platforms).filter(|platforms| !platforms.is_empty());
        }
        Err(error @ (ClientError::Unreachable(_) | ClientError::Forbidden(_))) => {
            return Err(error.into());
        }
        Ok(_) | Err(_) => resolved.warning = Some(no_digest(&resolved.image)),
    }
    Ok(resolved)
}

// === impl Resolved ===

impl Resolved {
    /// Names the image in a spec; gives the warning to print.
    pub(crate) fn set_in(self, spec: &mut ServiceSpec) -> Option<String> {
        let task = Arc::make_mut(&mut spec.task_template);
        task.container_spec.get_or_insert_default().image = self.image;
        match (self.platforms, &mut task.placement) {
            (Some(platforms), placement) => {
                placement.get_or_insert_default().platforms = platforms;
            }
            // A component's platform would keep the next image from every engine.
            (None, Some(placement)) if placement.platforms == [Platform::wasm()] => {
                placement.platforms.clear();
            }
            (None, _) => {}
        }
        self.warning
    }
}

/// A path, or a bare name, which nobody means an image of Docker's hub by; what has a
/// registry or a folder before it may be an artifact.
fn is_component_file(typed: &str) -> bool {
    typed.ends_with(".wasm")
        && (typed.starts_with(['.', '/']) || !typed.contains('/') || Path::new(typed).is_file())
}

async fn upload(client: &Client, path: &Path) -> Result<Resolved, Failure> {
    let bytes = tokio::fs::read(path).await.map_err(|error| Failure::opening(path, &error))?;
    if let Some(why) = component::not_a_task(&bytes) {
        return Err(Failure::new(format!("{}: {why}", path.display())));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let digest = client.store_blob(bytes.into()).await?;
    Ok(Resolved {
        image: format!("{name}@{digest}"),
        platforms: Some(vec![Platform::wasm()]),
        warning: None,
    })
}

/// The header with the credentials for an image's registry, when they are to be
/// sent; empty credentials where the client has none, as Docker sends them.
pub(super) fn authorization(flags: &ImageFlags, image: &str) -> Result<Option<String>, Failure> {
    match flags.with_registry_auth {
        true => registry_auth(image).map(Some),
        false => Ok(None),
    }
}

/// The header with the credentials that Docker's configuration has for an image's
/// registry.
pub(crate) fn registry_auth(image: &str) -> Result<String, Failure> {
    let config = docker_config::read()?;
    let server = server(image);
    let mut auth = match helper(&config, server) {
        Some(helper) => ask(&format!("docker-credential-{helper}"), server)?,
        None => from_file(&config, server),
    };
    if auth != json!({}) {
        auth["serveraddress"] = server.into();
    }
    Ok(URL_SAFE.encode(auth.to_string()))
}

/// What the configuration calls the registry of an image.
fn server(image: &str) -> &str {
    match ImageReference::parse(image).domain() {
        "docker.io" => HUB,
        domain => domain,
    }
}

/// The program that keeps a registry's credentials, where the configuration names one.
fn helper<'a>(config: &'a Value, server: &str) -> Option<&'a str> {
    let own = config["credHelpers"][server].as_str();
    own.or(config["credsStore"].as_str()).filter(|name| !name.is_empty())
}

/// What a helper program knows of a registry, asked in Docker's protocol.
fn ask(program: &str, server: &str) -> Result<Value, Failure> {
    let failed =
        |why: String| Failure::new(format!("error getting credentials from {program}: {why}"));
    let told = |error: std::io::Error| failed(error.to_string());
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(told)?;
    if let Some(mut input) = child.stdin.take()
        && let Err(error) = input.write_all(server.as_bytes())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(told(error));
    }
    let output = child.wait_with_output().map_err(told)?;
    let said = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), said.trim()) {
        (true, _) => {}
        (false, NO_CREDENTIALS) => return Ok(json!({})),
        (false, why) => return Err(failed(why.to_owned())),
    }
    let answer: Value =
        serde_json::from_str(&said).map_err(|why| failed(format!("no JSON: {why}")))?;
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    Ok(match text("Username").as_str() {
        "" => json!({}),
        "<token>" => json!({"identitytoken": text("Secret")}),
        user => json!({"username": user, "password": text("Secret")}),
    })
}

/// What the configuration itself holds for a registry.
fn from_file(config: &Value, server: &str) -> Value {
    let entry = &config["auths"][server];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pair = STANDARD
        .decode(text(&entry["auth"]).trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let (user, password) = pair.split_once(':').unwrap_or(("", ""));
    let mut auth = json!({});
    for (field, value) in [
        ("username", user.to_owned()),
        ("password", password.trim_end_matches('\0').to_owned()),
        ("identitytoken", text(&entry["identitytoken"])),
    ] {
        if !value.is_empty() {
            auth[field] = value.into();
        }
    }
    auth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_images_registry() {
        let config = json!({"auths": {
            HUB: {"auth": STANDARD.encode("me:secret")},
            "reg.example:5000": {"identitytoken": "tok"},
        }});
        let read = |image| from_file(&config, server(image));
        assert_eq!(read("redis:7"), json!({"username": "me", "password": "secret"}));
        assert_eq!(read("reg.example:5000/a/b"), json!({"identitytoken": "tok"}));
        assert_eq!(read("ghcr.io/x"), json!({}));
    }

    #[test]
    fn a_helper_program_is_asked_where_the_configuration_names_one() {
        let config = json!({"credsStore": "all", "credHelpers": {"reg.example": "own"}});
        assert_eq!(helper(&config, "reg.example"), Some("own"));
        assert_eq!(helper(&config, HUB), Some("all"));
        assert_eq!(helper(&json!({"credsStore": ""}), HUB), None);

        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("helper");
        let said = |script: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(&program, mode).expect("a program");
            let answer = ask(&program.to_string_lossy(), "reg.example");
            answer.map_err(|why| why.to_string())
        };
        let user = r#"echo "{\"Username\":\"$1\",\"Secret\":\"$(cat)\"}""#;
        assert_eq!(said(user), Ok(json!({"username": "get", "password": "reg.example"})));
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(said(token), Ok(json!({"identitytoken": "t"})));
        assert_eq!(said(&format!("echo '{NO_CREDENTIALS}'; exit 1")), Ok(json!({})));
        let why = said("echo locked; exit 1").expect_err("refused");
        assert!(why.starts_with("error getting credentials from ") && why.ends_with(": locked"));
    }

    #[test]
    fn only_files_of_components_are_uploaded() {
        assert!(is_component_file("./x.wasm"));
        assert!(is_component_file("/tmp/x.wasm"));
        assert!(is_component_file("nowhere-to-be-found.wasm"));
        assert!(!is_component_file("registry.example/x.wasm"));
        assert!(!is_component_file("x.wasm:1"));
        assert!(!is_component_file("./x.tar"));
        assert!(!is_component_file("redis"));
    }

    #[test]
    fn the_warning_has_dockers_five_lines() {
        assert_eq!(format!("{}\n", no_digest("busybox:latest")).lines().count(), 5);
    }
}
