//! Volume drivers: `--mount type=volume,volume-driver=NAME`. They plan; the agent
//! does.

use std::marker::PhantomData;

use crate::raw::volume::{Measure, Node, Scope, Step, VolumeError};
use crate::raw::{self, Metadata};
use crate::{Claim, Grant, Options, Package, Problem};

/// Plans how a volume is made, mounted and removed.
pub trait VolumeDriver: Package + Sized {
    /// `publisher/name`.
    const NAME: &'static str;

    /// The `volume-opt`s; `()` for nothing.
    type Options: Options;

    /// The names that come here: [`Claim::name`].
    fn claims() -> Vec<Claim>;

    /// What its plans need to be allowed.
    fn grants() -> Vec<Grant> {
        Vec::new()
    }

    /// Reads the options when a spec or a volume is written; a problem refuses it.
    ///
    /// # Errors
    /// What is wrong with them, for the operator.
    fn check(volume: &Volume<Self::Options>) -> Result<Scope, Problem>;

    /// Once, before the first mount.
    ///
    /// # Errors
    /// Fails the task with its text.
    fn create(volume: &Volume<Self::Options>, node: &Node) -> Result<Vec<Step>, VolumeError>;

    /// Before the first task on the node that uses the volume.
    ///
    /// # Errors
    /// Fails the task with its text.
    fn mount(
        volume: &Volume<Self::Options>,
        node: &Node,
        read_only: bool,
    ) -> Result<Vec<Step>, VolumeError>;

    /// At `volume rm`, after the last unmount.
    ///
    /// # Errors
    /// Keeps the volume.
    fn remove(volume: &Volume<Self::Options>, node: &Node) -> Result<Vec<Step>, VolumeError>;

    /// To a new size in bytes, never below the one now.
    ///
    /// # Errors
    /// Keeps the size.
    fn expand(
        volume: &Volume<Self::Options>,
        node: &Node,
        size: u64,
    ) -> Result<Vec<Step>, VolumeError> {
        let _ = (volume, node, size);
        Err(VolumeError::Unsupported)
    }

    /// How the agent finds the bytes used.
    fn usage(volume: &Volume<Self::Options>, node: &Node) -> Measure {
        let _ = (volume, node);
        Measure::Unknown
    }
}

/// A volume as an operator named it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<O> {
    /// Driver as typed, one of the names claimed.
    pub driver: String,
    /// As typed; unique per driver.
    pub name: String,
    /// The driver's options.
    pub options: O,
}

#[doc(hidden)]
pub struct Lifted<P>(PhantomData<P>);

impl<P: VolumeDriver> raw::Plugin for Lifted<P> {
    fn describe() -> Metadata {
        crate::package::describe::<P, P::Options>(P::NAME, P::claims(), P::grants())
    }
}

impl<P: VolumeDriver> raw::VolumeDriver for Lifted<P> {
    fn check(volume: &raw::volume::Volume) -> Result<Scope, Vec<Problem>> {
        Ok(P::check(&lift(volume))?)
    }

    fn plan_create(volume: &raw::volume::Volume, node: &Node) -> Result<Vec<Step>, VolumeError> {
        P::create(&lift(volume), node)
    }

    fn plan_mount(
        volume: &raw::volume::Volume,
        node: &Node,
        read_only: bool,
    ) -> Result<Vec<Step>, VolumeError> {
        P::mount(&lift(volume), node, read_only)
    }

    fn plan_remove(volume: &raw::volume::Volume, node: &Node) -> Result<Vec<Step>, VolumeError> {
        P::remove(&lift(volume), node)
    }

    fn expand(
        volume: &raw::volume::Volume,
        node: &Node,
        size: u64,
    ) -> Result<Vec<Step>, VolumeError> {
        P::expand(&lift(volume), node, size)
    }

    fn usage(volume: &raw::volume::Volume, node: &Node) -> Measure {
        P::usage(&lift(volume), node)
    }
}

fn lift<O: Options>(raw: &raw::volume::Volume) -> Volume<O> {
    Volume {
        driver: raw.driver.clone(),
        name: raw.name.clone(),
        options: O::read(&raw::Options::new(raw.options.clone())),
    }
}
