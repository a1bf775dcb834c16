//! Rules of an agent's session.

use swarmw_ca::Tls;
use swarmw_model::{TaskId, TaskState};
use swarmw_proto::pb::from_agent::Message as FromAgent;
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{Channels, pb, wire};
use swarmw_state::Change;
use tonic::Code;

use crate::agent::{Obedient, Session};
use crate::swarm::{Swarm, eventually};

async fn channels(swarm: &Swarm) -> (Channels, swarmw_model::NodeId) {
    let credentials = swarm.join(&swarm.tokens.worker).await.unwrap();
    (Channels::new(Tls::new(&credentials).unwrap()), credentials.identity.node)
}

/// A session that the leader has welcomed. Before it is ready it sends agents away.
pub async fn begin(channels: &Channels, swarm: &Swarm) -> Session {
    eventually("the leader welcomes agents", || async {
        let mut session = Session::open(channels, &swarm.leader().await.address).await.ok()?;
        session.describe("worker").await;
        match session.hear().await.ok()? {
            ToAgent::Welcome(welcome) => {
                session.welcome = Some(welcome);
                Some(session)
            }
            ToAgent::Redirect(_) => None,
            other => panic!("a welcome comes first, not {other:?}"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_begins_with_who_is_there_and_everything_the_node_has() {
    let swarm = Swarm::of(1).await;
    let (channels, node) = channels(&swarm).await;
    let mut first = begin(&channels, &swarm).await;
    let welcome = first.welcome.take().unwrap();
    assert_eq!(welcome.heartbeat_millis, 1_000);
    assert_eq!(welcome.managers.len(), 1);
    assert_eq!(wire::decode::<swarmw_model::Node>(&welcome.node).unwrap().id, node);
    assert_eq!(first.assignments().await, (true, vec![], vec![]));

    // Changes come as they happen…
    let web = swarm.create("web", 3).await;
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 3 {
        let (complete, update, _) = first.assignments().await;
        assert!(!complete);
        told.extend(update.iter().map(|a| a.id));
    }
    for (seq, task) in told.iter().enumerate() {
        first.report(seq as u64, *task, TaskState::Running).await;
        let accepted = |m| match m {
            ToAgent::Accepted(seq) => Some(seq),
            _ => None,
        };
        assert_eq!(first.until(accepted).await, seq as u64);
    }
    // …and an accepted status is in the state.
    assert_eq!(swarm.running(web, 3).await.len(), 3);

    // A newer session ends the one before and is told everything again.
    let mut second = begin(&channels, &swarm).await;
    let (complete, update, _) = second.assignments().await;
    assert!(complete);
    assert_eq!(update.iter().map(|a| a.id).collect::<std::collections::BTreeSet<_>>(), told);
    assert_eq!(first.end().await.code(), Code::Aborted);

    // What is reported again after a reconnect is accepted and changes nothing.
    let task = *told.first().unwrap();
    let manager = swarm.leader().await.manager();
    let before = manager.state().task(task).unwrap().version;
    second.report(9, task, TaskState::Running).await;
    second.until(|m| matches!(m, ToAgent::Accepted(9)).then_some(())).await;
    assert_eq!(manager.state().task(task).unwrap().version, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_breaks_the_rules_is_ended() {
    let swarm = Swarm::of(1).await;
    let agent = swarm.join(&swarm.tokens.worker).await.unwrap();
    let other = Obedient::start(&agent, swarm.addresses());
    let web = swarm.create("web", 1).await;
    let foreign = swarm.running(web, 1).await[0].id;
    assert_eq!(
        swarm.leader().await.manager().state().task(foreign).unwrap().node_id,
        Some(other.node)
    );

    let (channels, _) = channels(&swarm).await;
    let address = swarm.leader().await.address.clone();
    let mut silent = Session::open(&channels, &address).await.unwrap();
    silent.say(FromAgent::Heartbeat(pb::Heartbeat {})).await;
    assert_eq!(silent.end().await.code(), Code::InvalidArgument);

    let mut garbled = Session::open(&channels, &address).await.unwrap();
    let describe = pb::Describe { description: b"\x01nonsense".to_vec(), knows_port_news: true };
    garbled.say(FromAgent::Describe(describe)).await;
    assert_eq!(garbled.end().await.code(), Code::InvalidArgument);

    let mut thief = begin(&channels, &swarm).await;
    thief.report(1, foreign, TaskState::Failed).await;
    let end = thief.end().await;
    assert_eq!(end.code(), Code::PermissionDenied, "{end}");
    let state = swarm.leader().await.manager().state();
    assert_eq!(state.task(foreign).unwrap().status.state, TaskState::Running);

    // A task that is gone is not worth a quarrel.
    let mut late = begin(&channels, &swarm).await;
    late.report(2, TaskId::from_bits(1), TaskState::Running).await;
    late.until(|m| matches!(m, ToAgent::Accepted(2)).then_some(())).await;

    // Too many registrations in a short time.
    for _ in 0..4 {
        late.describe("again").await;
    }
    assert_eq!(late.end().await.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_node_of_a_task_may_say_what_it_prints() {
    let swarm = Swarm::of(1).await;
    let credentials = swarm.join(&swarm.tokens.worker).await.unwrap();
    let owner = Obedient::start(&credentials, swarm.addresses());
    let web = swarm.create("web", 1).await;
    let task = swarm.running(web, 1).await[0].id;
    let manager = swarm.leader().await.manager();
    let request = swarmw_manager::LogsRequest {
        tasks: vec![(task, owner.node)],
        follow: true,
        tail: None,
        since: swarmw_model::Time::ZERO,
        stdout: true,
        stderr: true,
        details: true,
    };
    let mut lines = manager.logs(&request).unwrap();
    const FIRST: u64 = 1;
    let line = |text: &str| pb::LogLine {
        task: task.to_string(),
        stream: 1,
        at_nanos: 1,
        text: text.into(),
        attributes: [("tier".to_owned(), "back".to_owned())].into(),
    };
    let publish = async |channels: &Channels, line: pb::LogLine| {
        let address = swarm.leader().await.address.clone();
        let channel = channels.get(&address).unwrap();
        let mut client = pb::dispatcher_client::DispatcherClient::new(channel);
        let message = pb::LogLines { subscription: FIRST, lines: vec![line] };
        client.publish_logs(futures::stream::iter([message])).await
    };

    let (thief, _) = channels(&swarm).await;
    let refused = publish(&thief, line("I am web")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let own = Channels::new(Tls::new(&credentials).unwrap());
    let other = pb::LogLine { task: TaskId::from_bits(7).to_string(), ..line("not mine") };
    let refused = publish(&own, other).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    publish(&own, line("it is me")).await.unwrap();
    let said = lines.next().await.unwrap();
    assert_eq!(said.text, b"it is me");
    assert_eq!(said.attributes, [("tier".to_owned(), "back".to_owned())].into());
    assert!(lines.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sends_agents_to_the_leader() {
    let swarm = Swarm::of(3).await;
    let leader = swarm.leader().await.address.clone();
    let (channels, _) = channels(&swarm).await;
    for seat in swarm.seats.iter().filter(|s| s.address != leader) {
        eventually("the follower knows the leader", || async {
            let mut session = Session::open(&channels, &seat.address).await.ok()?;
            match session.hear().await.ok()? {
                ToAgent::Redirect(redirect) => (redirect.address == leader).then_some(()),
                other => panic!("{other:?}"),
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_turned_away_at_the_door() {
    let swarm = Swarm::of(1).await;
    let (channels, node) = channels(&swarm).await;
    let mut session = begin(&channels, &swarm).await;
    session.assignments().await;
    let manager = swarm.leader().await.manager();
    let deny_until = swarmw_model::Time::from_nanos(i64::MAX);
    manager.write(None, Change::RemoveNode { id: node, force: true, deny_until }).await.unwrap();

    // The session that is open ends with its next word…
    session.say(FromAgent::Heartbeat(pb::Heartbeat {})).await;
    session.end().await;
    // …and no other begins.
    let address = swarm.leader().await.address.clone();
    eventually("new connections are refused", || async {
        channels.reset();
        match Session::open(&channels, &address).await {
            Err(status) => Some(status).filter(|s| s.code() != Code::NotFound),
            Ok(mut session) => {
                session.describe("ghost").await;
                assert_ne!(session.end().await.code(), Code::Ok);
                None
            }
        }
    })
    .await;
}
