//! Cases of volume drivers.

use super::case::{Case, Expected, What};
use super::placement::{list, refused, told, unmet};
use super::{PlanOf, Subject};
use crate::raw::volume::{Arg, Node, Scope, Step, Value};

/// Plays a case of a volume driver.
pub fn volume(case: &Case, subject: &mut dyn Subject) -> Result<(), (usize, String)> {
    let What::Volume { volume } = &case.what else { return Ok(()) };
    let scope = match subject.volume(volume) {
        Ok(scope) => scope,
        Err(failure) => return refused(case, &failure),
    };
    let node = case.nodes.first().map_or_else(
        || Node { hostname: "node-1".to_owned(), engine: false },
        |node| Node { hostname: node.name.clone(), engine: node.values.contains_key("engine") },
    );
    let wanted = |plan| {
        let of = |(line, expected): &(usize, Expected)| match (plan, expected) {
            (PlanOf::Create, Expected::Creates(step))
            | (PlanOf::Mount, Expected::Mounts(step))
            | (PlanOf::Remove, Expected::Removes(step)) => Some((*line, step.clone())),
            _ => None,
        };
        case.expected.iter().filter_map(of).collect::<Vec<_>>()
    };
    for plan in [PlanOf::Create, PlanOf::Mount, PlanOf::Remove] {
        let wanted = wanted(plan);
        let Some((line, _)) = wanted.first().cloned() else { continue };
        let steps = subject.plan(volume, &node, plan).map_err(|f| (line, told(&f)))?;
        let steps: Vec<String> = steps.iter().map(words).collect();
        let same = steps.len() == wanted.len() && steps.iter().zip(&wanted).all(|(s, w)| *s == w.1);
        if !same {
            return Err((line, format!("the plan is: {}", list(&steps))));
        }
    }
    for (line, expected) in &case.expected {
        match expected {
            Expected::Scope(wanted) => {
                let found = if scope == Scope::Local { "local" } else { "cluster" };
                if wanted != found {
                    return Err((*line, format!("the scope is {found}")));
                }
            }
            Expected::Creates(_) | Expected::Mounts(_) | Expected::Removes(_) => {}
            other => return Err((*line, unmet(other))),
        }
    }
    Ok(())
}

/// A step as cases write it.
pub fn words(step: &Step) -> String {
    match step {
        Step::Directory(d) => format!("directory {} {:o}", d.path, d.mode),
        Step::ImageFile(f) => format!("image-file {} {}", f.path, f.size),
        Step::LoopDevice(path) => format!("loop-device {path}"),
        Step::FormatIfBlank(fs) => format!("format-if-blank {fs}"),
        Step::GrowFileSystem => "grow-file-system".to_owned(),
        Step::Mount(m) => {
            let options: Vec<_> = m.options.iter().map(arg).collect();
            format!("mount {} {} {}", m.fs_type, arg(&m.source), options.join(","))
                .trim_end()
                .to_owned()
        }
        Step::Helper(h) => {
            let args: Vec<_> = h.args.iter().map(arg).collect();
            format!("helper {} {}", h.program, args.join(" ")).trim_end().to_owned()
        }
        Step::Subpath(path) => format!("subpath {path}"),
        Step::RemoveTree(path) => format!("remove-tree {path}"),
        Step::EngineVolume(v) => format!("engine-volume {} {}", v.driver, v.name),
        Step::RemoveEngineVolume(name) => format!("remove-engine-volume {name}"),
    }
}

fn arg(arg: &Arg) -> String {
    let value = match &arg.value {
        None => String::new(),
        Some(Value::Secret(name)) => format!("{{secret {name}}}"),
        Some(Value::SecretFile(name)) => format!("{{secret-file {name}}}"),
        Some(Value::Path(path)) => format!("{{path {path}}}"),
        Some(Value::Device) => "{device}".to_owned(),
        Some(Value::Target) => "{target}".to_owned(),
    };
    format!("{}{value}", arg.text)
}
