//! Names that a plugin can have.

use std::path::Path;

use anyhow::{Result, bail};

use crate::embedded::TEMPLATES;
use crate::languages::Language;
use crate::new::Kind;

/// The longest name of a plugin, publisher included; the host's own bound.
const NAME_MAX: usize = 64;
/// The publisher of what comes with the binary.
const OWN_PUBLISHER: &str = "swarmw";
/// Crates that a plugin in Rust has beside itself, or that cargo keeps for itself.
const CRATES: [&str; 12] = [
    "swarmw-sdk",
    "swarmw-sdk-derive",
    "std",
    "core",
    "alloc",
    "proc-macro",
    "test",
    "build",
    "deps",
    "examples",
    "incremental",
    "sdk",
];
/// Words of Rust that no crate can be called.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// What stands in every Rust source without a `use`.
const TYPES: [&str; 16] = [
    "Box", "Clone", "Copy", "Debug", "Default", "Drop", "Err", "Fn", "None", "Ok", "Option",
    "Result", "Self", "Some", "String", "Vec",
];

/// The name that a folder gives its plugin.
///
/// # Errors
/// It would not be taken by a cluster, or not build; with another that would.
pub fn checked(folder: &Path, publisher: &str, language: Language, kind: Kind) -> Result<String> {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    for (what, part) in [("name", name.as_str()), ("publisher", publisher)] {
        if !good(part) {
            bail!(
                "the {what} '{part}' is not a word of small letters, digits and dashes that \
                 begins with a letter: try {}",
                if what == "name" { "spread-az" } else { "--publisher acme" }
            );
        }
    }
    if publisher == OWN_PUBLISHER {
        bail!(
            "the publisher {OWN_PUBLISHER} is for what comes with the binary, and no cluster takes \
             another's: try --publisher acme"
        );
    }
    if name.len() + publisher.len() + 1 > NAME_MAX {
        bail!("{publisher}/{name} is longer than {NAME_MAX} bytes: name it shorter");
    }
    if let Some(other) = clash(&name, language, kind) {
        bail!("the name '{name}' is that of {other}: try my-{name}");
    }
    Ok(name)
}

/// As a type of Rust: `SpreadAz` of `spread-az`.
pub fn type_of(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        first + letters.as_str()
    };
    name.split('-').map(part).collect()
}

/// What in the plugin's own crate has the name already.
fn clash(name: &str, language: Language, kind: Kind) -> Option<String> {
    if language != Language::Rust {
        return None;
    }
    let ty = type_of(name);
    if CRATES.contains(&name) {
        Some(format!("the crate {name}, which is there already"))
    } else if KEYWORDS.contains(&name) {
        Some(format!("a word of Rust, {name}"))
    } else if TYPES.contains(&&*ty) || in_template(&ty, kind) {
        Some(format!("the type {ty}, which the plugin's source uses"))
    } else {
        None
    }
}

/// Whether the source that a kind begins with uses another type or trait of this name,
/// which the plugin's own would stand before.
fn in_template(ty: &str, kind: Kind) -> bool {
    let source =
        format!("{}/{}/{}", Language::Rust.folder(), kind.as_str(), Language::Rust.source());
    let template = TEMPLATES.iter().find(|(path, _)| *path == source);
    let code = template.iter().flat_map(|(_, text)| text.lines());
    let mut code = code.filter(|line| !line.trim_start().starts_with("//"));
    code.any(|line| names(line, ty))
}

/// Whether a line names a type by itself: not as a part of another word, nor as a variant
/// of an enum.
fn names(line: &str, ty: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(ty).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + ty.len()..]);
        !before.ends_with(word) && !before.ends_with("::") && !after.starts_with(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_dashes_that_nothing_else_has() {
        for (name, publisher, told) in [
            ("spread-az", "me", ""),
            ("a/b/spread-az", "acme", ""),
            ("Spread", "me", "small letters"),
            ("9lives", "me", "small letters"),
            ("a.b", "me", "small letters"),
            ("spread", "Me Inc", "--publisher acme"),
            ("spread", "swarmw", "the publisher swarmw is for what comes with the binary"),
            ("swarmw-sdk", "me", "the crate swarmw-sdk, which is there already: try my-swarmw-sdk"),
            ("std", "me", "the crate std"),
            ("core", "me", "the crate core"),
            ("match", "me", "a word of Rust, match"),
            ("constraint", "me", "the type Constraint"),
            ("row", "me", "the type Row"),
            ("settings", "me", "the type Settings"),
        ] {
            let checked = checked(Path::new(name), publisher, Language::Rust, Kind::Constraint);
            match (told, checked) {
                ("", checked) => assert!(checked.is_ok(), "{name}"),
                (told, Ok(_)) => panic!("{name}: not refused with {told}"),
                (told, Err(error)) => assert!(error.to_string().contains(told), "{error}"),
            }
        }
        // `Step::ImageFile` is nobody's type.
        let checked_of = |name, kind| checked(Path::new(name), "me", Language::Rust, kind);
        assert!(checked_of("image-file", Kind::VolumeDriver).is_ok());
        assert!(checked_of("step", Kind::VolumeDriver).is_err());
        let checked = checked(Path::new("constraint"), "me", Language::Python, Kind::Constraint);
        assert!(checked.is_ok(), "other languages have no crates");
    }
}
