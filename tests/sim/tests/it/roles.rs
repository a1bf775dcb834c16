//! Managers that come and go while services run.

use swarmw_model::NodeRole;
use swarmw_sim::replicated;

use crate::support::{cluster, secs};

#[tokio::test(start_paused = true)]
async fn a_promoted_worker_takes_the_place_of_a_manager_that_was_demoted() {
    let cluster = cluster(2).await;
    let web = cluster.create(replicated("web", "app:1", 4)).await;
    let before = cluster.running(web, 4).await;

    cluster.update_node("n4", |spec| spec.role = NodeRole::Manager).await;
    cluster.seated("n4").await;
    let leader = cluster.leader().await.name.clone();
    cluster.update_node(&leader, |spec| spec.role = NodeRole::Worker).await;
    let gone = async || cluster.node(&leader).manager().is_none().then_some(());
    cluster.soon("the old leader is a worker", gone).await;
    cluster.ready(&leader).await;

    // Three managers again, n4 among them: one may be lost.
    let lost = cluster.leader().await;
    lost.kill();
    cluster.run(secs(5)).await;
    let api = cluster.create(replicated("api", "app:1", 2)).await;
    cluster.running(api, 2).await;
    cluster.heal().await;
    cluster.settle().await;
    let ids = |tasks: &[std::sync::Arc<swarmw_model::Task>]| -> Vec<_> {
        tasks.iter().map(|t| t.id).collect()
    };
    if lost.name != "n4" {
        assert_eq!(ids(&cluster.running(web, 4).await), ids(&before), "nothing was replaced");
    }
}
