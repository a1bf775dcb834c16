//! `swarmw plugin test`.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use swarmw_sdk::testing::{play, read_folder};

use crate::project::Project;
use crate::random::Random;
use crate::subject::Component;
use crate::{Workbench, build, languages, laws};

/// `plugin test`
#[derive(clap::Args, Clone, Debug)]
pub struct TestArgs {
    /// Seed of what the laws are played with
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Test this component, of any language, with the cases of the folder
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// What was found.
#[derive(Default)]
struct Report {
    failed: usize,
    /// Told at the end, under the table.
    details: Vec<String>,
}

pub(crate) fn run(args: &TestArgs, bench: &Workbench, out: &mut dyn Write) -> Result<()> {
    let started = Instant::now();
    let project = match &args.component {
        Some(_) => Project::of(&args.folder)?,
        None => Project::find(&args.folder)?,
    };
    let files = read_folder(&project.cases()).map_err(|error| anyhow!(error))?;
    let mut report = Report::default();

    if args.component.is_none() && project.language().has_native_tests() {
        let (native, took) = timed(|| languages::native_tests(&project));
        match native? {
            Ok(counted) => report.kept(out, "native", "cargo test", &counted, took)?,
            Err(said) => report.missed(out, "native", "cargo test", &said)?,
        }
    }
    let (built, took) = timed(|| match &args.component {
        Some(file) => build::take(&project, file, bench),
        None => build::build(&project.folder, bench),
    });
    let built = built?;
    report.kept(out, "build", &build::summary(&built), "", took)?;

    let mut component = Component::new(bench, &project, &built)?;
    for file in &files {
        let (missed, took) = timed(|| play(file, &mut component));
        match &missed[..] {
            [] => {
                let count = counted(file.cases.len(), "case");
                report.kept(out, "host", &file.name, &count, took)?;
            }
            missed => {
                let told: Vec<_> =
                    missed.iter().map(|m| format!("{}\n  {}", m.title, m.message)).collect();
                report.missed(out, "host", &file.name, &told.join("\n"))?;
            }
        }
        component.refresh()?;
    }
    if files.is_empty() {
        writeln!(
            out,
            "  host    no cases: write some to {}/NAME.cases; the laws are played with what they ask",
            project.cases().display()
        )?;
    }
    let mut random = Random::new(args.seed);
    for law in laws::play(built.inspected.kind, &files, &mut random, &mut component)? {
        match &law.broken {
            // One that could not be played is no law that was kept.
            None if law.asked == 0 => {
                writeln!(out, "  law     {:<52} --  {}", law.name, law.unasked)?
            }
            None => {
                let count = counted(law.asked, "question");
                report.kept(out, "law", law.name, &count, Duration::ZERO)?;
            }
            Some(told) => report.missed(out, "law", law.name, told)?,
        }
    }
    if let Some(tightest) = component.tightest() {
        let calls = counted(component.took.calls(), "call");
        let what = format!("{calls}, the nearest to its budget a `{}`", tightest.call);
        let (spent, budget) = (millis(tightest.spent), millis(tightest.budget));
        let of = format!("{spent:.1} of {budget:.0} ms");
        match spent > budget && report.failed > 0 {
            // It ran out of it, and so failed its case or its law: told there.
            true => writeln!(out, "  {:<7} {what:<52} LATE  {of}", "limits")?,
            false => report.kept(out, "limits", &what, &of, Duration::ZERO)?,
        }
    }
    let (first, later) = component.took.medians();
    let speed = format!("{:.2}, {:.2} ms", millis(first), millis(later));
    let what = "medians: an instance's first call, a later one";
    report.kept(out, "speed", what, &speed, Duration::ZERO)?;
    for detail in &report.details {
        writeln!(out, "\n{detail}")?;
    }
    let logged = component.logged();
    if report.failed > 0 && !logged.is_empty() {
        writeln!(out, "\nlog of the component:\n  {}", logged.join("\n  "))?;
    }
    match report.failed {
        0 if files.iter().all(|file| file.cases.is_empty()) => {
            bail!(
                "nothing that {} decides was tried: without cases neither the host nor the laws \
                 have anything to ask; write some to {}/NAME.cases",
                built.inspected.name,
                project.cases().display()
            )
        }
        0 => {
            writeln!(out, "\nall well, in {:.1} s", started.elapsed().as_secs_f64())?;
            Ok(())
        }
        1 => bail!("1 thing is wrong with {}: see above", built.inspected.name),
        n => bail!("{n} things are wrong with {}: see above", built.inspected.name),
    }
}

/// `1 case`, `2 cases`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (work(), started.elapsed())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

impl Report {
    fn kept(
        &mut self,
        out: &mut dyn Write,
        part: &str,
        what: &str,
        count: &str,
        took: Duration,
    ) -> Result<()> {
        let took = match took {
            Duration::ZERO => String::new(),
            took => format!("{:.1} s", took.as_secs_f64()),
        };
        writeln!(out, "{}", format!("  {part:<7} {what:<52} ok  {count:<14} {took}").trim_end())?;
        Ok(())
    }

    fn missed(&mut self, out: &mut dyn Write, part: &str, what: &str, told: &str) -> Result<()> {
        self.failed += 1;
        self.details.push(format!("{part} {what}:\n{told}"));
        writeln!(out, "  {part:<7} {what:<52} FAILED")?;
        Ok(())
    }
}
