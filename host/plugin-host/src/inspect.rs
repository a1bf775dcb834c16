//! What `plugin add` checks before the cluster names a component.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::component::{Binary, shown as shown_binary};
use swarmw_model::{
    GrantRequest, OptionType, PluginClaim, PluginKind, PluginMetadata, PluginOption,
};
use wasmtime::component::Component;

use crate::compile::{CompileError, Compiler, digest_of};
use crate::engine::{COMPILE_BUDGET, Profile};
use crate::host::Runtime;
use crate::interface::{self, Minor, NoPlugin};
use crate::journal::{Journal, misleads};
use crate::options::text_to_value;
use crate::sandbox::{self, Sandbox};

/// The longest name of a plugin.
const NAME_MAX: usize = 64;
/// The longest line that a plugin says of itself, its version included.
const LINE_MAX: usize = 256;
/// The most claims, options and grants each.
const ENTRIES_MAX: usize = 64;

/// Lines of its log that are told when it cannot say what it is.
const LOGGED_MAX: usize = 3;

/// Why a component is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is no component at all.
    #[error("{0}")]
    NotComponent(String),
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// What it imports and exports makes no plugin.
    #[error(transparent)]
    NoPlugin(#[from] NoPlugin),
    /// It failed when it was asked what it is.
    #[error("the component {fault} when it was asked to describe itself{logged}")]
    Describe {
        /// What it did.
        fault: String,
        /// `; it logged: …`, or nothing.
        logged: String,
    },
    /// What it says of itself breaks a rule.
    #[error("the plugin describes itself wrongly: {reason}")]
    Metadata {
        /// Which rule, with the value.
        reason: String,
    },
}

/// What a component that passed says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// What it decides.
    pub kind: PluginKind,
    /// The version of our interface that it was built for, such as `0.1`.
    pub interface: String,
    /// `publisher/name`.
    pub name: String,
    /// The rest.
    pub metadata: PluginMetadata,
}

/// Checks a component from anyone: size, imports, exports, and what it says of
/// itself when it is run with nothing around it.
///
/// # Errors
/// The first rule that it breaks; one of more than `max` bytes is not even compiled.
pub fn inspect(bytes: &[u8], max: usize, compiler: &Compiler) -> Result<Inspected, AddError> {
    if bytes.len() > max {
        return Err(CompileError::TooLarge { size: bytes.len(), max }.into());
    }
    check_binary(bytes)?;
    let runtime = Runtime::new(compiler.clone())?;
    let digest = digest_of(bytes);
    let component = compiler.component(&runtime.engine, Profile::Policy, &digest, bytes)?;
    let (kind, minor) = interface::recognise(&runtime.engine, &component)?;
    let (name, metadata) = describe(&runtime, &component, kind, minor)?;
    check(kind, &name, &metadata).map_err(|reason| AddError::Metadata { reason })?;
    Ok(Inspected { kind, interface: minor.to_string(), name, metadata })
}

/// What a compiler would say in many words of what is no component.
fn check_binary(bytes: &[u8]) -> Result<(), AddError> {
    let told = match Binary::of(bytes) {
        Binary::Component => return Ok(()),
        Binary::Module => "the file is a core module, as cargo leaves it in target/: take the \
                           component that `swarmw plugin build` writes beside Cargo.toml"
            .to_owned(),
        Binary::Other => format!(
            "the file is no WebAssembly component: it {}; `swarmw plugin build` writes one into \
             the plugin's folder",
            shown_binary(bytes)
        ),
    };
    Err(AddError::NotComponent(told))
}

/// What a component says of itself. It is asked once more where that went wrong: a
/// machine that stood still for a moment is no fault of the component.
fn describe(
    runtime: &Runtime,
    component: &Component,
    kind: PluginKind,
    minor: Minor,
) -> Result<(String, PluginMetadata), AddError> {
    let ask = || describe_once(runtime, component, kind, minor);
    ask().or_else(|_| ask())
}

fn describe_once(
    runtime: &Runtime,
    component: &Component,
    kind: PluginKind,
    minor: Minor,
) -> Result<(String, PluginMetadata), AddError> {
    let journal = Arc::new(Journal::new("new plugin"));
    let fault = |error: wasmtime::Error| {
        let lines = journal.after(0).into_iter().take(LOGGED_MAX).map(|line| line.text);
        let lines: Vec<_> = lines.collect();
        let logged = match lines.is_empty() {
            true => String::new(),
            false => format!("; it logged: {}", lines.join(" / ")),
        };
        AddError::Describe { fault: sandbox::fault(&error).1, logged }
    };
    let (engine, ticker, linker) = (&runtime.engine, &runtime.ticker, &runtime.linker);
    // Every function of its kind must be there with the right type.
    Sandbox::new(engine, ticker, linker, component, (kind, minor), &journal).map_err(fault)?;
    let mut store = sandbox::store(engine, &journal);
    let said = sandbox::limited(&mut store, ticker, COMPILE_BUDGET, |store| {
        interface::describe(minor, store, component, linker)
    });
    said.map_err(fault)
}

fn check(kind: PluginKind, name: &str, metadata: &PluginMetadata) -> Result<(), String> {
    check_name(name)?;
    let version = &metadata.version;
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = numbers.split('.').map(str::parse::<u32>).collect();
    if numbers.len() != 3 || numbers.iter().any(Result::is_err) || version.len() > LINE_MAX {
        return Err(format!("version {} is not of the form 1.2.3", shown(version)));
    }
    one_line("summary", &metadata.summary)?;
    for (what, count) in [
        ("claims", metadata.claims.len()),
        ("options", metadata.options.len()),
        ("grants", metadata.grants.len()),
    ] {
        if count > ENTRIES_MAX {
            return Err(format!("{count} {what}; at most {ENTRIES_MAX}"));
        }
    }
    check_claims(kind, &metadata.claims)?;
    let mut names = BTreeSet::new();
    for option in &metadata.options {
        if !names.insert(&option.name) {
            return Err(format!("option {} stands twice", option.name));
        }
        check_option(kind, option)?;
    }
    for grant in &metadata.grants {
        one_line("the reason of a grant", &grant.reason)?;
        one_line("a grant", &grant.request.to_string())?;
        let fits = match grant.request {
            GrantRequest::Observe(_) => kind == PluginKind::UpdatePolicy,
            _ => kind == PluginKind::VolumeDriver,
        };
        if !fits {
            return Err(format!("a {kind} cannot use the grant {}", grant.request));
        }
    }
    Ok(())
}

/// `publisher/name`, in small letters, digits and `-_.`.
fn check_name(name: &str) -> Result<(), String> {
    let part = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
    };
    let good = name.len() <= NAME_MAX
        && name.split_once('/').is_some_and(|(publisher, name)| part(publisher) && part(name));
    good.then_some(()).ok_or_else(|| {
        format!(
            "name {} is not publisher/name in small letters, digits and -_., {NAME_MAX} bytes at most",
            shown(name)
        )
    })
}

fn one_line(what: &str, text: &str) -> Result<(), String> {
    if text.len() > LINE_MAX || text.chars().any(misleads) {
        return Err(format!("{what} is not one line of {LINE_MAX} bytes at most"));
    }
    Ok(())
}

/// The beginning of a text, quoted: what is wrong with it may be its length.
fn shown(text: &str) -> String {
    let head: String = text.chars().take(NAME_MAX).collect();
    format!("{head:?}{}", if head.len() < text.len() { "…" } else { "" })
}

fn check_claims(kind: PluginKind, claims: &[PluginClaim]) -> Result<(), String> {
    if !claims.iter().any(|c| !matches!(c, PluginClaim::Operator(_))) {
        return Err("it claims nothing, so nothing would reach it".to_owned());
    }
    for claim in claims {
        let named = matches!(claim, PluginClaim::Name(_));
        if named == (kind == PluginKind::Constraint) {
            let wanted = match kind {
                PluginKind::Constraint => "keys, operators and calls",
                _ => "names",
            };
            return Err(format!("a {kind} claims {wanted}, not {}", shown(&claim.to_string())));
        }
        let (text, may_be_empty) = match claim {
            PluginClaim::KeyPrefix(text) => (text, true),
            PluginClaim::Key(text)
            | PluginClaim::Operator(text)
            | PluginClaim::Call(text)
            | PluginClaim::Name(text) => (text, false),
        };
        let blank = text.chars().any(|c| c.is_whitespace() || misleads(c));
        if text.len() > LINE_MAX || blank || text.is_empty() && !may_be_empty {
            return Err(format!("the claim {} is empty, too long or has blanks", shown(text)));
        }
    }
    Ok(())
}

fn check_option(kind: PluginKind, option: &PluginOption) -> Result<(), String> {
    let name = &option.name;
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(word) {
        return Err(format!("option name {} is not of letters, digits and -_", shown(name)));
    }
    one_line(&format!("the help of option {name}"), &option.help)?;
    match &option.ty {
        OptionType::Integer { min, max } if min > max => {
            return Err(format!("option {name} is from {min} to {max}"));
        }
        OptionType::Choice(choices) if choices.is_empty() => {
            return Err(format!("option {name} has nothing to choose from"));
        }
        OptionType::Choice(choices) => {
            for choice in choices {
                one_line(&format!("a choice of option {name}"), choice)?;
            }
        }
        OptionType::Secret if kind != PluginKind::VolumeDriver => {
            return Err(format!("option {name} is a secret, which only volume drivers have"));
        }
        _ => {}
    }
    match option.default.as_deref().map(|d| (d, text_to_value(&option.ty, d))) {
        Some((default, Err(want))) => {
            Err(format!("the default {default:?} of option {name} is not {want}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(claims: &[PluginClaim]) -> PluginMetadata {
        PluginMetadata {
            version: "1.0.0".into(),
            summary: "a plugin".into(),
            claims: claims.to_vec(),
            options: vec![],
            grants: vec![],
        }
    }

    #[test]
    fn what_is_no_component_is_told_in_one_line_with_the_way_to_one() {
        for (bytes, told) in [
            (
                &b"[package]\nname"[..],
                "no WebAssembly component: it begins with \"[package]\\nna\"",
            ),
            (b"\0asm\x01\0\0\0", "a core module, as cargo leaves it in target/"),
            (b"", "it is empty"),
        ] {
            let said = check_binary(bytes).expect_err(told).to_string();
            assert!(said.contains(told) && said.contains("`swarmw plugin build`"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        assert!(check_binary(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn names_have_a_publisher() {
        for (name, good) in [
            ("swarmw/constraint", true),
            ("a/b-c_d.e", true),
            ("constraint", false),
            ("a/b/c", false),
            ("A/b", false),
            ("a/", false),
            ("a/-b", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        assert!(check_name(&format!("a/{}", "b".repeat(63))).is_err());
    }

    #[test]
    fn claims_fit_the_kind() {
        use PluginClaim::{Key, KeyPrefix, Name, Operator};
        for (kind, claims, good) in [
            (PluginKind::Constraint, &[KeyPrefix(String::new())][..], true),
            (PluginKind::Constraint, &[Name("a".into())], false),
            (PluginKind::Constraint, &[Operator(">=".into())], false),
            (PluginKind::Constraint, &[Key("a b".into())], false),
            (PluginKind::Preference, &[Name("a".into())], true),
            (PluginKind::Preference, &[Key("a".into())], false),
            (PluginKind::UpdatePolicy, &[], false),
        ] {
            let checked = check(kind, "a/b", &metadata(claims));
            assert_eq!(checked.is_ok(), good, "{kind} {claims:?}: {checked:?}");
        }
    }

    #[test]
    fn defaults_read_as_their_type() {
        let mut metadata = metadata(&[PluginClaim::Name("a".into())]);
        metadata.options.push(PluginOption {
            name: "room".into(),
            help: "how much".into(),
            ty: OptionType::Size,
            required: false,
            default: Some("much".into()),
        });
        let said = check(PluginKind::Preference, "a/b", &metadata);
        let want = "the default \"much\" of option room is not a size such as 64MiB";
        assert_eq!(said, Err(want.to_owned()));
    }
}
