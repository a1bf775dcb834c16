//! Write a plugin of swarmw in Rust: implement one trait, export it.
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
//! struct Odd;
//!
//! impl Plugin for Odd {
//!     fn describe() -> Metadata {
//!         metadata("you/odd", "0.1.0", "Nodes whose label is an odd number")
//!             .claim(Claim::Call("odd".into()))
//!     }
//! }
//!
//! impl Constraint for Odd {
//!     fn compile(expression: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
//!         let label = argument(expression)
//!             .ok_or_else(|| problem("no-label", "odd takes a label: odd(slot)"))?;
//!         Ok(Compiled::ask(vec![column(&format!("node.labels.{label}"), ColumnType::Integer)]))
//!     }
//!
//!     fn test(_: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
//!         rows.integers(0).map(|n| n.is_some_and(|n| n % 2 != 0)).collect()
//!     }
//! }
//!
//! fn argument(text: &str) -> Option<&str> {
//!     text.strip_prefix("odd(")?.strip_suffix(')')
//! }
//!
//! export!(Odd: Constraint);
//! ```
//!
//! Build the crate as a `cdylib` for `wasm32-unknown-unknown`; `swarmw plugin add`
//! takes the component. The same code runs natively, so its unit tests need no
//! Wasm. `wit/` documents every type; the modules here re-export them.

#![forbid(clippy::unwrap_used)]

#[doc(hidden)]
pub mod bindings;
pub mod constraint;
mod metadata;
mod options;
pub mod preference;
mod problem;
mod tuples;
pub mod update;
pub mod volume;

pub use bindings::types::{
    Cells, Claim, Column, ColumnRef, ColumnType, Grant, GrantRequest, IntRange, Ip, Metadata,
    OptionEntry, OptionSpec, OptionType, OptionValue, Problem, Span, Tuples, Version,
};
pub use constraint::{Compiled, Constraint, Match, Plan};
pub use metadata::{metadata, option};
pub use options::Options;
pub use preference::Preference;
pub use problem::problem;
pub use tuples::{LABEL_COLUMNS, NODE_COLUMNS, column, node_column};
pub use update::UpdatePolicy;
pub use volume::VolumeDriver;

/// What every plugin says of itself.
pub trait Plugin {
    /// Called once, at `plugin add`; the answer is stored.
    fn describe() -> Metadata;
}

/// How grave a [`log`] line is.
pub use bindings::host::Level;

/// Writes a line to the daemon's log; the answer cannot depend on it. Outside of
/// a component, in a native test, it does nothing.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    bindings::host::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    let _ = (level, message);
}

/// Makes a type the plugin that this crate is: `export!(Type: Trait);` with the
/// trait's bare name. Once per crate; outside of Wasm it only checks the type.
#[macro_export]
macro_rules! export {
    ($plugin:ty: Constraint) => {
        $crate::__export!($plugin, Constraint, constraint);
    };
    ($plugin:ty: Preference) => {
        $crate::__export!($plugin, Preference, preference);
    };
    ($plugin:ty: UpdatePolicy) => {
        $crate::__export!($plugin, UpdatePolicy, update);
    };
    ($plugin:ty: VolumeDriver) => {
        $crate::__export!($plugin, VolumeDriver, volume);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty, $kind:ident, $module:ident) => {
        const _: () = {
            const fn is_a_plugin<P: $crate::Plugin + $crate::$kind>() {}
            is_a_plugin::<$plugin>();
        };

        #[cfg(target_family = "wasm")]
        #[doc(hidden)]
        mod __swarmw_export {
            use super::*;
            type Described = $crate::bindings::Described<$plugin>;
            $crate::bindings::export!(Described with_types_in $crate::bindings);
            type Exported = $crate::$module::Adapter<$plugin>;
            $crate::$module::bindings::export!(Exported with_types_in $crate::$module::bindings);
        }
    };
}
