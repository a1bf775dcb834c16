use swarmw_model::{PluginClaim, PluginKind};
use swarmw_plugin_host::{COMPONENT, builtin, inspect};

use crate::support::compiler;

#[test]
fn builtins_pass_the_checks_that_anyones_plugin_passes() {
    for (name, kind, claims) in [
        ("swarmw/constraint", PluginKind::Constraint, vec![PluginClaim::KeyPrefix("".into())]),
        ("swarmw/local-volume", PluginKind::VolumeDriver, vec![PluginClaim::Name("local".into())]),
        ("swarmw/spread", PluginKind::Preference, vec![PluginClaim::Name("spread".into())]),
        (
            "swarmw/update",
            PluginKind::UpdatePolicy,
            ["pause", "continue", "rollback"].map(|n| PluginClaim::Name(n.into())).to_vec(),
        ),
    ] {
        let found = builtin().iter().find(|b| b.name == name).expect(name);
        let said = inspect(found.bytes, COMPONENT, &compiler()).expect(name);
        assert_eq!((said.kind, said.name.as_str()), (kind, name));
        let metadata = said.metadata;
        assert_eq!(metadata.claims, claims, "{name}");
        assert!(metadata.grants.is_empty(), "{name} asks for powers");
    }
    assert_eq!(builtin().len(), 4);
}
