//! What plugins did wrong on the leader, written down for all managers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarmw_model::{PluginId, PluginState};
use swarmw_plugin_host::{Incident, PluginHost, What};
use swarmw_state::Change;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::manager::Inner;

/// After an incident could not be written down.
const RETRY: Duration = Duration::from_secs(1);

/// Incidents on their way from whoever called a plugin: of each plugin and kind the
/// newest, so that there are two for a plugin at most, and none crowds out another.
#[derive(Default)]
pub(crate) struct Troubles(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    incidents: Mutex<BTreeMap<(PluginId, What), Incident>>,
    news: Notify,
}

// === impl Troubles ===

impl Troubles {
    /// Those of this host, from now on.
    pub(crate) fn of(policies: &PluginHost) -> Self {
        let troubles = Self::default();
        let waiting = Arc::clone(&troubles.0);
        policies.on_incident(move |incident| {
            warn!(plugin = %incident.name, fault = incident.message, "{}", incident.what);
            waiting.note(incident);
        });
        troubles
    }
}

// === impl Waiting ===

impl Waiting {
    fn note(&self, incident: Incident) {
        // What is set aside is over in minutes, and concerns nobody else.
        if incident.what == What::SetAside {
            return;
        }
        self.incidents().insert((incident.plugin, incident.what), incident);
        self.news.notify_one();
    }

    /// Keeps one that was not written down, unless there is a newer one.
    fn put_back(&self, incident: Incident) {
        self.incidents().entry((incident.plugin, incident.what)).or_insert(incident);
    }

    fn take(&self) -> Vec<Incident> {
        std::mem::take(&mut *self.incidents()).into_values().collect()
    }

    fn incidents(&self) -> MutexGuard<'_, BTreeMap<(PluginId, What), Incident>> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes incidents down while this manager leads. One that does not lead calls
/// plugins as well, for specs it checks: what it learns waits until it leads.
pub(crate) async fn keep(inner: &Arc<Inner>, end: CancellationToken) {
    let waiting = &inner.troubles.0;
    loop {
        let mut again = Duration::MAX;
        for incident in waiting.take() {
            // Another release has done nothing wrong yet.
            let state = inner.log.raft.state();
            let plugin = state.plugin(incident.plugin);
            if plugin.is_none_or(|p| p.release.blob.digest != incident.digest) {
                continue;
            }
            if let Err(why) = inner.log.write(None, change(&incident)).await {
                warn!(plugin = %incident.name, %why, "its trouble was not written down");
                waiting.put_back(incident);
                again = RETRY;
            }
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = waiting.news.notified() => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

fn change(incident: &Incident) -> Change {
    let (id, message) = (incident.plugin, incident.message.clone());
    match incident.what {
        What::Lied => {
            Change::SetPluginState { id, state: PluginState::Quarantined, message, force: true }
        }
        What::BreakerOpened | What::SetAside => {
            Change::PluginTrouble { id, digest: incident.digest.clone(), message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_is_told_however_much_else_goes_wrong() {
        let waiting = Waiting::default();
        let incident = |plugin: u128, what, message: &str| Incident {
            plugin: PluginId::from_bits(plugin),
            name: "a/b".into(),
            digest: "sha256:0".to_owned(),
            what,
            message: message.to_owned(),
        };
        waiting.note(incident(1, What::Lied, "two answers"));
        for number in 0..1_000 {
            waiting.note(incident(1, What::SetAside, &number.to_string()));
            waiting.note(incident(number % 2, What::BreakerOpened, &number.to_string()));
        }
        let taken = waiting.take();
        let told: Vec<_> = taken.iter().map(|i| (i.what, i.message.as_str())).collect();
        let opened = What::BreakerOpened;
        assert_eq!(told, [(opened, "998"), (opened, "999"), (What::Lied, "two answers")]);
        waiting.note(incident(1, opened, "newer"));
        taken.into_iter().for_each(|incident| waiting.put_back(incident));
        let told: Vec<_> = waiting.take().into_iter().map(|i| i.message).collect();
        assert_eq!(told, ["998", "newer", "two answers"]);
    }
}
