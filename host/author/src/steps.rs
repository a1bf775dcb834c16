//! Plans of volume drivers, in the words of the SDK.

use swarmw_plugin_host::volumes as host;
use swarmw_sdk::raw::volume as wit;

pub fn steps(steps: Vec<host::Step>) -> Vec<wit::Step> {
    steps.into_iter().map(step).collect()
}

fn step(step: host::Step) -> wit::Step {
    use host::Step::*;
    match step {
        Directory(d) => wit::Step::Directory(wit::DirectoryStep { path: d.path, mode: d.mode }),
        ImageFile(f) => wit::Step::ImageFile(wit::ImageStep { path: f.path, size: f.size }),
        LoopDevice(path) => wit::Step::LoopDevice(path),
        FormatIfBlank(fs) => wit::Step::FormatIfBlank(fs),
        GrowFileSystem => wit::Step::GrowFileSystem,
        Mount(m) => wit::Step::Mount(wit::MountStep {
            fs_type: m.fs_type,
            source: arg(m.source),
            options: m.options.into_iter().map(arg).collect(),
        }),
        Helper(h) => wit::Step::Helper(wit::HelperStep {
            program: h.program,
            args: h.args.into_iter().map(arg).collect(),
            env: h.env.into_iter().map(|(name, value)| (name, arg(value))).collect(),
            stdin: h.stdin.map(arg),
        }),
        Subpath(path) => wit::Step::Subpath(path),
        RemoveTree(path) => wit::Step::RemoveTree(path),
        EngineVolume(v) => wit::Step::EngineVolume(wit::EngineStep {
            driver: v.driver,
            name: v.name,
            options: v.options,
        }),
        RemoveEngineVolume(name) => wit::Step::RemoveEngineVolume(name),
    }
}

fn arg(arg: host::Arg) -> wit::Arg {
    let value = arg.value.map(|value| match value {
        host::Value::Secret(name) => wit::Value::Secret(name),
        host::Value::SecretFile(name) => wit::Value::SecretFile(name),
        host::Value::Path(path) => wit::Value::Path(path),
        host::Value::Device => wit::Value::Device,
        host::Value::Target => wit::Value::Target,
    });
    wit::Arg { text: arg.text, value }
}
