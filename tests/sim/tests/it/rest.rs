//! What a cluster at rest does not do.

use std::sync::Arc;

use swarmw_model::{Placement, PlacementPreference, SpreadOver};
use swarmw_sim::replicated;

use crate::support::{cluster, secs};

#[tokio::test(start_paused = true)]
async fn in_an_hour_at_rest_nobody_is_elected_no_plugin_is_asked_and_nothing_is_written() {
    let cluster = cluster(3).await;
    let over = SpreadOver { spread_descriptor: "node.labels.rack".into() };
    let mut spec = replicated("web", "app:1", 6);
    Arc::make_mut(&mut spec.task_template).placement = Some(Placement {
        constraints: vec!["node.role==worker".into(), "node.labels.zone!=x".into()],
        preferences: vec![PlacementPreference { spread: Some(over) }],
        ..Default::default()
    });
    let web = cluster.create(spec).await;
    cluster.running(web, 6).await;
    cluster.run(secs(30)).await;
    cluster.settle().await;

    let calls = || cluster.managers().map(|(_, m)| m.wasm_calls()).sum::<u64>();
    let before = (cluster.fresh().await.index(), cluster.elections(), calls());
    assert!(before.2 > 0, "the policies are components");
    cluster.run(secs(3_600)).await;
    cluster.settle().await;
    assert_eq!((cluster.fresh().await.index(), cluster.elections(), calls()), before);
}
