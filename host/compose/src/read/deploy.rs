//! `deploy:`

use crate::amounts;
use crate::fields::{Found, Notes};
use crate::project::{Deploy, Resources, Restart, Rollout};

const ORDERS: [&str; 2] = ["start-first", "stop-first"];

pub(super) fn deploy(found: &Found<'_>, notes: &mut Notes) -> Deploy {
    let mut fields = found.fields(notes);
    let mut deploy = Deploy {
        mode: fields.text("mode", notes),
        replicas: fields.take("replicas").map(|found| found.whole(notes)),
        labels: fields.labels("labels", notes),
        update_config: fields.take("update_config").map(|found| rollout(&found, notes)),
        rollback_config: fields.take("rollback_config").map(|found| rollout(&found, notes)),
        restart_policy: fields.take("restart_policy").map(|found| restart(&found, notes)),
        endpoint_mode: fields.text("endpoint_mode", notes),
        ..Deploy::default()
    };
    if let Some(found) = fields.take("resources") {
        let mut fields = found.fields(notes);
        deploy.limits = fields.take("limits").map(|found| limits(&found, notes));
        if let Some(found) = fields.take("reservations") {
            deploy.devices = found.node.get("devices").map(|devices| devices.at.clone());
            deploy.reservations = Some(reservations(&found, notes));
        }
        fields.finish(notes);
    }
    if let Some(found) = fields.take("placement") {
        let mut fields = found.fields(notes);
        deploy.constraints = fields.texts("constraints", notes);
        deploy.max_replicas_per_node =
            fields.take("max_replicas_per_node").map(|f| f.whole(notes)).unwrap_or_default();
        for item in fields.take("preferences").map(|f| f.items(notes)).unwrap_or_default() {
            let mut fields = item.fields(notes);
            deploy.preferences.push(fields.text("spread", notes));
            fields.finish(notes);
        }
        fields.finish(notes);
    }
    fields.finish(notes);
    deploy
}

fn rollout(found: &Found<'_>, notes: &mut Notes) -> Rollout {
    let mut fields = found.fields(notes);
    let rollout = Rollout {
        parallelism: fields.take("parallelism").map(|found| found.whole(notes)),
        delay: fields.duration("delay", notes).unwrap_or_default(),
        failure_action: fields.text("failure_action", notes),
        monitor: fields.duration("monitor", notes).unwrap_or_default(),
        max_failure_ratio: fields
            .take("max_failure_ratio")
            .map(|found| found.number(notes))
            .unwrap_or_default(),
        order: match fields.take("order") {
            None => String::new(),
            Some(found) => {
                let order = found.text(notes);
                if !ORDERS.contains(&order.as_str()) {
                    found.wrong(
                        notes,
                        "must be one of the following: \"start-first\", \"stop-first\"",
                    );
                }
                order
            }
        },
    };
    fields.finish(notes);
    rollout
}

fn restart(found: &Found<'_>, notes: &mut Notes) -> Restart {
    let mut fields = found.fields(notes);
    let restart = Restart {
        condition: fields.text("condition", notes),
        delay: fields.duration("delay", notes),
        max_attempts: fields.take("max_attempts").map(|found| found.whole(notes)),
        window: fields.duration("window", notes),
    };
    fields.finish(notes);
    restart
}

fn limits(found: &Found<'_>, notes: &mut Notes) -> Resources {
    let mut fields = found.fields(notes);
    let resources = Resources {
        cpus: fields.take("cpus").map(|found| cpus(&found, notes)).unwrap_or_default(),
        memory: fields.take("memory").map(|found| found.bytes(notes)).unwrap_or_default(),
        pids: fields.take("pids").map(|found| found.whole(notes)).unwrap_or_default(),
        ..Resources::default()
    };
    fields.finish(notes);
    resources
}

fn reservations(found: &Found<'_>, notes: &mut Notes) -> Resources {
    let mut fields = found.fields(notes);
    let mut resources = Resources {
        cpus: fields.take("cpus").map(|found| cpus(&found, notes)).unwrap_or_default(),
        memory: fields.take("memory").map(|found| found.bytes(notes)).unwrap_or_default(),
        ..Resources::default()
    };
    for item in fields.take("generic_resources").map(|f| f.items(notes)).unwrap_or_default() {
        let mut fields = item.fields(notes);
        if let Some(found) = fields.take("discrete_resource_spec") {
            let mut fields = found.fields(notes);
            let kind = fields.text("kind", notes);
            let value = fields.take("value").map(|found| found.whole(notes)).unwrap_or_default();
            resources.generic.push((kind, value));
            fields.finish(notes);
        }
        fields.finish(notes);
    }
    // Refused when the service is to be made.
    fields.take("devices");
    fields.finish(notes);
    resources
}

/// CPUs as they are written; checked here, where their place is known.
pub(super) fn cpus(found: &Found<'_>, notes: &mut Notes) -> String {
    let text = match notes.is_current || found.node.substituted {
        true => found.text_or_number(notes),
        false => found.text(notes),
    };
    if !text.is_empty()
        && let Err(error) = amounts::cpus(&text)
    {
        found.wrong(notes, &format!("is no number of CPUs: {error}"));
    }
    text
}
