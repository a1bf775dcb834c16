//! Write a plugin of swarmw in Rust: one trait, options by derive.
//!
//! | trait | decides | reached by |
//! |---|---|---|
//! | [`Constraint`] | which nodes may run a task | `--constraint EXPR` |
//! | [`Preference`] | how tasks are shared out over bins of nodes | `--placement-pref NAME=ARG` |
//! | [`UpdatePolicy`] | how a rolling update goes | `--update-failure-action NAME` |
//! | [`VolumeDriver`] | how a volume is made and mounted | `volume-driver=NAME` |
//!
//! ```
//! use swarmw_sdk::*;
//!
//! /// `odd(KEY)`: nodes whose label is an odd number.
//! struct Odd {
//!     column: String,
//! }
//!
//! #[derive(Options)]
//! struct Settings {
//!     /// whether nodes without the label pass
//!     #[option(default = "false")]
//!     absent: bool,
//! }
//!
//! impl Constraint for Odd {
//!     const NAME: &'static str = "you/odd";
//!     type Options = Settings;
//!
//!     fn claims() -> Vec<Claim> {
//!         vec![Claim::call("odd")]
//!     }
//!
//!     fn compile(expression: &str, _: &Settings) -> Result<Self, Problem> {
//!         let [key] = call("odd", expression)?;
//!         Ok(Odd { column: format!("node.labels.{key}") })
//!     }
//!
//!     fn reads(&self) -> Vec<ColumnRef> {
//!         vec![column(&self.column, ColumnType::Integer)]
//!     }
//!
//!     fn matches(&self, node: &Row<'_>, settings: &Settings) -> bool {
//!         node.integer(0).map_or(settings.absent, |n| n % 2 != 0)
//!     }
//! }
//!
//! export!(Odd: Constraint);
//! ```
//!
//! The crate's version and description are the plugin's; the SDK makes bitmaps,
//! metadata and exports. The same code runs natively, so unit tests need no Wasm,
//! and `testing` plays cases against it that `swarmw plugin test` then plays
//! against the component in the real host.
//!
//! [`raw`] is the interface itself, function by function; `wit/` documents it.

#![forbid(clippy::unwrap_used)]

// The derives name this crate, and are used in its own tests.
extern crate self as swarmw_sdk;

mod claim;
mod constraint;
mod expression;
#[cfg(any(target_family = "wasm", test))]
mod heap;
mod ip;
mod metadata;
mod options;
mod package;
mod preference;
mod problem;
pub mod raw;
#[doc(hidden)]
pub mod rt;
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

mod tuples;
mod update;
mod version;
mod volume;

pub use constraint::Constraint;
pub use expression::call;
pub use ip::Network;
pub use metadata::{metadata, option};
#[doc(hidden)]
pub use options::derived as __options;
pub use options::{Choice, OptionField, Options, Secret, Size};
pub use package::Package;
pub use preference::{Bin, Preference, Question, Share};
pub use problem::problem;
pub use raw::bindings::types::{
    Claim, ColumnRef, ColumnType, Grant, GrantRequest, Ip, OptionEntry, OptionSpec, OptionType,
    OptionValue, Problem, Version,
};
pub use raw::constraint::{Match, NOT_SATISFIED, Plan};
pub use raw::preference::{Bins, Class};
pub use raw::update::{
    Answer, Change, Counts, EndedTask, Needs, Order, Query, TargetInfo, TargetState, View,
};
pub use raw::volume::{
    Arg, DirectoryStep, EngineStep, HelperStep, ImageStep, Measure, MountStep, Node, Scope, Step,
    Value, VolumeError,
};
pub use state::State;
pub use swarmw_sdk_derive::{Choice, Options, State};
pub use tuples::{LABEL_COLUMNS, NODE_COLUMNS, Row, column, node_column};
pub use update::{Actions, Rollout, Settings, UpdatePolicy};
pub use volume::{Volume, VolumeDriver};

/// How grave a [`log`] line is.
pub use raw::bindings::host::Level;

/// Writes a line to the daemon's log; the answer cannot depend on it. Outside of
/// a component, in a native test, it does nothing.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    raw::bindings::host::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    let _ = (level, message);
}

/// Makes a type the plugin that this crate is: `export!(Type: Trait);` with the
/// trait's bare name. Once per crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty: Constraint) => {
        $crate::__export!($plugin, Constraint);
    };
    ($plugin:ty: Preference) => {
        $crate::__export!($plugin, Preference);
    };
    ($plugin:ty: UpdatePolicy) => {
        $crate::__export!($plugin, UpdatePolicy);
    };
    ($plugin:ty: VolumeDriver) => {
        $crate::__export!($plugin, VolumeDriver);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty, $kind:ident) => {
        impl $crate::Package for $plugin {
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const SUMMARY: &'static str = ::core::env!("CARGO_PKG_DESCRIPTION");
        }

        $crate::raw::export!($crate::__lifted::$kind<$plugin>: $kind);
    };
}

/// From the traits here to those of [`raw`].
#[doc(hidden)]
pub mod __lifted {
    pub use crate::constraint::Lifted as Constraint;
    pub use crate::preference::Lifted as Preference;
    pub use crate::update::Lifted as UpdatePolicy;
    pub use crate::volume::Lifted as VolumeDriver;
}
