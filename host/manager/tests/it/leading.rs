//! The whole way of a service, and what a lost leader or a silent node does to it.

use std::collections::BTreeSet;

use swarmw_model::{NodeState, TaskId, TaskState};

use crate::agent::Obedient;
use crate::swarm::{Swarm, eventually};

async fn worker(swarm: &Swarm) -> Obedient {
    let credentials = swarm.join(&swarm.tokens.worker).await.unwrap();
    Obedient::start(&credentials, swarm.addresses())
}

async fn stands(swarm: &Swarm, agent: &Obedient, state: NodeState) {
    eventually(&format!("node is {state}"), || async {
        let now = swarm.leader().await.manager().state();
        (now.node(agent.node)?.status.state == state).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_runs_on_through_the_loss_of_the_leader() {
    let mut swarm = Swarm::of(3).await;
    let agents = [worker(&swarm).await, worker(&swarm).await];
    for agent in &agents {
        stands(&swarm, agent, NodeState::Ready).await;
    }
    let web = swarm.create("web", 4).await;
    let before = swarm.running(web, 4).await;
    let nodes: BTreeSet<_> = before.iter().map(|t| t.node_id).collect();
    assert_eq!(nodes.len(), 2, "spread over both nodes");

    swarm.lose_leader().await;
    for agent in &agents {
        stands(&swarm, agent, NodeState::Ready).await;
        eventually("the agent has a session with the new leader", || async {
            (agent.record.lock().unwrap().sessions >= 2).then_some(())
        })
        .await;
    }
    let api = swarm.create("api", 2).await;
    swarm.running(api, 2).await;
    let ids = |tasks: &[std::sync::Arc<swarmw_model::Task>]| -> BTreeSet<TaskId> {
        tasks.iter().map(|t| t.id).collect()
    };
    assert_eq!(ids(&swarm.running(web, 4).await), ids(&before), "nothing was replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_of_a_silent_node_run_elsewhere_and_stop_there_when_it_wakes() {
    let swarm = Swarm::of(1).await;
    let agents = [worker(&swarm).await, worker(&swarm).await];
    for agent in &agents {
        stands(&swarm, agent, NodeState::Ready).await;
    }
    let web = swarm.create("web", 4).await;
    let before = swarm.running(web, 4).await;
    let [sleeper, other] = &agents;
    sleeper.freeze(true);
    stands(&swarm, sleeper, NodeState::Down).await;
    eventually("all four run on the other node", || async {
        let tasks = swarm.running(web, 4).await;
        tasks.iter().all(|t| t.node_id == Some(other.node)).then_some(())
    })
    .await;

    // It wakes with its connection open: it is ready again and drops its old tasks.
    sleeper.freeze(false);
    stands(&swarm, sleeper, NodeState::Ready).await;
    for task in before.iter().filter(|t| t.node_id == Some(sleeper.node)) {
        eventually("it is told to stop its old tasks", || async {
            let told = sleeper.told(task.id);
            told.is_none_or(|state| state >= TaskState::Shutdown).then_some(())
        })
        .await;
    }
    swarm.running(web, 4).await;
}
