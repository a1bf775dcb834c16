//! A constraint built for the made-up interface 0.0: `old==PREFIX` passes the nodes
//! whose host name begins so.

wit_bindgen::generate!({
    path: "../../golden/0.0/wit",
    world: "swarmw:constraint/constraint-plugin@0.0.0",
    generate_all,
});

use exports::swarmw::constraint::constraint::{CompiledInfo, Guest as Constraint, Problem, Tuples};
use exports::swarmw::types::plugin::{Guest as Plugin, Metadata};
use swarmw::types::host;
use swarmw::types::types::Claim;

struct Old;

#[cfg(target_family = "wasm")]
export!(Old);

impl Plugin for Old {
    fn describe() -> Metadata {
        Metadata {
            name: "test/old".into(),
            version: "0.0.1".into(),
            summary: "Built for an interface of long ago".into(),
            claims: vec![Claim::Key("old".into())],
        }
    }
}

impl Constraint for Old {
    fn compile(expression: String) -> Result<CompiledInfo, Vec<Problem>> {
        host::log(&format!("reads {expression}"));
        match expression.split_once("==") {
            Some((_, prefix)) if !prefix.is_empty() => Ok(CompiledInfo {
                reads: vec!["node.hostname".into()],
                reason: "another beginning".into(),
            }),
            _ => Err(vec![Problem { message: "want old==PREFIX".into(), start: Some(3) }]),
        }
    }

    fn test(expression: String, batch: Tuples) -> Vec<u64> {
        let prefix = expression.split_once("==").map_or("", |(_, prefix)| prefix);
        let column = &batch.columns[0];
        let mut verdicts = vec![0; column.present.len()];
        for (row, cell) in column.cells.iter().enumerate() {
            let (word, bit) = (row / 64, row % 64);
            let passes = column.present[word] >> bit & 1 == 1 && cell.starts_with(prefix);
            verdicts[word] |= u64::from(passes) << bit;
        }
        verdicts
    }
}
