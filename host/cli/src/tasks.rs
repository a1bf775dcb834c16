//! Lists of tasks: `service ps` and `node ps`.

use std::collections::HashMap;

use serde_json::Value as Json;
use swarmw_model::{ImageReference, PublishMode};

use crate::client::{Client, Task};
use crate::docker_config;
use crate::failure::Failure;
use crate::filter::filter;
use crate::io::Io;
use crate::parse::boolean;
use crate::table::{Column, Format, List, Row, ago, capitalised, ellipsis, natural, render, short};

/// Longest error in a table, in characters.
const ERROR_LENGTH: usize = 30;

/// Flags of lists of tasks.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct TaskListFlags {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    pub(crate) filter: Vec<(String, String)>,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Do not map IDs to Names
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    no_resolve: bool,
    /// Do not truncate output
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) no_trunc: bool,
    /// Only display task IDs
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) quiet: bool,
}

const LIST: List = List {
    of: "*task.taskContext",
    columns: &[
        column("ID", "ID"),
        column("Name", "NAME"),
        column("Image", "IMAGE"),
        column("Node", "NODE"),
        column("DesiredState", "DESIRED STATE"),
        column("CurrentState", "CURRENT STATE"),
        column("Error", "ERROR"),
        column("Ports", "PORTS"),
    ],
    shown: &["ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports"],
    raw: &[
        ("id", "ID"),
        ("name", "Name"),
        ("image", "Image"),
        ("node", "Node"),
        ("desired_state", "DesiredState"),
        ("current_state", "CurrentState"),
        ("error", "Error"),
        ("ports", "Ports"),
    ],
};

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// What ids stand for; an id that is missing stands for itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) services: HashMap<String, String>,
    pub(crate) nodes: HashMap<String, String>,
}

// === impl Names ===

impl Names {
    /// Asks for the names behind the ids in `tasks`; what is gone stays an id.
    pub(crate) async fn of(client: &Client, tasks: &[Task]) -> Result<Self, Failure> {
        let mut names = Self::default();
        for task in tasks {
            if !names.services.contains_key(&task.service_id) {
                let name = match client.service(&task.service_id).await {
                    Ok(service) => service.spec.name,
                    Err(error) if error.is_not_found() => task.service_id.clone(),
                    Err(error) => return Err(error.into()),
                };
                names.services.insert(task.service_id.clone(), name);
            }
            if !task.node_id.is_empty() && !names.nodes.contains_key(&task.node_id) {
                let name = match client.node(&task.node_id).await {
                    Ok(node) if !node.spec.name.is_empty() => node.spec.name,
                    Ok(node) if !node.description.hostname.is_empty() => node.description.hostname,
                    Ok(node) => node.id,
                    Err(error) if error.is_not_found() => task.node_id.clone(),
                    Err(error) => return Err(error.into()),
                };
                names.nodes.insert(task.node_id.clone(), name);
            }
        }
        Ok(names)
    }

    fn service<'n>(&'n self, id: &'n str) -> &'n str {
        self.services.get(id).map_or(id, String::as_str)
    }

    fn node<'n>(&'n self, id: &'n str) -> &'n str {
        self.nodes.get(id).map_or(id, String::as_str)
    }

    /// `SERVICE.SLOT`, or `SERVICE.NODE` where there is no slot.
    fn task(&self, task: &Task) -> String {
        let service = self.service(&task.service_id);
        match task.slot {
            0 => format!("{service}.{}", task.node_id),
            slot => format!("{service}.{slot}"),
        }
    }
}

/// Prints the tasks.
pub(crate) async fn print(
    client: &Client,
    tasks: Vec<Task>,
    flags: &TaskListFlags,
    io: &mut Io,
) -> Result<(), Failure> {
    let names = match flags.no_resolve {
        true => Names::default(),
        false => Names::of(client, &tasks).await?,
    };
    let mut flags = flags.clone();
    if !flags.quiet {
        flags.format = docker_config::format(flags.format.as_deref(), "tasksFormat")?;
    }
    io.text(&show(tasks, &names, &flags)?)?;
    Ok(())
}

/// The list as text: slots in natural order, in a slot the newest task first and
/// in tables those before it as its branches.
pub(crate) fn show(
    mut tasks: Vec<Task>,
    names: &Names,
    flags: &TaskListFlags,
) -> Result<String, Failure> {
    let format = Format::new(flags.format.as_deref(), flags.quiet);
    let truncate = !flags.no_trunc;
    tasks.sort_by(|a, b| {
        natural(&names.task(a), &names.task(b)).then_with(|| b.created_at.cmp(&a.created_at))
    });
    let mut before = String::new();
    let rows: Vec<Row> = tasks
        .iter()
        .map(|task| {
            let name = names.task(task);
            let shown = match format.is_table() && name == before {
                true => format!(r" \_ {name}"),
                false => name.clone(),
            };
            before = name;
            row(task, shown, names, truncate)
        })
        .collect();
    render(&format, &LIST, &rows)
}

fn row(task: &Task, name: String, names: &Names, truncate: bool) -> Row {
    let id = if truncate { short(&task.id) } else { &task.id };
    let image = task.spec.image();
    let image = match truncate {
        true => ImageReference::parse(image).to_string(),
        false => image.to_owned(),
    };
    let current = format!(
        "{} {}",
        capitalised(task.status.state.as_str()),
        ago(task.status.timestamp).to_lowercase()
    );
    let error = match task.status.error.as_ref() {
        "" => String::new(),
        error if truncate => format!("\"{}\"", ellipsis(error, ERROR_LENGTH)),
        error => format!("\"{error}\""),
    };
    let fields: [(&str, Json); 8] = [
        ("ID", id.into()),
        ("Name", name.into()),
        ("Image", image.into()),
        ("Node", names.node(&task.node_id).into()),
        ("DesiredState", capitalised(task.desired_state.as_str()).into()),
        ("CurrentState", current.into()),
        ("Error", error.into()),
        ("Ports", ports(task).into()),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Host-mode ports as bound.
fn ports(task: &Task) -> String {
    let ports: Vec<_> = task
        .status
        .port_status
        .iter()
        .flat_map(|status| &status.ports)
        .filter(|port| port.publish_mode == PublishMode::Host || port.published_port > 0)
        .map(|port| format!("*:{}->{}/{}", port.published_port, port.target_port, port.protocol))
        .collect();
    ports.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::now;
    use serde_json::json;
    use swarmw_model::Duration;

    fn task(id: &str, slot: u64, created: &str, state: &str, error: &str) -> Json {
        let seen = now() - Duration::from_millis(4_500);
        json!({
            "ID": format!("{id}0000000000000000000000000"), "ServiceID": "svc", "Slot": slot,
            "NodeID": "n1", "CreatedAt": created, "DesiredState": if error.is_empty() { "running" } else { "shutdown" },
            "Spec": {"ContainerSpec": {"Image": "redis:3.0.6@sha256:ab"}},
            "Status": {"Timestamp": seen, "State": state, "Err": error},
        })
    }

    fn tasks() -> Vec<Task> {
        serde_json::from_value(json!([
            task(
                "old",
                2,
                "2026-11-20T00:00:01Z",
                "failed",
                "task: non-zero exit (1) and much more of it"
            ),
            task("ten", 10, "2026-11-20T00:00:01Z", "running", ""),
            task("new", 2, "2026-11-20T00:00:02Z", "running", ""),
        ]))
        .expect("tasks")
    }

    fn names() -> Names {
        Names {
            services: HashMap::from([("svc".into(), "redis".into())]),
            nodes: HashMap::from([("n1".into(), "worker1".into())]),
        }
    }

    #[test]
    fn history_hangs_below_its_slot() {
        let text = show(tasks(), &names(), &TaskListFlags::default()).expect("a table");
        assert_eq!(
            text,
            "ID             NAME          IMAGE         NODE      DESIRED STATE   CURRENT STATE           ERROR                              PORTS\n\
             new000000000   redis.2       redis:3.0.6   worker1   Running         Running 4 seconds ago                                      \n\
             old000000000    \\_ redis.2   redis:3.0.6   worker1   Shutdown        Failed 4 seconds ago    \"task: non-zero exit (1) and m…\"   \n\
             ten000000000   redis.10      redis:3.0.6   worker1   Running         Running 4 seconds ago                                      \n"
        );
    }

    #[test]
    fn untruncated_and_unresolved_shows_everything() {
        let flags = TaskListFlags {
            no_trunc: true,
            format: Some("{{.ID}} {{.Name}} {{.Image}} {{.Node}} {{.Error}}".into()),
            ..TaskListFlags::default()
        };
        let text = show(tasks(), &Names::default(), &flags).expect("lines");
        assert_eq!(
            text.lines().nth(1),
            Some(
                "old0000000000000000000000000 svc.2 redis:3.0.6@sha256:ab n1 \"task: non-zero exit (1) and much more of it\""
            )
        );
    }

    #[test]
    fn tasks_of_global_services_are_named_after_their_node() {
        let mut all = tasks();
        all.truncate(1);
        all[0].slot = 0;
        let flags = TaskListFlags { format: Some("{{.Name}}".into()), ..TaskListFlags::default() };
        assert_eq!(show(all, &names(), &flags).expect("lines"), "redis.n1\n");
    }

    #[test]
    fn quiet_prints_ids_short_unless_told_not_to() {
        let mut flags = TaskListFlags { quiet: true, ..TaskListFlags::default() };
        let text = show(tasks(), &names(), &flags).expect("ids");
        assert_eq!(text.lines().next(), Some("new000000000"));
        flags.no_trunc = true;
        let text = show(tasks(), &names(), &flags).expect("ids");
        assert_eq!(text.lines().next(), Some("new0000000000000000000000000"));
    }
}
