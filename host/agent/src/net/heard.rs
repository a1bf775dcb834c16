//! What the leader says of networks, taken in: every node does it, whether its kernel joins
//! containers to networks or its daemon alone leads components to them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use swarmw_model::{NetworkEndpoint, NetworkNews, NodeId, TaskId};
use swarmw_names::Table;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::desire::{is_over, serves};
use super::known::{self, Known};
use super::said::About;
use crate::store::Store;

/// What was heard of networks is written down so often at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What was heard of networks, and the names that come of it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Heard(Arc<Inner>);

struct Inner {
    node: NodeId,
    store: Store,
    /// Parts of the leader's word that have come so far.
    part: Mutex<Option<NetworkNews>>,
    known: watch::Sender<Arc<Known>>,
    names: Arc<ArcSwap<Table>>,
    /// Held while `known` and `names` change.
    turn: Mutex<()>,
    /// Tasks of this node that have ended or are about to…
    ended: watch::Receiver<BTreeSet<TaskId>>,
    /// …and those that have ended.
    over: watch::Receiver<BTreeSet<TaskId>>,
    /// Of the file.
    said: About<()>,
}

// === impl Heard ===

impl Heard {
    /// Goes on with what the node had heard before.
    pub(crate) fn open(
        node: NodeId,
        store: Store,
        (ended, over): (watch::Receiver<BTreeSet<TaskId>>, watch::Receiver<BTreeSet<TaskId>>),
    ) -> Self {
        let known = store.networks();
        let mut names = Table::default();
        names.apply(&known.as_news());
        Self(Arc::new(Inner {
            node,
            store,
            part: Mutex::default(),
            known: watch::Sender::new(Arc::new(known)),
            names: Arc::new(ArcSwap::from_pointee(names)),
            turn: Mutex::default(),
            ended,
            over,
            said: About::default(),
        }))
    }

    /// All that is known.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.0.known.borrow().clone()
    }

    /// Follows it.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Known>> {
        self.0.known.subscribe()
    }

    /// Who is called what.
    pub(crate) fn names(&self) -> Arc<ArcSwap<Table>> {
        self.0.names.clone()
    }

    /// Tasks of this node that have ended, whether the leader has heard of it or not.
    pub(crate) fn ended(&self) -> watch::Receiver<BTreeSet<TaskId>> {
        self.0.ended.clone()
    }

    /// What the leader says. What it says in parts counts when the last one is here: until
    /// then everything stays as it was. Whether something may be otherwise now.
    pub(crate) fn learn(&self, news: NetworkNews) -> bool {
        let news = {
            let mut part = self.0.part.lock().unwrap_or_else(PoisonError::into_inner);
            known::whole(&mut part, news)
        };
        let Some(news) = news else { return false };
        self.take_in(news);
        true
    }

    /// Takes in a whole word.
    pub(crate) fn take_in(&self, news: NetworkNews) {
        self.take_in_held(&self.turn(), news);
    }

    fn take_in_held(&self, _turn: &MutexGuard<'_, ()>, mut news: NetworkNews) {
        {
            // What ended here serves no more, even if the leader has not heard of it.
            let (ended, over) = (self.0.ended.borrow(), self.0.over.borrow());
            for endpoint in &mut news.endpoints {
                endpoint.serves = serves(endpoint, self.0.node, &ended);
                if is_over(endpoint, self.0.node, &over) {
                    endpoint.names.clear();
                }
            }
        }
        self.0.names.rcu(|table| {
            let mut table = Table::clone(table);
            table.apply(&news);
            table
        });
        self.0.known.send_modify(|known| Arc::make_mut(known).learn(news));
    }

    /// Changes what is known without names that come of it.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Known)) {
        let _turn = self.turn();
        self.0.known.send_modify(|known| change(Arc::make_mut(known)));
    }

    /// Tasks of this node that have ended are found by nobody any more; whether there were
    /// some.
    pub(crate) fn drop_ended(&self, ended: &BTreeSet<TaskId>) -> bool {
        let turn = self.turn();
        let known = self.known();
        let (node, over) = (self.0.node, self.0.over.borrow().clone());
        let is_otherwise = |endpoint: &&NetworkEndpoint| {
            endpoint.serves && !serves(endpoint, node, ended)
                || !endpoint.names.is_empty() && is_over(endpoint, node, &over)
        };
        let mut gone: Vec<_> = known.endpoints.values().filter(is_otherwise).cloned().collect();
        if gone.is_empty() {
            return false;
        }
        gone.iter_mut().for_each(|endpoint| endpoint.serves = serves(endpoint, node, ended));
        self.take_in_held(&turn, NetworkNews { endpoints: gone, ..NetworkNews::default() });
        true
    }

    /// Follows the node's own tasks and writes down what is heard, until cancelled: on a
    /// node whose kernel joins nobody.
    pub(crate) async fn keep(self, cancel: CancellationToken) {
        let mut ended = self.ended();
        let follow = async {
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    Ok(()) = ended.changed() => {
                        let ended = ended.borrow_and_update().clone();
                        self.drop_ended(&ended);
                    }
                }
            }
        };
        tokio::join!(follow, self.write_down(&cancel));
    }

    /// Writes down what was heard, when it has changed, and not every word of it.
    pub(crate) async fn write_down(&self, cancel: &CancellationToken) {
        let mut known = self.follow();
        known.mark_changed();
        let mut written = None;
        loop {
            tokio::select! {
                () = cancel.cancelled() => {}
                Ok(()) = known.changed() => {}
            }
            let now = known.borrow_and_update().clone();
            if written.as_ref() != Some(&now) {
                match self.write(now.clone()).await {
                    true => written = Some(now),
                    false => known.mark_changed(),
                }
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
        }
    }

    async fn write(&self, known: Arc<Known>) -> bool {
        let store = self.0.store.clone();
        let done = tokio::task::spawn_blocking(move || store.put_networks(&known)).await;
        match done.map_err(std::io::Error::other).and_then(|done| done) {
            Ok(()) => {
                self.0.said.is_over(&());
                true
            }
            Err(error) => {
                if self.0.said.is_news((), &error) {
                    warn!(%error, "what was heard of networks could not be written down");
                }
                false
            }
        }
    }

    /// Held by whoever changes what is known, and the names with it.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
