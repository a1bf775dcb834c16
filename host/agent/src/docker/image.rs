//! A task's image: here already, or pulled from its registry.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use http::HeaderValue;
use swarmw_model::{Assignment, ImageReference};
use swarmw_registry::CredentialHelpers;
use tokio::sync::Semaphore;
use tracing::info;

use super::engine::{CALL_DEADLINE, Engine};
use super::failure::Failure;
use crate::credentials::Login;
use crate::executor::TaskError;

/// A pull that says nothing for so long has failed.
const PULL_SILENCE: Duration = Duration::from_secs(300);
/// Pulls at a time; further ones wait their turn.
const PULLS_MAX: usize = 4;

/// Gets images of tasks.
pub(super) struct Pulls {
    turns: Semaphore,
    helpers: CredentialHelpers,
}

// === impl Pulls ===

impl Pulls {
    /// Pulls with credentials of these programs, where there are some.
    pub(super) fn new(helpers: CredentialHelpers) -> Self {
        Self { turns: Semaphore::new(PULLS_MAX), helpers }
    }

    /// Makes sure that the engine has a task's image. A registry is asked only for what
    /// the engine does not have: a digest names one content for ever, and an image
    /// without one is what the user asked not to resolve, or could not be.
    pub(super) async fn ensure(
        &self,
        engine: &Engine,
        image: &str,
        task: &Assignment,
    ) -> Result<(), TaskError> {
        match present(engine, image).await {
            Ok(()) => return Ok(()),
            Err(failure) if !failure.is_not_found() => return Err(failure.into()),
            Err(_) => {}
        }
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        // A task of the same image may have pulled it meanwhile.
        if present(engine, image).await.is_ok() {
            return Ok(());
        }
        let login = Login::of(&self.helpers, image, task).await;
        let auth = login.header.as_str();
        info!(image, "pulling an image");
        let pulled =
            engine.call_within(Duration::MAX, move |docker| pull(docker, image, auth)).await;
        match pulled {
            Ok(()) => Ok(()),
            Err(Failure::Away(why)) => Err(TaskError(why)),
            Err(failure) => {
                let why = login.explain(&failure.to_string());
                Err(TaskError(format!("No such image: {image}: {why}")))
            }
        }
    }
}

async fn present(engine: &Engine, image: &str) -> Result<(), Failure> {
    engine
        .call(move |docker: Docker| async move { docker.inspect_image(image).await.map(drop) })
        .await
}

async fn pull(docker: Docker, image: &str, auth: &str) -> Result<(), Error> {
    let reference = ImageReference::parse(image);
    // Without a tag an engine would pull all of them.
    let named = reference.tag.is_some() || reference.digest.is_some();
    let from = if named { image.to_owned() } else { format!("{image}:latest") };
    let options = CreateImageOptions { from_image: Some(from), ..Default::default() };
    let docker = with_auth(docker, auth).with_timeout(CALL_DEADLINE);
    let mut progress = std::pin::pin!(docker.create_image(Some(options), None, None));
    loop {
        match tokio::time::timeout(PULL_SILENCE, progress.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(error),
            Ok(None) => return Ok(()),
            Err(_) => {
                let error = format!("the pull made no progress in {} s", PULL_SILENCE.as_secs());
                return Err(Error::DockerStreamError { error });
            }
        }
    }
}

/// The client's own header goes to the engine as it came: engines disagree with
/// libraries about the flavour of base64.
fn with_auth(docker: Docker, auth: &str) -> Docker {
    match HeaderValue::from_str(auth) {
        Ok(mut auth) if !auth.is_empty() => {
            // Whoever logs requests does not log this.
            auth.set_sensitive(true);
            docker.with_request_modifier(move |mut request| {
                request.headers_mut().insert("x-registry-auth", auth.clone());
                request
            })
        }
        _ => docker,
    }
}
