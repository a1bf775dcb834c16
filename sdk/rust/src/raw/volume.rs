//! Volume drivers: `--mount type=volume,volume-driver=NAME`. They plan; the agent
//! does.

use std::marker::PhantomData;

use super::Problem;

#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package swarmw:sdk; world volume { export swarmw:volume/volume@0.1.0; }",
        world: "swarmw:sdk/volume",
        with: {
            "swarmw:types/types@0.1.0": crate::raw::bindings::types,
        },
        additional_derives: [PartialEq, Clone],
        runtime_path: "crate::rt",
        pub_export_macro: true,
        generate_all,
    });
}

use bindings::exports::swarmw::volume::volume as wit;
pub use wit::{
    Arg, DirectoryStep, EngineStep, HelperStep, ImageStep, Measure, MountStep, Node, Scope, Step,
    Value, Volume, VolumeError,
};

/// Plans how a volume is made, mounted and removed.
pub trait VolumeDriver {
    /// Reads the options; problems refuse the service.
    fn check(volume: &Volume) -> Result<Scope, Vec<Problem>>;

    /// Once, before the first mount.
    fn plan_create(volume: &Volume, node: &Node) -> Result<Vec<Step>, VolumeError>;

    /// Before the first task on the node that uses the volume.
    fn plan_mount(volume: &Volume, node: &Node, read_only: bool) -> Result<Vec<Step>, VolumeError>;

    /// After the last unmount.
    fn plan_remove(volume: &Volume, node: &Node) -> Result<Vec<Step>, VolumeError>;

    /// To a new size in bytes, never below the one now.
    fn expand(volume: &Volume, node: &Node, size: u64) -> Result<Vec<Step>, VolumeError> {
        let _ = (volume, node, size);
        Err(VolumeError::Unsupported)
    }

    /// How the agent finds the bytes used.
    fn usage(volume: &Volume, node: &Node) -> Measure {
        let _ = (volume, node);
        Measure::Unknown
    }
}

#[doc(hidden)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: VolumeDriver> wit::Guest for Adapter<P> {
    fn check(vol: Volume) -> Result<Scope, Vec<Problem>> {
        P::check(&vol)
    }

    fn plan_create(vol: Volume, node: Node) -> Result<Vec<Step>, VolumeError> {
        P::plan_create(&vol, &node)
    }

    fn plan_mount(vol: Volume, node: Node, read_only: bool) -> Result<Vec<Step>, VolumeError> {
        P::plan_mount(&vol, &node, read_only)
    }

    fn plan_remove(vol: Volume, node: Node) -> Result<Vec<Step>, VolumeError> {
        P::plan_remove(&vol, &node)
    }

    fn expand(vol: Volume, node: Node, size: u64) -> Result<Vec<Step>, VolumeError> {
        P::expand(&vol, &node, size)
    }

    fn usage(vol: Volume, node: Node) -> Measure {
        P::usage(&vol, &node)
    }
}
