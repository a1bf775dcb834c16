//! Jobs, over what befalls a cluster while they are done.

use std::collections::BTreeSet;

use swarmw_model::{Availability, GlobalJob, ReplicatedJob, ServiceId, ServiceMode, ServiceSpec};
use swarmw_model::{TaskState, Version};
use swarmw_sim::{Cluster, Image, What, replicated};
use swarmw_state::State;

use crate::support::{cluster, secs, small};

fn ends(after: u64, exit_code: i64) -> Image {
    Image { life: Some((secs(after), exit_code)), ..Image::default() }
}

/// A job of so many completions, so many at a time.
fn job(name: &str, image: &str, completions: u64, at_a_time: u64) -> ServiceSpec {
    let mode =
        ReplicatedJob { max_concurrent: Some(at_a_time), total_completions: Some(completions) };
    ServiceSpec { mode: ServiceMode::ReplicatedJob(mode), ..replicated(name, image, 0) }
}

fn everywhere(name: &str, image: &str) -> ServiceSpec {
    ServiceSpec { mode: ServiceMode::GlobalJob(GlobalJob {}), ..replicated(name, image, 0) }
}

/// In how many slots of this time a task has ended well.
fn complete(state: &State, id: ServiceId, iteration: u64) -> usize {
    let of_it = state.tasks_of_service(id).filter(|task| {
        task.job_iteration == Some(Version { index: iteration })
            && task.status.state == TaskState::Complete
    });
    of_it.filter_map(|task| task.slot()).collect::<BTreeSet<_>>().len()
}

async fn done(cluster: &Cluster, id: ServiceId, iteration: u64, want: usize) {
    let look = async || (complete(&*cluster.led()?, id, iteration) == want).then_some(());
    cluster.within(secs(600), &format!("{want} are complete"), look).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_is_done_once_over_changes_of_leader() {
    let cluster = cluster(3).await;
    cluster.image("part", ends(10, 0));
    let id = cluster.create(job("count", "part", 12, 2)).await;
    let each = cluster.create(everywhere("each", "part")).await;
    cluster.run(secs(15)).await;
    cluster.leader().await.kill();
    cluster.run(secs(15)).await;
    done(&cluster, id, 0, 12).await;
    // Managers are drained: until one of them is not.
    done(&cluster, each, 0, 3).await;
    cluster.heal().await;
    cluster.update_node("n1", |spec| spec.availability = Availability::Active).await;
    done(&cluster, each, 0, 4).await;
    cluster.run(secs(300)).await;
    let begun = cluster.journal("count", What::Started).len();
    assert!((12..=14).contains(&begun), "{begun} begun: {}", cluster.picture());
    let state = cluster.fresh().await;
    assert_eq!((complete(&state, id, 0), complete(&state, each, 0)), (12, 4));
}

#[tokio::test(start_paused = true)]
async fn parts_that_fail_are_tried_until_they_are_done() {
    let cluster = small(2).await;
    cluster.image("bad", ends(5, 1));
    let id = cluster.create(job("count", "bad", 2, 1)).await;
    cluster.run(secs(60)).await;
    let tries = cluster.journal("count", What::Started).len();
    assert!((5..=7).contains(&tries), "{tries} tries in a minute, one slot at a time");
    // The next time of it is of another image.
    cluster.image("good", ends(5, 0));
    cluster.update_image(id, "good").await;
    done(&cluster, id, 1, 2).await;
    cluster.run(secs(120)).await;
    let state = cluster.fresh().await;
    assert_eq!(complete(&state, id, 1), 2);
    assert!(state.tasks_of_service(id).all(|task| task.status.state.is_terminal()));
}

#[tokio::test(start_paused = true)]
async fn what_a_drained_node_was_at_is_done_elsewhere() {
    let cluster = small(2).await;
    cluster.image("long", ends(100, 0));
    let id = cluster.create(job("count", "long", 6, 6)).await;
    let running = async || {
        let state = cluster.led()?;
        let runs = state.tasks_of_service(id).filter(|t| t.status.state == TaskState::Running);
        (runs.count() == 6).then_some(())
    };
    cluster.soon("six run", running).await;
    let name = cluster.nodes().last().expect("nodes").name.clone();
    cluster.update_node(&name, |spec| spec.availability = Availability::Drain).await;
    done(&cluster, id, 0, 6).await;
    let drained = cluster.node(&name).id();
    let state = cluster.fresh().await;
    let there: Vec<_> =
        state.tasks_of_service(id).filter(|task| task.node_id == Some(drained)).collect();
    assert!(!there.is_empty(), "{}", cluster.picture());
    assert!(there.iter().all(|task| task.status.state == TaskState::Shutdown));
}
