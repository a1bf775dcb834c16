//! The laws of volume drivers.

use anyhow::Result;
use swarmw_sdk::raw::volume::{Arg, Node, Step, Value};
use swarmw_sdk::testing::{CaseFile, PlanOf, Subject, VolumeText, What};

use super::{Law, fault};
use crate::subject::Component;

/// Names that operators type by mistake, or on purpose.
const NAMES: [&str; 8] = ["", "..", "../../etc", "/", "a/b", "é", "a b", "\u{1b}[31m"];

pub fn laws(files: &[CaseFile], component: &mut Component<'_>) -> Result<Vec<Law>> {
    let mut again = Law::new("the same answer twice");
    let mut fresh = Law::new("the same answer of a fresh instance");
    let mut inside = Law::new("paths stay in the volume's directory");
    let mut bad = Law::new("bad names are refused, not fatal");
    for volume in volumes(files) {
        for engine in [false, true] {
            let node = Node { hostname: "node-1".to_owned(), engine };
            for plan in [PlanOf::Create, PlanOf::Mount, PlanOf::Remove] {
                let asked = format!("{plan:?} of {}", volume.name);
                let first = component.asked(|own| own.plan(&volume, &node, plan));
                let second = component.asked(|own| own.plan(&volume, &node, plan));
                again.same(&asked, &first, &second, || format!("{first:?}, then {second:?}"));
                component.refresh()?;
                let other = component.asked(|own| own.plan(&volume, &node, plan));
                fresh.same(&asked, &first, &other, || format!("{first:?}, then {other:?}"));
                let steps = first.iter().flatten().flatten();
                let outside = steps.flat_map(paths).find(|path| escapes(path));
                inside.ask(outside.is_none(), || format!("{plan:?}: {outside:?}"));
            }
        }
        for name in NAMES {
            let named = VolumeText { name: name.to_owned(), ..volume.clone() };
            let asked = component.asked(|own| own.volume(&named));
            let fault = fault(&asked);
            bad.ask(fault.is_none(), || format!("{name:?}: {}", fault.unwrap_or_default()));
            if let Ok(Ok(_)) = asked {
                let node = Node { hostname: "node-1".to_owned(), engine: true };
                let plan = component.plan(&named, &node, PlanOf::Create);
                let outside = plan.iter().flatten().flat_map(paths).find(|path| escapes(path));
                inside.ask(outside.is_none(), || format!("a volume {name:?}: {outside:?}"));
            }
        }
    }
    Ok(vec![again, fresh, inside, bad])
}

fn volumes(files: &[CaseFile]) -> Vec<VolumeText> {
    let mut all: Vec<VolumeText> = Vec::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        if let What::Volume { volume } = &case.what
            && !all.contains(volume)
        {
            all.push(volume.clone());
        }
    }
    all
}

/// The paths that a step names.
fn paths<'a>(step: &'a Step) -> Vec<&'a str> {
    let named = |arg: &'a Arg| match &arg.value {
        Some(Value::Path(path)) => Some(path.as_str()),
        _ => None,
    };
    match step {
        Step::Directory(d) => vec![&d.path],
        Step::ImageFile(f) => vec![&f.path],
        Step::LoopDevice(path) | Step::Subpath(path) | Step::RemoveTree(path) => vec![path],
        Step::Mount(m) => m.options.iter().chain([&m.source]).filter_map(named).collect(),
        Step::Helper(h) => h.args.iter().filter_map(named).collect(),
        _ => Vec::new(),
    }
}

fn escapes(path: &str) -> bool {
    path.starts_with('/') || path.split('/').any(|part| part == "..")
}
