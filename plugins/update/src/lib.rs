//! Swarm's rolling updates, as one component with three names: `pause`,
//! `continue` and `rollback` say what happens when too many new tasks fail.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | the `--update-*` values |
//! | `progress` | what is remembered between two calls |
//! | `rules` | the decision |

mod progress;
mod rules;
mod settings;

use progress::Progress;
use settings::Settings;
use swarmw_sdk::raw::update::{Needs, Outcome, Policy, Rollout, TargetInfo, View};
use swarmw_sdk::raw::{Claim, Metadata, Plugin, Problem, UpdatePolicy, metadata};

/// The plugin `swarmw/update`.
pub struct SwarmUpdate;

swarmw_sdk::raw::export!(SwarmUpdate: UpdatePolicy);

impl Plugin for SwarmUpdate {
    fn describe() -> Metadata {
        metadata(
            "swarmw/update",
            env!("CARGO_PKG_VERSION"),
            "Swarm's updates: parallel workers, and pause, continue or rollback on failure",
        )
        .claim(Claim::Name("pause".into()))
        .claim(Claim::Name("continue".into()))
        .claim(Claim::Name("rollback".into()))
    }
}

impl UpdatePolicy for SwarmUpdate {
    fn check(policy: &Policy) -> Result<Needs, Vec<Problem>> {
        Settings::read(policy)?;
        Ok(Needs { targets: false, group_by: None })
    }

    fn begin(rollout: &Rollout, _: &[TargetInfo], view: &View) -> Result<Outcome, String> {
        decide(rollout, Progress::new(rollout.started_ms), view)
    }

    fn step(rollout: &Rollout, state: &[u8], view: &View) -> Result<Outcome, String> {
        decide(rollout, Progress::read(state)?, view)
    }
}

fn decide(rollout: &Rollout, mut progress: Progress, view: &View) -> Result<Outcome, String> {
    let settings = Settings::read(&rollout.policy).map_err(|problem| problem.message)?;
    let actions = rules::decide(rollout, &settings, &mut progress, view);
    Ok(Outcome { state: progress.write(), actions })
}

#[cfg(test)]
mod tests;
