//! The flags that `service create` and `service update` share, by theme. What is
//! not given leaves a spec as it is.

mod container;
mod health;
mod host;
mod resources;
mod restart;
mod rollout;

use std::sync::Arc;

use swarmw_model::{Replicated, ServiceMode, ServiceSpec};

use super::placement::change_options;
use crate::failure::Failure;
use crate::parse::{boolean, uint};
pub(super) use container::{ContainerFlags, LogFlags};
pub(super) use health::HealthFlags;
pub(super) use host::{HostFlags, confine, device};
pub(super) use resources::ResourceFlags;
pub(super) use restart::RestartFlags;
pub(super) use rollout::{RollbackFlags, UpdateFlags};

/// All flags that create and update share.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct SharedFlags {
    #[command(flatten)]
    container: ContainerFlags,
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    health: HealthFlags,
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    resources: ResourceFlags,
    #[command(flatten)]
    restart: RestartFlags,
    #[command(flatten)]
    update: UpdateFlags,
    #[command(flatten)]
    rollback: RollbackFlags,
    /// Number of job tasks to run concurrently (default equal to --replicas)
    #[arg(long, value_name = "uint", value_parser = uint)]
    max_concurrent: Option<u64>,
    /// Number of tasks
    #[arg(long, value_name = "uint", value_parser = uint)]
    replicas: Option<u64>,
    /// Maximum number of tasks per node (default 0 = unlimited)
    #[arg(long, value_name = "uint", value_parser = uint)]
    replicas_max_per_node: Option<u64>,
}

/// What the flags are given to: Docker checks the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Update,
}

/// How the image is found.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct ImageFlags {
    /// Do not query the registry to resolve image digest and supported platforms
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) no_resolve_image: bool,
    /// Send registry authentication details to swarm agents
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) with_registry_auth: bool,
}

/// Whether to wait for the service to converge, and how loudly.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct WaitFlags {
    /// Exit immediately instead of waiting for the service to converge
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) detach: bool,
    /// Suppress progress output
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    pub(crate) quiet: bool,
}

// === impl SharedFlags ===

impl SharedFlags {
    /// Changes what was given; the mode is set before.
    pub(crate) fn apply(&self, spec: &mut ServiceSpec, verb: Verb) -> Result<(), Failure> {
        self.count(&mut spec.mode, verb)?;
        self.at_a_time(&mut spec.mode)?;
        let rolls = self.update != UpdateFlags::default();
        if spec.mode.is_job() && (rolls || self.rollback != RollbackFlags::default()) {
            return Err(Failure::new(
                "update and rollback configuration is not supported for jobs",
            ));
        }
        self.update.apply(&mut spec.update_config);
        self.rollback.apply(&mut spec.rollback_config);
        change_options(spec, |options| self.host.apply(&mut options.container));
        let task = Arc::make_mut(&mut spec.task_template);
        if let Some(max) = self.replicas_max_per_node {
            task.placement.get_or_insert_default().max_replicas = max;
        }
        self.restart.apply(&mut task.restart_policy)?;
        self.resources.apply(&mut task.resources);
        self.log.apply(&mut task.log_driver);
        let container = task.container_spec.get_or_insert_default();
        self.health.apply(&mut container.health_check)?;
        self.container.apply(container);
        Ok(())
    }

    /// How many tasks there are to be, where the mode leaves it open.
    fn count(&self, mode: &mut ServiceMode, verb: Verb) -> Result<(), Failure> {
        let everywhere = matches!(mode, ServiceMode::Global(_) | ServiceMode::GlobalJob(_));
        match (mode, self.replicas) {
            (_, None) => {}
            (ServiceMode::Replicated(Replicated { replicas }), given) => *replicas = given,
            (ServiceMode::ReplicatedJob(job), given) if verb == Verb::Create => {
                // Both, so that all run together where nothing is said of how many may.
                job.max_concurrent = given;
                job.total_completions = given;
            }
            _ if verb == Verb::Create => {
                return Err(Failure::new(
                    "replicas can only be used with replicated or replicated-job mode",
                ));
            }
            _ => return Err(Failure::new("replicas can only be used with replicated mode")),
        }
        if verb == Verb::Create
            && self.replicas_max_per_node.is_some_and(|max| max > 0)
            && everywhere
        {
            return Err(Failure::new(
                "replicas-max-per-node can only be used with replicated or replicated-job mode",
            ));
        }
        Ok(())
    }

    /// How many of a job's tasks may run at a time.
    fn at_a_time(&self, mode: &mut ServiceMode) -> Result<(), Failure> {
        match (mode, self.max_concurrent) {
            (_, None) => Ok(()),
            (ServiceMode::ReplicatedJob(job), given) => {
                job.max_concurrent = given;
                Ok(())
            }
            _ => Err(Failure::new("max-concurrent can only be used with replicated-job mode")),
        }
    }
}
