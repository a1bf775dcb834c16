//! Queries of update policies, under way.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use swarmw_orchestrator::Query;

/// Asks for the number that a query names; the error is one line for people. How it
/// is asked is not this room's business.
pub type Observer = Arc<dyn Fn(&Query) -> BoxFuture<'static, Result<f64, String>> + Send + Sync>;

/// The most queries under way; more are answered with an error at once.
const QUERIES_MAX: usize = 64;

/// A query, and what it was told.
type Answered = (Query, Result<f64, String>);

/// What is being asked.
pub(crate) struct Queries {
    observer: Observer,
    under_way: FuturesUnordered<BoxFuture<'static, Answered>>,
}

// === impl Queries ===

impl Queries {
    pub(crate) fn new(observer: Observer) -> Self {
        Self { observer, under_way: FuturesUnordered::new() }
    }

    /// Begins to ask.
    pub(crate) fn ask(&mut self, query: Query) {
        if self.under_way.len() >= QUERIES_MAX {
            let told = Err(format!("{QUERIES_MAX} queries are under way already"));
            self.under_way.push(Box::pin(std::future::ready((query, told))));
            return;
        }
        let asked = (self.observer)(&query);
        self.under_way.push(Box::pin(async move { (query, asked.await) }));
    }

    /// The next answer; never, while nothing is asked.
    pub(crate) async fn next(&mut self) -> Answered {
        match self.under_way.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }
}
