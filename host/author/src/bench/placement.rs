//! A pass of the scheduler with the plugin, and one without.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use swarmw_model::{PluginKind, Preference};
use swarmw_plugin_host::PluginHost;
use swarmw_scheduler::{
    Allocation, Class, CompiledPreference, Constraint, Policies, PolicyFailure, Questions,
    RawOptions, Tuples,
};
use swarmw_sdk::testing::CaseFile;

use super::BenchArgs;
use crate::Built;
use crate::cluster::{Cluster, spec};
use crate::wanted::Wanted;

/// What a pass took.
struct Pass {
    whole: Duration,
    asked: Duration,
    calls: u64,
}

pub fn run(
    args: &BenchArgs,
    files: &[CaseFile],
    host: PluginHost,
    built: &Built,
    out: &mut dyn Write,
) -> Result<()> {
    let Some(wanted) = args.wanted.wanted(built, files) else {
        bail!("nothing to measure: name a --constraint or a --placement-pref, or write a case")
    };
    writeln!(
        out,
        "{} nodes, {} services of {} tasks each: {wanted}",
        args.nodes,
        args.services,
        args.tasks / args.services.max(1),
    )?;
    // As `service create` would refuse it.
    host.check_service(&spec("bench", &wanted)).map_err(|refusal| anyhow!(refusal.message))?;
    let mut timed = Timed { host, asked: Duration::ZERO };
    let (bare, _) = passes(args, &Wanted::default(), &mut timed)?;
    let (first, steady) = passes(args, &wanted, &mut timed)?;
    let line = |name: &str, pass: &Pass| {
        let share = pass.asked.as_secs_f64() / pass.whole.as_secs_f64().max(1e-9) * 100.0;
        format!(
            "  {name:<28} {:>9.1} ms   in the plugin {:>8.1} ms ({share:.0} %)   {:>5} {}",
            millis(pass.whole),
            millis(pass.asked),
            pass.calls,
            calls(pass.calls)
        )
    };
    writeln!(out, "{}", line("first pass without it", &bare))?;
    writeln!(out, "{}", line("first pass", &first))?;
    writeln!(out, "{}", line("one more task per service", &steady))?;

    if built.inspected.kind == PluginKind::Constraint && steady.calls > 0 {
        bail!(
            "{} {} where no node had a new value: a constraint is asked none",
            steady.calls,
            calls(steady.calls)
        );
    }
    let budget = Duration::from_millis(args.budget);
    if first.asked > budget {
        bail!(
            "the plugin took {:.0} ms of the first pass, over the budget of {} ms: ask for fewer \
             columns, or do less per row or bin",
            millis(first.asked),
            args.budget
        );
    }
    Ok(())
}

/// The word for so many.
fn calls(count: u64) -> &'static str {
    if count == 1 { "call" } else { "calls" }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The first pass over a new cluster, and the one after a task more per service.
fn passes(args: &BenchArgs, wanted: &Wanted, timed: &mut Timed) -> Result<(Pass, Pass)> {
    let mut cluster = Cluster::new(args.nodes, &args.wanted.labels);
    let services: Vec<_> =
        (0..args.services).map(|n| cluster.service(&format!("s{n}"), wanted)).collect();
    let mut pass = |count: u32| {
        let tasks: Vec<_> = services.iter().map(|service| (*service, count)).collect();
        cluster.create(&tasks)?;
        let (calls, started) = (timed.host.calls(), Instant::now());
        timed.asked = Duration::ZERO;
        cluster.schedule(timed)?;
        let whole = started.elapsed();
        Ok::<_, anyhow::Error>(Pass {
            whole,
            asked: timed.asked,
            calls: timed.host.calls() - calls,
        })
    };
    Ok((pass((args.tasks / args.services.max(1)).max(1))?, pass(1)?))
}

/// The host, and the time spent asking it.
struct Timed {
    host: PluginHost,
    asked: Duration,
}

impl Timed {
    fn ask<T>(&mut self, question: impl FnOnce(&mut PluginHost) -> T) -> T {
        let started = Instant::now();
        let answer = question(&mut self.host);
        self.asked += started.elapsed();
        answer
    }
}

impl Policies for Timed {
    fn generation(&self) -> u64 {
        self.host.generation()
    }

    fn constraint(
        &mut self,
        expression: &str,
        options: &RawOptions,
    ) -> Result<Arc<Constraint>, PolicyFailure> {
        self.ask(|host| host.constraint(expression, options))
    }

    fn test(
        &mut self,
        constraint: &Constraint,
        batch: &Tuples,
    ) -> Result<Vec<bool>, PolicyFailure> {
        self.ask(|host| host.test(constraint, batch))
    }

    fn preference(
        &mut self,
        preference: &Preference,
        options: &RawOptions,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure> {
        self.ask(|host| host.preference(preference, options))
    }

    fn classify(
        &mut self,
        preference: &CompiledPreference,
        batch: &Tuples,
    ) -> Result<Vec<Class>, PolicyFailure> {
        self.ask(|host| host.classify(preference, batch))
    }

    fn allocate(
        &mut self,
        preference: &CompiledPreference,
        questions: &Questions,
    ) -> Result<Allocation, PolicyFailure> {
        self.ask(|host| host.allocate(preference, questions))
    }
}
