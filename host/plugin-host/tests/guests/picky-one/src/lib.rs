//! A constraint that passes every node. Its second version is another guest.

use swarmw_sdk::raw::*;

struct Picky;

export!(Picky: Constraint);

impl Plugin for Picky {
    fn describe() -> Metadata {
        metadata("test/picky", "0.1.0", "Passes some nodes and not others")
            .claim(Claim::KeyPrefix("picky".into()))
            .option(option("mood", "how it is today", OptionType::Text).default("well"))
    }
}

impl Constraint for Picky {
    fn compile(expression: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        log(Level::Info, &format!("version 0.1.0 reads {expression}"));
        Ok(Compiled::ask(vec![column("node.hostname", ColumnType::Text)]))
    }

    fn test(_: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
        rows.texts(0).map(|name| name.is_some()).collect()
    }
}
