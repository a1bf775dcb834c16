//! One form of a spec for what means the same, set when it is written. What a
//! client reads, it writes back: without one form, a spec that went through a
//! client would differ from the stored one and restart every task.

use std::sync::Arc;

use swarmw_model::{ContainerOptions, ServiceMode, ServiceSpec};

/// Brings a spec into that form.
pub(crate) fn canonical(spec: &mut ServiceSpec) {
    let task = Arc::make_mut(&mut spec.task_template);
    // The template has its own from the spec alone.
    task.options = ContainerOptions::default();
    if let Some(container) = &mut task.container_spec {
        set_if_empty(&mut container.isolation, "default");
        set_if_empty(&mut task.runtime, "container");
        let hints = container.mounts.iter_mut().map(|mount| &mut mount.consistency);
        hints.filter(|hint| *hint == "default").for_each(String::clear);
    }
    if let Some(policy) = &mut task.restart_policy {
        // Without end either way; it is answered as 0.
        policy.max_attempts = policy.max_attempts.filter(|attempts| *attempts > 0);
    }
    match &mut spec.mode {
        ServiceMode::Replicated(replicated) => drop(replicated.replicas.get_or_insert(1)),
        ServiceMode::ReplicatedJob(job) => {
            job.max_concurrent = Some(job.at_a_time());
            // Of none at a time nothing follows for how many in all.
            if job.at_a_time() > 0 {
                job.total_completions = Some(job.completions());
            }
        }
        ServiceMode::Global(_) | ServiceMode::GlobalJob(_) => {}
    }
    let configs = [&mut spec.update_config, &mut spec.rollback_config];
    for config in configs.into_iter().flatten() {
        set_if_empty(&mut config.failure_action, "pause");
        set_if_empty(&mut config.order, "stop-first");
    }
}

fn set_if_empty(text: &mut String, word: &str) {
    if text.is_empty() {
        word.clone_into(text);
    }
}
