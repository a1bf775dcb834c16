//! Builds the built-in components, so that the library can include them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = Path::new("../..");
    let folders = ["plugins", "sdk/rust", "wit"].map(|folder| root.join(folder));
    swarmw_guest_build::rerun_if_changed(&folders.each_ref().map(PathBuf::as_path));
    println!("cargo::rerun-if-changed=build.rs");

    let target_dir = swarmw_guest_build::nested_target_dir();
    let guests = swarmw_guest_build::build_plugins(&folders[0], &target_dir);
    let mut source = String::from("&[\n");
    for guest in guests {
        let (name, path) = (&guest.name, &guest.path);
        writeln!(
            source,
            "    Builtin {{ name: \"swarmw/{name}\", bytes: include_bytes!({path:?}) }},"
        )
        .expect("text can be written to");
    }
    source.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("run by cargo")).join("builtin.rs");
    fs::write(&out, source).expect("OUT_DIR can be written");
}
