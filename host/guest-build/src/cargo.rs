//! The nested cargo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Guest;

/// Builds all members for `target`, in release, and names what came out.
pub fn build(workspace: &Path, target_dir: &Path, target: &str) -> Vec<Guest> {
    require_target(target);
    let mut cargo = clean(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())));
    cargo
        .args(["build", "--workspace", "--release", "--locked", "--quiet"])
        .arg("--target")
        .arg(target)
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(workspace);
    let output = cargo
        .output()
        .unwrap_or_else(|error| panic!("cannot run cargo in {}: {error}", workspace.display()));
    assert!(
        output.status.success(),
        "cargo build for {target} in {} failed:\n{}",
        workspace.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let products = target_dir.join(target).join("release");
    members(workspace).into_iter().map(|folder| product(&folder, &products)).collect()
}

/// The member's module: `NAME.wasm`, with underscores in a library's name.
fn product(folder: &Path, products: &Path) -> Guest {
    let package = package_name(folder);
    let path = [package.replace('-', "_"), package]
        .map(|stem| products.join(stem).with_extension("wasm"))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{} made no .wasm file", folder.display()));
    let name = folder.file_name().expect("a member has a folder");
    Guest { name: name.to_string_lossy().into_owned(), path }
}

/// Members are the folders with a manifest, by name.
fn members(workspace: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(workspace)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", workspace.display()))
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .collect();
    folders.sort();
    folders
}

/// The first `name = "…"` of a manifest is the package's.
fn package_name(folder: &Path) -> String {
    let manifest = folder.join("Cargo.toml");
    fs::read_to_string(&manifest)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", manifest.display()))
        .lines()
        .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{} names no package", manifest.display()))
        .to_owned()
}

/// The outer build's settings are not the inner one's: flags, wrappers (clippy is
/// one) and target folders of the host would poison or deadlock it.
fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let leaks = name.starts_with("RUSTC")
            || name.starts_with("CARGO_BUILD_")
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_FEATURE_")
            || name.starts_with("CARGO_CFG_")
            || name.starts_with("CARGO_PKG_")
            || matches!(
                name,
                "CARGO_TARGET_DIR"
                    | "CARGO_ENCODED_RUSTFLAGS"
                    | "RUSTFLAGS"
                    | "CARGO_MAKEFLAGS"
                    | "CARGO_MANIFEST_DIR"
                    | "CARGO_MANIFEST_PATH"
                    | "CLIPPY_ARGS"
                    | "CLIPPY_CONF_DIR"
                    | "TARGET"
                    | "HOST"
                    | "OPT_LEVEL"
                    | "DEBUG"
                    | "PROFILE"
                    | "OUT_DIR"
            );
        if leaks {
            command.env_remove(name);
        }
    }
    command
}

/// Asks rustup for the target when rustc has it not: automatic installation may
/// be off, and is then silent.
fn require_target(target: &str) {
    if has_target(target) {
        return;
    }
    let added = clean(Command::new("rustup")).args(["target", "add", target]).output();
    let said = match added {
        Ok(output) if output.status.success() && has_target(target) => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("cannot run rustup: {error}"),
    };
    panic!(
        "the Rust target {target} is missing and could not be added: \
         run `rustup target add {target}`, or install your distribution's package of it\n{said}"
    );
}

fn has_target(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) =
        clean(Command::new(rustc)).args(["--print", "target-libdir", "--target", target]).output()
    else {
        return false;
    };
    let folder = String::from_utf8_lossy(&output.stdout);
    output.status.success()
        && fs::read_dir(folder.trim()).is_ok_and(|mut entries| entries.next().is_some())
}
