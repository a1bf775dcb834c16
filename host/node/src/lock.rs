//! The lock on a manager's files: what the cluster says it is, it becomes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use swarmw_manager::{Lock, Manager};
use swarmw_model::UnlockKey;
use tracing::{info, warn};

use crate::member::{Member, RETRY};

impl Member {
    /// What unlocks this node's files, where they are locked.
    pub async fn unlock_key(&self) -> Option<UnlockKey> {
        self.keys.lock().await.unlock_key().cloned()
    }

    /// Becomes a manager, and locks its files as the cluster has told already.
    pub(crate) fn take_office(&self, manager: Manager) {
        self.manager.store(Some(Arc::new(manager)));
        self.lock.send_modify(|_| ());
    }

    /// Follows what this node's manager is told.
    pub(crate) async fn keep_locked(self: Arc<Self>) {
        let mut lock = self.lock.subscribe();
        loop {
            let told = lock.borrow_and_update().clone();
            let done = tokio::select! {
                () = self.cancel.cancelled() => return,
                done = self.be_locked(&told) => done,
            };
            let pause = match done {
                Ok(()) => Duration::MAX,
                Err(e) => {
                    warn!(error = %format!("{e:#}"), "the lock is not as the cluster wants it yet");
                    RETRY
                }
            };
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                changed = lock.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn be_locked(&self, told: &Lock) -> Result<()> {
        if self.put_lock(told).await? {
            self.seal_anew().await?;
        }
        self.take_lock_off(told).await
    }

    /// Puts the lock on, or another one, where that is news; whether something is to be
    /// sealed anew. The private key comes first: no manager has it in the open beside a lock.
    async fn put_lock(&self, told: &Lock) -> Result<bool> {
        let mut keys = self.keys.lock().await;
        // A worker locks nothing. One that was just demoted has put its manager away before
        // it asks for the keyring.
        if self.manager().is_none() {
            return Ok(false);
        }
        if let Some(key) = told.key.as_ref().filter(|_| keys.is_behind(told)) {
            let credentials = self.tls.credentials();
            credentials.save(&self.certificates(), Some(&keys.seal()))?;
            keys.lock(key, told.version)?;
            info!("this manager's files are locked by the cluster's unlock key");
        }
        Ok(keys.is_worn())
    }

    /// Replaces what was in the open before the lock: the certificate's key, and the one
    /// that sealed the log.
    async fn seal_anew(&self) -> Result<()> {
        let Some(manager) = self.manager() else { return Ok(()) };
        self.renew().await?;
        manager.reseal().await?;
        self.keys.lock().await.renewed()
    }

    async fn take_lock_off(&self, told: &Lock) -> Result<()> {
        let mut keys = self.keys.lock().await;
        if self.manager().is_some() && told.key.is_none() && keys.is_behind(told) {
            keys.unlock(told.version)?;
            self.tls.credentials().save(&self.certificates(), None)?;
            info!("this manager's files are not locked any more");
        }
        Ok(())
    }

    /// A worker has nothing to lock: its node starts by itself. The private key comes first:
    /// the keyring that begins anew opens nothing that was sealed before.
    pub(crate) async fn drop_lock(&self) -> Result<()> {
        let mut keys = self.keys.lock().await;
        if keys.unlock_key().is_some() {
            self.tls.credentials().save(&self.certificates(), None)?;
            keys.reset()?;
            // Promoted again it hears what is so then.
            self.lock.send_replace(Lock::default());
        }
        Ok(())
    }
}
