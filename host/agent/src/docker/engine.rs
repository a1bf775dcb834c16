//! The node's engine: a client while it answers, and the bell that wakes those who
//! wait for something to change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use swarmw_model::{ApiVersion, TaskId};
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use super::failure::Failure;

/// The longest that one call may take, but for those that name their own.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(120);
/// The longest that an engine may take to say that it is there.
pub(super) const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How long a task's step waits for an engine that is away before it fails.
const AWAY_PATIENCE: Duration = Duration::from_secs(30);
/// Between tries of a step, when the engine answers but broke off the call.
const RETRY: Duration = Duration::from_secs(1);
/// Events that a waiting task may be behind; beyond, it looks anew, which is all
/// that an event would have made it do.
const RINGS: usize = 1024;
/// Who waits looks by itself so often: an engine keeps only its last events.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

/// Whether the engine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not asked yet.
    Unknown,
    /// It answers; the number counts how often it came.
    Up(u64),
    /// It does not.
    Away(String),
}

/// What an engine that answers is asked by.
struct Client {
    docker: Docker,
    /// The oldest version of its API that the engine answers.
    oldest: ApiVersion,
}

/// The node's Docker engine.
pub(crate) struct Engine {
    socket: PathBuf,
    client: ArcSwapOption<Client>,
    standing: watch::Sender<Standing>,
    /// The task that something happened to; `None` for possibly all.
    bell: broadcast::Sender<Option<TaskId>>,
}

/// Wakes one task when something may have happened to it.
pub(super) struct Wake {
    task: TaskId,
    bell: broadcast::Receiver<Option<TaskId>>,
}

// === impl Engine ===

impl Engine {
    /// An engine that nobody has asked yet.
    pub(crate) fn new(socket: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            socket,
            client: ArcSwapOption::empty(),
            standing: watch::Sender::new(Standing::Unknown),
            bell: broadcast::Sender::new(RINGS),
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Follows whether it answers.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Whether it answered when it was last asked.
    pub(super) fn is_answering(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Up(_))
    }

    /// A new client, in the newest version that both sides speak.
    pub(super) async fn connect(&self) -> Result<Docker, Failure> {
        let path = self.socket.to_string_lossy();
        let hello = async {
            let docker =
                Docker::connect_with_unix(&path, HELLO_DEADLINE.as_secs(), API_DEFAULT_VERSION)?
                    .negotiate_version()
                    .await?;
            let oldest = docker.version().await?.min_api_version;
            Ok::<_, Error>((docker, oldest))
        };
        let (docker, oldest) = timeout(HELLO_DEADLINE, hello)
            .await
            .unwrap_or(Err(Error::RequestTimeoutError))
            .map_err(|e| Failure::of(&self.socket, e))?;
        let docker = docker.with_timeout(CALL_DEADLINE);
        // One that names none answers whatever was before.
        let oldest = oldest.as_deref().and_then(ApiVersion::parse).unwrap_or(ApiVersion::v1(0));
        self.client.store(Some(Arc::new(Client { docker: docker.clone(), oldest })));
        Ok(docker)
    }

    /// The engine answers: those who wait look anew.
    pub(super) fn is_up(&self, times: u64) {
        self.standing.send_replace(Standing::Up(times));
        self.ring(None);
    }

    /// The version of its API nearest to this one that it answers.
    pub(super) async fn nearest(&self, asked: ApiVersion) -> Result<ApiVersion, Failure> {
        let newest = version(&self.client().await?.client_version());
        let oldest = self.client.load_full().map(|client| client.oldest);
        Ok(asked.max(oldest.unwrap_or(asked)).min(newest))
    }

    async fn client(&self) -> Result<Docker, Failure> {
        match self.client.load_full() {
            Some(client) => Ok(client.docker.clone()),
            None => self.connect().await,
        }
    }

    /// The engine is gone; the next one may speak another version.
    pub(super) fn is_away(&self, why: &Failure) {
        self.client.store(None);
        self.standing.send_replace(Standing::Away(why.to_string()));
    }

    pub(super) fn ring(&self, task: Option<TaskId>) {
        // Nobody may be waiting.
        let _ = self.bell.send(task);
    }

    /// Wakes the holder from now on.
    pub(super) fn wake(&self, task: TaskId) -> Wake {
        Wake { task, bell: self.bell.subscribe() }
    }

    /// One call, with its deadline.
    pub(super) async fn once<T, F>(
        &self,
        deadline: Duration,
        call: impl Fn(Docker) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client().await?;
        timeout(deadline, call(client.with_timeout(deadline)))
            .await
            .unwrap_or(Err(Error::RequestTimeoutError))
            .map_err(|e| Failure::of(&self.socket, e))
    }

    /// One call of a kind that may be made twice; an engine that is away is waited
    /// for, but not for long.
    pub(crate) async fn call<T, F>(&self, call: impl Fn(Docker) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.call_within(CALL_DEADLINE, call).await
    }

    /// See [`Engine::call`].
    pub(super) async fn call_within<T, F>(
        &self,
        deadline: Duration,
        call: impl Fn(Docker) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let give_up = tokio::time::Instant::now() + AWAY_PATIENCE;
        loop {
            match self.once(deadline, &call).await {
                Err(Failure::Away(why)) => {
                    if tokio::time::Instant::now() + RETRY > give_up {
                        return Err(Failure::Away(why));
                    }
                    tokio::time::sleep(RETRY).await;
                }
                answer => return answer,
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// In our words. What the engine writes for its version has few digits.
pub(super) fn version(spoken: &ClientVersion) -> ApiVersion {
    let number = |part: usize| u32::try_from(part).unwrap_or(u32::MAX);
    ApiVersion { major: number(spoken.major_version), minor: number(spoken.minor_version) }
}

// === impl Wake ===

impl Wake {
    /// Returns when the task may have changed. What rang since the holder began to
    /// listen, or since the last call, counts.
    pub(super) async fn changed(&mut self) {
        use broadcast::error::RecvError;
        let heard = async {
            loop {
                match self.bell.recv().await {
                    Ok(Some(task)) if task != self.task => {}
                    // The engine outlives who waits for it.
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        // Looking once more than needed is harmless.
        let _ = timeout(LOOK_ANYWAY, heard).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_waiting_task_hears_its_own_bell_and_the_one_for_all() {
        let engine = Engine::new("/nowhere.sock".into());
        let (own, other) = (TaskId::from_bits(1), TaskId::from_bits(2));
        let mut wake = engine.wake(own);
        let begun = tokio::time::Instant::now();

        engine.ring(Some(own));
        wake.changed().await;
        engine.ring(None);
        wake.changed().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "what rang before the wait counts");

        engine.ring(Some(other));
        wake.changed().await;
        assert_eq!(begun.elapsed(), LOOK_ANYWAY, "another task's bell is not heard");
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_is_waited_for_but_not_for_long() {
        let engine = Engine::new("/nowhere.sock".into());
        let begun = tokio::time::Instant::now();

        let failed = engine.call(|docker| async move { docker.ping().await }).await;

        assert!(matches!(failed, Err(Failure::Away(_))), "{failed:?}");
        assert!((AWAY_PATIENCE - RETRY..=AWAY_PATIENCE).contains(&begun.elapsed()));
    }
}
