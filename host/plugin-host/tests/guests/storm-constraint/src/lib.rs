//! A constraint whose value names the function that does wrong, and how.

#[path = "../../attacks.rs"]
mod attacks;

use swarmw_sdk::raw::*;

struct Storm;

export!(Storm: Constraint);

impl Plugin for Storm {
    fn describe() -> Metadata {
        metadata("test/storm-constraint", "0.1.0", "Fails where it is told to")
            .claim(Claim::KeyPrefix("storm".into()))
    }
}

fn told(expression: &str) -> &str {
    expression.split_once("==").map_or("", |(_, told)| told)
}

impl Constraint for Storm {
    fn compile(expression: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        let told = told(expression);
        attacks::strike("compile", told);
        let text = |name: &str| column(name, ColumnType::Text);
        let one = |values: usize| Match {
            column: "node.hostname".into(),
            values: vec!["x".into(); values],
        };
        Ok(match told {
            "reads-many" => Compiled::ask(vec![text("node.hostname"); 17]),
            "reads-wrong" => Compiled::ask(vec![text("node.secrets.root")]),
            "plan-wrong" => Compiled::plan(Plan::Equals(Match::one("kernel.key", "x"))),
            "plan-many" => Compiled::plan(Plan::Equals(one(1_001))),
            "reason-long" => Compiled::plan(Plan::Always).because(&"x".repeat(257)),
            "reason-huge" => Compiled::plan(Plan::Always).because(&"x".repeat(8 << 20)),
            "reason-escape" => Compiled::plan(Plan::Always).because("\u{1b}[2J\u{1b}]0;owned\u{7}"),
            "refuse-escape" => return Err(problem("x", "\u{1b}[31mred\nand more").hint("\u{1b}c").into()),
            "refuse-nothing" => return Err(Vec::new()),
            "refuse-many" => return Err(vec![problem("x", "no"); 10_000]),
            _ => Compiled::ask(vec![text("node.hostname")]),
        })
    }

    fn test(expression: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
        let told = told(expression);
        attacks::strike("test", told);
        match told {
            "test-none" => Vec::new(),
            "test-more" => vec![true; rows.rows as usize + 1],
            "test-huge" => vec![true; 16 << 20],
            _ => vec![true; rows.rows as usize],
        }
    }
}
