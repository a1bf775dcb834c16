//! A release of `taker` that takes nothing from anyone.

use swarmw_sdk::raw::*;

struct Taker;

export!(Taker: Constraint);

impl Plugin for Taker {
    fn describe() -> Metadata {
        metadata("test/taker", "0.0.9", "Wants its own").claim(Claim::KeyPrefix("taker".into()))
    }
}

impl Constraint for Taker {
    fn compile(_: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        Ok(Compiled::plan(Plan::Never))
    }

    fn test(_: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
        vec![false; rows.rows as usize]
    }
}
