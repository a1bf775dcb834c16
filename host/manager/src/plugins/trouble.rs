//! What plugins did wrong on the leader, written down for all managers.

use std::sync::Arc;

use swarmw_model::PluginState;
use swarmw_plugin_host::{Incident, PluginHost, What};
use swarmw_state::Change;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::manager::Inner;

/// Incidents that wait to be written down; of more only the log tells. A plugin makes
/// one in ten minutes.
const QUEUE: usize = 64;

/// Incidents on their way from whoever called a plugin.
pub(crate) struct Troubles(Mutex<mpsc::Receiver<Incident>>);

// === impl Troubles ===

impl Troubles {
    /// Those of this host, from now on.
    pub(crate) fn of(policies: &PluginHost) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        policies.on_incident(move |incident| {
            warn!(plugin = %incident.name, fault = incident.message, "{}", incident.what);
            if sender.try_send(incident).is_err() {
                warn!("too many plugins are in trouble at once to write it all down");
            }
        });
        Self(Mutex::new(receiver))
    }
}

/// Writes incidents down while this manager leads. One that does not lead calls
/// plugins as well, for specs it checks, but the leader will find out by itself.
pub(crate) async fn keep(inner: &Arc<Inner>, end: CancellationToken) {
    let mut incidents = inner.troubles.0.lock().await;
    loop {
        let incident = tokio::select! {
            () = end.cancelled() => return,
            incident = incidents.recv() => match incident {
                Some(incident) => incident,
                None => return,
            },
        };
        let name = incident.name.clone();
        if let Err(why) = inner.log.write(None, change(incident)).await {
            warn!(plugin = %name, %why, "its trouble was not written down");
        }
    }
}

fn change(incident: Incident) -> Change {
    let Incident { plugin: id, digest, message, what, .. } = incident;
    match what {
        What::BreakerOpened => Change::PluginTrouble { id, digest, message },
        What::Lied => {
            Change::SetPluginState { id, state: PluginState::Quarantined, message, force: true }
        }
    }
}
