//! Which task a name means. Pure.

use std::sync::Arc;

use swarmw_model::{ContainerCall, Refusal, RefusalKind, Task, TaskId, TaskState};
use swarmw_state::State;

use crate::tasks;

/// Characters from which on the beginning of an id is one: as many as tables show.
const BEGINNING: usize = 12;
/// Characters of an engine's id.
const ENGINES_ID: usize = 64;
/// Tasks that a refusal names.
const NAMED_MAX: usize = 10;

/// The tasks that `reference` may mean, those that have ended too; see the head of
/// `mod.rs`.
pub(crate) fn called(state: &State, reference: &str) -> Vec<Arc<Task>> {
    match reference.split_once('.') {
        Some((service, rest)) => in_service(state, service, rest),
        // The id of a task is no container's: `docker inspect` asks for that first, and is
        // to show the task.
        None if is_an_id(reference) => by_container(state, reference),
        None => Vec::new(),
    }
}

/// Whether a text may be an engine's id of a container, or the beginning of one.
pub(crate) fn is_an_id(reference: &str) -> bool {
    (BEGINNING..=ENGINES_ID).contains(&reference.len())
        && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a name has the form of a task's.
pub(crate) fn is_a_tasks(reference: &str) -> bool {
    let is_id = |text: &str| text.parse::<TaskId>().is_ok();
    let is_slot = |text: &str| text.parse::<u64>().is_ok() || is_id(text);
    match reference.split('.').collect::<Vec<_>>()[..] {
        [service, slot] => !service.is_empty() && is_slot(slot),
        [service, slot, task] => !service.is_empty() && is_slot(slot) && is_id(task),
        _ => false,
    }
}

/// The one that is meant: the one that runs, and where none has to, the newest that has a
/// container.
///
/// # Errors
/// Several run, or none, or the one has no container.
pub(crate) fn one(
    reference: &str,
    called: &[Arc<Task>],
    call: ContainerCall,
) -> Result<Arc<Task>, Refusal> {
    let alive: Vec<_> = called.iter().filter(|task| is_alive(task)).collect();
    match alive[..] {
        [task] => return Ok(task.clone()),
        [] => {}
        _ => return Err(several(reference, &alive)),
    }
    let newest = |task: &&Arc<Task>| (task.created_at, task.id);
    let has_container = |task: &&Arc<Task>| task.status.container_status.is_some();
    let kept = called.iter().filter(has_container).max_by_key(newest);
    match (kept, called.iter().max_by_key(newest)) {
        (Some(task), _) if !call.needs_process() => Ok(Arc::clone(task)),
        // Clients look first, and who then asks for what else is called so is to find it.
        (_, Some(task)) if call == ContainerCall::Inspect => {
            Err(Refusal::plain(RefusalKind::NotFound, not_running(task)))
        }
        (_, Some(task)) => Err(conflict(not_running(task))),
        (_, None) => {
            Err(Refusal::plain(RefusalKind::NotFound, format!("No such container: {reference}")))
        }
    }
}

/// The tasks of a slot of a service, or the one of this name.
fn in_service(state: &State, service: &str, rest: &str) -> Vec<Arc<Task>> {
    if let Some((_, id)) = rest.split_once('.') {
        let task = id.parse().ok().and_then(|id| state.task(id)).cloned();
        let is_named = |task: &Arc<Task>| tasks::name(task) == format!("{service}.{rest}");
        return task.filter(is_named).into_iter().collect();
    }
    let Some(service) = state.service_named(service) else { return Vec::new() };
    let number = rest.parse::<u64>().ok();
    let node = rest.parse().ok();
    let wanted = |task: &&Arc<Task>| match task.number() {
        // A job's first is called by its node as well.
        Some(0) => number == Some(0) || (node.is_some() && task.node_id == node),
        Some(slot) => number == Some(slot),
        None => node.is_some() && task.node_id == node,
    };
    state.tasks_of_service(service.id).filter(wanted).cloned().collect()
}

fn by_container(state: &State, reference: &str) -> Vec<Arc<Task>> {
    let has = |task: &&Arc<Task>| {
        let container = task.status.container_status.as_ref();
        container.is_some_and(|container| container.container_id.starts_with(reference))
    };
    state.tasks().filter(has).cloned().collect()
}

/// Whether there may be a process: one that is starting has one for as long as its health
/// is not known.
fn is_alive(task: &Task) -> bool {
    (TaskState::Starting..=TaskState::Running).contains(&task.status.state)
        && task.node_id.is_some()
}

fn several(reference: &str, alive: &[&Arc<Task>]) -> Refusal {
    let mut names: Vec<_> = alive.iter().map(|task| tasks::name(task)).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    conflict(format!(
        "{} tasks called {reference} run: {}{more}; name one of them",
        alive.len(),
        names.join(", ")
    ))
}

fn not_running(task: &Task) -> String {
    let status = &task.status;
    let told: Vec<&str> =
        [&*status.message, &*status.error].into_iter().filter(|text| !text.is_empty()).collect();
    let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(": ")) };
    format!("task {} is not running: it is {}{told}", tasks::name(task), status.state)
}

/// 409, as an engine answers for a container that does not run.
fn conflict(message: String) -> Refusal {
    Refusal::plain(RefusalKind::AlreadyExists, message)
}

#[cfg(test)]
mod tests {
    use swarmw_model::{
        ContainerStatus, NodeId, ServiceFacts, ServiceId, TaskStatus, Time, Version,
    };

    use super::*;

    fn task(id: u128, state: TaskState) -> Arc<Task> {
        let has_container = state >= TaskState::Running && state != TaskState::Rejected;
        let container = ContainerStatus { container_id: "c".to_owned(), ..Default::default() };
        Arc::new(Task {
            id: TaskId::from_bits(id),
            version: Version::default(),
            created_at: Time::from_nanos(i64::try_from(id).expect("small")),
            updated_at: Time::ZERO,
            spec: Arc::default(),
            service_id: ServiceId::from_bits(1),
            slot: 3,
            node_id: Some(NodeId::from_bits(1)),
            status: TaskStatus {
                state,
                message: "started".into(),
                error: if state == TaskState::Failed { "exit 1".into() } else { "".into() },
                container_status: has_container.then(|| Box::new(container)),
                ..TaskStatus::default()
            },
            desired_state: TaskState::Running,
            spec_version: Version::default(),
            service: Arc::new(ServiceFacts { name: "web".to_owned(), ..Default::default() }),
            job_iteration: None,
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        })
    }

    fn chosen(tasks: &[Arc<Task>], call: ContainerCall) -> Result<u128, String> {
        let one = one("web.3", tasks, call);
        let bits = |task: Arc<Task>| (1..9).find(|n| task.id == TaskId::from_bits(*n));
        one.map(|task| bits(task).expect("one of them")).map_err(|refused| refused.to_string())
    }

    #[test]
    fn the_task_that_runs_is_meant_and_not_those_before_it() {
        let past = [task(1, TaskState::Failed), task(2, TaskState::Running)];
        let health = [task(3, TaskState::Shutdown), task(4, TaskState::Starting)];
        for call in [ContainerCall::Exec, ContainerCall::Logs] {
            assert_eq!(chosen(&past, call), Ok(2));
            assert_eq!(chosen(&health, call), Ok(4));
        }
    }

    #[test]
    fn what_needs_no_process_is_asked_of_the_newest_that_has_a_container() {
        let ended = [
            task(2, TaskState::Shutdown),
            task(1, TaskState::Failed),
            task(3, TaskState::Rejected),
        ];
        for call in [ContainerCall::Logs, ContainerCall::Inspect, ContainerCall::Archive] {
            assert_eq!(chosen(&ended, call), Ok(2), "{call:?}");
        }
    }

    #[test]
    fn a_task_that_does_not_run_says_how_it_is() {
        let refused = chosen(&[task(1, TaskState::Failed)], ContainerCall::Exec);
        let told = "task web.3.0000000000000000000000001 is not running: it is failed (started: \
                    exit 1)";
        assert_eq!(refused, Err(told.to_owned()));
        let waits = chosen(&[task(1, TaskState::Pending)], ContainerCall::Logs);
        assert!(
            waits.as_ref().is_err_and(|why| why.contains("it is pending (started)")),
            "{waits:?}"
        );
    }

    #[test]
    fn who_looks_for_anything_that_is_called_so_goes_on() {
        let waits = [task(1, TaskState::Pending)];
        let refused = |call| one("web.3", &waits, call).err().map(|refusal| refusal.kind);
        assert_eq!(refused(ContainerCall::Inspect), Some(RefusalKind::NotFound));
        assert_eq!(refused(ContainerCall::Logs), Some(RefusalKind::AlreadyExists));
    }

    #[test]
    fn several_that_run_are_all_named() {
        let both = [task(1, TaskState::Running), task(2, TaskState::Running)];
        let refused = chosen(&both, ContainerCall::Exec).expect_err("two of them");
        for name in ["web.3.0000000000000000000000001", "web.3.0000000000000000000000002"] {
            assert!(refused.contains(name), "{refused}");
        }
        assert!(refused.starts_with("2 tasks called web.3 run: "), "{refused}");
        let many: Vec<_> = (0..13).map(|id| task(id, TaskState::Running)).collect();
        let refused = chosen(&many, ContainerCall::Exec).expect_err("too many");
        assert!(refused.contains(" and 3 more;"), "{refused}");
    }

    #[test]
    fn names_of_tasks_have_a_form() {
        let id = TaskId::from_bits(7).to_string();
        for name in ["web.3", &format!("web.{id}"), &format!("web.3.{id}")] {
            assert!(is_a_tasks(name), "{name}");
        }
        for name in ["web", "my.box", "web.3.old", ".3", "web.", "a.1.2.3", ""] {
            assert!(!is_a_tasks(name), "{name}");
        }
    }

    #[test]
    fn ids_of_containers_have_a_form() {
        let whole = "c0ffee00".repeat(8);
        for id in [whole.as_str(), &whole[..12]] {
            assert!(is_an_id(id), "{id}");
        }
        for none in [&whole[..11], &format!("{whole}0"), "web.1", "of-a-container"] {
            assert!(!is_an_id(none), "{none}");
        }
    }
}
