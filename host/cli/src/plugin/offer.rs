//! `plugin add` and `plugin upgrade`: a component is offered, its powers are agreed
//! on, and what it would mean is shown.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use swarmw_model::{CandidateState, GrantRequest, Plugin, PluginReport, PluginView};

use super::{path, pretty};
use crate::client::{Call, Client};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;
use crate::service::image::registry_auth;

/// Bytes of a digest that are shown: `sha256:` and twelve digits.
const DIGEST_SHOWN: usize = 19;

/// `plugin add`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct AddArgs {
    #[command(flatten)]
    how: How,
    /// A WebAssembly component, or an artifact of a registry
    #[arg(value_name = "FILE|REFERENCE")]
    component: String,
}

/// `plugin upgrade`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct UpgradeArgs {
    #[command(flatten)]
    how: How,
    /// Take this power away, which it has; repeatable
    #[arg(long, value_name = "KIND=PATTERN", conflicts_with = "yes")]
    revoke: Vec<GrantRequest>,
    /// Have it go on with the updates that an update policy has under way
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    adopt: bool,
    /// A name or id
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// A WebAssembly component, or an artifact of a registry
    #[arg(value_name = "FILE|REFERENCE")]
    component: String,
}

/// How a component is offered.
#[derive(clap::Args, Clone, Debug)]
struct How {
    #[command(flatten)]
    powers: Powers,
    /// Allow a component of up to 64 MiB instead of 16
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    allow_large: bool,
    /// Change nothing: show which running tasks it would violate or move
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    plan: bool,
    /// Run it beside the version there is, and report where they differ
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    shadow: bool,
    #[arg(skip)]
    adopt: bool,
    #[arg(skip)]
    revoke: Vec<GrantRequest>,
}

/// What the operator says of a plugin's powers.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Powers {
    /// Grant this power that it asks for, in place of wider ones that it has; repeatable
    #[arg(long, value_name = "KIND=PATTERN", conflicts_with = "yes")]
    grant: Vec<GrantRequest>,
    /// Grant all powers that it asks for
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    yes: bool,
}

/// Where a component comes from.
enum Component {
    Bytes(Bytes),
    Reference { reference: String, auth: String },
}

pub(super) async fn add(client: &Client, args: AddArgs, io: &mut Io) -> Result<(), Failure> {
    offer(client, None, &args.component, args.how, io).await
}

pub(super) async fn upgrade(
    client: &Client,
    args: UpgradeArgs,
    io: &mut Io,
) -> Result<(), Failure> {
    let how = How { adopt: args.adopt, revoke: args.revoke, ..args.how };
    let changes = !how.plan;
    let before: PluginView = client.get(path(&args.plugin)).read().await?;
    let upgraded = offer(client, Some(&before.plugin), &args.component, how, io).await;
    if changes && upgraded.is_ok() {
        let after: PluginView = client.get(path(&args.plugin)).read().await?;
        if let Some(note) = same_version(&before.plugin, &after.plugin) {
            io.warn(note)?;
        }
    }
    upgraded
}

async fn offer(
    client: &Client,
    upgrades: Option<&Plugin>,
    component: &str,
    mut how: How,
    io: &mut Io,
) -> Result<(), Failure> {
    let mut component = component_of(component).await?;
    if how.plan {
        let report = report(client, upgrades, &component, &how).await?;
        io.text(&pretty::report(&report))?;
        return Ok(());
    }
    let unsaid = how.powers.grant.is_empty() && how.revoke.is_empty() && !how.powers.yes;
    if unsaid && io.answers.is_some() {
        let report = report(client, upgrades, &component, &how).await?;
        if !report.wanted.is_empty() {
            io.text(&format!(
                "Plugin {}{}",
                pretty::release(&report.plugin, &report.plugin.release),
                pretty::wanted(&report.plugin, report.replaces.as_ref(), &report.wanted)
            ))?;
            if io.confirm("Do you grant these powers?")? != Some(true) {
                return Err(Failure::new("nothing was changed"));
            }
            how.powers.yes = true;
        }
        // What was agreed to is what is added, though a tag may move.
        if let (Component::Reference { reference, .. }, Some(pinned)) =
            (&mut component, report.plugin.release.source)
        {
            *reference = pinned;
        }
    }
    let plugin: Plugin = call(client, upgrades, &component, &how).read().await?;
    io.text(&said(&plugin, upgrades))?;
    if upgrades.is_some_and(|before| is_granted_anew(before, &plugin)) {
        return Ok(());
    }
    let Some(why) = waits(&plugin) else { return Ok(()) };
    let view: PluginView = client.get(path(&plugin.name)).read().await?;
    io.text(&wanted(&view))?;
    Err(Failure::new(why))
}

/// What the version that waits wants consent for.
fn wanted(view: &PluginView) -> String {
    let Some(candidate) = &view.plugin.candidate else { return String::new() };
    let then = Plugin { release: candidate.release.clone(), ..view.plugin.clone() };
    pretty::wanted(&then, Some(&view.plugin), &view.wanted)
}

/// A file, where one is there or the name can be nothing else; else a reference.
async fn component_of(text: &str) -> Result<Component, Failure> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        return Err(Failure::new(folder_given(&path)));
    }
    if path.exists() || looks_like_a_file(&path) {
        let bytes =
            tokio::fs::read(&path).await.map_err(|error| Failure::opening(&path, &error))?;
        if bytes.is_empty() {
            return Err(Failure::new(format!("{} is empty: it is no component", path.display())));
        }
        return Ok(Component::Bytes(bytes.into()));
    }
    if !text.contains(['/', ':', '@']) {
        return Err(Failure::new(no_file(Path::new(""), text)));
    }
    Ok(Component::Reference { reference: text.to_owned(), auth: registry_auth(text)? })
}

/// What to do about a word that is no file of the folder, and no reference of a registry:
/// most often the ending was forgotten, and cargo's names have no hyphens.
fn no_file(folder: &Path, word: &str) -> String {
    let near = [format!("{word}.wasm"), format!("{}.wasm", word.replace('-', "_"))];
    match near.iter().find(|name| folder.join(name).is_file()) {
        Some(there) => format!("no file {word} here; there is {there}"),
        None => format!(
            "no file {word} here; a component of a registry is named REGISTRY/{word}:TAG, one that \
             you build with `swarmw plugin build` is {}",
            near[1]
        ),
    }
}

/// What to do instead of naming a folder: most often it is the plugin's own.
fn folder_given(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut components: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "wasm"))
        .collect();
    components.sort();
    let shown = folder.display();
    match &components[..] {
        [] => format!(
            "{shown} is a folder without a component: `swarmw plugin build {shown}` makes one of \
             a plugin's sources"
        ),
        [one, ..] => format!("{shown} is a folder: name the component in it, {}", one.display()),
    }
}

fn looks_like_a_file(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "wasm") || path.is_absolute() || path.starts_with(".")
}

async fn report(
    client: &Client,
    upgrades: Option<&Plugin>,
    component: &Component,
    how: &How,
) -> Result<PluginReport, Failure> {
    let mut call = call(client, upgrades, component, how).query("dry", 1);
    if how.plan {
        call = call.query("plan", 1);
    }
    Ok(call.read().await?)
}

fn call<'c>(
    client: &'c Client,
    upgrades: Option<&Plugin>,
    component: &Component,
    how: &How,
) -> Call<'c> {
    let mut call = powers(client.post("/swarmw/plugins"), &how.powers);
    if let Some(plugin) = upgrades {
        call = call.query("upgrade", plugin.id);
    }
    for power in &how.revoke {
        call = call.query("revoke", power);
    }
    for (name, on) in [("large", how.allow_large), ("shadow", how.shadow), ("adopt", how.adopt)] {
        if on {
            call = call.query(name, 1);
        }
    }
    match component {
        Component::Bytes(bytes) => call.bytes("application/wasm", bytes.clone()),
        Component::Reference { reference, auth } => {
            call.query("reference", reference).header("X-Registry-Auth", auth)
        }
    }
}

/// The call with what is said of powers.
pub(super) fn powers<'c>(mut call: Call<'c>, powers: &Powers) -> Call<'c> {
    if powers.yes {
        call = call.query("yes", 1);
    }
    for power in &powers.grant {
        call = call.query("grant", power);
    }
    call
}

/// A warning where other bytes came under the version that was there: people, logs and
/// registries could not tell the two apart.
fn same_version(before: &Plugin, after: &Plugin) -> Option<String> {
    let offered = after.candidate.as_ref().map_or(&after.release, |candidate| &candidate.release);
    let (was, now) = (&before.release, offered);
    let same = was.metadata.version == now.metadata.version && was.blob != now.blob;
    same.then(|| {
        format!(
            "Warning: both are version {} of {}, with other bytes ({}, then {}): give the new one \
             a version of its own before others use it",
            now.metadata.version,
            after.name,
            short(&was.blob.digest),
            short(&now.blob.digest)
        )
    })
}

/// As much of a digest as tells two apart.
fn short(digest: &str) -> &str {
    digest.get(..DIGEST_SHOWN).unwrap_or(digest)
}

/// What became of it; `before` is the plugin that it is another version of.
fn said(plugin: &Plugin, before: Option<&Plugin>) -> String {
    if before.is_some_and(|before| is_granted_anew(before, plugin)) {
        let shown = pretty::release(plugin, &plugin.release);
        return format!("Changed the grants of plugin {shown}");
    }
    let Some(candidate) = &plugin.candidate else {
        let word = if before.is_some() { "Upgraded" } else { "Added" };
        return format!("{word} plugin {}", pretty::release(plugin, &plugin.release));
    };
    let shown = pretty::release(plugin, &candidate.release);
    let name = &plugin.name;
    let serving = &plugin.release.metadata.version;
    match candidate.state {
        CandidateState::Shadow => format!(
            "In shadow of version {serving}: plugin {shown}\
             See what differs with swarmw plugin inspect --pretty {name}, \
             then swarmw plugin promote {name}\n",
        ),
        CandidateState::Consent => format!("Version {serving} still serves: plugin {shown}"),
    }
}

/// Whether the component that serves was offered once more, with other grants.
fn is_granted_anew(before: &Plugin, after: &Plugin) -> bool {
    let (was, is) = (&before.release, &after.release);
    let waits = |of: &Plugin| of.candidate.as_ref().map(|c| c.release.blob.clone());
    was.blob == is.blob && was.granted != is.granted && waits(before) == waits(after)
}

/// Why a version that was offered does not serve, where it should have.
fn waits(plugin: &Plugin) -> Option<String> {
    let candidate = plugin.candidate.as_ref().filter(|c| c.state == CandidateState::Consent)?;
    let (name, version) = (&plugin.name, &candidate.release.metadata.version);
    Some(format!(
        "plugin {name} {version} waits for your consent to what it asks for, see `swarmw plugin \
         inspect --pretty {name}`: give all of it with `swarmw plugin promote --yes {name}`, some \
         with `swarmw plugin promote --grant KIND=PATTERN {name}`, or drop it with `swarmw plugin \
         rm --candidate {name}`"
    ))
}

#[cfg(test)]
mod tests {
    use swarmw_model::{Blob, PluginId, PluginKind, PluginMetadata, PluginRelease};

    use super::*;

    #[test]
    fn a_folder_is_answered_with_the_component_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder_given(folder.path());
        assert!(told.contains("`swarmw plugin build /"), "{told}");
        std::fs::write(folder.path().join("near.wasm"), "").expect("a file");
        let told = folder_given(folder.path());
        let want = format!("name the component in it, {}/near.wasm", folder.path().display());
        assert!(told.ends_with(&want), "{told}");
    }

    #[test]
    fn a_forgotten_ending_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = no_file(folder.path(), "at-least");
        assert!(told.starts_with("no file at-least here; a component of a registry"), "{told}");
        std::fs::write(folder.path().join("at_least.wasm"), "").expect("a file");
        let told = no_file(folder.path(), "at-least");
        assert_eq!(told, "no file at-least here; there is at_least.wasm");
    }

    #[test]
    fn other_bytes_under_one_version_are_warned_of() {
        let plugin = |version: &str, digest: &str| -> Plugin {
            let metadata = PluginMetadata {
                version: version.to_owned(),
                summary: String::new(),
                claims: Vec::new(),
                options: Vec::new(),
                grants: Vec::new(),
            };
            let blob = Blob { digest: digest.to_owned(), size: 1 };
            let release = PluginRelease::new(blob, metadata);
            Plugin::new(PluginId::from_bits(1), "me/a".to_owned(), PluginKind::Constraint, release)
        };
        let before = plugin("0.1.0", "sha256:aaaaaaaaaaaaaaaa");
        let told = same_version(&before, &plugin("0.1.0", "sha256:bbbbbbbbbbbbbbbb"));
        let told = told.expect("a warning");
        assert!(told.contains("version 0.1.0 of me/a") && told.contains("sha256:bbbbbbbbbbbb)"));
        assert_eq!(same_version(&before, &before), None);
        assert_eq!(same_version(&before, &plugin("0.1.1", "sha256:b")), None);
    }

    #[test]
    fn a_file_is_told_from_a_reference() {
        for (text, file) in [
            ("./near", true),
            ("/tmp/near", true),
            ("near.wasm", true),
            ("reg.example:5000/near:1.0", false),
            ("acme/near", false),
        ] {
            assert_eq!(looks_like_a_file(Path::new(text)), file, "{text}");
        }
    }
}
