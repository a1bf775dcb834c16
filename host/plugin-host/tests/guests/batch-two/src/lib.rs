//! Replaces two tasks at a time, and goes on from where the first version stands.

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

#[path = "../../batches.rs"]
mod batches;

struct Two;

export!(Two: UpdatePolicy);

impl Plugin for Two {
    fn describe() -> Metadata {
        batches::describe("0.2.0")
    }
}

impl UpdatePolicy for Two {
    fn begin(_: &Rollout, _: &[TargetInfo], _: &View) -> Result<Outcome, String> {
        Ok(batches::begin(2))
    }

    fn step(_: &Rollout, state: &[u8], view: &View) -> Result<Outcome, String> {
        Ok(batches::step(2, state, view))
    }

    fn migrate(writer: &str, state: &[u8]) -> Result<Vec<u8>, String> {
        swarmw_sdk::log(swarmw_sdk::Level::Info, &format!("goes on from version {writer}"));
        match writer {
            "0.1.0" => Ok(state.to_vec()),
            other => Err(format!("version {other} is not known")),
        }
    }
}
