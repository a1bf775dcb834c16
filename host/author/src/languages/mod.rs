//! The languages that plugins are written in: where each has its source, what it is
//! built with, and what an author installs for that.

mod c;
mod javascript;
mod kept;
mod native;
mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::embedded::WIT;
use crate::project::Project;

/// What a plugin is written in.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust
    Rust,
    /// JavaScript, with componentize-qjs from npm
    #[value(alias = "js")]
    Javascript,
    /// Python, with componentize-py from PyPI
    #[value(alias = "py")]
    Python,
    /// C, with zig's clang from PyPI
    C,
}

/// The interfaces of the kinds, as wit/ names them.
const INTERFACES: [&str; 4] = ["constraint", "preference", "update", "volume"];

impl Language {
    /// Those whose source is one file of a fixed name. A crate is Rust's.
    const OTHERS: [Self; 3] = [Self::Javascript, Self::Python, Self::C];

    /// The folder of its templates.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Javascript => "javascript",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// As people call it.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Javascript => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
        }
    }

    /// The plugin's source, in its folder.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Javascript => "plugin.js",
            Self::Python => "plugin.py",
            Self::C => "plugin.c",
        }
    }

    /// Of a plugin's folder.
    pub fn of(folder: &Path) -> Self {
        let there = |language: &Self| folder.join(language.source()).exists();
        Self::OTHERS.into_iter().find(there).unwrap_or(Self::Rust)
    }

    /// What is run once in a new folder, before anything is built.
    pub const fn install(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Javascript => Some(javascript::INSTALL),
            Self::Python | Self::C => Some(python::INSTALL),
        }
    }

    /// Whether a plugin's own tests run natively, before there is a component.
    pub const fn has_native_tests(self) -> bool {
        matches!(self, Self::Rust)
    }

    /// How an interface is exported in its source.
    fn mark(self, interface: &str) -> String {
        match self {
            Self::Rust => "export!(".to_owned(),
            Self::Javascript => format!("export const {interface} "),
            Self::Python => format!("class {}(", capital(interface)),
            Self::C => format!(" exports_{interface}_"),
        }
    }
}

/// Builds a plugin's component.
///
/// # Errors
/// It does not build, or what builds it is not there; with what to do.
pub fn component(project: &Project) -> Result<PathBuf> {
    match project.language() {
        Language::Rust => rust::component(project),
        Language::Javascript => kept::or_built(project, javascript::component),
        Language::Python => kept::or_built(project, python::component),
        Language::C => kept::or_built(project, c::component),
    }
}

pub use c::of_interface as c_bindings;
pub use rust::tests as native_tests;

/// The interface of the plugin's kind, by what its source exports.
fn interface(project: &Project) -> Result<&'static str> {
    let language = project.language();
    let source = project.folder.join(language.source());
    let text =
        fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let found = INTERFACES.iter().find(|interface| text.contains(&language.mark(interface)));
    let Some(interface) = found else {
        let marks: Vec<_> = INTERFACES.iter().map(|name| language.mark(name)).collect();
        bail!(
            "{}: it exports the interface of no kind: one of `{}` must stand in it",
            source.display(),
            marks.join("`, `")
        );
    };
    Ok(interface)
}

/// The world of an interface: `swarmw:constraint/constraint-plugin`.
fn world(interface: &str) -> String {
    format!("swarmw:{interface}/{interface}-plugin")
}

/// The folder of the interface: the plugin's own, or, where it has none, this binary's
/// written out.
fn wit(project: &Project) -> Result<PathBuf> {
    let own = project.folder.join("wit");
    if own.is_dir() {
        return Ok(own);
    }
    let folder = project.scratch().join("wit");
    write_all(&folder, WIT)?;
    Ok(folder)
}

fn write_all(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        let failed = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(failed)?;
        }
        fs::write(&path, text).with_context(failed)?;
    }
    Ok(())
}

/// Where a plugin's component goes: `NAME.wasm` in its folder.
fn product(project: &Project) -> PathBuf {
    let name = project.folder.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
    project.folder.join(name).with_extension("wasm")
}

/// Runs what builds; its complaint when it fails.
fn run(command: &mut Command, source: &Path) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        // Of the tool's own code, nobody's business.
        .env("RUST_BACKTRACE", "0")
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        bail!("{} does not build:\n{}", source.display(), String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

/// Whether a program of this name is on the PATH.
fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
