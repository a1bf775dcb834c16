//! Swarm's `local` volumes: a volume of the engine where the node has one, else a
//! directory of the node.

use swarmw_sdk::raw::volume::{
    DirectoryStep, EngineStep, Measure, Node, Scope, Step, Volume, VolumeError,
};
use swarmw_sdk::raw::{
    Claim, Metadata, OptionEntry, OptionType, OptionValue, Plugin, Problem, VolumeDriver, metadata,
    option, problem,
};

/// The plugin `swarmw/local-volume`.
pub struct Local;

/// The directory that tasks see, inside the volume's own.
const DATA: &str = "data";

swarmw_sdk::raw::export!(Local: VolumeDriver);

impl Plugin for Local {
    fn describe() -> Metadata {
        metadata(
            "swarmw/local-volume",
            env!("CARGO_PKG_VERSION"),
            "Volumes that live on one node, as Docker's local driver makes them",
        )
        .claim(Claim::Name("local".into()))
        .option(option("type", "file system type, as mount -t has it", OptionType::Text))
        .option(option("o", "mount options, as mount -o has them", OptionType::Text))
        .option(option("device", "what is mounted", OptionType::Text))
        .option(option(
            "size",
            "quota, where the engine's storage has them",
            OptionType::Text,
        ))
    }
}

impl VolumeDriver for Local {
    fn check(volume: &Volume) -> Result<Scope, Vec<Problem>> {
        let set = |name: &str| volume.options.iter().any(|o| o.name == name);
        for name in ["type", "o"] {
            if set(name) && !set("device") {
                return Err(problem("no-device", "missing required option: \"device\"")
                    .of_option(name)
                    .hint("add volume-opt=device=…")
                    .into());
            }
        }
        Ok(Scope::Local)
    }

    fn plan_create(volume: &Volume, node: &Node) -> Result<Vec<Step>, VolumeError> {
        if node.engine { Ok(vec![engine_volume(volume)]) } else { Ok(vec![directory(volume)?]) }
    }

    fn plan_mount(volume: &Volume, node: &Node, _: bool) -> Result<Vec<Step>, VolumeError> {
        let mut steps = Self::plan_create(volume, node)?;
        if !node.engine {
            steps.push(Step::Subpath(DATA.into()));
        }
        Ok(steps)
    }

    fn plan_remove(volume: &Volume, node: &Node) -> Result<Vec<Step>, VolumeError> {
        Ok(vec![if node.engine {
            Step::RemoveEngineVolume(volume.name.clone())
        } else {
            Step::RemoveTree(DATA.into())
        }])
    }

    fn usage(_: &Volume, node: &Node) -> Measure {
        if node.engine { Measure::Engine } else { Measure::Tree }
    }
}

fn engine_volume(volume: &Volume) -> Step {
    Step::EngineVolume(EngineStep {
        driver: "local".into(),
        name: volume.name.clone(),
        options: volume.options.iter().map(as_typed).collect(),
    })
}

/// Each option is declared as a text. Numbers would bring their printing with them, a
/// quarter of the component.
fn as_typed(option: &OptionEntry) -> (String, String) {
    let text = match &option.value {
        OptionValue::Text(text) => text.clone(),
        OptionValue::Boolean(_) | OptionValue::Integer(_) | OptionValue::Number(_) => String::new(),
    };
    (option.name.clone(), text)
}

/// A node without an engine has directories and nothing else.
fn directory(volume: &Volume) -> Result<Step, VolumeError> {
    if let Some(option) = volume.options.first() {
        return Err(VolumeError::Failed(format!(
            "volume {}: option {} needs a Docker engine, and this node has none",
            volume.name, option.name
        )));
    }
    Ok(Step::Directory(DirectoryStep { path: DATA.into(), mode: 0o755 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(options: &[(&str, &str)]) -> Volume {
        Volume {
            driver: "local".into(),
            name: "data".into(),
            options: options
                .iter()
                .map(|(name, text)| OptionEntry {
                    name: (*name).into(),
                    value: OptionValue::Text((*text).into()),
                })
                .collect(),
        }
    }

    fn node(engine: bool) -> Node {
        Node { hostname: "n1".into(), engine }
    }

    #[test]
    fn an_engine_makes_its_own_volume_with_the_options_as_typed() {
        let volume = volume(&[("type", "tmpfs"), ("device", "tmpfs")]);
        let want = Step::EngineVolume(EngineStep {
            driver: "local".into(),
            name: "data".into(),
            options: vec![("type".into(), "tmpfs".into()), ("device".into(), "tmpfs".into())],
        });
        assert_eq!(Local::plan_create(&volume, &node(true)).ok(), Some(vec![want.clone()]));
        assert_eq!(Local::plan_mount(&volume, &node(true), false).ok(), Some(vec![want]));
        let removed = Local::plan_remove(&volume, &node(true)).ok();
        assert_eq!(removed, Some(vec![Step::RemoveEngineVolume("data".into())]));
        assert_eq!(Local::usage(&volume, &node(true)), Measure::Engine);
    }

    #[test]
    fn a_node_without_engine_gives_a_directory() {
        let volume = volume(&[]);
        let directory = Step::Directory(DirectoryStep { path: "data".into(), mode: 0o755 });
        assert_eq!(
            Local::plan_mount(&volume, &node(false), true).ok(),
            Some(vec![directory, Step::Subpath("data".into())])
        );
        let removed = Local::plan_remove(&volume, &node(false)).ok();
        assert_eq!(removed, Some(vec![Step::RemoveTree("data".into())]));
    }

    #[test]
    fn options_without_an_engine_fail_and_say_why() {
        let volume = volume(&[("device", "/dev/sdb1")]);
        let Err(VolumeError::Failed(text)) = Local::plan_create(&volume, &node(false)) else {
            panic!("a directory cannot honour options");
        };
        assert!(text.contains("option device needs a Docker engine"), "{text}");
    }

    #[test]
    fn a_type_needs_a_device() {
        let problems = Local::check(&volume(&[("type", "nfs")])).expect_err("refused");
        assert_eq!(problems[0].message, "missing required option: \"device\"");
        assert_eq!(Local::check(&volume(&[])).ok(), Some(Scope::Local));
    }
}
