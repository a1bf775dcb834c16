//! Components of the plugin host's own tests.

use std::path::{Path, PathBuf};

/// The component of a guest; the core module of it stands beside, as `.wasm`.
pub fn guest(name: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.join("../plugin-host/tests/guests");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let built = swarmw_guest_build::build_components(&workspace, &target);
    built.into_iter().find(|g| g.name == name).expect(name).path
}
