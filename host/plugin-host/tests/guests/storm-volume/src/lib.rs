//! A volume driver: a volume's name says which function does wrong, and how.

#[path = "../../attacks.rs"]
mod attacks;

use swarmw_sdk::raw::volume::{Measure, Node, Scope, Step, Volume, VolumeError};
use swarmw_sdk::raw::*;

struct Storm;

export!(Storm: VolumeDriver);

impl Plugin for Storm {
    fn describe() -> Metadata {
        metadata("test/storm-volume", "0.1.0", "Fails where it is told to")
            .claim(Claim::Name("storm".into()))
    }
}

fn steps(function: &str, volume: &Volume) -> Result<Vec<Step>, VolumeError> {
    attacks::strike(function, &volume.name);
    match volume.name.as_str() {
        "many" => Ok(vec![Step::Subpath("a".into()); 101]),
        "huge" => Ok(vec![Step::Subpath("x".repeat(1 << 20)); 8]),
        "escape" => Err(VolumeError::Failed("\u{1b}[2Jgone\nmad".into())),
        _ => Ok(Vec::new()),
    }
}

impl VolumeDriver for Storm {
    fn check(volume: &Volume) -> Result<Scope, Vec<Problem>> {
        attacks::strike("check", &volume.name);
        Ok(Scope::Local)
    }

    fn plan_create(volume: &Volume, _: &Node) -> Result<Vec<Step>, VolumeError> {
        steps("plan-create", volume)
    }

    fn plan_mount(volume: &Volume, _: &Node, _: bool) -> Result<Vec<Step>, VolumeError> {
        steps("plan-mount", volume)
    }

    fn plan_remove(volume: &Volume, _: &Node) -> Result<Vec<Step>, VolumeError> {
        steps("plan-remove", volume)
    }

    fn expand(volume: &Volume, _: &Node, _: u64) -> Result<Vec<Step>, VolumeError> {
        steps("expand", volume)
    }

    fn usage(volume: &Volume, _: &Node) -> Measure {
        attacks::strike("usage", &volume.name);
        Measure::Unknown
    }
}
