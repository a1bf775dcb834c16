//! Rolling updates, on their timetable.

use swarmw_model::{UpdateConfig, UpdateState};
use swarmw_sim::{Cluster, Image, What, replicated, update};

use crate::support::{cluster, gaps, secs, small, span};

async fn reaches(cluster: &Cluster, id: swarmw_model::ServiceId, state: UpdateState) -> String {
    let look = async || {
        let now = cluster.led()?.service(id)?.update_status.clone()?;
        (now.state == state).then_some(now.message)
    };
    cluster.within(secs(7_200), &format!("the update is {state:?}"), look).await
}

#[tokio::test(start_paused = true)]
async fn an_update_keeps_its_delay_over_changes_of_leader() {
    let cluster = cluster(2).await;
    let mut spec = replicated("web", "app:1", 4);
    spec.update_config = Some(update(span(600), span(30)));
    let web = cluster.create(spec).await;
    cluster.running(web, 4).await;
    cluster.update_image(web, "app:2").await;

    // One leader is lost early in a delay, the next one late.
    cluster.run(secs(60)).await;
    let first = cluster.leader().await;
    first.kill();
    cluster.run(secs(1_080)).await;
    cluster.start(&first.name).await;
    cluster.ready(&first.name).await;
    cluster.leader().await.kill();

    let message = reaches(&cluster, web, UpdateState::Completed).await;
    assert_eq!(message, "update completed");
    let started = cluster.journal("web", What::Started);
    let new: Vec<_> = started.into_iter().filter(|h| h.image == "app:2").collect();
    assert_eq!(new.len(), 4, "each was replaced once");
    for gap in gaps(&new) {
        assert!((600.0..606.0).contains(&gap), "{gap} s from one to the next: {:?}", gaps(&new));
    }
    cluster.heal().await;
    cluster.settle().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_task_fails_while_it_is_watched_stops_there() {
    let cluster = small(2).await;
    cluster.image("bad", Image { life: Some((secs(20), 1)), ..Image::default() });
    let mut spec = replicated("web", "app:1", 3);
    spec.update_config = Some(update(span(30), span(60)));
    let web = cluster.create(spec).await;
    cluster.running(web, 3).await;
    cluster.update_image(web, "bad").await;
    let message = reaches(&cluster, web, UpdateState::Paused).await;
    assert!(
        message.starts_with("update paused due to failure or early termination of task "),
        "{message}"
    );
    cluster.run(secs(600)).await;
    let old = |h: &swarmw_sim::Happening| h.image == "app:1";
    let stopped = cluster.journal("web", What::Stopped).into_iter().filter(old).count();
    assert_eq!(stopped, 1, "the other two were not touched");
}

#[tokio::test(start_paused = true)]
async fn a_failed_update_goes_back_by_itself_though_the_leader_is_lost() {
    let cluster = cluster(2).await;
    cluster.image("bad", Image { life: Some((secs(20), 1)), ..Image::default() });
    let mut spec = replicated("web", "app:1", 3);
    let policy = UpdateConfig { failure_action: "rollback".into(), ..update(span(10), span(60)) };
    spec.update_config = Some(policy);
    spec.rollback_config = Some(update(span(120), span(5)));
    let web = cluster.create(spec).await;
    cluster.running(web, 3).await;
    cluster.update_image(web, "bad").await;
    reaches(&cluster, web, UpdateState::RollbackStarted).await;
    cluster.leader().await.kill();
    let message = reaches(&cluster, web, UpdateState::RollbackCompleted).await;
    assert_eq!(message, "rollback completed");
    cluster.heal().await;
    cluster.settle().await;
    let tasks = cluster.running(web, 3).await;
    assert!(tasks.iter().all(|t| t.spec.image() == "app:1"));
}
