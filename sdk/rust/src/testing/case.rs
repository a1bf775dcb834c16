//! Reading files of cases.

use std::collections::BTreeMap;

use super::rollout::{Fate, Script, TaskScript};
use super::words::{pair, size, time, whole, words};
use super::{Texts, VolumeText};
use crate::{Order, Settings};

/// A file, read.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseFile {
    /// As shown.
    pub name: String,
    /// In order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What stands after `case`.
    pub title: String,
    /// Where it starts.
    pub line: usize,
    /// The cluster.
    pub nodes: Vec<NodeLine>,
    /// As typed.
    pub options: Texts,
    /// Where each option stands.
    pub option_lines: BTreeMap<String, usize>,
    /// What is asked.
    pub what: What,
    /// What is expected, with its line.
    pub expected: Vec<(usize, Expected)>,
}

/// A node: `KEY=VALUE`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeLine {
    /// As the case names it; its host name unless it says otherwise.
    pub name: String,
    /// As written.
    pub values: Texts,
}

/// What a case asks.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum What {
    Constraint { expression: String },
    Preference { name: String, argument: String, tasks: u32, cpu: u64, memory: u64, priority: i32 },
    Update { name: String, replicas: u32, settings: Settings, script: Script },
    Volume { volume: VolumeText },
}

/// What a case expects.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Passes(Vec<String>),
    Reason(String),
    Refused(String),
    Says(String),
    Gives(Vec<(String, u32)>),
    Leaves(u32, String),
    Ends(String),
    Within(u64),
    Replaced(u64, u32),
    Scope(String),
    Creates(String),
    Mounts(String),
    Removes(String),
}

/// A case as far as it was read.
#[derive(Clone, Default)]
struct Draft {
    title: String,
    line: usize,
    nodes: Vec<NodeLine>,
    options: Texts,
    option_lines: BTreeMap<String, usize>,
    what: Option<What>,
    expected: Vec<(usize, Expected)>,
}

impl CaseFile {
    /// Reads a file; `name` is how errors call it.
    ///
    /// # Errors
    /// The first line that is none of a case: `FILE:LINE: what is wrong`.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut common = Draft::default();
        let mut draft: Option<Draft> = None;
        let mut cases = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let (at, line) = (at + 1, line.trim());
            let wrong = |error: String| format!("{name}:{at}: {error}");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            if word == "case" {
                cases.extend(draft.take().map(|d| d.finish(name)).transpose()?);
                draft = Some(Draft { title: rest.to_owned(), line: at, ..common.clone() });
            } else {
                let into = draft.as_mut().unwrap_or(&mut common);
                into.read(at, word, rest).map_err(wrong)?;
            }
        }
        cases.extend(draft.map(|d| d.finish(name)).transpose()?);
        Ok(Self { name: name.to_owned(), cases })
    }
}

impl Draft {
    fn read(&mut self, at: usize, word: &str, rest: &str) -> Result<(), String> {
        let expected = match word {
            "node" => return self.node(rest),
            "option" => {
                let (name, value) = pair(rest)?;
                self.option_lines.insert(name.clone(), at);
                self.options.insert(name, value);
                return Ok(());
            }
            "constraint" => {
                self.what = Some(What::Constraint { expression: rest.to_owned() });
                return Ok(());
            }
            "preference" => return self.preference(rest),
            "place" => return self.place(rest),
            "update" => return self.update(rest),
            "set" => return self.set(rest),
            "task" => return self.task(rest),
            "answer" => return self.answer(rest),
            "volume" => return self.volume(rest),
            "passes" => Expected::Passes(words(rest)),
            "reason" => Expected::Reason(rest.to_owned()),
            "refused" => Expected::Refused(rest.to_owned()),
            "says" => Expected::Says(rest.to_owned()),
            "gives" => {
                let bin = |word: &String| {
                    let (bin, count) = word
                        .rsplit_once('=')
                        .ok_or_else(|| format!("'{word}' is not of the form BIN=COUNT"))?;
                    Ok::<_, String>((bin.to_owned(), whole(count)?))
                };
                Expected::Gives(words(rest).iter().map(bin).collect::<Result<_, _>>()?)
            }
            "leaves" => {
                let (count, text) = rest.split_once(' ').unwrap_or((rest, ""));
                Expected::Leaves(whole(count)?, text.trim().to_owned())
            }
            "ends" if ["completed", "paused", "rolled-back"].contains(&rest) => {
                Expected::Ends(rest.to_owned())
            }
            "ends" => return Err("ends takes completed, paused or rolled-back".to_owned()),
            "within" => Expected::Within(time(rest)?),
            "at" => match &words(rest)[..] {
                [at, replaced, count] if replaced == "replaced" => {
                    Expected::Replaced(time(at)?, whole(count)?)
                }
                _ => return Err("try: at 30s replaced 2".to_owned()),
            },
            "scope" => Expected::Scope(rest.to_owned()),
            "creates" => Expected::Creates(rest.to_owned()),
            "mounts" => Expected::Mounts(rest.to_owned()),
            "removes" => Expected::Removes(rest.to_owned()),
            _ => {
                return Err(format!(
                    "'{word}' starts no line of a case; see the chapter on cases, or the \
                     documentation of swarmw_sdk::testing"
                ));
            }
        };
        self.expected.push((at, expected));
        Ok(())
    }

    fn node(&mut self, rest: &str) -> Result<(), String> {
        let mut words = words(rest).into_iter();
        let name = words.next().ok_or("node takes a name")?;
        let pairs = words.map(|word| match word.as_str() {
            "filtered" | "engine" => Ok((word, "true".to_owned())),
            // Its key has an equals sign of its own.
            _ if word.starts_with("tasks.label.") => word
                .rsplit_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| format!("'{word}' is not of the form tasks.label.K=V=COUNT")),
            _ => pair(&word),
        });
        let values = pairs.collect::<Result<_, _>>()?;
        self.nodes.retain(|node| node.name != name);
        self.nodes.push(NodeLine { name, values });
        Ok(())
    }

    fn preference(&mut self, rest: &str) -> Result<(), String> {
        let (name, argument) = pair(rest)?;
        let (tasks, cpu, memory, priority) = (1, 0, 0, 0);
        self.what = Some(What::Preference { name, argument, tasks, cpu, memory, priority });
        Ok(())
    }

    fn place(&mut self, rest: &str) -> Result<(), String> {
        let Some(What::Preference { tasks, cpu, memory, priority, .. }) = &mut self.what else {
            return Err("place stands after a line with preference".to_owned());
        };
        let mut words = words(rest).into_iter();
        *tasks = whole(&words.next().unwrap_or_default())?;
        for word in words {
            let (key, value) = pair(&word)?;
            match key.as_str() {
                "cpu" => *cpu = whole(&value)?,
                "memory" => *memory = size(&value)?,
                "priority" => *priority = whole(&value)?,
                _ => return Err(format!("{key} is none of cpu, memory, priority")),
            }
        }
        Ok(())
    }

    fn update(&mut self, rest: &str) -> Result<(), String> {
        let mut words = words(rest).into_iter();
        let name = words.next().ok_or("update takes the policy's name")?;
        let mut replicas = 1;
        for word in words {
            match pair(&word)? {
                (key, value) if key == "replicas" => replicas = whole(&value)?,
                (key, _) => return Err(format!("{key} is not replicas")),
            }
        }
        let settings = Settings {
            failure_action: name.clone(),
            parallelism: 1,
            delay_ms: 0,
            monitor_ms: 5_000,
            max_failure_ratio: 0.0,
            order: Order::StopFirst,
        };
        self.what = Some(What::Update { name, replicas, settings, script: Script::default() });
        Ok(())
    }

    fn set(&mut self, rest: &str) -> Result<(), String> {
        let Some(What::Update { settings, .. }) = &mut self.what else {
            return Err("set stands after a line with update".to_owned());
        };
        for word in words(rest) {
            let (key, value) = pair(&word)?;
            match key.as_str() {
                "parallelism" => settings.parallelism = whole(&value)?,
                "delay" => settings.delay_ms = time(&value)?,
                "monitor" => settings.monitor_ms = time(&value)?,
                "max-failure-ratio" => {
                    settings.max_failure_ratio =
                        value.parse().map_err(|_| format!("'{value}' is no number"))?;
                }
                "order" if value == "start-first" => settings.order = Order::StartFirst,
                "order" if value == "stop-first" => settings.order = Order::StopFirst,
                _ => return Err(format!("{word} is no setting of an update")),
            }
        }
        Ok(())
    }

    fn task(&mut self, rest: &str) -> Result<(), String> {
        let Some(What::Update { script, .. }) = &mut self.what else {
            return Err("task stands after a line with update".to_owned());
        };
        let words = words(rest);
        let [which, fate, settings @ ..] = &words[..] else {
            return Err("try: task all fails after=2s".to_owned());
        };
        let target = match which.as_str() {
            "all" => None,
            number => Some(whole::<u32>(number)?.checked_sub(1).ok_or("tasks count from 1")?),
        };
        let (mut after_ms, mut exit_code) = (0, 1);
        for word in settings {
            match pair(word)? {
                (key, value) if key == "after" => after_ms = time(&value)?,
                (key, value) if key == "exit" => exit_code = whole(&value)?,
                (key, _) => return Err(format!("{key} is neither after nor exit")),
            }
        }
        let fate = match fate.as_str() {
            "runs" => Fate::Runs,
            "hangs" => Fate::Hangs,
            "fails" => Fate::Fails { after_ms, exit_code },
            _ => return Err(format!("a task runs, fails or hangs, not '{fate}'")),
        };
        script.tasks.push(TaskScript { target, fate });
        Ok(())
    }

    fn answer(&mut self, rest: &str) -> Result<(), String> {
        let Some(What::Update { script, .. }) = &mut self.what else {
            return Err("answer stands after a line with update".to_owned());
        };
        let words = words(rest);
        let (id, value, settings) = match &words[..] {
            [id, error, text, settings @ ..] if error == "error" => {
                (id, Err(text.clone()), settings)
            }
            [id, value, settings @ ..] => {
                let value: f64 = value.parse().map_err(|_| format!("'{value}' is no number"))?;
                (id, Ok(value), settings)
            }
            _ => return Err("try: answer errors 0.02 from=30s".to_owned()),
        };
        let from = match settings {
            [] => 0,
            [word] => match pair(word)? {
                (key, value) if key == "from" => time(&value)?,
                (key, _) => return Err(format!("{key} is not from")),
            },
            _ => return Err("try: answer errors 0.02 from=30s".to_owned()),
        };
        script.answers.push((from, id.clone(), value));
        Ok(())
    }

    fn volume(&mut self, rest: &str) -> Result<(), String> {
        let [driver, name] = &words(rest)[..] else {
            return Err("volume takes the driver's name and the volume's".to_owned());
        };
        let (driver, name) = (driver.clone(), name.clone());
        self.what =
            Some(What::Volume { volume: VolumeText { driver, name, options: Texts::new() } });
        Ok(())
    }

    fn finish(self, file: &str) -> Result<Case, String> {
        let line = self.line;
        let mut what = self.what.ok_or_else(|| {
            format!(
                "{file}:{line}: the case asks nothing: it has no line with constraint, \
                 preference, update or volume"
            )
        })?;
        if self.expected.is_empty() {
            return Err(format!(
                "{file}:{line}: the case expects nothing: add passes, gives, ends or refused"
            ));
        }
        if let What::Volume { volume } = &mut what {
            volume.options.clone_from(&self.options);
        }
        let Self { title, nodes, options, option_lines, expected, .. } = self;
        Ok(Case { title, line, nodes, options, option_lines, what, expected })
    }
}
