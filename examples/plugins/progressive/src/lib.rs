//! `--update-failure-action progressive`: 1 %, then 10 %, then 50 %, then all, each
//! batch watched before the next; back when too many of the new tasks fail.

use std::time::Duration;

use swarmw_sdk::*;

/// What is kept between two calls.
#[derive(State)]
struct Progressive {
    /// Which batch is under way.
    batch: u32,
    /// When all of it ran; 0 while it does not.
    since_ms: u64,
    failed: u32,
}

#[derive(Options)]
struct Settings {
    /// how far each batch goes, in percent of the targets
    #[option(default = "1,10,50,100")]
    batches: String,
    /// how long each batch is watched
    #[option(default = "30s")]
    watch: Duration,
    /// the share of new tasks that may fail, from 0 to 1
    #[option(default = "0")]
    ratio: f64,
}

export!(Progressive: UpdatePolicy);

impl UpdatePolicy for Progressive {
    const NAME: &'static str = "example/progressive";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("progressive")]
    }

    fn check(_: &swarmw_sdk::Settings, options: &Settings) -> Result<Needs, Problem> {
        if !(0.0..=1.0).contains(&options.ratio) {
            return Err(problem("bad-ratio", "a ratio is from 0 to 1").of_option("ratio"));
        }
        percents(&options.batches)?;
        Ok(Needs { targets: false, group_by: None })
    }

    fn begin(
        rollout: &Rollout<Settings>,
        _: &[TargetInfo],
        _: &View,
        actions: &mut Actions,
    ) -> Result<Self, String> {
        actions.replace_next(goal(rollout, 0)?);
        Ok(Progressive { batch: 0, since_ms: 0, failed: 0 })
    }

    fn step(
        &mut self,
        rollout: &Rollout<Settings>,
        view: &View,
        actions: &mut Actions,
    ) -> Result<(), String> {
        self.failed += view.ended.iter().filter(|task| !task.ordered).count() as u32;
        let counts = &view.counts;
        let ordered = rollout.total - counts.outdated.min(rollout.total);
        if f64::from(self.failed) > f64::from(ordered) * rollout.options.ratio {
            let told = format!("{} of {ordered} new tasks failed", self.failed);
            if rollout.rolling_back {
                actions.pause(told);
            } else {
                actions.roll_back(told);
            }
            return Ok(());
        }
        if counts.replacing > 0 {
            // The next move of a target comes with a call of its own.
            self.since_ms = 0;
            return Ok(());
        }
        if self.since_ms == 0 {
            self.since_ms = view.now_ms;
        }
        let until = self.since_ms + rollout.options.watch.as_millis() as u64;
        if view.now_ms < until {
            actions.report(format!("watching {ordered} of {}", rollout.total));
            actions.wake_at(until);
            return Ok(());
        }
        if counts.outdated == 0 {
            actions.complete();
            return Ok(());
        }
        self.since_ms = 0;
        // Batches that come to no more targets than there are already are passed over.
        let mut next = ordered;
        while next <= ordered {
            self.batch = self.batch.saturating_add(1);
            next = goal(rollout, self.batch)?;
        }
        actions.replace_next(next - ordered);
        Ok(())
    }
}

/// `1,10,50`, rising; the last is always all.
fn percents(text: &str) -> Result<Vec<f64>, Problem> {
    let wrong = || {
        problem("bad-batches", format!("'{text}' is not a list of rising percents"))
            .of_option("batches")
            .hint("try 1,10,50,100")
    };
    let percent = |word: &str| {
        let percent: f64 = word.trim().trim_end_matches('%').parse().ok()?;
        (percent > 0.0 && percent <= 100.0).then_some(percent)
    };
    let mut all: Vec<f64> =
        text.split(',').map(percent).collect::<Option<_>>().ok_or_else(wrong)?;
    if all.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(wrong());
    }
    if all.last() != Some(&100.0) {
        all.push(100.0);
    }
    Ok(all)
}

/// Targets that this batch and those before have, at least one.
fn goal(rollout: &Rollout<Settings>, batch: u32) -> Result<u32, String> {
    let percents = percents(&rollout.options.batches).map_err(|problem| problem.message)?;
    let percent = percents.get(batch as usize).copied().unwrap_or(100.0);
    Ok(((f64::from(rollout.total) * percent / 100.0).ceil() as u32).max(1))
}
