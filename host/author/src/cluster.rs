//! A cluster that exists in memory: nodes that differ as nodes do, services, and
//! the scheduler of a real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use swarmw_model::{
    Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState, NodeStatus, PlacedPreference,
    Placement, Platform, Preference, Resources, ServiceId, ServiceSpec, Slot, SwarmwOptions, Task,
    TaskId, TaskSpec, TaskState, Time, Version,
};
use swarmw_scheduler::{Policies, Scheduler};
use swarmw_state::{Change, NewTask, State, Transaction};

use crate::wanted::Wanted;

/// Labels of nodes, and the values that they take in turn.
const LABELS: [(&str, &[&str]); 6] = [
    ("zone", &["a", "b", "c"]),
    ("rack", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]),
    ("disk", &["ssd", "ssd", "hdd"]),
    ("cores", &["4", "8", "16", "64"]),
    ("price", &["0.05", "0.11", "0.40"]),
    // London, Frankfurt, Virginia, Tokyo.
    ("geo", &["51.5,-0.1", "50.1,8.7", "38.9,-77.4", "35.7,139.7"]),
];

/// Nodes, services, tasks, and who places them.
pub struct Cluster {
    state: State,
    scheduler: Scheduler,
    ids: usize,
}

/// Where tasks are, and why some wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Node to tasks, of nodes that have some.
    pub nodes: BTreeMap<String, u32>,
    /// Why tasks wait, to how many.
    pub waiting: BTreeMap<String, u32>,
}

impl Cluster {
    /// So many nodes; `labels` are more of [`LABELS`].
    pub fn new(nodes: usize, labels: &[(String, Vec<String>)]) -> Self {
        let mut cluster =
            Self { state: State::default(), scheduler: Scheduler::default(), ids: nodes };
        cluster.apply((0..nodes).map(|n| node(n, labels)).collect());
        cluster
    }

    /// Adds a service, without tasks.
    pub fn service(&mut self, name: &str, wanted: &Wanted) -> ServiceId {
        let id = ServiceId::from_bits(self.id());
        let spec = Box::new(spec(name, wanted));
        self.apply(vec![Change::CreateService { id, spec }]);
        id
    }

    /// Adds tasks to services, and gives them nodes.
    pub fn place(&mut self, tasks: &[(ServiceId, u32)], policies: &mut dyn Policies) -> Result<()> {
        self.create(tasks)?;
        self.schedule(policies)
    }

    /// Adds tasks to services; they have no nodes yet.
    pub fn create(&mut self, tasks: &[(ServiceId, u32)]) -> Result<()> {
        let mut changes = Vec::new();
        for (service, count) in tasks {
            let known = self.state.service(*service).context("a service of this cluster")?;
            let spec_version = known.spec_version;
            for slot in 1..=*count {
                changes.push(Change::CreateTask(NewTask {
                    id: TaskId::from_bits(self.id()),
                    service: *service,
                    spec_version,
                    slot: Slot::Replica(u64::from(slot)),
                    node: None,
                    desired: TaskState::Running,
                    error: Arc::default(),
                    attachments: Vec::new(),
                    generic_resources: Vec::new(),
                }));
            }
        }
        self.apply(changes);
        Ok(())
    }

    /// Gives nodes to the tasks that wait.
    pub fn schedule(&mut self, policies: &mut dyn Policies) -> Result<()> {
        let mut changes = Vec::new();
        let pass = self.scheduler.schedule(&self.state, &mut changes, self.now(), policies);
        if let Some(event) = pass.events.first() {
            bail!("{}", event.failure);
        }
        self.apply(changes);
        Ok(())
    }

    /// Where the tasks of a service are.
    pub fn placed(&self, service: ServiceId) -> Placed {
        let mut placed = Placed::default();
        for task in self.state.tasks().filter(|task| task.service_id == service) {
            match task.node_id.and_then(|node| self.state.node(node)) {
                Some(node) => {
                    *placed.nodes.entry(node.description.hostname.clone()).or_default() += 1;
                }
                None => *placed.waiting.entry(why(task)).or_default() += 1,
            }
        }
        placed
    }

    /// Nodes by the values of a label: value to host names.
    pub fn by_label(&self, label: &str) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in self.state.nodes() {
            let value = node.spec.labels.get(label).cloned().unwrap_or_default();
            groups.entry(value).or_default().push(node.description.hostname.clone());
        }
        for nodes in groups.values_mut() {
            // node-2 before node-10.
            nodes.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        }
        groups
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for part in Transaction::cut(self.now(), changes) {
            let applied = self.state.apply(self.state.index() + 1, &part);
            for event in &applied.events {
                self.scheduler.observe(event);
            }
        }
    }

    fn now(&self) -> Time {
        Time::from_nanos(1_700_000_000_000_000_000 + self.state.index() as i64)
    }

    fn id(&mut self) -> u128 {
        self.ids += 1;
        scattered(self.ids)
    }
}

fn why(task: &Task) -> String {
    match &*task.status.error {
        "" => "it waits".to_owned(),
        reason => reason.to_owned(),
    }
}

/// Ids in no order, as random ones are: an odd factor loses nothing.
fn scattered(n: usize) -> u128 {
    (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).rotate_left(64)
}

fn node(n: usize, more: &[(String, Vec<String>)]) -> Change {
    let mut labels: BTreeMap<String, String> = LABELS
        .iter()
        .map(|(key, values)| ((*key).to_owned(), values[n % values.len()].to_owned()))
        .collect();
    for (key, values) in more {
        // A label without values has another one on each node.
        let value = match values.len() {
            0 => format!("{key}-{n}"),
            count => values[n % count].clone(),
        };
        labels.insert(key.clone(), value);
    }
    Change::AddNode(Box::new(Node {
        id: NodeId::from_bits(scattered(n)),
        version: Version::default(),
        created_at: Time::ZERO,
        updated_at: Time::ZERO,
        spec: NodeSpec { labels, ..NodeSpec::default() },
        description: NodeDescription {
            hostname: format!("node-{}", n + 1),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: ["x86_64", "x86_64", "aarch64"][n % 3].to_owned(),
            },
            resources: Resources {
                nano_cpus: [8, 16, 64][n % 3] * 1_000_000_000,
                memory_bytes: [16, 64, 256][n % 3] << 30,
                ..Resources::default()
            },
            ..NodeDescription::default()
        },
        status: NodeStatus {
            state: NodeState::Ready,
            addr: format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256),
            ..NodeStatus::default()
        },
        role: NodeRole::Worker,
        member: None,
        number: 0,
    }))
}

/// A service's spec that asks this of placement.
pub fn spec(name: &str, wanted: &Wanted) -> ServiceSpec {
    let placement = Placement { constraints: wanted.constraints.clone(), ..Placement::default() };
    let reserved = (wanted.memory > 0)
        .then(|| serde_json::json!({"Reservations": {"MemoryBytes": wanted.memory}}));
    let task = TaskSpec { placement: Some(placement), ..TaskSpec::default() };
    let preference =
        |preference: &Preference| PlacedPreference { preference: preference.clone(), after: 0 };
    ServiceSpec {
        name: name.to_owned(),
        task_template: Arc::new(TaskSpec {
            resources: reserved.and_then(|json| serde_json::from_value(json).ok()),
            ..task
        }),
        swarmw: Some(SwarmwOptions {
            policy_options: wanted.options.clone(),
            preferences: wanted.preferences.iter().map(preference).collect(),
            ..SwarmwOptions::default()
        }),
        ..ServiceSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;

    /// An author asks for what nodes have.
    #[test]
    fn the_labels_of_nodes_are_in_the_help_and_in_the_documentation() {
        let chapter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins/README.md");
        let chapter = std::fs::read_to_string(chapter).expect("the chapter");
        let mut dev = crate::dev::DevArgs::augment_args(Command::new("dev"));
        let help = dev.render_help().to_string();
        for (label, values) in LABELS {
            assert!(chapter.contains(&format!("| `{label}` | ")), "{label}");
            assert!(help.contains(label), "{label}: {help}");
            if label != "geo" && label != "rack" {
                assert!(chapter.contains(&format!("`{}`", values[0])), "{label}");
            }
        }
    }
}
