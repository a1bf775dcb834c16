//! Where in the command line one is, and what may come there. Pure.

/// A word that may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) text: String,
    pub(crate) about: String,
}

/// What may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// One of these.
    Words(Vec<Candidate>),
    /// The name of one of these in the cluster.
    Names(Names),
    /// Who knows: a file, perhaps.
    Anything,
}

/// What has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Services,
    Nodes,
    Secrets,
    Configs,
    Networks,
    Volumes,
    Stacks,
    Plugins,
}

/// The word that is being typed, and what was said before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// What candidates begin with.
    pub(super) start: String,
    /// What stands before candidates: `--flag=`, where the shell takes that for one word.
    pub(super) before: String,
    /// The daemon that the line names.
    pub(super) host: Option<String>,
}

/// Values that flags take wherever they are; their checks are the daemon's.
const VALUES: [(&str, &[&str]); 12] = [
    ("availability", &["active", "pause", "drain"]),
    ("endpoint-mode", &["vip", "dnsrr"]),
    ("format", &["table", "json", "raw"]),
    ("mode", &["replicated", "global", "replicated-job", "global-job"]),
    ("resolve-image", &["always", "changed", "never"]),
    ("restart-condition", &["any", "on-failure", "none"]),
    ("role", &["worker", "manager"]),
    ("rollback-failure-action", &["pause", "continue"]),
    ("rollback-order", &["stop-first", "start-first"]),
    ("template-driver", &["golang"]),
    ("update-failure-action", &["pause", "continue", "rollback"]),
    ("update-order", &["stop-first", "start-first"]),
];

/// Flags that take names.
const NAMED: [(&str, Names); 9] = [
    ("network", Names::Networks),
    ("network-add", Names::Networks),
    ("network-rm", Names::Networks),
    ("secret", Names::Secrets),
    ("secret-add", Names::Secrets),
    ("secret-rm", Names::Secrets),
    ("config", Names::Configs),
    ("config-add", Names::Configs),
    ("config-rm", Names::Configs),
];

/// What may come at the last of `words`, which follow the program's name.
pub(super) fn next(root: &clap::Command, words: &[String]) -> (Typed, Next) {
    let words = whole(words);
    let words = &words[..];
    let (last, words) = words.split_last().map_or(("", words), |(last, rest)| (&**last, rest));
    let mut typed = Typed { start: last.to_owned(), ..Typed::default() };
    let mut command = root;
    let mut place = 0;
    let mut only_arguments = false;
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if only_arguments || !word.starts_with('-') || word == "-" {
            match command.find_subcommand(word).filter(|_| place == 0) {
                Some(sub) => command = sub,
                None => place += 1,
            }
            only_arguments |= place > 0 && ends_flags(command);
            continue;
        }
        if word == "--" {
            only_arguments = true;
            continue;
        }
        let Some(flag) = flag(command, word).filter(|flag| takes_next(flag, word)) else {
            continue;
        };
        // Bash takes an equals sign for a word.
        let _ = words.next_if(|word| *word == "=");
        let value = words.next();
        match value {
            Some(value) if flag.get_id() == "host" => typed.host = Some(value.clone()),
            Some(_) => {}
            None => {
                typed.start = last.trim_start_matches('=').to_owned();
                return (typed, of_flag(flag));
            }
        }
    }
    if only_arguments || !last.starts_with('-') {
        return (typed, of_place(command, place));
    }
    if let Some((name, start)) = last.split_once('=') {
        let Some(flag) = flag(command, name) else { return (typed, Next::Anything) };
        typed.before = format!("{name}=");
        typed.start = start.to_owned();
        return (typed, of_flag(flag));
    }
    (typed, Next::Words(flags(command)))
}

/// Words as they were typed: bash takes colons for words of their own.
fn whole(words: &[String]) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    let mut goes_on = false;
    for word in words {
        let colons = !word.is_empty() && word.chars().all(|c| c == ':');
        match whole.last_mut().filter(|last| !last.starts_with('-')) {
            Some(last) if colons || goes_on => last.push_str(word),
            _ => whole.push(word.clone()),
        }
        goes_on = colons;
    }
    whole
}

/// Whether what follows its first argument is a command of its own.
fn ends_flags(command: &clap::Command) -> bool {
    command.get_positionals().any(clap::Arg::is_trailing_var_arg_set)
}

fn flag<'c>(command: &'c clap::Command, word: &str) -> Option<&'c clap::Arg> {
    let mut all = command.get_arguments().filter(|arg| !arg.is_positional());
    match word.strip_prefix("--") {
        Some(long) => {
            let long = long.split('=').next().unwrap_or(long);
            all.find(|arg| arg.get_long() == Some(long))
        }
        // Of letters that stand together the last one may take a value.
        None => {
            let letter = word.chars().next_back()?;
            all.find(|arg| arg.get_short() == Some(letter))
        }
    }
}

fn takes_next(flag: &clap::Arg, word: &str) -> bool {
    let values = flag.get_num_args().map_or(flag.get_action().takes_values(), |n| n.takes_values());
    values && !flag.is_require_equals_set() && !word.contains('=')
}

fn of_flag(flag: &clap::Arg) -> Next {
    let long = flag.get_long().unwrap_or_default();
    let known = VALUES.iter().find(|(name, _)| *name == long);
    let named = NAMED.iter().find(|(name, _)| *name == long);
    match (of_arg(flag), known, named) {
        (Some(words), _, _) => words,
        (None, Some((_, values)), _) => {
            Next::Words(values.iter().map(|value| candidate(value, "")).collect())
        }
        (None, None, Some((_, names))) => Next::Names(*names),
        (None, None, None) => Next::Anything,
    }
}

fn of_arg(arg: &clap::Arg) -> Option<Next> {
    let values = arg.get_possible_values();
    let words = values.iter().filter(|value| !value.is_hide_set()).map(|value| {
        candidate(value.get_name(), &value.get_help().map(ToString::to_string).unwrap_or_default())
    });
    (!values.is_empty()).then(|| Next::Words(words.collect()))
}

fn of_place(command: &clap::Command, place: usize) -> Next {
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        return Next::Words(
            shown.map(|sub| candidate(sub.get_name(), &about(sub.get_about()))).collect(),
        );
    }
    let Some(arg) = command.get_positionals().nth(place).or_else(|| {
        // The last one may come again and again.
        let last = command.get_positionals().last();
        last.filter(|arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1))
    }) else {
        return Next::Anything;
    };
    if let Some(words) = of_arg(arg) {
        return words;
    }
    let name = arg.get_value_names().and_then(|names| names.first());
    match name.map(|name| name.as_str()).unwrap_or_default() {
        "SERVICE" | "SERVICE|TASK" | "SERVICE=REPLICAS" => Next::Names(Names::Services),
        "NODE" | "self|NODE" => Next::Names(Names::Nodes),
        "SECRET" if command.get_name() != "create" => Next::Names(Names::Secrets),
        "CONFIG" if command.get_name() != "create" => Next::Names(Names::Configs),
        "NETWORK" if command.get_name() != "create" => Next::Names(Names::Networks),
        "VOLUME" if command.get_name() != "create" => Next::Names(Names::Volumes),
        "STACK" => Next::Names(Names::Stacks),
        "PLUGIN" => Next::Names(Names::Plugins),
        "worker|manager" => {
            Next::Words(["worker", "manager"].map(|role| candidate(role, "")).into())
        }
        _ => Next::Anything,
    }
}

fn flags(command: &clap::Command) -> Vec<Candidate> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut flags: Vec<_> = shown
        .filter_map(|arg| {
            Some(candidate(&format!("--{}", arg.get_long()?), &about(arg.get_help())))
        })
        .collect();
    flags.push(candidate("--help", "Print help"));
    flags.sort_by(|a, b| a.text.cmp(&b.text));
    flags.dedup_by(|a, b| a.text == b.text);
    flags
}

/// The first line of what something is for.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

pub(super) fn candidate(text: &str, about: &str) -> Candidate {
    Candidate { text: text.to_owned(), about: about.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> (Typed, Next) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        next(&crate::command(), &words)
    }

    fn texts(line: &str) -> Vec<String> {
        match at(line) {
            (typed, Next::Words(words)) => words
                .into_iter()
                .map(|word| word.text)
                .filter(|text| text.starts_with(&typed.start))
                .collect(),
            (_, other) => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_and_flags_go_on_as_they_began() {
        assert_eq!(texts("se"), ["service", "secret"]);
        assert_eq!(texts("service l"), ["logs", "ls"]);
        assert_eq!(texts("node update --av"), ["--availability"]);
        assert_eq!(texts("-H tcp://a node l"), ["ls"]);
        assert_eq!(texts("--host tcp://a node l"), ["ls"]);
        assert!(texts("service create --upd").contains(&"--update-order".to_owned()));
    }

    #[test]
    fn values_of_flags_are_known_in_each_of_their_forms() {
        for line in ["node update --role ", "node update --role=", "node update --role = "] {
            let (typed, next) = at(line);
            let before = if line.ends_with("role=") { "--role=" } else { "" };
            assert_eq!((&*typed.before, &*typed.start), (before, ""), "{line}");
            assert_eq!(
                next,
                Next::Words(vec![candidate("worker", ""), candidate("manager", "")]),
                "{line}"
            );
        }
        assert_eq!(at("service create --network fr").1, Next::Names(Names::Networks));
        assert_eq!(at("service create --env A").1, Next::Anything);
    }

    #[test]
    fn names_are_asked_for_where_they_stand() {
        for (line, want) in [
            ("service ps ", Names::Services),
            ("service ps web ap", Names::Services),
            ("service update --image x w", Names::Services),
            ("service logs -f w", Names::Services),
            ("node inspect ", Names::Nodes),
            ("secret rm ", Names::Secrets),
            ("stack rm ", Names::Stacks),
            ("network inspect -v ", Names::Networks),
        ] {
            assert_eq!(at(line).1, Next::Names(want), "{line}");
        }
        assert_eq!(at("secret create ").1, Next::Anything);
        assert_eq!(at("service create nginx ").1, Next::Anything);
        assert_eq!(at("service create nginx --").1, Next::Anything, "of the container's command");
    }

    #[test]
    fn the_daemon_of_the_line_is_the_one_that_is_asked() {
        assert_eq!(at("-H unix:///x service ps ").0.host.as_deref(), Some("unix:///x"));
        assert_eq!(at("service ps ").0.host, None);
        // As bash cuts them.
        for (line, host) in [
            ("-H unix : ///x service ps ", "unix:///x"),
            ("--host = unix : ///x service ps ", "unix:///x"),
            ("-H tcp : //10.0.0.1 : 2376 service ps ", "tcp://10.0.0.1:2376"),
            ("-H tcp : //[fd00 :: 1] : 2376 service ps ", "tcp://[fd00::1]:2376"),
        ] {
            let (typed, next) = at(line);
            assert_eq!(typed.host.as_deref(), Some(host), "{line}");
            assert!(matches!(next, Next::Names(Names::Services)), "{line}");
        }
    }
}
