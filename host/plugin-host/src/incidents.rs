//! What the cluster should know of a plugin that did wrong: told once, to whoever
//! listens on this manager.

use std::fmt;
use std::sync::{Arc, OnceLock};

use swarmw_model::PluginId;

/// Something that changes how a plugin stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The plugin.
    pub plugin: PluginId,
    /// Its name.
    pub name: Arc<str>,
    /// Digest of the release that did it.
    pub digest: String,
    /// What.
    pub what: What,
    /// Which call, and what it did.
    pub message: String,
}

/// How a plugin's standing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It failed too often and is not called for a while.
    BreakerOpened,
    /// It failed one question too often, which is not asked for a while.
    SetAside,
    /// It gave two answers to one question.
    Lied,
}

type Listener = Box<dyn Fn(Incident) + Send + Sync>;

/// Who is told.
#[derive(Default)]
pub struct Incidents(OnceLock<Listener>);

// === impl Incidents ===

impl Incidents {
    /// Tells this one from now on; the first listener stays.
    pub fn listen(&self, listener: impl Fn(Incident) + Send + Sync + 'static) {
        // A second listener has no use: a host has one daemon.
        let _ = self.0.set(Box::new(listener));
    }

    /// Tells it.
    pub fn tell(&self, incident: Incident) {
        if let Some(listener) = self.0.get() {
            listener(incident);
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BreakerOpened => "its breaker opened",
            Self::SetAside => "what it fails at is set aside",
            Self::Lied => "it is quarantined",
        })
    }
}
