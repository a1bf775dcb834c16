//! What the leader gave this node, in memory only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarmw_model::{Config, ConfigId, Payload, Secret, SecretId};
use tokio::sync::watch;

/// The secrets and configs that the node's tasks need.
#[derive(Debug)]
pub(crate) struct Vault {
    held: Mutex<Held>,
    /// Whether a leader has told all of it since the daemon began.
    whole: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Held {
    now: Known,
    /// What a session has told so far that has not told all yet.
    next: Option<Known>,
    /// For a step that needs it though no task here does.
    lent: HashMap<SecretId, Payload>,
}

#[derive(Debug, Default)]
struct Known {
    secrets: HashMap<SecretId, Secret>,
    configs: HashMap<ConfigId, Config>,
}

/// A change of what the node has.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) secrets: Vec<Secret>,
    pub(crate) configs: Vec<Config>,
    pub(crate) remove_secrets: Vec<SecretId>,
    pub(crate) remove_configs: Vec<ConfigId>,
}

/// Secrets that are here until this is dropped.
pub(crate) struct Lent<'v> {
    vault: &'v Vault,
    ids: Vec<SecretId>,
}

// === impl Vault ===

impl Default for Vault {
    fn default() -> Self {
        Self { held: Mutex::default(), whole: watch::Sender::new(false) }
    }
}

impl Vault {
    /// A session begins: what it tells until [`Vault::settle`] is all there is.
    pub(crate) fn begin(&self) {
        self.held().next = Some(Known::default());
    }

    /// The leader's word.
    pub(crate) fn learn(&self, change: Change) {
        let mut held = self.held();
        let held = &mut *held;
        let known = held.next.as_mut().unwrap_or(&mut held.now);
        known.secrets.extend(change.secrets.into_iter().map(|s| (s.id, s)));
        known.configs.extend(change.configs.into_iter().map(|c| (c.id, c)));
        change.remove_secrets.iter().for_each(|id| drop(known.secrets.remove(id)));
        change.remove_configs.iter().for_each(|id| drop(known.configs.remove(id)));
    }

    /// The session has told all of it.
    pub(crate) fn settle(&self) {
        let mut held = self.held();
        if let Some(next) = held.next.take() {
            held.now = next;
        }
        drop(held);
        self.whole.send_replace(true);
    }

    /// Returns once a leader has told all of it.
    pub(crate) async fn whole(&self) {
        // The sender lives as long as we do.
        let _ = self.whole.subscribe().wait_for(|whole| *whole).await;
    }

    /// A secret, if the node has it.
    pub(crate) fn secret(&self, id: SecretId) -> Option<Secret> {
        self.held().now.secrets.get(&id).cloned()
    }

    /// A config, if the node has it.
    pub(crate) fn config(&self, id: ConfigId) -> Option<Config> {
        self.held().now.configs.get(&id).cloned()
    }

    /// A secret's bytes for a volume's driver.
    pub(crate) fn for_volume(&self, id: SecretId) -> Option<Payload> {
        let held = self.held();
        let given = held.now.secrets.get(&id).map(|secret| secret.spec.data.clone());
        given.or_else(|| held.lent.get(&id).cloned())
    }

    /// Has secrets here for a while that no task here needs.
    pub(crate) fn lend(&self, secrets: &[Arc<Secret>]) -> Lent<'_> {
        let ids = secrets.iter().map(|secret| secret.id).collect();
        let lent = secrets.iter().map(|secret| (secret.id, secret.spec.data.clone()));
        self.held().lent.extend(lent);
        Lent { vault: self, ids }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut held = self.vault.held();
        self.ids.iter().for_each(|id| drop(held.lent.remove(id)));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use swarmw_model::DataSpec;

    use super::*;

    fn secret(n: u128) -> Secret {
        let spec = DataSpec { data: b"hush".to_vec().into(), ..DataSpec::default() };
        Secret::new(SecretId::from_bits(n), spec)
    }

    fn has(vault: &Vault) -> Vec<u128> {
        (1..5).filter(|n| vault.secret(SecretId::from_bits(*n)).is_some()).collect()
    }

    #[test]
    fn what_a_session_tells_takes_the_place_of_what_the_last_one_told_when_it_is_whole() {
        let vault = Vault::default();
        let learn = |secrets: &[u128], gone: &[u128]| {
            vault.learn(Change {
                secrets: secrets.iter().map(|n| secret(*n)).collect(),
                remove_secrets: gone.iter().map(|n| SecretId::from_bits(*n)).collect(),
                ..Change::default()
            });
        };
        vault.begin();
        learn(&[1, 2], &[]);
        assert_eq!(has(&vault), [0; 0], "not all of it was told");
        assert_eq!(vault.whole().now_or_never(), None);
        vault.settle();
        assert_eq!(has(&vault), [1, 2]);
        assert_eq!(vault.whole().now_or_never(), Some(()));
        learn(&[3], &[1]);
        assert_eq!(has(&vault), [2, 3]);

        vault.begin();
        learn(&[4], &[]);
        assert_eq!(has(&vault), [2, 3], "tasks go on meanwhile");
        vault.settle();
        assert_eq!(has(&vault), [4]);
        vault.settle();
        assert_eq!(has(&vault), [4], "there was nothing new");
    }

    #[test]
    fn what_is_lent_is_no_tasks_and_goes_again() {
        let vault = Vault::default();
        let lent = vault.lend(&[Arc::new(secret(1))]);
        assert_eq!(has(&vault), [0; 0]);
        assert!(vault.for_volume(SecretId::from_bits(1)).is_some());
        drop(lent);
        assert!(vault.for_volume(SecretId::from_bits(1)).is_none());
        assert!(!format!("{:?}", secret(1)).contains("hush"));
    }
}
