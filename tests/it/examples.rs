//! The example plugins, as an operator gets them: their cases and the laws of their
//! kind, in the real host.

use std::path::Path;

use crate::support::Node;

/// Each example and its component.
const EXAMPLES: [(&str, &str); 12] = [
    ("apart", env!("SWARMW_APART")),
    ("binpack", env!("SWARMW_BINPACK")),
    ("canary", env!("SWARMW_CANARY")),
    ("cheapest", env!("SWARMW_CHEAPEST")),
    ("error-budget", env!("SWARMW_ERROR_BUDGET")),
    ("ext4-image", env!("SWARMW_EXT4_IMAGE")),
    ("max-skew", env!("SWARMW_MAX_SKEW")),
    ("near", env!("SWARMW_NEAR")),
    ("pack", env!("SWARMW_PACK")),
    ("progressive", env!("SWARMW_PROGRESSIVE")),
    ("sshfs", env!("SWARMW_SSHFS")),
    ("where", env!("SWARMW_WHERE")),
];

/// Arithmetic with fractions, and its printing, is most of it.
const SIZE_MAX: u64 = 150_000;

#[test]
fn each_example_passes_its_cases_and_the_laws_in_the_host() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins");
    let kept = tempfile::tempdir().expect("a folder");
    for (name, component) in EXAMPLES {
        // Beside the component and its cases the host leaves what it compiled.
        let own = kept.path().join(name);
        std::fs::create_dir(&own).expect("a folder");
        let cases = folder.join(name).join("cases");
        std::os::unix::fs::symlink(cases, own.join("cases")).expect("a link");
        let own = own.to_string_lossy().into_owned();
        let said = Node::run_alone(&["plugin", "test", "--component", component, &own]);
        assert_eq!(said.code, 0, "{name}\n{said}");
        assert!(said.stdout.contains("all well"), "{name}\n{said}");
        let size = std::fs::metadata(component).expect("a component").len();
        assert!(size < SIZE_MAX, "{name}: {size} bytes");
    }
}
