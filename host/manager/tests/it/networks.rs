//! Networks: what agents are told of them, and containers that join by themselves.

use std::sync::Arc;

use rand::Rng;
use swarmw_ca::Tls;
use swarmw_model::{
    Attachment, ContainerSpec, Driver, EndpointId, IpamConfig, NetworkAttachmentConfig, NetworkId,
    NetworkNews, NetworkSpec, NodeId, OVERLAY, RefusalKind, RequestId, ServiceId, ServiceSpec,
    TaskSpec, TaskState,
};
use swarmw_proto::pb::dispatcher_client::DispatcherClient;
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{Channels, pb, wire};
use swarmw_state::Change;
use tonic::Code;

use crate::agent::Session;
use crate::sessions::begin;
use crate::swarm::{Swarm, eventually};

fn spec(name: &str, subnet: &str) -> NetworkSpec {
    let mut spec = NetworkSpec {
        name: name.into(),
        driver: Driver { name: OVERLAY.into(), ..Driver::default() },
        attachable: true,
        ..NetworkSpec::default()
    };
    let config = IpamConfig { subnet: subnet.into(), ..IpamConfig::default() };
    spec.ipam.config.extend((!subnet.is_empty()).then_some(config));
    spec
}

async fn worker(swarm: &Swarm) -> (Channels, NodeId) {
    let credentials = swarm.join(&swarm.tokens.worker).await.unwrap();
    (Channels::new(Tls::new(&credentials).unwrap()), credentials.identity.node)
}

async fn create(swarm: &Swarm, network: NetworkId) -> ServiceId {
    let id = ServiceId::from_bits(rand::rng().random());
    let join = NetworkAttachmentConfig { target: network.to_string(), ..Default::default() };
    let spec = ServiceSpec {
        name: "web".into(),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(ContainerSpec { image: "app:1".into(), ..Default::default() }),
            networks: vec![join],
            ..TaskSpec::default()
        }),
        ..ServiceSpec::default()
    };
    let change = Change::CreateService { id, spec: Box::new(spec) };
    swarm.leader().await.manager().write(None, change).await.unwrap();
    id
}

async fn news(session: &mut Session) -> NetworkNews {
    let read = |message| match message {
        ToAgent::Networks(told) => Some(wire::decode(&told.news).unwrap()),
        _ => None,
    };
    session.until(read).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_knows_the_networks_of_a_task_before_the_task() {
    let swarm = Swarm::of(1).await;
    let leader = swarm.leader().await.manager();
    let request = Some(RequestId::from_bits(7));
    let id = leader.create_network(request, &spec("back", "")).await.unwrap();
    assert_eq!(leader.create_network(request, &spec("back", "")).await, Ok(id), "a retry");
    let again = leader.create_network(None, &spec("BACK", "")).await.unwrap_err();
    assert_eq!(again.message, "network with name BACK already exists");
    let made = leader.state().network(id).unwrap().clone();
    assert_eq!((made.pools[0].subnet.to_string(), made.vni), ("10.0.1.0/24".into(), 4_097));

    let (channels, node) = worker(&swarm).await;
    let mut session = begin(&channels, &swarm).await;
    let first = news(&mut session).await;
    assert!(first.complete && first.networks.is_empty() && first.peers.is_empty());
    assert_eq!(first.data_path_port, 4_789);

    let service = create(&swarm, id).await;
    let mut known = NetworkNews::default();
    let task = loop {
        match session.hear().await.unwrap() {
            ToAgent::Networks(told) => known.join(wire::decode(&told.news).unwrap()),
            ToAgent::Assignments(assigned) => {
                let update: Vec<swarmw_model::Assignment> = wire::decode(&assigned.update).unwrap();
                if let Some(task) = update.into_iter().next() {
                    break task;
                }
            }
            _ => {}
        }
    };
    assert_eq!(known.networks.iter().map(|n| n.id).collect::<Vec<_>>(), [id]);
    assert!(known.peers.iter().any(|peer| peer.node == node && peer.number == 2));
    assert_eq!(known.services[0].virtual_ips.len(), 1);
    let endpoint = &known.endpoints[0];
    assert_eq!((endpoint.id, &endpoint.on), (EndpointId::Task(task.id), &task.attachments));
    assert_eq!((&*endpoint.names[0], endpoint.serves), (&*task.name(), false));
    let address = task.attachments[0].addresses[0].addr();
    assert!(made.pools[0].gives(address));

    session.report(1, task.id, TaskState::Running).await;
    assert!(news(&mut session).await.endpoints[0].serves);
    let used = leader.remove_network(None, id).await.unwrap_err();
    assert_eq!(used.message, format!("network {id} is in use by service {service}"));
    leader.write(None, Change::RemoveService { id: service }).await.unwrap();
    // As `stack rm` does: its task is told to stop, and keeps what it has until then.
    leader.remove_network(None, id).await.unwrap();
    assert!(leader.state().network(id).is_none());
    session.report(2, task.id, TaskState::Shutdown).await;
    let gone = session.until(|message| match message {
        ToAgent::Networks(told) => {
            let news: NetworkNews = wire::decode(&told.news).unwrap();
            (!news.remove_networks.is_empty()).then_some(news)
        }
        _ => None,
    });
    assert_eq!(gone.await.remove_networks, [id]);
    assert_eq!(leader.remove_network(None, id).await.unwrap_err().kind, RefusalKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_joins_is_named_and_leaves_by_its_own_node_alone() {
    let swarm = Swarm::of(1).await;
    let leader = swarm.leader().await.manager();
    let id = leader.create_network(None, &spec("back", "10.8.0.0/29")).await.unwrap();
    let mut closed = spec("closed", "");
    closed.attachable = false;
    let closed = leader.create_network(None, &closed).await.unwrap();
    let (channels, node) = worker(&swarm).await;
    let (others, _) = worker(&swarm).await;
    let mut session = begin(&channels, &swarm).await;
    let address = swarm.leader().await.address.clone();
    let mut client = DispatcherClient::new(channels.get(&address).unwrap());
    let mut stranger = DispatcherClient::new(others.get(&address).unwrap());
    let ask = |network: NetworkId, address: &str| pb::AttachRequest {
        network: network.to_string(),
        address: address.into(),
        v6: false,
    };
    let refused = client.attach(ask(closed, "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "network closed not manually attachable");

    let attached = client.attach(ask(id, "10.8.0.5")).await.unwrap().into_inner();
    let attached: Attachment = wire::decode(&attached.attachment).unwrap();
    assert_eq!(attached.node, node);
    assert_eq!(attached.on.addresses[0].to_string(), "10.8.0.5/29");
    // It is one container's alone, on whichever node.
    for other in [&mut client, &mut stranger] {
        let taken = other.attach(ask(id, "10.8.0.5")).await.unwrap_err();
        assert_eq!(taken.message(), "Address already in use: 10.8.0.5");
    }

    let told = session.until(|message| match message {
        ToAgent::Networks(told) => {
            let news: NetworkNews = wire::decode(&told.news).unwrap();
            (!news.endpoints.is_empty()).then_some(news)
        }
        _ => None,
    });
    assert_eq!(told.await.endpoints[0].id, EndpointId::Attachment(attached.id));
    let names = pb::AttachmentNames {
        id: attached.id.to_string(),
        container: "c0ffee".into(),
        names: vec!["db".into()],
    };
    let foreign = stranger.name_attachment(names.clone()).await.unwrap_err();
    assert_eq!(foreign.code(), Code::PermissionDenied);
    let long = vec!["n".repeat(200); 21];
    let many = pb::AttachmentNames { names: long, ..names.clone() };
    let refused = client.name_attachment(many).await.unwrap_err();
    let why = "the names of a container are 4200 bytes long together, and 4096 are the most";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, why));
    client.name_attachment(names).await.unwrap();
    assert_eq!(news(&mut session).await.endpoints[0].names, ["db"]);

    let leave = pb::DetachRequest { id: attached.id.to_string() };
    let foreign = stranger.detach(leave.clone()).await.unwrap_err();
    assert_eq!(foreign.code(), Code::PermissionDenied);
    client.detach(leave.clone()).await.unwrap();
    assert_eq!(client.detach(leave).await.unwrap_err().code(), Code::NotFound);

    // Five addresses, and whoever comes sixth is told how many there are.
    for _ in 0..5 {
        client.attach(ask(id, "")).await.unwrap();
    }
    let full = client.attach(ask(id, "")).await.unwrap_err();
    let why = "no address is free on network back: 10.8.0.0/29 has 5, all in use";
    assert_eq!((full.code(), full.message()), (Code::ResourceExhausted, why));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_made_at_the_same_time_get_subnets_of_their_own() {
    let swarm = Swarm::of(1).await;
    let leader = swarm.leader().await.manager();
    let specs: Vec<_> = (0..12).map(|n| spec(&format!("net{n}"), "")).collect();
    let made = specs.iter().map(|spec| leader.create_network(None, spec));
    let made = futures::future::join_all(made).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let networks = eventually("all are there", || async {
        let state = leader.state();
        let all: Vec<_> = state.networks().filter(|n| n.is_overlay()).cloned().collect();
        (all.len() == 13).then_some(all)
    })
    .await;
    let mut vnis: Vec<_> = networks.iter().map(|network| network.vni).collect();
    vnis.sort_unstable();
    assert_eq!(vnis, (4_096..4_109).collect::<Vec<_>>());
}
