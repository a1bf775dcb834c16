//! Compose files: Docker's version 3 and the present specification, read, filled in,
//! merged and checked; and what becomes of them in the cluster's API.
//!
//! Reading starts at [`load`]: the texts become trees whose values know their places,
//! variables are filled in, includes and extensions resolved, files merged, and the
//! whole is taken apart into a [`Project`]. [`Stack`] turns that into the objects
//! of the API, by names; [`Project::to_yaml`] prints it.
//!
//! This room knows the model alone. It opens no file, reads no variable and speaks to no
//! daemon: the caller passes what is read in.

mod amounts;
mod convert;
mod dotenv;
mod emit;
mod fields;
mod interpolate;
mod load;
mod merge;
mod nearest;
mod node;
mod project;
mod read;
mod render;
mod trouble;
mod unsupported;
mod yaml;

pub use amounts::{bytes, cpus, duration, protocol, short_ports};
pub use convert::{
    IMAGE_LABEL, NAMESPACE_LABEL, NetworkRequest, PLATFORM_LABEL, Stack, StackService,
    dependency_label,
};
pub use load::{Input, Loaded, PROJECT_NAME, Request, load};
pub use project::{Condition, Dependency, Project};
pub use trouble::{File, Position, Trouble, Troubles};
