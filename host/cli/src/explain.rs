//! What clap refuses, in the words and with the exit codes of the docker CLI.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::Io;
use crate::failure::{BAD_FLAGS, FAILED};

/// Options of the root command that take the next word.
const ROOT_OPTIONS: [&str; 5] = ["-H", "--host", "--tlscacert", "--tlscert", "--tlskey"];

/// A command line that was not run, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The text, without a final newline.
    pub text: String,
    /// 125 for flags, 1 for a wrong number of arguments, 0 where help was asked.
    pub code: i32,
}

/// Lets options take values that start with a dash, as Docker's do, in this
/// command and all below it.
pub fn prepare(command: clap::Command) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| {
        let takes_value = arg.get_action().takes_values() && !arg.is_positional();
        // A switch with an optional value takes it only behind `=`.
        if takes_value && !arg.is_require_equals_set() {
            arg.allow_hyphen_values(true)
        } else {
            arg
        }
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, prepare))
}

/// Words what clap found wrong with `arguments`, the program's name first.
pub fn explain(error: &clap::Error, root: &clap::Command, arguments: &[OsString]) -> Explained {
    let (path, command) = find(root, arguments);
    let flag = |message: String| Explained {
        text: format!(
            "{message}\n\nUsage:  {}\n\nRun '{path} --help' for more information",
            usage(&path, command)
        ),
        code: BAD_FLAGS,
    };
    let invalid = context(error, ContextKind::InvalidArg);
    let value = context(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Explained { text: error.to_string().trim_end().to_owned(), code: 0 }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Explained {
                text: command.clone().render_help().to_string().trim_end().to_owned(),
                code: 0,
            }
        }
        ErrorKind::UnknownArgument if invalid.starts_with("--") => {
            let meant = context(error, ContextKind::SuggestedArg);
            let meant = match bare(&meant) {
                "" => String::new(),
                meant => format!("\n\nDid you mean '{meant}'?"),
            };
            flag(format!("unknown flag: {}{meant}", before_equals(&invalid)))
        }
        ErrorKind::UnknownArgument if invalid.starts_with('-') && invalid.len() > 1 => {
            let letter = invalid[1..].chars().next().unwrap_or('-');
            flag(format!("unknown shorthand flag: '{letter}' in {invalid}"))
        }
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument if command.has_subcommands() => {
            let word = context(error, ContextKind::InvalidSubcommand) + &invalid;
            let usage = match path == root.get_name() {
                true => String::new(),
                false => format!("Usage:  {path}\n\n"),
            };
            let meant = did_you_mean(&near_commands(root, &path, command, &word));
            Explained {
                text: format!(
                    "swarmw: unknown command: {path} {word}\n\n{meant}{usage}Run '{path} --help' for more information"
                ),
                code: FAILED,
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            flag(format!("flag needs an argument: {}", bare(&invalid)))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error)
                .map_or_else(|| alternatives(error), ToString::to_string);
            flag(format!(
                "invalid argument {value:?} for \"{}\" flag: {reason}",
                with_letter(command, bare(&invalid))
            ))
        }
        ErrorKind::MissingRequiredArgument if invalid.contains("--") => {
            flag(format!("missing flags, which others given need: {invalid}"))
        }
        ErrorKind::MissingRequiredArgument
        | ErrorKind::TooFewValues
        | ErrorKind::TooManyValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::UnknownArgument => wrong_count(&path, command),
        // Given twice: Docker lets the last one win, and so do our commands;
        // what is left here has no words of Docker's.
        _ => flag(first_line(error)),
    }
}

// === impl Explained ===

impl Explained {
    /// Writes the text (help to stdout, complaints to stderr); gives the exit code.
    pub fn tell(&self, io: &mut Io) -> i32 {
        // Nobody is left to be told where this cannot be written.
        let _ = match self.code {
            0 => io.line(&self.text),
            _ => io.warn(&self.text),
        };
        self.code
    }
}

/// Most commands that are offered for one that does not exist.
const OFFERED_MAX: usize = 5;

/// Commands that `word` may have meant: those here that are spelled nearly so, else
/// those elsewhere that are called so, as `service ps` for `ps`.
fn near_commands(
    root: &clap::Command,
    path: &str,
    command: &clap::Command,
    word: &str,
) -> Vec<String> {
    let shown = |command: &clap::Command| !command.is_hide_set();
    let mut near: Vec<_> = command
        .get_subcommands()
        .filter(|sub| shown(sub))
        .map(|sub| (distance(word, sub.get_name()), sub.get_name()))
        .filter(|(distance, name)| *distance <= name.len().min(word.len()) / 3 + 1 && *distance < 3)
        .filter(|(distance, name)| *distance < name.len())
        .collect();
    near.sort_unstable();
    if !near.is_empty() {
        let near = near.into_iter().take(OFFERED_MAX);
        return near.map(|(_, name)| format!("{path} {name}")).collect();
    }
    root.get_subcommands()
        .filter(|group| shown(group))
        .flat_map(|group| {
            let named = group.get_subcommands().filter(|sub| shown(sub));
            let named = named.filter(|sub| {
                sub.get_name() == word || sub.get_visible_aliases().any(|alias| alias == word)
            });
            let before = format!("{} {}", root.get_name(), group.get_name());
            named.map(move |sub| format!("{before} {}", sub.get_name()))
        })
        .take(OFFERED_MAX)
        .collect()
}

fn did_you_mean(commands: &[String]) -> String {
    let quoted: Vec<_> = commands.iter().map(|command| format!("'{command}'")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => format!("Did you mean {only}?\n\n"),
        Some((last, others)) => format!("Did you mean {} or {last}?\n\n", others.join(", ")),
    }
}

/// How many letters have to be added, left out, changed or exchanged with their
/// neighbour to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The deepest command that the words name, and its words.
fn find<'c>(root: &'c clap::Command, arguments: &[OsString]) -> (String, &'c clap::Command) {
    let mut path = root.get_name().to_owned();
    let mut command = root;
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if ROOT_OPTIONS.contains(&word.as_ref()) {
            words.next();
        } else if let Some(sub) = command.find_subcommand(word.as_ref()) {
            path = format!("{path} {}", sub.get_name());
            command = sub;
        } else if !word.starts_with('-') {
            break;
        }
    }
    (path, command)
}

/// `PATH [OPTIONS] ARG…`, as the command's own `override_usage` says it.
fn usage(path: &str, command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    match usage.strip_prefix("swarmw") {
        Some(_) => usage.to_owned(),
        None => format!("{path} {usage}"),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

fn alternatives(error: &clap::Error) -> String {
    match context(error, ContextKind::ValidValue) {
        valid if valid.is_empty() => first_line(error),
        valid => format!("want one of {valid}"),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// `--flag` of `--flag <value>`.
fn bare(flag: &str) -> &str {
    flag.split([' ', '=', '[']).next().unwrap_or(flag)
}

fn before_equals(flag: &str) -> &str {
    flag.split('=').next().unwrap_or(flag)
}

/// `-p, --publish` of `--publish`.
fn with_letter(command: &clap::Command, flag: &str) -> String {
    let letter = command
        .get_arguments()
        .find(|arg| arg.get_long().is_some_and(|long| Some(long) == flag.strip_prefix("--")))
        .and_then(clap::Arg::get_short);
    match letter {
        Some(letter) => format!("-{letter}, {flag}"),
        None => flag.to_owned(),
    }
}

fn wrong_count(path: &str, command: &clap::Command) -> Explained {
    let (mut least, mut most) = (0, Some(0));
    for arg in command.get_positionals() {
        let (min, max) =
            arg.get_num_args().map_or((1, 1), |range| (range.min_values(), range.max_values()));
        least += if arg.is_required_set() { min.max(1) } else { 0 };
        most = most.and_then(|most: usize| most.checked_add(max));
    }
    let unbounded = most.is_none()
        || command
            .get_positionals()
            .any(|arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1));
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    // Docker points to its help in two ways.
    let mut see = "See";
    let need = match most.filter(|_| !unbounded) {
        Some(most) if most == least => {
            see = "Run";
            match least {
                0 => "accepts no arguments".to_owned(),
                least => format!("requires {least} {}", plural(least)),
            }
        }
        Some(most) if least == 0 => format!("requires at most {most} {}", plural(most)),
        Some(most) => {
            see = "Run";
            format!("requires at least {least} and at most {most} arguments")
        }
        None => format!("requires at least {least} {}", plural(least)),
    };
    Explained {
        text: format!(
            "swarmw: '{path}' {need}\n\nUsage:  {}\n\n{see} '{path} --help' for more information",
            usage(path, command)
        ),
        code: FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> (String, i32) {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut root = crate::command();
        let error = root.try_get_matches_from_mut(&arguments).expect_err(line);
        let Explained { text, code } = explain(&error, &root, &arguments);
        (text, code)
    }

    #[test]
    fn a_wrong_number_of_arguments_reads_as_dockers() {
        for (line, need, usage, see) in [
            ("node ls x", "accepts no arguments", "[OPTIONS]", "Run"),
            ("node update", "requires 1 argument", "[OPTIONS] NODE", "Run"),
            ("node update a b", "requires 1 argument", "[OPTIONS] NODE", "Run"),
            ("service rm", "requires at least 1 argument", "SERVICE [SERVICE...]", "See"),
            (
                "service create",
                "requires at least 1 argument",
                "[OPTIONS] IMAGE [COMMAND] [ARG...]",
                "See",
            ),
        ] {
            let path: Vec<_> = line.split(' ').take(2).collect();
            let path = format!("swarmw {}", path.join(" "));
            let want = format!(
                "swarmw: '{path}' {need}\n\nUsage:  {path} {usage}\n\n{see} '{path} --help' for more information"
            );
            assert_eq!(said(&format!("swarmw {line}")), (want, 1), "{line}");
        }
    }

    #[test]
    fn an_unknown_command_reads_as_dockers() {
        for (line, want) in [
            (
                "swarmw node foo",
                "swarmw: unknown command: swarmw node foo\n\nUsage:  swarmw node\n\nRun 'swarmw node --help' for more information",
            ),
            (
                "swarmw foo",
                "swarmw: unknown command: swarmw foo\n\nRun 'swarmw --help' for more information",
            ),
        ] {
            assert_eq!(said(line), (want.to_owned(), 1));
        }
    }

    #[test]
    fn a_near_miss_is_told_what_it_may_have_meant() {
        for (line, want) in [
            ("swarmw servce ls", "Did you mean 'swarmw service'?"),
            ("swarmw node lss", "Did you mean 'swarmw node ls'?"),
            ("swarmw service udpate x", "Did you mean 'swarmw service update'?"),
            (
                "swarmw ps",
                "Did you mean 'swarmw node ps', 'swarmw service ps' or 'swarmw stack ps'?",
            ),
            ("swarmw deploy -c x", "Did you mean 'swarmw stack deploy'?"),
            ("swarmw scale web=3", "Did you mean 'swarmw service scale'?"),
            ("swarmw service ls --fromat x", "Did you mean '--format'?"),
        ] {
            let (text, _) = said(line);
            assert!(text.contains(&format!("\n\n{want}\n\n")), "{line}: {text}");
        }
        for line in ["swarmw foo", "swarmw node xyzzy", "swarmw service ls --nope"] {
            assert!(!said(line).0.contains("Did you mean"), "{line}");
        }
    }

    #[test]
    fn bad_flags_read_as_dockers() {
        let hint = "\n\nUsage:  swarmw service ls [OPTIONS]\n\nRun 'swarmw service ls --help' for more information";
        for (flags, want) in [
            ("--nope", "unknown flag: --nope"),
            ("-z", "unknown shorthand flag: 'z' in -z"),
            ("--format", "flag needs an argument: --format"),
            (
                "-q=maybe",
                "invalid argument \"maybe\" for \"-q, --quiet\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "-f bad",
                "invalid argument \"bad\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
            ),
        ] {
            assert_eq!(said(&format!("swarmw service ls {flags}")), (format!("{want}{hint}"), 125));
        }
    }
}
