//! What wasmtime makes of `wit/`.

#![allow(missing_docs)]

/// What all kinds share.
mod shared {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package swarmw:embedding;
            world shared {
                import swarmw:types/types@0.1.0;
                import swarmw:types/host@0.1.0;
                export swarmw:types/plugin@0.1.0;
            }",
        world: "swarmw:embedding/shared",
        additional_derives: [PartialEq],
    });
}

pub use shared::Shared as AnyPlugin;
pub use shared::swarmw::types::{host, types};

macro_rules! kind {
    ($module:ident, $world:literal) => {
        pub mod $module {
            wasmtime::component::bindgen!({
                path: "../../wit",
                world: $world,
                with: {
                    "swarmw:types/types": crate::bindings::types,
                    "swarmw:types/host": crate::bindings::host,
                },
                additional_derives: [PartialEq],
            });
        }
    };
}

kind!(constraint, "swarmw:constraint/constraint-plugin");
kind!(preference, "swarmw:preference/preference-plugin");
kind!(update, "swarmw:update/update-plugin");
kind!(volume, "swarmw:volume/volume-plugin");

pub use constraint::ConstraintPlugin;
pub use preference::PreferencePlugin;
pub use update::UpdatePlugin;
pub use volume::VolumePlugin;
