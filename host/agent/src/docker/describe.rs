//! What an engine says of itself, as the node says it to the cluster.

use bollard::models::{GenericResourcesInner, SystemInfo};
use swarmw_model::{EnginePlugin, GenericResource, NodeDescription, Platform};

use super::failure::Failure;

/// The node with its engine: what the engine says, over what is known without it.
pub(super) fn with_engine(node: &NodeDescription, info: SystemInfo) -> NodeDescription {
    let mut description = node.clone();
    let platform = Platform {
        architecture: info.architecture.unwrap_or_default(),
        os: info.os_type.unwrap_or_default(),
    };
    description.runs = vec![Platform::wasm(), platform.clone()];
    description.platform = platform;
    description.resources.nano_cpus = info.ncpu.unwrap_or_default() * 1_000_000_000;
    description.resources.memory_bytes = info.mem_total.unwrap_or_default();
    // What the daemon's own flags say of a kind goes before what the engine does.
    let own = &node.resources.generic_resources;
    let of_engine = info.generic_resources.unwrap_or_default().into_iter().filter_map(generic);
    let news = of_engine.filter(|one| !own.iter().any(|other| other.kind() == one.kind()));
    description.resources.generic_resources.extend(news);
    description.engine.engine_version = info.server_version.unwrap_or_default();
    let plugins = info.plugins.unwrap_or_default();
    // What the node said of itself is not the engine's, and stays.
    let of_engine = [
        ("Authorization", plugins.authorization),
        ("Log", plugins.log),
        ("Network", plugins.network),
        ("Volume", plugins.volume),
    ]
    .into_iter()
    .flat_map(|(kind, names)| {
        let plugin = move |name| EnginePlugin { kind: kind.to_owned(), name };
        names.unwrap_or_default().into_iter().map(plugin)
    });
    description.engine.plugins.extend(of_engine);
    for label in info.labels.unwrap_or_default() {
        let (key, value) = label.split_once('=').unwrap_or((&label, ""));
        // The daemon's own flags say it last.
        description.engine.labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    description
}

/// One of the engine's `node-generic-resources`.
fn generic(of_engine: GenericResourcesInner) -> Option<GenericResource> {
    let named = of_engine.named_resource_spec.map(|named| GenericResource::Named {
        kind: named.kind.unwrap_or_default(),
        name: named.value.unwrap_or_default(),
    });
    let counted = of_engine.discrete_resource_spec.map(|counted| GenericResource::Discrete {
        kind: counted.kind.unwrap_or_default(),
        count: counted.value.unwrap_or_default(),
    });
    named.or(counted)
}

/// Says that the engine is away; whether that is news.
pub(super) fn trouble(description: &mut NodeDescription, why: &Failure) -> bool {
    let why = why.to_string();
    let news = description.trouble != why;
    description.trouble = why;
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::PluginsInfo;
    use swarmw_model::parse_generic_resources;

    fn info() -> SystemInfo {
        SystemInfo {
            architecture: Some("x86_64".to_owned()),
            os_type: Some("linux".to_owned()),
            ncpu: Some(2),
            mem_total: Some(1 << 30),
            server_version: Some("20.10.24".to_owned()),
            labels: Some(vec!["disk=ssd".to_owned(), "rack=7".to_owned()]),
            plugins: Some(PluginsInfo {
                volume: Some(vec!["local".to_owned()]),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn an_engine_adds_its_platform_and_the_daemons_labels_win() {
        let mut node = NodeDescription { runs: vec![Platform::wasm()], ..Default::default() };
        node.engine.labels.insert("rack".to_owned(), "1".to_owned());

        let description = with_engine(&node, info());

        let linux = Platform { architecture: "amd64".to_owned(), os: "linux".to_owned() };
        assert!(description.runs.iter().any(|p| p.runs(&linux)), "{:?}", description.runs);
        assert!(description.runs.contains(&Platform::wasm()));
        assert_eq!(description.resources.nano_cpus, 2_000_000_000);
        assert_eq!(description.engine.labels["rack"], "1");
        assert_eq!(description.engine.labels["disk"], "ssd");
        assert_eq!(description.engine.plugins.len(), 1);
    }

    #[test]
    fn generic_resources_are_the_engines_and_those_of_the_daemons_flags() {
        let of = |text: &str| parse_generic_resources(text.split_whitespace()).expect("resources");
        let mut node = NodeDescription::default();
        node.resources.generic_resources = of("gpu=mine");
        let said = serde_json::to_value(of("gpu=1 ssd=2 fpga=a fpga=b")).expect("JSON");
        let said = serde_json::from_value(said).expect("an engine's answer");
        let info = SystemInfo { generic_resources: Some(said), ..info() };

        let description = with_engine(&node, info);

        let mut got = description.resources.generic_resources;
        got.sort();
        assert_eq!(got, of("fpga=a fpga=b gpu=mine ssd=2"));
    }

    #[test]
    fn an_engine_that_is_away_is_trouble() {
        let mut description = NodeDescription::default();
        let away = Failure::Away("gone".to_owned());

        assert!(trouble(&mut description, &away));
        assert!(!trouble(&mut description, &away), "the same is no news");
        assert_eq!(description.trouble, "gone");
    }
}
