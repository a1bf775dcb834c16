//! Update policies: `--update-failure-action NAME`.

use std::marker::PhantomData;

use super::Problem;

#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package swarmw:sdk; world update { export swarmw:update/update@0.1.0; }",
        world: "swarmw:sdk/update",
        with: {
            "swarmw:types/types@0.1.0": crate::raw::bindings::types,
        },
        additional_derives: [PartialEq, Clone],
        runtime_path: "crate::rt",
        pub_export_macro: true,
        generate_all,
    });
}

use bindings::exports::swarmw::update::update as wit;
pub use wit::{
    Action, Answer, Change, Counts, EndedTask, Needs, Order, Outcome, Policy, Query, ReplaceCall,
    ReplaceNextCall, RollbackCall, Rollout, TargetInfo, TargetState, View,
};

/// Drives rolling updates: a reducer over what the cluster tells it.
pub trait UpdatePolicy {
    /// Reads the settings; problems refuse the service.
    fn check(policy: &Policy) -> Result<Needs, Vec<Problem>> {
        let _ = policy;
        Ok(Needs { targets: false, group_by: None })
    }

    /// The first call of a rollout. An error pauses the update with its text.
    fn begin(rollout: &Rollout, targets: &[TargetInfo], view: &View) -> Result<Outcome, String>;

    /// On any change, and when a `wake-at` has come.
    fn step(rollout: &Rollout, state: &[u8], view: &View) -> Result<Outcome, String>;

    /// Reads the state that another version of this plugin wrote.
    fn migrate(writer: &str, state: &[u8]) -> Result<Vec<u8>, String> {
        let _ = state;
        Err(format!("the state of version {writer} is not understood"))
    }
}

#[doc(hidden)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: UpdatePolicy> wit::Guest for Adapter<P> {
    fn check(policy: Policy) -> Result<Needs, Vec<Problem>> {
        P::check(&policy)
    }

    fn begin(rollout: Rollout, targets: Vec<TargetInfo>, view: View) -> Result<Outcome, String> {
        P::begin(&rollout, &targets, &view)
    }

    fn step(rollout: Rollout, state: Vec<u8>, view: View) -> Result<Outcome, String> {
        P::step(&rollout, &state, &view)
    }

    fn migrate(writer: String, state: Vec<u8>) -> Result<Vec<u8>, String> {
        P::migrate(&writer, &state)
    }
}
