//! From the texts of files to one project: variables, includes, extensions, merges,
//! profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dotenv::{self, Style};
use crate::fields::Notes;
use crate::interpolate::interpolate;
use crate::node::{Entry, Node, Value};
use crate::project::Project;
use crate::read::{self, Around, absolute};
use crate::trouble::{File, Position, Trouble, Troubles};
use crate::{merge, unsupported, yaml};

/// The deepest chain of files that include or extend each other.
const CHAIN_MAX: usize = 32;
/// The newest version of Docker's own format, which files without one have.
const LATEST_MINOR: u32 = 13;

/// The variable that files find the name of the project in.
pub const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// What is to be read, and in what.
pub struct Request<'r> {
    /// The files, the later ones merged onto the earlier.
    pub files: Vec<Input>,
    /// Where relative paths start: the folder of the first file.
    pub folder: PathBuf,
    /// The client's variables.
    pub environment: BTreeMap<String, String>,
    /// Profiles whose services are wanted; `*` for all.
    pub profiles: Vec<String>,
    /// Variables in the files are filled in.
    pub interpolate: bool,
    /// Reads another file.
    pub read: &'r dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// As the user named it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The files as one.
    pub project: Project,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
    /// Keys that were read and mean nothing to a cluster.
    pub unsupported: BTreeSet<String>,
    /// Keys that have gone out of use, and why.
    pub deprecated: BTreeMap<String, String>,
}

/// Reads Compose files.
pub fn load(request: &Request<'_>) -> Result<Loaded, Troubles> {
    let mut roots = Vec::new();
    for input in &request.files {
        let file = Arc::new(File { name: input.name.clone(), folder: request.folder.clone() });
        roots.extend(documents(&input.text, &file)?);
    }
    let version = version(&roots)?;
    let mut environment = request.environment.clone();
    let is_current = version.is_empty();
    if is_current {
        add_variables(&mut environment, &request.folder.join(".env"), false, None, request)?;
    } else {
        refuse_forbidden(&roots)?;
    }
    let mut loader =
        Loader { request, environment, unset: Vec::new(), chain: Vec::new(), included: Vec::new() };
    if is_current {
        loader.name_project(&roots)?;
    }
    let roots = loader.expand(roots)?;
    match is_current {
        true => drop(self::version(&loader.included)?),
        false => refuse_forbidden(&loader.included)?,
    }
    let notes = Notes { is_current, ..Notes::default() };
    let mut loaded = loader.read(roots, notes)?;
    if is_current {
        loaded.warnings.extend(loader.unset.iter().map(|name| {
            format!("The {name:?} variable is not set. Defaulting to a blank string.")
        }));
    }
    loaded.project.version = version;
    let active = |service: &crate::project::Service| {
        let is_wanted =
            |profile: &String| request.profiles.iter().any(|p| p == "*" || p == profile);
        service.profiles.is_empty() || service.profiles.iter().any(is_wanted)
    };
    loaded.project.services.retain(|_, service| active(service));
    Ok(loaded)
}

/// What went wrong with a file, as Docker says it.
pub(crate) fn opening(path: &Path, error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    format!("open {}: {reason}", path.display())
}

struct Loader<'r> {
    request: &'r Request<'r>,
    environment: BTreeMap<String, String>,
    /// Variables that the files name and nobody has set.
    unset: Vec<String>,
    /// The files that include or extend each other down to the present one.
    chain: Vec<PathBuf>,
    /// Those that were included, as they are by themselves.
    included: Vec<Node>,
}

// === impl Loader ===

impl Loader<'_> {
    /// Files find the project's name in a variable: what the client says it is, or the last
    /// of them.
    fn name_project(&mut self, roots: &[Node]) -> Result<(), Trouble> {
        let named = roots.iter().rev().find_map(|root| root.get("name"));
        let Some(mut name) = named.cloned().filter(|_| self.request.interpolate) else {
            return Ok(());
        };
        let environment = &self.environment;
        // What is not set is told with the file.
        let mut unset = Vec::new();
        interpolate(&mut name, "name", &|name| environment.get(name).cloned(), &mut unset)?;
        if let Some(name) = name.printed() {
            self.environment.entry(PROJECT_NAME.to_owned()).or_insert(name);
        }
        Ok(())
    }

    /// Fills in variables, includes what is included, extends what extends.
    fn expand(&mut self, roots: Vec<Node>) -> Result<Vec<Node>, Trouble> {
        roots.into_iter().map(|root| self.expand_one(root)).collect()
    }

    fn expand_one(&mut self, mut root: Node) -> Result<Node, Trouble> {
        self.fill(&mut root)?;
        let included = self.included(&root)?;
        let mut root = self.extended(root)?;
        for other in included {
            import(&mut root, other)?;
        }
        Ok(root)
    }

    fn fill(&mut self, root: &mut Node) -> Result<(), Trouble> {
        if !self.request.interpolate {
            return Ok(());
        }
        let environment = &self.environment;
        interpolate(root, "", &|name| environment.get(name).cloned(), &mut self.unset)
    }

    /// Checks each file, so that what another one replaces is right too, then all.
    fn read(&self, mut roots: Vec<Node>, mut notes: Notes) -> Result<Loaded, Troubles> {
        let lookup = |name: &str| self.environment.get(name).cloned();
        let around = Around { lookup: &lookup, read: self.request.read };
        let mut loaded = Loaded::default();
        for root in roots.iter_mut().chain(&mut self.included.clone()) {
            loaded.unsupported.extend(unsupported::ignored(root));
            loaded.deprecated.extend(unsupported::deprecated(root));
            let mut alone = root.clone();
            merge::settle(&mut alone);
            read::project(&alone, &around, &mut notes);
        }
        if notes.troubles.is_empty()
            && let Some(mut root) = roots.into_iter().reduce(merge::roots)
        {
            merge::settle(&mut root);
            loaded.project = read::project(&root, &around, &mut notes);
        }
        if !notes.troubles.is_empty() {
            return Err(Troubles(notes.troubles));
        }
        loaded.warnings = notes.warnings;
        Ok(loaded)
    }

    // --- include ---

    /// The files that a root includes, each as one tree.
    fn included(&mut self, root: &Node) -> Result<Vec<Node>, Trouble> {
        let Some(node) = root.get("include") else { return Ok(Vec::new()) };
        let Value::List(items) = &node.value else {
            return Err(Trouble::at(&node.at, "include must be a list"));
        };
        items.iter().map(|item| self.include(item)).collect()
    }

    fn include(&mut self, item: &Node) -> Result<Node, Trouble> {
        let here = &item.at.file.folder;
        let listed = |node: Option<&Node>| -> Vec<String> {
            match node.map(|node| &node.value) {
                Some(Value::List(nodes)) => nodes.iter().filter_map(Node::printed).collect(),
                Some(Value::Text(text)) => vec![text.clone()],
                _ => Vec::new(),
            }
        };
        let (paths, folder, env_files) = match &item.value {
            Value::Text(path) => (vec![path.clone()], None, Vec::new()),
            Value::Map(entries) => {
                for entry in entries {
                    if !["path", "project_directory", "env_file"].contains(&entry.key.as_str()) {
                        return Err(Trouble::at(
                            &entry.at,
                            format!("include Additional property {} is not allowed", entry.key),
                        ));
                    }
                }
                let folder = item.get("project_directory").and_then(Node::printed);
                (listed(item.get("path")), folder, listed(item.get("env_file")))
            }
            _ => return Err(Trouble::at(&item.at, "include must be a string or a mapping")),
        };
        let Some(first) = paths.first() else {
            return Err(Trouble::at(&item.at, "include has no path"));
        };
        let first = absolute(here, first);
        let folder = match folder {
            Some(folder) => absolute(here, &folder),
            None => first.parent().unwrap_or(here).to_owned(),
        };
        self.enter(first, &item.at)?;
        let outer = self.environment.clone();
        match env_files.is_empty() {
            true => {
                let path = folder.join(".env");
                add_variables(&mut self.environment, &path, false, Some(&item.at), self.request)?;
            }
            false => {
                // A later file goes before an earlier one, and what is set before both.
                let mut all = BTreeMap::new();
                for path in &env_files {
                    let path = absolute(here, path);
                    let set =
                        |name: &str| self.environment.get(name).or_else(|| all.get(name)).cloned();
                    let read = variables(&path, true, Some(&item.at), self.request, &set)?;
                    all.extend(read);
                }
                for (name, value) in all {
                    self.environment.entry(name).or_insert(value);
                }
            }
        }
        let mut roots = Vec::new();
        for path in &paths {
            let path = absolute(here, path);
            roots.extend(self.documents_of(&path, &folder, &item.at)?);
        }
        let roots = self.expand(roots)?;
        self.included.extend(roots.iter().cloned());
        self.environment = outer;
        self.chain.pop();
        let all = roots.into_iter().reduce(merge::roots);
        Ok(all.unwrap_or_else(|| Node::new(Value::Null, &item.at)))
    }

    fn enter(&mut self, path: PathBuf, at: &Position) -> Result<(), Trouble> {
        if self.chain.contains(&path) || self.chain.len() >= CHAIN_MAX {
            return Err(Trouble::at(at, format!("{} comes back to itself", path.display())));
        }
        self.chain.push(path);
        Ok(())
    }

    fn documents_of(
        &self,
        path: &Path,
        folder: &Path,
        at: &Position,
    ) -> Result<Vec<Node>, Trouble> {
        let bytes =
            (self.request.read)(path).map_err(|error| Trouble::at(at, opening(path, &error)))?;
        // Named as the file that names it: relative to where the user is.
        let base = &self.request.folder;
        let name = path.strip_prefix(base).unwrap_or(path).display().to_string();
        let file = Arc::new(File { name, folder: folder.to_owned() });
        documents(&String::from_utf8_lossy(&bytes), &file)
    }

    // --- extends ---

    /// A root whose services have in them what they extend.
    fn extended(&mut self, root: Node) -> Result<Node, Trouble> {
        let names: Vec<String> = root
            .get("services")
            .map(Node::entries)
            .unwrap_or_default()
            .iter()
            .filter(|entry| entry.value.get("extends").is_some())
            .map(|entry| entry.key.clone())
            .collect();
        let mut done = Vec::new();
        for name in names {
            done.push((name.clone(), self.extend(&root, &name, &mut Vec::new())?));
        }
        let mut root = root;
        if let Value::Map(entries) = &mut root.value
            && let Some(services) = entries.iter_mut().find(|entry| entry.key == "services")
            && let Value::Map(services) = &mut services.value.value
        {
            for (name, node) in done {
                if let Some(entry) = services.iter_mut().find(|entry| entry.key == name) {
                    entry.value = node;
                }
            }
        }
        Ok(root)
    }

    fn extend(
        &mut self,
        root: &Node,
        name: &str,
        seen: &mut Vec<(String, String)>,
    ) -> Result<Node, Trouble> {
        let service = root.get("services").and_then(|services| services.get(name));
        let Some(service) = service else {
            let at = &root.at;
            return Err(Trouble::at(at, format!("services.{name}: no such service to extend")));
        };
        let Some(extends) = service.get("extends").filter(|node| !node.is_null()) else {
            return Ok(service.clone());
        };
        let at = &extends.at;
        let here = (at.file.name.clone(), name.to_owned());
        if seen.contains(&here) || seen.len() >= CHAIN_MAX {
            return Err(Trouble::at(at, format!("services.{name}.extends comes back to itself")));
        }
        seen.push(here);
        let (base_name, file) = match &extends.value {
            Value::Text(base) => (base.clone(), None),
            Value::Map(entries) => {
                if let Some(entry) =
                    entries.iter().find(|entry| !["service", "file"].contains(&&*entry.key))
                {
                    return Err(Trouble::at(
                        &entry.at,
                        format!(
                            "services.{name}.extends Additional property {} is not allowed",
                            entry.key
                        ),
                    ));
                }
                let text = |key: &str| extends.get(key).and_then(Node::printed);
                let base = text("service").ok_or_else(|| {
                    Trouble::at(at, format!("services.{name}.extends.service is required"))
                })?;
                (base, text("file"))
            }
            _ => {
                return Err(Trouble::at(
                    at,
                    format!("services.{name}.extends must be a string or a mapping"),
                ));
            }
        };
        let base = match file {
            None => {
                if root.get("services").and_then(|services| services.get(&base_name)).is_none() {
                    return Err(Trouble::at(
                        at,
                        format!("services.{name}.extends: no service {base_name:?} in this file"),
                    ));
                }
                self.extend(root, &base_name, seen)?
            }
            Some(file) => {
                let path = absolute(&at.file.folder, &file);
                let folder = path.parent().unwrap_or(&at.file.folder).to_owned();
                let mut roots = self.documents_of(&path, &folder, at)?;
                for root in &mut roots {
                    self.fill(root)?;
                }
                let other = roots.into_iter().reduce(merge::roots);
                let other = other.filter(|other| {
                    other.get("services").is_some_and(|s| s.get(&base_name).is_some())
                });
                let Some(other) = other else {
                    return Err(Trouble::at(
                        at,
                        format!("services.{name}.extends: no service {base_name:?} in {file}"),
                    ));
                };
                self.extend(&other, &base_name, seen)?
            }
        };
        seen.pop();
        let mut own = service.clone();
        let mut base = base;
        for node in [&mut own, &mut base] {
            if let Value::Map(entries) = &mut node.value {
                entries.retain(|entry| entry.key != "extends");
            }
        }
        Ok(merge::services(base, own))
    }
}

/// Adds what an included file has to the one that includes it; the same thing twice must
/// be the same.
fn import(root: &mut Node, other: Node) -> Result<(), Trouble> {
    let Value::Map(sections) = &mut root.value else { return Ok(()) };
    let Value::Map(others) = other.value else { return Ok(()) };
    for section in others {
        if !["services", "networks", "volumes", "secrets", "configs"].contains(&&*section.key) {
            continue;
        }
        let Value::Map(things) = section.value.value else { continue };
        let have = match sections.iter().position(|have| have.key == section.key) {
            Some(index) => index,
            None => {
                sections.push(Entry {
                    key: section.key.clone(),
                    at: section.at.clone(),
                    value: Node::new(Value::Map(Vec::new()), &section.at),
                });
                sections.len() - 1
            }
        };
        let Value::Map(have) = &mut sections[have].value.value else { continue };
        for thing in things {
            match have.iter().find(|have| have.key == thing.key) {
                None => have.push(thing),
                Some(same) if same.value.to_json() == thing.value.to_json() => {}
                Some(same) => {
                    return Err(Trouble::at(
                        &same.at,
                        format!(
                            "{}.{} conflicts with the one of {}",
                            section.key, thing.key, thing.at
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

fn documents(text: &str, file: &Arc<File>) -> Result<Vec<Node>, Trouble> {
    let mut documents = yaml::parse(text, file)?;
    documents.retain(|document| !document.is_null());
    if documents.is_empty() {
        return Err(Trouble::nowhere(format!("{}: empty Compose file", file.name)));
    }
    match documents.iter().find(|document| !matches!(document.value, Value::Map(_))) {
        Some(odd) => Err(Trouble::at(&odd.at, "top-level object must be a mapping")),
        None => Ok(documents),
    }
}

/// The version that the files have; those that have one must agree.
fn version(roots: &[Node]) -> Result<String, Trouble> {
    let mut all = String::new();
    for root in roots {
        let Some(node) = root.get("version") else { continue };
        let Value::Text(text) = &node.value else {
            return Err(Trouble::at(&node.at, "version must be a string"));
        };
        let version = match text.as_str() {
            "3" | "3.0" if text == "3" => format!("3.{LATEST_MINOR}"),
            text => text.to_owned(),
        };
        let minor = version.strip_prefix("3.").and_then(|minor| minor.parse::<u32>().ok());
        if minor.is_none_or(|minor| minor > LATEST_MINOR) {
            return Err(Trouble::at(
                &node.at,
                format!("unsupported Compose file version: {version}"),
            ));
        }
        if !all.is_empty() && all != version {
            return Err(Trouble::at(
                &node.at,
                format!("version mismatched between two composefiles : {all} and {version}"),
            ));
        }
        all = version;
    }
    Ok(all)
}

fn refuse_forbidden(roots: &[Node]) -> Result<(), Trouble> {
    let forbidden: BTreeMap<_, _> = roots.iter().flat_map(unsupported::forbidden).collect();
    if forbidden.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = forbidden.iter().map(|(key, why)| format!("{key}: {why}")).collect();
    Err(Trouble::nowhere(format!(
        "Compose file contains unsupported options:\n\n{}\n",
        lines.join("\n\n")
    )))
}

/// Adds the variables of a file; those that are set already stay.
fn add_variables(
    environment: &mut BTreeMap<String, String>,
    path: &Path,
    is_required: bool,
    at: Option<&Position>,
    request: &Request<'_>,
) -> Result<(), Trouble> {
    let set = |name: &str| environment.get(name).cloned();
    for (name, value) in variables(path, is_required, at, request, &set)? {
        environment.entry(name).or_insert(value);
    }
    Ok(())
}

/// The variables of a file that have a value.
fn variables(
    path: &Path,
    is_required: bool,
    at: Option<&Position>,
    request: &Request<'_>,
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Trouble> {
    let trouble = |message: String| Trouble { at: at.cloned(), message };
    let bytes = match (request.read)(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_required => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(trouble(opening(path, &error))),
    };
    let variables = dotenv::parse(&String::from_utf8_lossy(&bytes), Style::Compose, set)
        .map_err(|error| trouble(format!("failed to read {}: {error}", path.display())))?;
    Ok(variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}
