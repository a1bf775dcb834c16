//! The interface as it is in `wit/`, function by function.
//!
//! Whoever wants to answer whole batches, keep state bytes by hand, or claim
//! several names with different rules implements these traits; everyone else has
//! less to write with the traits at the crate's root.

#[doc(hidden)]
pub mod bindings;
pub mod constraint;
mod options;
pub mod preference;
pub mod update;
pub mod volume;

pub use bindings::types::{
    Cells, Claim, Column, ColumnRef, ColumnType, Grant, GrantRequest, IntRange, Ip, Metadata,
    OptionEntry, OptionSpec, OptionType, OptionValue, Problem, Span, Tuples, Version,
};
pub use constraint::{Compiled, Constraint, Match, Plan};
pub use options::Options;
pub use preference::Preference;
pub use update::UpdatePolicy;
pub use volume::VolumeDriver;

pub use crate::__export_raw as export;
pub use crate::{
    LABEL_COLUMNS, Level, NODE_COLUMNS, column, log, metadata, node_column, option, problem,
};

/// What every plugin says of itself.
pub trait Plugin {
    /// Called once, at `plugin add`; the answer is stored.
    fn describe() -> Metadata;
}

/// Makes a type the plugin that this crate is: `raw::export!(Type: Trait);` with
/// the trait's bare name. Once per crate; outside of Wasm it only checks the type.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_raw {
    ($plugin:ty: Constraint) => {
        $crate::__export_kind!($plugin, Constraint, constraint);
    };
    ($plugin:ty: Preference) => {
        $crate::__export_kind!($plugin, Preference, preference);
    };
    ($plugin:ty: UpdatePolicy) => {
        $crate::__export_kind!($plugin, UpdatePolicy, update);
    };
    ($plugin:ty: VolumeDriver) => {
        $crate::__export_kind!($plugin, VolumeDriver, volume);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_kind {
    ($plugin:ty, $kind:ident, $module:ident) => {
        const _: () = {
            const fn is_a_plugin<P: $crate::raw::Plugin + $crate::raw::$kind>() {}
            is_a_plugin::<$plugin>();
        };

        #[cfg(test)]
        mod __swarmw_cases {
            use super::*;

            #[test]
            fn cases() {
                let folder = ::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/cases");
                let mut own = $crate::testing::native::$kind::<$plugin>::default();
                $crate::testing::assert_cases(folder, &mut own);
            }
        }

        #[cfg(target_family = "wasm")]
        #[doc(hidden)]
        mod __swarmw_export {
            use super::*;
            type Described = $crate::raw::bindings::Described<$plugin>;
            $crate::raw::bindings::export!(Described with_types_in $crate::raw::bindings);
            type Exported = $crate::raw::$module::Adapter<$plugin>;
            $crate::raw::$module::bindings::export!(Exported with_types_in $crate::raw::$module::bindings);
        }
    };
}
