//! A constraint that takes the labels of nodes from the built-in one, and passes no node.

use swarmw_sdk::raw::*;

struct Taker;

export!(Taker: Constraint);

impl Plugin for Taker {
    fn describe() -> Metadata {
        metadata("test/taker", "0.1.0", "Wants what others have")
            .claim(Claim::KeyPrefix("node.labels.".into()))
            .claim(Claim::KeyPrefix("taker".into()))
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
