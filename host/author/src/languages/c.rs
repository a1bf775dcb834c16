//! zig's clang, and what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{Language, interface, on_path, product, python, run, wit, world, write_all};
use crate::component::encode;
use crate::embedded::C_BINDINGS;
use crate::project::{Project, files};

/// The C library that comes with zig is WASI's; what of it needs a system is not linked
/// in unless it is used, and then refused.
const FLAGS: [&str; 8] = [
    "--target=wasm32-wasi",
    "-mexec-model=reactor",
    "-std=c17",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-s",
];

/// Makes the component: the author's files, and the bindings of the interface.
pub fn component(project: &Project) -> Result<PathBuf> {
    let interface = interface(project)?;
    let mut zig = zig(project)?;
    let bindings = bindings(project, interface)?;
    let scratch = project.scratch();
    fs::create_dir_all(&scratch).with_context(|| format!("cannot write {}", scratch.display()))?;
    let module = scratch.join("module.wasm");
    zig.args(FLAGS).arg("-I").arg(&bindings).arg("-o").arg(&module);
    zig.args(files(&project.folder, &["c"])).args(files(&bindings, &["c"]));
    run(zig.current_dir(&project.folder), &project.folder.join("plugin.c"))?;

    let mut bytes =
        fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    embed(&mut bytes, &wit(project)?, &world(interface))?;
    let component = product(project);
    fs::write(&component, encode(&bytes, Language::C)?)
        .with_context(|| format!("cannot write {}", component.display()))?;
    Ok(component)
}

/// `zig cc`, of the folder's environment or of the machine.
fn zig(project: &Project) -> Result<Command> {
    let mut zig = match python::tool(project, "python-zig") {
        Ok(zig) => Command::new(zig),
        Err(_) if on_path("zig") => Command::new("zig"),
        Err(error) => return Err(error),
    };
    zig.arg("cc");
    Ok(zig)
}

/// The folder of the bindings: the plugin's own, or, where it has none, this binary's
/// written out.
fn bindings(project: &Project, interface: &str) -> Result<PathBuf> {
    let own = project.folder.join("bindings");
    if own.is_dir() {
        return Ok(own);
    }
    let folder = project.scratch().join("bindings");
    write_all(&folder, &of_interface(interface))?;
    Ok(folder)
}

/// The header and the source of an interface's bindings.
pub fn of_interface(interface: &str) -> Vec<(&'static str, &'static str)> {
    let of = |(path, text): &(&'static str, &'static str)| {
        let (folder, name) = path.split_once('/')?;
        (folder == interface).then_some((name, *text))
    };
    C_BINDINGS.iter().filter_map(of).collect()
}

/// Writes into a module what its exports are, for the encoder.
fn embed(module: &mut Vec<u8>, wit: &Path, world: &str) -> Result<()> {
    let wrong = |error| anyhow!("{}: {error:#}", wit.display());
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).map_err(wrong)?;
    let world = resolve.select_world(&[package], Some(world)).map_err(wrong)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}
