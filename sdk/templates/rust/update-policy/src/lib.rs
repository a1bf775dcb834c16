//! `--update-failure-action {{name}}`: a few targets first, the rest when those
//! have run for a while; back to the old version when more tasks fail than allowed.

use std::time::Duration;

use swarmw_sdk::*;

/// What is kept between two calls, replicated with each of them.
#[derive(State)]
struct {{Type}} {
    phase: Phase,
    /// When the first targets were all running.
    since_ms: u64,
    failed: u32,
}

#[derive(State, Clone, Copy, PartialEq)]
enum Phase {
    First,
    Rest,
}

/// What operators may set: `--policy-opt {{name}}.OPTION=VALUE`.
#[derive(Options)]
struct Settings {
    /// targets to begin with
    #[option(default = "1", min = 1)]
    first: u32,
    /// how long those must run
    #[option(default = "30s")]
    watch: Duration,
    /// tasks that may fail
    #[option(default = "0")]
    failures: u32,
}

export!({{Type}}: UpdatePolicy);

impl UpdatePolicy for {{Type}} {
    const NAME: &'static str = "{{publisher}}/{{name}}";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("{{name}}")]
    }

    fn begin(
        rollout: &Rollout<Settings>,
        _: &[TargetInfo],
        _: &View,
        actions: &mut Actions,
    ) -> Result<Self, String> {
        actions.replace_next(rollout.options.first);
        Ok({{Type}} { phase: Phase::First, since_ms: 0, failed: 0 })
    }

    fn step(
        &mut self,
        rollout: &Rollout<Settings>,
        view: &View,
        actions: &mut Actions,
    ) -> Result<(), String> {
        let options = &rollout.options;
        // A drained node is nobody's failure.
        self.failed += view.ended.iter().filter(|task| !task.ordered).count() as u32;
        if self.failed > options.failures {
            // A rollback that fails is left to the operator.
            let told = format!("{} of the new tasks failed", self.failed);
            if rollout.rolling_back {
                actions.pause(told);
            } else {
                actions.roll_back(told);
            }
            return Ok(());
        }
        let counts = &view.counts;
        let underway = counts.replacing + counts.down;
        if self.phase == Phase::First && underway == 0 {
            if self.since_ms == 0 {
                self.since_ms = view.now_ms;
            }
            let until = self.since_ms + options.watch.as_millis() as u64;
            if view.now_ms < until {
                actions.report("watching the first tasks");
                actions.wake_at(until);
                return Ok(());
            }
            self.phase = Phase::Rest;
        }
        if self.phase == Phase::Rest {
            let atonce = rollout.settings.parallelism.max(1).min(u64::from(u32::MAX)) as u32;
            actions.replace_next(atonce.saturating_sub(underway).min(counts.outdated));
        }
        if counts.outdated + underway == 0 && self.phase == Phase::Rest {
            actions.complete();
        }
        Ok(())
    }
}
