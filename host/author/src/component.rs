//! From a core module to a component, and what can be wrong with one.

use anyhow::{Result, anyhow};
use swarmw_plugin_host::{AddError, CompileError, NoPlugin};
use wit_component::ComponentEncoder;

use crate::languages::Language;

/// Makes a component of a module.
pub fn encode(module: &[u8], language: Language) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| anyhow!(explained(&format!("{error:#}"), language)))
}

/// The encoder's words, and what an author does about them.
fn explained(error: &str, language: Language) -> String {
    let import = error.split_once("requires an import interface named `");
    let Some((_, rest)) = import else {
        return match error.contains("failed to find export") || error.contains("no export") {
            true if language == Language::Rust => format!(
                "the crate exports no plugin: it needs a line `export!(Type: Kind);`\n{error}"
            ),
            true => format!("{} lacks a function of its interface: {error}", language.source()),
            false => format!("the module is no component: {error}"),
        };
    };
    let name = rest.split('`').next().unwrap_or_default();
    let cause = match name {
        "env" if language == Language::C => "a function that is declared and nowhere defined",
        "env" => {
            "an `extern \"C\"` function that nothing defines, most often of a crate with C code"
        }
        "__wbindgen_placeholder__" => {
            "a crate made for browsers: look for a feature such as `js` or `wasm-bindgen` to turn off"
        }
        name if name.starts_with("wasi") && language == Language::C => {
            "a function of the C library that needs a file, a clock or the environment, such as \
             printf or assert; write to the plugin's log instead"
        }
        name if name.starts_with("wasi") => {
            "WASI, which plugins have not: build for wasm32-unknown-unknown"
        }
        _ => "something that plugins have not",
    };
    let look = match language {
        Language::Rust => "; `cargo tree` shows which crates it uses",
        _ => "",
    };
    format!(
        "the module imports `{name}`: {cause}. A plugin may import swarmw:types/host alone{look}"
    )
}

/// What the host says of a component, and what an author does about it.
pub fn refused(error: &AddError, language: Language) -> String {
    let advice = match error {
        // They say what to do themselves.
        AddError::NotComponent(_)
        | AddError::NoPlugin(NoPlugin::Version { .. })
        | AddError::Compile(CompileError::TooSlow) => {
            return error.to_string();
        }
        AddError::Compile(_) => "make it smaller, or simpler".to_owned(),
        _ if language == Language::Rust => in_rust(error).to_owned(),
        AddError::Metadata { .. } => {
            format!("look at what `describe` answers in {}", language.source())
        }
        AddError::Describe { .. } => {
            format!("`describe` in {} must not fail, and answer the same always", language.source())
        }
        AddError::NoPlugin(_) => "it must come from `swarmw plugin build`".to_owned(),
    };
    format!("{error}: {advice}")
}

fn in_rust(error: &AddError) -> &'static str {
    match error {
        AddError::Metadata { reason } if reason.starts_with("name ") => {
            "set NAME in src/lib.rs to \"publisher/name\""
        }
        AddError::Metadata { reason } if reason.starts_with("version ") => {
            "set version in Cargo.toml to the form 1.2.3"
        }
        AddError::Metadata { reason } if reason.starts_with("summary ") => {
            "set description in Cargo.toml to one line"
        }
        AddError::Metadata { reason } if reason.contains("claim") => {
            "look at claims() in src/lib.rs"
        }
        AddError::Metadata { reason } if reason.contains("grant") => {
            "look at grants() in src/lib.rs"
        }
        AddError::Metadata { .. } => "look at the struct with #[derive(Options)] in src/lib.rs",
        AddError::Describe { .. } => {
            "claims(), grants() and the options must not panic, and must be the same always"
        }
        AddError::NoPlugin(NoPlugin::Exports { .. }) => {
            "src/lib.rs needs one line `export!(Type: Kind);`, such as `export!(Near: Constraint);`"
        }
        _ => "it must come from `swarmw plugin build`",
    }
}
