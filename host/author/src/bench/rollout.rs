//! A whole rollout through the component.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use swarmw_sdk::testing::{CaseFile, Failure, PolicyText, Script, What, play_rollout};

use super::BenchArgs;
use crate::subject::Component;

pub fn run(
    args: &BenchArgs,
    files: &[CaseFile],
    component: &mut Component<'_>,
    out: &mut dyn Write,
) -> Result<()> {
    let cases = files.iter().flat_map(|file| &file.cases);
    let first = cases
        .filter_map(|case| match &case.what {
            What::Update { name, settings, script, .. } => Some((case, name, settings, script)),
            _ => None,
        })
        .next();
    let (case, name, settings, script) =
        first.context("nothing to measure: write a case with a line `update NAME replicas=3`")?;
    let mut policy = PolicyText {
        name: name.clone(),
        settings: settings.clone(),
        options: case.options.clone(),
    };
    policy.settings.parallelism = u64::from(args.tasks / 100).max(1);
    let well = Script { tasks: Vec::new(), answers: script.answers.clone() };
    let started = Instant::now();
    let end =
        play_rollout(&policy, "web", args.tasks, &well, component).map_err(
            |failure| match failure {
                Failure::Refused(problems) => anyhow!("it refuses the settings: {problems:?}"),
                Failure::Broken(text) => anyhow!(text),
            },
        )?;
    let took = started.elapsed();
    let (slowest, what) = component.slowest;
    writeln!(
        out,
        "{} replicas, {} at once: {} after {} s of the rollout's time\n  \
         {} calls, {:.1} ms in all with the simulation, the longest a `{what}` of {:.1} ms",
        args.tasks,
        policy.settings.parallelism,
        end.outcome,
        end.at_ms / 1_000,
        component.took.calls(),
        took.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3
    )?;
    if slowest > Duration::from_millis(args.budget) {
        bail!("a call took longer than the budget of {} ms", args.budget);
    }
    Ok(())
}
