//! What an engine says of itself, as the node says it to the cluster.

use bollard::models::SystemInfo;
use swarmw_model::{EnginePlugin, NodeDescription, Platform};

use super::failure::Failure;

/// Takes up what the engine says; whether that changed the description.
pub(super) fn take_up(description: &mut NodeDescription, info: SystemInfo) -> bool {
    let before = description.clone();
    let platform = Platform {
        architecture: info.architecture.unwrap_or_default(),
        os: info.os_type.unwrap_or_default(),
    };
    description.runs = vec![Platform::wasm(), platform.clone()];
    description.platform = platform;
    description.resources.nano_cpus = info.ncpu.unwrap_or_default() * 1_000_000_000;
    description.resources.memory_bytes = info.mem_total.unwrap_or_default();
    description.engine.engine_version = info.server_version.unwrap_or_default();
    let plugins = info.plugins.unwrap_or_default();
    description.engine.plugins = [
        ("Authorization", plugins.authorization),
        ("Log", plugins.log),
        ("Network", plugins.network),
        ("Volume", plugins.volume),
    ]
    .into_iter()
    .flat_map(|(kind, names)| {
        let plugin = move |name| EnginePlugin { kind: kind.to_owned(), name };
        names.unwrap_or_default().into_iter().map(plugin)
    })
    .collect();
    for label in info.labels.unwrap_or_default() {
        let (key, value) = label.split_once('=').unwrap_or((&label, ""));
        // The daemon's own flags say it last.
        description.engine.labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    description.trouble.clear();
    *description != before
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
        let mut description =
            NodeDescription { runs: vec![Platform::wasm()], ..Default::default() };
        description.engine.labels.insert("rack".to_owned(), "1".to_owned());

        assert!(take_up(&mut description, info()), "it is news");

        let linux = Platform { architecture: "amd64".to_owned(), os: "linux".to_owned() };
        assert!(description.runs.iter().any(|p| p.runs(&linux)), "{:?}", description.runs);
        assert!(description.runs.contains(&Platform::wasm()));
        assert_eq!(description.resources.nano_cpus, 2_000_000_000);
        assert_eq!(description.engine.labels["rack"], "1");
        assert_eq!(description.engine.labels["disk"], "ssd");
        assert_eq!(description.engine.plugins.len(), 1);
        assert!(!take_up(&mut description, info()), "the same is no news");
    }

    #[test]
    fn an_engine_that_is_away_is_trouble_until_it_is_back() {
        let mut description = NodeDescription::default();
        let away = Failure::Away("gone".to_owned());

        assert!(trouble(&mut description, &away));
        assert!(!trouble(&mut description, &away), "the same is no news");
        assert_eq!(description.trouble, "gone");

        assert!(take_up(&mut description, info()));
        assert_eq!(description.trouble, "");
    }
}
