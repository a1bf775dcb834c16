//! Plugins that come from a registry, signed or not.

use crate::plugins::{inspect, path, refused};
use crate::support::{Cluster, Registry, guest};

#[test]
fn a_plugin_comes_from_a_registry_by_its_digest() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    let registry = Registry::start(cluster.spare_address());
    let one = std::fs::read(guest("picky-one")).expect("a component");
    let two = std::fs::read(guest("picky-two")).expect("a component");
    let digest = registry.push_component("acme/picky", "stable", &one);
    let reference = format!("{}/acme/picky:stable", registry.address);
    let added = first.swarmw(&["plugin", "add", &reference]);
    assert!(added.contains(&format!("{reference}@{digest}")), "{added}");
    assert_eq!(inspect(first).expect("a plugin")["Source"], format!("{reference}@{digest}"));

    // The tag moves; the plugin does not.
    let moved = registry.push_component("acme/picky", "stable", &two);
    let asked = registry.requests().len();
    first.swarmw(&["plugin", "inspect", "picky"]);
    assert_eq!(registry.requests().len(), asked, "{:?}", registry.requests().last());
    first.swarmw(&["plugin", "upgrade", "picky", &reference]);
    let shown = inspect(first).expect("a plugin");
    assert_eq!(shown["Source"], format!("{reference}@{moved}"));
    assert_eq!(shown["Metadata"]["Version"], "0.2.0");
    let missing = format!("{}/acme/none:1", registry.address);
    refused(&first.try_swarmw(&["plugin", "add", &missing]), &[&registry.address]);
    registry.push_component("acme/text", "1", b"no component at all");
    let text = format!("{}/acme/text:1", registry.address);
    refused(&first.try_swarmw(&["plugin", "add", &text]), &["no WebAssembly component"]);
}

#[test]
fn where_keys_are_set_only_what_they_signed_is_taken() {
    let mut cluster = Cluster::of(1, 0);
    let registry = Registry::start(cluster.spare_address());
    let (ours, theirs) = (key(&cluster, "ours"), key(&cluster, "theirs"));
    let public = ours.with_extension("pub");
    let first = &mut cluster.nodes[0];
    assert_eq!(first.stop(), 0, "an orderly end");
    first.give_flags(&["--plugin-key", &public.to_string_lossy()]);
    first.start();
    cluster.wait_ready(1);
    let first = &cluster.nodes[0];

    let one = std::fs::read(guest("picky-one")).expect("a component");
    let two = std::fs::read(guest("picky-two")).expect("a component");
    let digest = registry.push_component("acme/picky", "1", &one);
    let other = registry.push_component("acme/picky", "2", &two);
    let reference = |tag: &str| format!("{}/acme/picky:{tag}", registry.address);
    let unsigned = "has no signature by a trusted key (ours)";
    refused(&first.try_swarmw(&["plugin", "add", &path("picky-one")]), &["signed plugins only"]);
    refused(&first.try_swarmw(&["plugin", "add", &reference("1")]), &[unsigned]);
    registry.sign("acme/picky", &digest, &theirs);
    refused(&first.try_swarmw(&["plugin", "add", &reference("1")]), &[unsigned]);

    registry.sign("acme/picky", &digest, &ours);
    let added = first.swarmw(&["plugin", "add", &reference("1")]);
    assert!(added.contains(" Signer:\tours"), "{added}");
    assert_eq!(inspect(first).expect("a plugin")["Signer"], "ours");
    refused(&first.try_swarmw(&["plugin", "upgrade", "picky", &reference("2")]), &[unsigned]);
    registry.sign("acme/picky", &other, &ours);
    first.swarmw(&["plugin", "upgrade", "picky", &reference("2")]);
}

/// A private key in a file; the public one stands beside it.
fn key(cluster: &Cluster, name: &str) -> std::path::PathBuf {
    let private = cluster.folder().join(name).with_extension("pem");
    let public = private.with_extension("pub");
    let openssl = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new("openssl").args(arguments).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let words = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
    let words: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
    openssl(&[&words[..], &[private.as_os_str()]].concat());
    openssl(&[
        "ec".as_ref(),
        "-in".as_ref(),
        private.as_os_str(),
        "-pubout".as_ref(),
        "-out".as_ref(),
        public.as_os_str(),
    ]);
    private
}
