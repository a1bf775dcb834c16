//! What Swarm's `==` and `!=` lack: numbers, versions, networks, sets, labels that
//! are there or not, and all of it combined.
//!
//! - `node.labels.cores>=8` and `engine.version>=24.0` stand by themselves;
//! - `where(EXPR)` combines: `where(node.labels.zone in (a, b) && !exists(node.labels.spot))`.

mod grammar;
mod rule;

use swarmw_sdk::*;

use grammar::Parser;
use rule::Rule;

/// One expression, read.
struct Where {
    rule: Rule,
    reads: Vec<ColumnRef>,
    text: String,
}

export!(Where: Constraint);

/// The operators that are claimed beside the built-in `==` and `!=`.
const ORDER: [&str; 4] = [">=", "<=", ">", "<"];

impl Constraint for Where {
    const NAME: &'static str = "example/where";
    type Options = ();

    fn claims() -> Vec<Claim> {
        let mut claims = vec![Claim::call("where"), Claim::key_prefix("")];
        claims.extend(ORDER.map(Claim::operator));
        claims
    }

    fn compile(expression: &str, (): &()) -> Result<Self, Problem> {
        let mut parser = Parser::new(expression);
        let rule = parser.whole()?;
        Ok(Where { rule, reads: parser.reads, text: expression.trim().to_owned() })
    }

    fn reads(&self) -> Vec<ColumnRef> {
        self.reads.clone()
    }

    fn matches(&self, node: &Row<'_>, (): &()) -> bool {
        self.rule.holds(node)
    }

    fn reason(&self) -> String {
        format!("not {}", self.text)
    }
}
