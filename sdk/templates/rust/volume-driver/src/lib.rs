//! `--mount type=volume,volume-driver={{name}},volume-opt=size=1GiB`: a file system
//! of its own size in an image file on the node.

use swarmw_sdk::*;

struct {{Type}};

/// `volume-opt=OPTION=VALUE`.
#[derive(Options)]
struct Settings {
    /// how large the volume is
    #[option(default = "1GiB")]
    size: Size,
}

export!({{Type}}: VolumeDriver);

/// The least that mkfs.ext4 makes a file system of.
const SIZE_MIN: u64 = 2 << 20;

impl VolumeDriver for {{Type}} {
    const NAME: &'static str = "{{publisher}}/{{name}}";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("{{name}}")]
    }

    fn grants() -> Vec<Grant> {
        vec![Grant::mount("ext4", "loop", "each volume is an image file")]
    }

    fn check(volume: &Volume<Settings>) -> Result<Scope, Problem> {
        if volume.options.size.0 < SIZE_MIN {
            return Err(problem("too-small", "a volume has 2 MiB at least").of_option("size"));
        }
        Ok(Scope::Local)
    }

    fn create(volume: &Volume<Settings>, _: &Node) -> Result<Vec<Step>, VolumeError> {
        let size = volume.options.size.0;
        Ok(vec![
            Step::ImageFile(ImageStep { path: "image".into(), size }),
            Step::LoopDevice("image".into()),
            Step::FormatIfBlank("ext4".into()),
        ])
    }

    fn mount(_: &Volume<Settings>, _: &Node, read_only: bool) -> Result<Vec<Step>, VolumeError> {
        let word = |text: &str| Arg { text: text.into(), value: None };
        let options = if read_only { vec![word("ro")] } else { Vec::new() };
        Ok(vec![
            Step::LoopDevice("image".into()),
            Step::Mount(MountStep {
                fs_type: "ext4".into(),
                source: Arg { text: String::new(), value: Some(Value::Device) },
                options,
            }),
        ])
    }

    fn remove(_: &Volume<Settings>, _: &Node) -> Result<Vec<Step>, VolumeError> {
        Ok(vec![Step::RemoveTree("image".into())])
    }

    fn usage(_: &Volume<Settings>, _: &Node) -> Measure {
        Measure::FileSystem
    }
}
