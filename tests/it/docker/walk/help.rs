//! What a docker client says of itself that it has, beside what the tables have of it.

use super::Walk;
use super::table::{Step, words};

/// Groups of commands that are about a swarm and what is in it.
const GROUPS: [&str; 8] =
    ["config", "network", "node", "secret", "service", "stack", "swarm", "volume"];
/// Commands that are in no group.
const ALONE: [&str; 3] = ["events", "info", "version"];
/// What is not walked, a line each: the command, perhaps a flag of it, and why not.
const LEFT_OUT: &str = include_str!("left-out.txt");
/// As far in a help text's flags are; what is further in explains them.
const MARGIN: usize = 6;

/// A flag as a help text has it.
#[derive(Debug, PartialEq)]
struct Flag {
    long: String,
    short: Option<String>,
}

/// What the client has and no step of its has, and what is left out without need; a
/// sentence each.
pub fn differences(walk: &Walk<'_>, steps: &[Step]) -> Vec<String> {
    let walked: Vec<Vec<String>> = steps
        .iter()
        .filter(|step| step.is_for(walk.version))
        .filter_map(|step| step.command().map(words))
        .collect();
    let in_groups = GROUPS.iter().flat_map(|group| commands(walk, group));
    let alone = ALONE.iter().map(|&name| name.to_owned());
    in_groups.chain(alone).flat_map(|command| of_command(walk, &command, &walked)).collect()
}

fn of_command(walk: &Walk<'_>, command: &str, walked: &[Vec<String>]) -> Vec<String> {
    let own = words(command);
    let walked: Vec<_> = walked.iter().filter(|line| line.starts_with(&own)).collect();
    if walked.is_empty() {
        let missing = format!("docker {command} is not walked");
        return if is_left_out(command) { Vec::new() } else { vec![missing] };
    }
    let is_used = |flag: &Flag| walked.iter().any(|line| line.iter().any(|word| flag.is_in(word)));
    let judged = |flag: Flag| {
        let name = format!("{command} {}", flag.long);
        match (is_used(&flag), is_left_out(&name)) {
            (false, false) => Some(format!("docker {name} is not walked")),
            (true, true) => Some(format!("docker {name} is walked and left out")),
            _ => None,
        }
    };
    let flags = flags(&walk.help(command));
    flags.into_iter().filter_map(judged).collect()
}

/// Whether the list of what is left out has a command, or a flag of it or of its group.
fn is_left_out(what: &str) -> bool {
    let of_group = |named: &str| match (named.split_once(" --"), what.split_once(" --")) {
        (Some((group, flag)), Some((command, own))) => {
            flag == own && command.strip_prefix(group).is_some_and(|rest| rest.starts_with(' '))
        }
        _ => false,
    };
    let lines = LEFT_OUT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("and why? {line}")).0)
        .any(|named| named == what || of_group(named))
}

/// The commands of a group.
fn commands(walk: &Walk<'_>, group: &str) -> Vec<String> {
    let help = walk.help(group);
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = below
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .map(|command| format!("{group} {command}"))
        .collect();
    assert!(!commands.is_empty(), "no commands in: {help}");
    commands
}

/// The flags of a help text, but for `--help` itself.
fn flags(help: &str) -> Vec<Flag> {
    let at_margin = |line: &&str| line.len() - line.trim_start().len() <= MARGIN;
    let flags = help.lines().filter(at_margin).filter_map(Flag::read);
    flags.filter(|flag| flag.long != "--help").collect()
}

// === impl Flag ===

impl Flag {
    /// That of `  -q, --quiet   Only display IDs`.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        if first.starts_with("--") {
            return Some(Self { long: first.to_owned(), short: None });
        }
        let short = first.strip_suffix(',').filter(|short| short.starts_with('-'))?;
        let long = words.next().filter(|long| long.starts_with("--"))?;
        Some(Self { long: long.to_owned(), short: Some(short.to_owned()) })
    }

    /// Whether a word of a command is it.
    fn is_in(&self, word: &str) -> bool {
        let name = word.split('=').next().unwrap_or_default();
        name == self.long || self.short.as_deref() == Some(name)
    }
}

#[test]
fn a_help_text_names_its_flags() {
    let help = "Options:\n  -q, --quiet       Only IDs\n      --max uint    Most (equal to\n                    --replicas)\n      --help        Print usage\n";
    let flag = |long: &str, short: Option<&str>| Flag {
        long: long.to_owned(),
        short: short.map(str::to_owned),
    };
    assert_eq!(flags(help), [flag("--quiet", Some("-q")), flag("--max", None)]);
    assert!(flag("--max", None).is_in("--max=3") && flag("--quiet", Some("-q")).is_in("-q"));
    assert!(!flag("--max", None).is_in("--maximum"));
}
