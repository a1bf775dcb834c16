//! Options of plugins in a service's spec: which plugin each means, and whether it has
//! such an option.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarmw_model::{OPTION_LABEL, PluginKind, Refusal, ServiceSpec, option_path};
use swarmw_scheduler::RawOptions;

use crate::host::{PluginHost, Table};
use crate::loaded::Loaded;
use crate::options;
use crate::specs::reached;

/// Plugins named to whoever named none of them; of more their number is told.
const PLUGINS_NAMED: usize = 10;

impl PluginHost {
    /// Every option names a plugin and one of its options, and reads as its type,
    /// whether or not the rest of the spec reaches that plugin. What stood there before
    /// may have come to mean two plugins since.
    pub(crate) fn check_options(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        let table = self.table();
        let stood = before.map(ServiceSpec::policy_options).unwrap_or_default();
        let mut set = BTreeMap::new();
        for (path, text) in spec.policy_options() {
            let path = path.as_str();
            let typed = unlabelled(path);
            let Some((word, option)) = option_path(path) else {
                return Err(Refusal::invalid(format!(
                    "invalid policy option {typed}: want PLUGIN.OPTION=VALUE"
                )));
            };
            let refuse =
                |why: String| Err(Refusal::invalid(format!("policy option {typed}: {why}")));
            let meant = meant(&table, word);
            if meant.is_empty() {
                return refuse(format!("no plugin is called {word}: {}", there_are(&table)));
            }
            // What stood so was taken then, and came to mean something else since.
            let known = stood.get(path) == Some(&text);
            let loaded = match &meant[..] {
                [one] => one,
                [one, other, ..] if !known => return refuse(ambiguous(word, option, one, other)),
                _ => continue,
            };
            let name = &loaded.name;
            if loaded.plugin.kind == PluginKind::VolumeDriver && !known {
                return refuse(of_a_volume(name, option, &text));
            }
            let specs = &loaded.plugin.release.metadata.options;
            options::check_one(specs, option, &text).or_else(|problem| refuse(problem.message))?;
            let key = (Arc::clone(name), option.to_owned(), path.starts_with(OPTION_LABEL));
            if let Some((first, stood)) = set.insert(key, (path.to_owned(), known))
                && !(known && stood)
            {
                return refuse(twice(name, option, &first));
            }
        }
        Ok(())
    }

    /// Every option is one of a plugin that the spec reaches: else it would do nothing,
    /// and keep that plugin from being removed. One that reached nothing before, as its
    /// plugin gave way to another, may stay so.
    pub(crate) fn check_options_used(
        &self,
        spec: &ServiceSpec,
        before: Option<&ServiceSpec>,
    ) -> Result<(), Refusal> {
        let table = self.table();
        let used = reached(&table, spec);
        let stood = before.map(ServiceSpec::policy_options).unwrap_or_default();
        let reached_before = before.map(|before| reached(&table, before)).unwrap_or_default();
        for (path, text) in &spec.policy_options() {
            let Some((word, _)) = option_path(path) else { continue };
            let meant = meant(&table, word);
            let among = |used: &[Arc<Loaded>]| {
                meant.iter().any(|loaded| used.iter().any(|used| used.name == loaded.name))
            };
            let stays = stood.get(path) == Some(text) && !among(&reached_before);
            if among(&used) || stays {
                continue;
            }
            let names: Vec<&str> = used.iter().map(|loaded| &*loaded.name).collect();
            let uses = match names.is_empty() {
                true => "no plugin that has options".to_owned(),
                false => names.join(", "),
            };
            return Err(Refusal::invalid(format!(
                "policy option {}: the service does not use the plugin {word}, it uses {uses}: \
                 leave the option out, or take it away with {}",
                unlabelled(path),
                way_out(path)
            )));
        }
        Ok(())
    }
}

/// The options that mean this plugin, by their own names. A flag wins over a label, and
/// the plugin's whole name over a part of it.
pub fn own_options<'a>(loaded: &Loaded, options: &'a RawOptions) -> BTreeMap<&'a str, &'a str> {
    let mut own: BTreeMap<&str, ((bool, bool), &str)> = BTreeMap::new();
    for (path, text) in options {
        let Some((word, option)) = option_path(path) else { continue };
        if !answers_to(loaded, word) {
            continue;
        }
        let rank = (!path.starts_with(OPTION_LABEL), word == &*loaded.name);
        let known = own.get(option).is_some_and(|(known, _)| *known > rank);
        if !known {
            own.insert(option, (rank, text));
        }
    }
    own.into_iter().map(|(option, (_, text))| (option, text)).collect()
}

/// The plugins that a word can mean: the one of that whole name, else all that answer
/// to it.
fn meant<'t>(table: &'t Table, word: &str) -> Vec<&'t Arc<Loaded>> {
    let answering: Vec<_> = table.plugins().iter().filter(|l| answers_to(l, word)).collect();
    match answering.iter().find(|l| *l.name == *word) {
        Some(whole) => vec![whole],
        None => answering,
    }
}

fn answers_to(loaded: &Loaded, word: &str) -> bool {
    swarmw_model::answers_to(&loaded.name, loaded.claims(), word)
}

fn ambiguous(word: &str, option: &str, one: &Loaded, other: &Loaded) -> String {
    let (one, other) = (&one.name, &other.name);
    format!(
        "{word} is ambiguous, it can be {one} and {other}: write {one}.{option} or {other}.{option}"
    )
}

fn of_a_volume(driver: &str, option: &str, text: &str) -> String {
    format!(
        "{driver} is a volume driver, and its options are those of a volume: write \
         volume-opt={option}={text} in the --mount, or --opt {option}={text} for `swarmw volume \
         create`"
    )
}

fn twice(name: &str, option: &str, first: &str) -> String {
    format!(
        "it is the same as {}, option {option} of plugin {name}: leave one of them out, or take \
         it away with {}",
        unlabelled(first),
        way_out(first)
    )
}

fn unlabelled(path: &str) -> &str {
    path.strip_prefix(OPTION_LABEL).unwrap_or(path)
}

/// The flag that takes an option away.
fn way_out(path: &str) -> String {
    match path.starts_with(OPTION_LABEL) {
        true => format!("--label-rm {path}"),
        false => format!("--policy-opt-rm {path}"),
    }
}

/// The plugins that have options, for whoever looked for one.
fn there_are(table: &Table) -> String {
    let has = |l: &&Arc<Loaded>| !l.plugin.release.metadata.options.is_empty();
    let mut names: Vec<&str> = table.plugins().iter().filter(has).map(|l| &*l.name).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(PLUGINS_NAMED);
    names.truncate(PLUGINS_NAMED);
    match (&names[..], more) {
        ([], _) => "no plugin has options, see `swarmw plugin ls`".to_owned(),
        (names, 0) => format!("those with options are {}", names.join(", ")),
        (names, more) => format!(
            "those with options are {} and {more} more, see `swarmw plugin ls`",
            names.join(", ")
        ),
    }
}
