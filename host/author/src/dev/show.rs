//! What a plugin does, and how that differs from before.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, anyhow, bail};
use swarmw_model::PluginKind;
use swarmw_sdk::testing::{CaseFile, Failure, PolicyText, What, play_rollout, read_folder, update};

use super::DevArgs;
use crate::cluster::{Cluster, Placed, spec};
use crate::project::Project;
use crate::subject::Component;
use crate::wanted::Wanted;
use crate::{Built, Workbench};

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Scene {
    /// Where the tasks of a service are.
    Placement {
        /// The command that asks for it.
        asked: String,
        /// The label that nodes are shown by.
        label: String,
        /// Its values to nodes.
        groups: BTreeMap<String, Vec<String>>,
        /// Tasks.
        placed: Placed,
    },
    /// Rollouts or plans, by the case that asks.
    Stories(Vec<(String, String)>),
}

/// Plays the scene of a plugin's kind.
pub fn scene(args: &DevArgs, bench: &Workbench, project: &Project, built: &Built) -> Result<Scene> {
    let files = read_folder(&project.cases()).map_err(|error| anyhow!(error))?;
    match built.inspected.kind {
        PluginKind::Constraint | PluginKind::Preference => {
            placement(args, bench, project, built, &files)
        }
        PluginKind::UpdatePolicy => rollouts(bench, project, built, &files),
        PluginKind::VolumeDriver => {
            bail!("a volume driver places nothing: `swarmw plugin test` shows its plans")
        }
    }
}

fn placement(
    args: &DevArgs,
    bench: &Workbench,
    project: &Project,
    built: &Built,
    files: &[CaseFile],
) -> Result<Scene> {
    let Some(mut wanted) = args.wanted.wanted(built, files) else {
        bail!("nothing to show: name a --constraint or a --placement-pref, or write a case")
    };
    wanted.memory = args.reserve_memory;
    let mut cluster = Cluster::new(args.nodes, &args.wanted.labels);
    let mut host = bench.host(project, built)?;
    // What a cluster would refuse when it is typed is refused here, with its caret.
    host.check_service(&spec("web", &wanted)).map_err(|refusal| anyhow!(refusal.message))?;
    // Another service is there already, so that nodes are not all alike.
    let other = cluster.service("db", &Wanted::default());
    cluster.place(&[(other, args.nodes.div_ceil(3) as u32)], &mut host)?;
    let service = cluster.service("web", &wanted);
    cluster.place(&[(service, args.replicas)], &mut host)?;
    let label = label_of(&wanted);
    Ok(Scene::Placement {
        asked: format!("{} nodes, {} tasks with {wanted}", args.nodes, args.replicas),
        groups: cluster.by_label(&label),
        label,
        placed: cluster.placed(service),
    })
}

/// The label that the preferences or constraints speak of, or the zone.
fn label_of(wanted: &Wanted) -> String {
    let texts = wanted.preferences.iter().map(|p| &p.argument).chain(&wanted.constraints);
    let named = texts.filter_map(|text| {
        let (_, rest) = text.split_once("node.labels.")?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_' && c != '.');
        Some(rest[..end.unwrap_or(rest.len())].to_owned())
    });
    named.into_iter().next().unwrap_or_else(|| "zone".to_owned())
}

fn rollouts(
    bench: &Workbench,
    project: &Project,
    built: &Built,
    files: &[CaseFile],
) -> Result<Scene> {
    let mut component = Component::new(bench, project, built)?;
    let mut stories = Vec::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        let What::Update { name, replicas, settings, script } = &case.what else { continue };
        let policy = PolicyText {
            name: name.clone(),
            settings: settings.clone(),
            options: case.options.clone(),
        };
        let story = match play_rollout(&policy, "web", *replicas, script, &mut component) {
            Ok(end) => update::story(&end),
            Err(Failure::Refused(problems)) => {
                problems.iter().map(|p| format!("    refused: {}", p.message)).collect()
            }
            Err(Failure::Broken(text)) => format!("    {text}"),
        };
        stories.push((case.title.clone(), story));
    }
    if stories.is_empty() {
        bail!("nothing to show: write a case with a line `update NAME replicas=3`");
    }
    Ok(Scene::Stories(stories))
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Placement { asked, label, groups, placed } => {
                writeln!(f, "{asked}")?;
                for (value, nodes) in groups {
                    let of = |node: &String| {
                        let count = placed.nodes.get(node).copied().unwrap_or(0);
                        (count > 0).then(|| format!("{node}×{count}"))
                    };
                    let tasks: u32 = nodes.iter().filter_map(|n| placed.nodes.get(n)).sum();
                    let list: Vec<_> = nodes.iter().filter_map(of).collect();
                    let line = format!("  {label}={value:<12} {tasks:>4}   {}", list.join(" "));
                    writeln!(f, "{}", line.trim_end())?;
                }
                for (why, count) in &placed.waiting {
                    writeln!(f, "  {count} wait: {why}")?;
                }
                Ok(())
            }
            Self::Stories(stories) => {
                for (title, story) in stories {
                    writeln!(f, "{title}\n{story}")?;
                }
                Ok(())
            }
        }
    }
}

impl Scene {
    /// What is not as it was.
    pub fn since(&self, before: &Self) -> String {
        if self == before {
            return "nothing changes".to_owned();
        }
        match (self, before) {
            (
                Self::Placement { placed: now, .. },
                Self::Placement { placed: was, asked: asked_before, .. },
            ) => {
                let Self::Placement { asked, .. } = self else { return String::new() };
                if asked != asked_before {
                    return self.to_string();
                }
                moved(was, now)
            }
            (Self::Stories(now), Self::Stories(was)) => {
                let changed = now.iter().filter(|story| !was.contains(story));
                changed.map(|(title, story)| format!("{title}\n{story}\n")).collect()
            }
            _ => self.to_string(),
        }
    }
}

/// Node by node, then what waits.
fn moved(was: &Placed, now: &Placed) -> String {
    let mut lines = Vec::new();
    let mut come = 0;
    let mut nodes: Vec<&String> = was.nodes.keys().chain(now.nodes.keys()).collect();
    nodes.sort();
    nodes.dedup();
    for node in nodes {
        let count = |placed: &Placed| placed.nodes.get(node).copied().unwrap_or(0);
        let (before, after) = (count(was), count(now));
        if before != after {
            come += after.saturating_sub(before);
            lines.push(format!("  {node:<12} {before} → {after}"));
        }
    }
    let waiting = |placed: &Placed| placed.waiting.values().sum::<u32>();
    let (waited, wait) = (waiting(was), waiting(now));
    if was.waiting != now.waiting {
        lines.push(format!("  waiting      {waited} → {wait}"));
        lines.extend(now.waiting.iter().map(|(why, count)| format!("  {count} wait: {why}")));
    }
    format!("{}\n{}", headline(come, waited, wait), lines.join("\n"))
}

/// How many tasks come to another node, out of or into waiting.
fn headline(come: u32, waited: u32, wait: u32) -> String {
    let tasks = |count, (one, more): (&str, &str)| match count {
        1 => format!("1 task {one}"),
        n => format!("{n} tasks {more}"),
    };
    // Those that waited come from no node.
    let placed = waited.saturating_sub(wait);
    let (moved, held) = (come.saturating_sub(placed), wait.saturating_sub(waited));
    let told = [
        (moved, ("comes to another node", "come to another node")),
        (placed, ("waits no longer", "wait no longer")),
        (held, ("waits now", "wait now")),
    ];
    let told: Vec<_> =
        told.iter().filter(|(n, _)| *n > 0).map(|(n, words)| tasks(*n, *words)).collect();
    match told[..] {
        [] => "tasks wait for another reason".to_owned(),
        _ => told.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(nodes: &[(&str, u32)], waiting: u32) -> Placed {
        Placed {
            nodes: nodes.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect(),
            waiting: (waiting > 0).then(|| ("no room".to_owned(), waiting)).into_iter().collect(),
        }
    }

    #[test]
    fn what_moved_is_told_by_node() {
        let told = moved(&placed(&[("a", 2), ("b", 1)], 0), &placed(&[("a", 1), ("c", 1)], 1));
        assert_eq!(
            told,
            "1 task comes to another node, 1 task waits now\n  a            2 → 1\n  \
             b            1 → 0\n  c            0 → 1\n  waiting      0 → 1\n  1 wait: no room"
        );
    }

    #[test]
    fn tasks_that_wait_are_counted_apart_from_those_that_move() {
        for (come, waited, wait, told) in [
            (3, 0, 0, "3 tasks come to another node"),
            (0, 0, 6, "6 tasks wait now"),
            (6, 6, 0, "6 tasks wait no longer"),
            (3, 2, 0, "1 task comes to another node, 2 tasks wait no longer"),
            (0, 2, 2, "tasks wait for another reason"),
        ] {
            assert_eq!(headline(come, waited, wait), told);
        }
    }
}
