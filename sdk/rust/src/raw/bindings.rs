//! What `wit-bindgen` makes of what all kinds share.
//!
//! Each kind's world is made of two: this one's `plugin` export and the kind's
//! own, so that the four kinds fit in one crate. The linker joins them.

#![allow(missing_docs)]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "package swarmw:sdk;
        world plugin {
            import swarmw:types/types@0.1.0;
            import swarmw:types/host@0.1.0;
            export swarmw:types/plugin@0.1.0;
        }",
    world: "swarmw:sdk/plugin",
    additional_derives: [PartialEq, Clone],
    runtime_path: "crate::rt",
    pub_export_macro: true,
    generate_all,
});

use std::marker::PhantomData;

use super::{Metadata, Plugin};
pub use swarmw::types::{host, types};

/// Exports the description of a [`Plugin`].
pub struct Described<P>(PhantomData<P>);

impl<P: Plugin> exports::swarmw::types::plugin::Guest for Described<P> {
    fn describe() -> Metadata {
        P::describe()
    }
}
