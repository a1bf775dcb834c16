//! Who plans: the driver's component, whose steps are then checked.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use swarmw_model::Payload;
use swarmw_plugin_host::volumes::Measure;

use super::action::Action;
use super::check::Phase;
use super::record::size_of;
use super::wanted::Wanted;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlan {
    /// Not now, and why: it is asked again after this time.
    #[error("{1}")]
    Retry(Duration, String),
    /// For people.
    #[error("{0}")]
    Failed(String),
}

/// Makes plans.
pub(crate) trait Planner: Send + Sync + 'static {
    /// The checked steps for a volume.
    fn plan<'a>(
        &'a self,
        phase: Phase,
        volume: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Action>, NoPlan>>;

    /// How the bytes that the volume takes are found.
    fn measure<'a>(&'a self, _volume: &'a Wanted) -> BoxFuture<'a, Result<Measure, NoPlan>> {
        async { Ok(Measure::Unknown) }.boxed()
    }

    /// How many bytes the volume has, as far as its options say.
    fn size(&self, volume: &Wanted) -> Option<u64> {
        size_of(&volume.options)
    }

    /// What the volume's secrets are, by the names that plans have for them; without
    /// those that this node was not given.
    fn secrets(&self, _volume: &Wanted) -> BTreeMap<String, Payload> {
        BTreeMap::new()
    }
}
