//! To a registry and back.

use swarmw_registry::{Credentials, Registries};

use crate::registry::Registry;
use crate::support::Desk;

#[test]
fn what_is_published_is_what_a_cluster_pulls() {
    let desk = Desk::new();
    desk.well("new --kind volume-driver @image-file");
    // An address that no other test has.
    let registry = Registry::start([127, 77, 3, 1].into());
    let reference = format!("{}/me/image-file:0.1.0", registry.address);
    let said = desk.well(&format!("publish {reference} @image-file"));
    let pinned = said.lines().find_map(|line| line.trim().strip_prefix("swarmw plugin add "));
    let pinned = pinned.expect("how it is added").to_owned();
    assert!(pinned.contains("/me/image-file@sha256:"), "{said}");

    let own = std::fs::read(desk.path("image-file/image_file.wasm")).expect("a component");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (registries, nobody) = (Registries::default(), Credentials::default());
    for name in [&reference, &pinned] {
        let pulled = runtime.block_on(registries.component(name, &nobody)).expect("it is there");
        assert_eq!(pulled.bytes, own, "{name}");
        assert!(pinned.ends_with(&pulled.manifest), "{pinned} {}", pulled.manifest);
    }

    let (_, ended) = desk.plugin("publish localhost:1/me/image-file:1 @image-file");
    let ended = ended.expect_err("nobody listens");
    assert!(ended.starts_with("localhost:1: "), "{ended}");
}
