//! `--update-failure-action error-budget`: goes on as long as failures stay within a
//! budget per window of time, waits when it is used up, and gives up when it is
//! overdrawn.

use std::time::Duration;

use swarmw_sdk::*;

/// What is kept between two calls.
#[derive(State)]
struct Budget {
    /// When tasks failed, within the window; at most [`KEPT_MAX`].
    failures: Vec<u64>,
    /// When the last target was ordered.
    ordered_ms: u64,
}

#[derive(Options)]
struct Settings {
    /// failures within the window that are borne; with one more the update waits
    #[option(default = "2")]
    budget: u32,
    /// how long a failure counts
    #[option(default = "5m")]
    window: Duration,
    /// failures within the window that end it
    #[option(default = "5", min = 1, max = 1_000)]
    most: u32,
}

export!(Budget: UpdatePolicy);

/// More failures than that are no more telling.
const KEPT_MAX: usize = 1_000;

impl UpdatePolicy for Budget {
    const NAME: &'static str = "example/error-budget";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("error-budget")]
    }

    fn check(_: &swarmw_sdk::Settings, options: &Settings) -> Result<Needs, Problem> {
        if options.most <= options.budget {
            return Err(problem("bad-most", "most must be above budget").of_option("most"));
        }
        Ok(Needs { targets: false, group_by: None })
    }

    fn begin(
        rollout: &Rollout<Settings>,
        _: &[TargetInfo],
        view: &View,
        actions: &mut Actions,
    ) -> Result<Self, String> {
        let mut budget = Budget { failures: Vec::new(), ordered_ms: 0 };
        budget.go_on(rollout, view, actions);
        Ok(budget)
    }

    fn step(
        &mut self,
        rollout: &Rollout<Settings>,
        view: &View,
        actions: &mut Actions,
    ) -> Result<(), String> {
        let options = &rollout.options;
        let window = options.window.as_millis() as u64;
        self.failures
            .extend(view.ended.iter().filter(|task| !task.ordered).map(|task| task.ended_ms));
        self.failures.retain(|at| at + window > view.now_ms);
        self.failures.truncate(KEPT_MAX);
        let failed = self.failures.len() as u32;
        if failed >= options.most {
            let told = format!("{failed} tasks failed within {} s", window / 1_000);
            if rollout.rolling_back {
                actions.pause(told);
            } else {
                actions.roll_back(told);
            }
            return Ok(());
        }
        if failed > options.budget {
            // As soon as the oldest of them no longer counts.
            let oldest = self.failures.iter().min().copied().unwrap_or(view.now_ms);
            actions.report(format!("waiting: {failed} failures, {} are borne", options.budget));
            actions.wake_at(oldest + window);
            return Ok(());
        }
        self.go_on(rollout, view, actions);
        Ok(())
    }
}

impl Budget {
    /// As many at once as `--update-parallelism` says, `--update-delay` apart, and
    /// watched to the end of `--update-monitor`.
    fn go_on(&mut self, rollout: &Rollout<Settings>, view: &View, actions: &mut Actions) {
        let (settings, counts) = (&rollout.settings, &view.counts);
        let underway = counts.replacing + counts.down;
        if counts.outdated == 0 {
            let until = self.ordered_ms + settings.monitor_ms;
            match underway == 0 && view.now_ms >= until {
                true => actions.complete(),
                false => actions.wake_at(until.max(view.now_ms + 1)),
            }
            return;
        }
        let atonce = match u32::try_from(settings.parallelism) {
            Ok(0) | Err(_) => rollout.total,
            Ok(n) => n,
        };
        let next = self.ordered_ms + settings.delay_ms;
        if self.ordered_ms > 0 && view.now_ms < next {
            actions.wake_at(next);
            return;
        }
        let free = atonce.saturating_sub(underway).min(counts.outdated);
        if free > 0 {
            self.ordered_ms = view.now_ms;
            actions.replace_next(free);
            if settings.delay_ms > 0 {
                actions.wake_at(view.now_ms + settings.delay_ms);
            }
        }
    }
}
