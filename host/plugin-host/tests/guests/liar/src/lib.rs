//! A constraint that describes itself as something else.

use swarmw_sdk::raw::*;

struct Liar;

export!(Liar: Constraint);

impl Plugin for Liar {
    fn describe() -> Metadata {
        metadata("test/liar", "0.1.0", "Claims what it cannot have")
            .claim(Claim::Name("spread".into()))
    }
}

impl Constraint for Liar {
    fn compile(_: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        Ok(Compiled::plan(Plan::Always))
    }
}
