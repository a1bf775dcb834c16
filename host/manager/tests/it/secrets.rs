//! Which secrets and configs an agent is told.

use std::sync::Arc;

use rand::Rng;
use swarmw_ca::Tls;
use swarmw_model::{
    ClusterVolume, Config, ConfigId, ConfigReference, ContainerSpec, DataSpec, Driver, FileTarget,
    Mount, Replicated, Secret, SecretId, SecretReference, ServiceId, ServiceMode, ServiceSpec,
    TaskId, TaskSpec, TaskState, VolumeId, VolumeSecret, VolumeSpec,
};
use swarmw_proto::pb::to_agent::Message as ToAgent;
use swarmw_proto::{Channels, pb, wire};
use swarmw_state::Change;

use crate::agent::Session;
use crate::sessions::begin;
use crate::swarm::Swarm;

const S1: SecretId = SecretId::from_bits(1);
const S2: SecretId = SecretId::from_bits(2);
const C1: ConfigId = ConfigId::from_bits(1);

/// What an agent heard until it was told of a task, and the task.
#[derive(Default)]
struct Told {
    secrets: Vec<SecretId>,
    configs: Vec<ConfigId>,
    tasks: Vec<TaskId>,
}

fn note(given: &pb::Given, told: &mut Told) {
    let secrets: Vec<Secret> = wire::decode(&given.secrets).unwrap();
    let configs: Vec<Config> = wire::decode(&given.configs).unwrap();
    assert!(secrets.iter().all(|s| !s.spec.data.is_empty()), "with their data");
    told.secrets.extend(secrets.iter().map(|s| s.id));
    told.configs.extend(configs.iter().map(|c| c.id));
}

/// Hears until assignments with tasks come.
async fn until_tasks(session: &mut Session) -> Told {
    let mut told = Told::default();
    loop {
        match session.hear().await.unwrap() {
            ToAgent::Given(given) => note(&given, &mut told),
            ToAgent::Assignments(assignments) => {
                let update: Vec<swarmw_model::Assignment> =
                    wire::decode(&assignments.update).unwrap();
                told.tasks.extend(update.iter().map(|a| a.id));
                if !told.tasks.is_empty() {
                    return told;
                }
            }
            _ => {}
        }
    }
}

/// The next that is taken back.
async fn taken_back(session: &mut Session) -> (Vec<String>, Vec<String>) {
    let gone = |message| match message {
        ToAgent::Given(given) if !given.remove_secrets.is_empty() => {
            Some((given.remove_secrets, given.remove_configs))
        }
        _ => None,
    };
    session.until(gone).await
}

async fn agent(swarm: &Swarm) -> (Channels, Session) {
    let credentials = swarm.join(&swarm.tokens.worker).await.unwrap();
    let channels = Channels::new(Tls::new(&credentials).unwrap());
    let session = begin(&channels, swarm).await;
    (channels, session)
}

async fn write(swarm: &Swarm, change: Change) {
    swarm.leader().await.manager().write(None, change).await.unwrap();
}

async fn with_data(swarm: &Swarm) {
    let spec = |name: &str, size: usize| DataSpec {
        name: name.into(),
        data: vec![7; size].into(),
        ..DataSpec::default()
    };
    // Together more than one message takes.
    for (id, name) in [(S1, "one"), (S2, "two")] {
        let secret = Secret::new(id, spec(name, 400_000));
        write(swarm, Change::CreateSecret(Box::new(secret))).await;
    }
    let config = Config::new(C1, spec("conf", 900_000));
    write(swarm, Change::CreateConfig(Box::new(config))).await;
}

async fn create(swarm: &Swarm, name: &str, replicas: u64, container: ContainerSpec) -> ServiceId {
    let id = ServiceId::from_bits(rand::rng().random());
    let container_spec = Some(ContainerSpec { image: "app:1".into(), ..container });
    let spec = ServiceSpec {
        name: name.into(),
        task_template: Arc::new(TaskSpec { container_spec, ..Default::default() }),
        mode: ServiceMode::Replicated(Replicated { replicas: Some(replicas) }),
        ..Default::default()
    };
    write(swarm, Change::CreateService { id, spec: Box::new(spec) }).await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_told_what_its_tasks_name_before_them_and_until_they_have_ended() {
    let swarm = Swarm::of(1).await;
    with_data(&swarm).await;
    let (channels, mut session) = agent(&swarm).await;
    let plain = create(&swarm, "plain", 1, ContainerSpec::default()).await;
    let told = until_tasks(&mut session).await;
    assert!(told.secrets.is_empty() && told.configs.is_empty(), "they are not its tasks'");

    let file = |name: &str| Some(FileTarget { name: name.into(), ..FileTarget::default() });
    let secrets = ["x", "y"].map(|target| SecretReference {
        file: file(target),
        secret_id: S1.to_string(),
        secret_name: "one".into(),
    });
    let configs = vec![ConfigReference {
        file: file("z"),
        runtime: None,
        config_id: C1.to_string(),
        config_name: "conf".into(),
    }];
    let container = ContainerSpec { secrets: secrets.into(), configs, ..Default::default() };
    let web = create(&swarm, "web", 1, container).await;
    let told = until_tasks(&mut session).await;
    assert_eq!((told.secrets, told.configs), (vec![S1], vec![C1]));
    let task = told.tasks[0];

    // A session that begins is told all of it again.
    let mut session = begin(&channels, &swarm).await;
    let told = until_tasks(&mut session).await;
    assert_eq!((told.secrets, told.configs, told.tasks.len()), (vec![S1], vec![C1], 2));

    // The service goes, and its task ends: not before is it taken back.
    write(&swarm, Change::RemoveService { id: web }).await;
    session.report(1, task, TaskState::Running).await;
    session.report(2, task, TaskState::Shutdown).await;
    let gone = taken_back(&mut session).await;
    assert_eq!(gone, (vec![S1.to_string()], vec![C1.to_string()]));
    let state = swarm.leader().await.manager().state();
    assert!(state.task(task).is_none_or(|task| task.status.state == TaskState::Shutdown));
    assert!(state.service(plain).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_a_volume_go_to_the_node_that_mounts_it() {
    let swarm = Swarm::of(1).await;
    with_data(&swarm).await;
    for (name, secret) in [("data-1", "one"), ("data-2", "two")] {
        let spec = VolumeSpec {
            name: name.into(),
            driver: Driver { name: "local".into(), ..Driver::default() },
            secrets: vec![VolumeSecret {
                key: "key".into(),
                name: secret.into(),
                ..VolumeSecret::default()
            }],
            ..VolumeSpec::default()
        };
        let id = VolumeId::from_bits(rand::rng().random());
        write(&swarm, Change::CreateVolume(Box::new(ClusterVolume::new(id, spec)))).await;
    }
    let (_, mut first) = agent(&swarm).await;
    let (_, mut second) = agent(&swarm).await;
    let mount =
        Mount { source: "data-{{.Task.Slot}}".into(), target: "/data".into(), ..Mount::default() };
    create(&swarm, "web", 2, ContainerSpec { mounts: vec![mount], ..Default::default() }).await;
    let (one, two) = tokio::join!(until_tasks(&mut first), until_tasks(&mut second));
    let state = swarm.leader().await.manager().state();
    for told in [one, two] {
        let [task] = told.tasks[..] else { panic!("one task each: {:?}", told.tasks) };
        let wanted = match state.task(task).unwrap().slot {
            1 => S1,
            _ => S2,
        };
        assert_eq!(told.secrets, [wanted], "its own volume's, not the other one's");
    }
}
