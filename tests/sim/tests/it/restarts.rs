//! Restarts, on the timetable that the policy gives.

use std::sync::Arc;

use swarmw_model::{Duration, RestartCondition, RestartPolicy, ServiceSpec, TaskState};
use swarmw_sim::{Image, What, on_failure, replicated};

use crate::support::{cluster, gaps, secs, small, span};

/// Runs so long, then exits so.
fn ends(after: u64, exit_code: i64) -> Image {
    Image { life: Some((secs(after), exit_code)), ..Image::default() }
}

fn with(mut spec: ServiceSpec, policy: RestartPolicy) -> ServiceSpec {
    Arc::make_mut(&mut spec.task_template).restart_policy = Some(policy);
    spec
}

fn always(delay: Duration) -> RestartPolicy {
    RestartPolicy { delay: Some(delay), ..RestartPolicy::default() }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_is_replaced_after_the_delay_and_no_sooner() {
    let cluster = small(2).await;
    cluster.image("short", ends(10, 1));
    cluster.create(with(replicated("web", "short", 1), always(span(30)))).await;
    cluster.run(secs(600)).await;
    let started = cluster.journal("web", What::Started);
    assert!(started.len() >= 14, "{} starts in ten minutes", started.len());
    for gap in gaps(&started) {
        assert!((40.0..41.0).contains(&gap), "{gap} s from start to start");
    }
}

#[tokio::test(start_paused = true)]
async fn only_restarts_within_the_window_count() {
    let cluster = small(1).await;
    cluster.image("short", ends(100, 1));
    // From start to start it takes 105 s: within 150 s there is one, within 400 s three.
    for (name, window, starts) in [("wide", 400, 3), ("narrow", 150, 10), ("none", 0, 3)] {
        let policy = on_failure(span(5), 2, span(window));
        let id = cluster.create(with(replicated(name, "short", 1), policy)).await;
        cluster.run(secs(1_040)).await;
        assert_eq!(cluster.journal(name, What::Started).len(), starts, "{name}");
        cluster.write(swarmw_state::Change::RemoveService { id }).await.expect("ours");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_done_stays_done() {
    let cluster = small(1).await;
    cluster.image("once", ends(10, 0));
    for (name, condition, starts) in
        [("failures", RestartCondition::OnFailure, 1), ("never", RestartCondition::None, 1)]
    {
        let policy = RestartPolicy { condition, ..RestartPolicy::default() };
        let id = cluster.create(with(replicated(name, "once", 1), policy)).await;
        cluster.run(secs(600)).await;
        assert_eq!(cluster.journal(name, What::Started).len(), starts, "{name}");
        let state = cluster.fresh().await;
        let tasks: Vec<_> = state.tasks_of_service(id).map(|t| t.status.state).collect();
        assert_eq!(tasks, [TaskState::Complete], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_had_is_tried_once_a_delay_and_leaves_a_short_history() {
    let cluster = small(2).await;
    cluster.image("missing", Image { pull: None, ..Image::default() });
    let web = cluster.create(replicated("web", "missing", 1)).await;
    let index = cluster.fresh().await.index();
    cluster.run(secs(600)).await;
    let state = cluster.fresh().await;
    // Five seconds each, and a moment: made, assigned, preparing, rejected, replaced.
    let tries = 600 / 6;
    let entries = state.index() - index;
    assert!(entries > tries && entries < tries * 8, "{entries} entries for {tries} tries");
    let kept = state.tasks_of_service(web).count();
    assert!(kept <= 6, "{kept} tasks kept");
    let said = state.tasks_of_service(web).any(|t| &*t.status.error == "No such image: missing");
    assert!(said, "{}", cluster.picture());
}

#[tokio::test(start_paused = true)]
async fn a_restart_delay_goes_on_over_a_change_of_leader() {
    let cluster = cluster(1).await;
    cluster.image("short", ends(10, 1));
    cluster.create(with(replicated("web", "short", 1), always(span(120)))).await;
    let ended = async || (cluster.journal("web", What::Ended).len() == 1).then_some(());
    cluster.soon("it has ended", ended).await;
    cluster.run(secs(60)).await;
    let lost = cluster.leader().await;
    lost.kill();
    cluster.run(secs(90)).await;
    let [first, second, ..] = &cluster.journal("web", What::Started)[..] else {
        panic!("not started again: {}", cluster.picture())
    };
    let gap = crate::support::seconds(first.at, second.at);
    assert!((130.0..134.0).contains(&gap), "{gap} s from start to start");
}
