//! `--mount type=volume,source=data,volume-driver=ext4,volume-opt=size=1GiB`: a file
//! system of its own size, so that a task that fills its volume fills nothing else.

use swarmw_sdk::*;

struct Ext4Image;

/// `volume-opt=OPTION=VALUE`.
#[derive(Options)]
struct Settings {
    /// how large the volume is; a larger size than before grows it at its next mount
    #[option(default = "1GiB")]
    size: Size,
    /// whether times of reading are kept
    #[option(default = "false")]
    atime: bool,
}

export!(Ext4Image: VolumeDriver);

/// The least that mkfs.ext4 makes a file system with a journal of.
const SIZE_MIN: u64 = 8 << 20;
/// The file that holds the file system, in the volume's directory.
const IMAGE: &str = "image";

impl VolumeDriver for Ext4Image {
    const NAME: &'static str = "example/ext4-image";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("ext4")]
    }

    fn grants() -> Vec<Grant> {
        vec![Grant::mount("ext4", "loop", "each volume is an image file of its own")]
    }

    fn check(volume: &Volume<Settings>) -> Result<Scope, Problem> {
        if volume.options.size.0 < SIZE_MIN {
            return Err(problem("too-small", "a volume has 8 MiB at least").of_option("size"));
        }
        Ok(Scope::Local)
    }

    fn create(volume: &Volume<Settings>, _: &Node) -> Result<Vec<Step>, VolumeError> {
        Ok(vec![image(volume), Step::LoopDevice(IMAGE.into()), Step::FormatIfBlank("ext4".into())])
    }

    fn mount(
        volume: &Volume<Settings>,
        _: &Node,
        read_only: bool,
    ) -> Result<Vec<Step>, VolumeError> {
        let word = |text: &str| Arg { text: text.into(), value: None };
        let mut options = Vec::new();
        if !volume.options.atime {
            options.push(word("noatime"));
        }
        if read_only {
            options.push(word("ro"));
        }
        Ok(vec![
            image(volume),
            Step::LoopDevice(IMAGE.into()),
            Step::GrowFileSystem,
            Step::Mount(MountStep {
                fs_type: "ext4".into(),
                source: Arg { text: String::new(), value: Some(Value::Device) },
                options,
            }),
        ])
    }

    fn remove(_: &Volume<Settings>, _: &Node) -> Result<Vec<Step>, VolumeError> {
        Ok(vec![Step::RemoveTree(IMAGE.into())])
    }

    fn expand(_: &Volume<Settings>, _: &Node, size: u64) -> Result<Vec<Step>, VolumeError> {
        let image = Step::ImageFile(ImageStep { path: IMAGE.into(), size });
        Ok(vec![image, Step::LoopDevice(IMAGE.into()), Step::GrowFileSystem])
    }

    fn usage(_: &Volume<Settings>, _: &Node) -> Measure {
        Measure::FileSystem
    }
}

/// Sparse: what is not written takes no place on the node.
fn image(volume: &Volume<Settings>) -> Step {
    Step::ImageFile(ImageStep { path: IMAGE.into(), size: volume.options.size.0 })
}
