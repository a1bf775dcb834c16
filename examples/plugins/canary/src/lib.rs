//! `--update-failure-action canary`: one target first; while a metric stays good for
//! a while, the rest; back as soon as it is bad.

use std::time::Duration;

use swarmw_sdk::*;

/// What is kept between two calls.
#[derive(State)]
struct Canary {
    phase: Phase,
    /// Good answers in a row.
    good: u32,
    /// Bad answers, or none, in a row.
    bad: u32,
    /// When the metric was asked for last.
    asked_ms: u64,
    failed: u32,
}

#[derive(State, Clone, Copy, PartialEq)]
enum Phase {
    Canary,
    Rest,
}

#[derive(Options)]
struct Settings {
    /// URL that answers with JSON, such as http://prometheus:9090/api/v1/query?query=…
    query: String,
    /// where in the answer the number stands, as a JSON pointer
    #[option(default = "/data/result/0/value/1")]
    pointer: String,
    /// the most that the metric may be
    max: f64,
    /// targets to begin with
    #[option(default = "1", min = 1)]
    first: u32,
    /// between two queries
    #[option(default = "10s")]
    every: Duration,
    /// good answers before the rest follows
    #[option(default = "3", min = 1)]
    good: u32,
    /// bad answers in a row that end it
    #[option(default = "2", min = 1)]
    bad: u32,
}

export!(Canary: UpdatePolicy);

/// The id of the one query.
const METRIC: &str = "metric";
/// How long the host waits for an answer.
const TIMEOUT_MS: u32 = 5_000;

impl UpdatePolicy for Canary {
    const NAME: &'static str = "example/canary";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("canary")]
    }

    fn grants() -> Vec<Grant> {
        vec![
            Grant::observe("http://*", "the metric that a canary is judged by"),
            Grant::observe("https://*", "the metric that a canary is judged by"),
        ]
    }

    fn check(_: &swarmw_sdk::Settings, options: &Settings) -> Result<Needs, Problem> {
        let web = ["http://", "https://"].iter().any(|scheme| options.query.starts_with(scheme));
        if !web {
            return Err(problem("bad-query", format!("'{}' is no URL", options.query))
                .of_option("query")
                .hint("try http://prometheus:9090/api/v1/query?query=error_ratio"));
        }
        if options.every.is_zero() {
            return Err(problem("bad-every", "every must be above 0").of_option("every"));
        }
        Ok(Needs { targets: false, group_by: None })
    }

    fn begin(
        rollout: &Rollout<Settings>,
        _: &[TargetInfo],
        _: &View,
        actions: &mut Actions,
    ) -> Result<Self, String> {
        actions.replace_next(rollout.options.first);
        Ok(Canary { phase: Phase::Canary, good: 0, bad: 0, asked_ms: 0, failed: 0 })
    }

    fn step(
        &mut self,
        rollout: &Rollout<Settings>,
        view: &View,
        actions: &mut Actions,
    ) -> Result<(), String> {
        let options = &rollout.options;
        self.failed += view.ended.iter().filter(|task| !task.ordered).count() as u32;
        if self.failed > 0 && self.phase == Phase::Canary {
            give_up(rollout, actions, "the canary failed".to_owned());
            return Ok(());
        }
        for answer in view.answers.iter().filter(|answer| answer.id == METRIC) {
            if let Some(told) = self.judge(options, &answer.value, actions) {
                give_up(rollout, actions, told);
                return Ok(());
            }
        }
        let counts = &view.counts;
        let underway = counts.replacing + counts.down;
        if self.phase == Phase::Canary {
            if underway > 0 {
                return Ok(());
            }
            if self.good < options.good {
                self.ask(options, view, actions);
                return Ok(());
            }
            self.phase = Phase::Rest;
        }
        if counts.outdated + underway == 0 {
            actions.complete();
            return Ok(());
        }
        let atonce = match u32::try_from(rollout.settings.parallelism) {
            Ok(0) | Err(_) => rollout.total,
            Ok(n) => n,
        };
        actions.replace_next(atonce.saturating_sub(underway).min(counts.outdated));
        // The metric goes on being watched.
        self.ask(options, view, actions);
        Ok(())
    }
}

impl Canary {
    /// Counts an answer; says why the update should end, if it should.
    fn judge(
        &mut self,
        options: &Settings,
        value: &Result<f64, String>,
        actions: &mut Actions,
    ) -> Option<String> {
        let told = match value {
            Ok(value) if *value <= options.max => {
                self.bad = 0;
                self.good += 1;
                actions.report(format!("{value} is at most {}: {} good", options.max, self.good));
                return None;
            }
            Ok(value) => format!("the metric is {value}, above {}", options.max),
            // A canary that cannot be seen is not trusted.
            Err(error) => format!("the metric cannot be seen: {error}"),
        };
        self.good = 0;
        self.bad += 1;
        actions.report(format!("{told} ({} of {})", self.bad, options.bad));
        (self.bad >= options.bad).then_some(told)
    }

    fn ask(&mut self, options: &Settings, view: &View, actions: &mut Actions) {
        let next = self.asked_ms + options.every.as_millis() as u64;
        if view.now_ms < next {
            actions.wake_at(next);
            return;
        }
        self.asked_ms = view.now_ms;
        actions.observe(Query {
            id: METRIC.to_owned(),
            url: options.query.clone(),
            pointer: options.pointer.clone(),
            timeout_ms: TIMEOUT_MS,
        });
        actions.wake_at(view.now_ms + options.every.as_millis() as u64);
    }
}

fn give_up(rollout: &Rollout<Settings>, actions: &mut Actions, told: String) {
    if rollout.rolling_back {
        actions.pause(told);
    } else {
        actions.roll_back(told);
    }
}
