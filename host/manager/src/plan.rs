//! What would come of writes, before anything is written.

use std::sync::Arc;

use rand::Rng;
use swarmw_model::{Outlook, Refusal, RefusalKind, Wish};
use swarmw_plan::{Asked, foresee, grant};

use crate::manager::Inner;
use crate::plugins;

/// Grants a wish on a copy of the state, has the plugins judge it as they would, and plays the
/// leader's loops on the copy.
pub(crate) async fn plan(inner: &Arc<Inner>, mut wish: Wish) -> Result<Outlook, Refusal> {
    let (now, at) = (inner.log.raft.state(), inner.log.now());
    let then = {
        let mut chance = inner.log.ambient.chance();
        grant(&now, &mut wish, at, &mut || chance.random())?
    };
    for spec in &wish.services {
        let before = now.service_named(&spec.name).map(|service| &service.spec);
        plugins::check(inner, spec, before).await.map_err(|why| Refusal {
            message: format!("service {}: {}", spec.name, why.message),
            ..why
        })?;
    }
    let (policies, ambient) = (inner.policies.trying(), inner.log.ambient.clone());
    tokio::task::spawn_blocking(move || {
        let (mut placement, mut updates) = (policies.clone(), policies);
        let asked = Asked { placement: &mut placement, updates: &mut updates };
        let mut chance = ambient.chance();
        foresee(&now, then, &wish, at, asked, &mut || chance.random())
    })
    .await
    .map_err(|e| Refusal::plain(RefusalKind::Unknown, e.to_string()))
}
