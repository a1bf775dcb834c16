//! Replaces one task at a time.

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

#[path = "../../batches.rs"]
mod batches;

struct One;

export!(One: UpdatePolicy);

impl Plugin for One {
    fn describe() -> Metadata {
        batches::describe("0.1.0")
    }
}

impl UpdatePolicy for One {
    fn begin(_: &Rollout, _: &[TargetInfo], _: &View) -> Result<Outcome, String> {
        Ok(batches::begin(1))
    }

    fn step(_: &Rollout, state: &[u8], view: &View) -> Result<Outcome, String> {
        Ok(batches::step(1, state, view))
    }
}
