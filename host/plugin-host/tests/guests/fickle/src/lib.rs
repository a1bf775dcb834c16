//! A constraint that counts its rows: every other one passes, whatever it is.

use std::sync::atomic::{AtomicU32, Ordering};

use swarmw_sdk::raw::*;

struct Fickle;

export!(Fickle: Constraint);

static ROWS: AtomicU32 = AtomicU32::new(0);

impl Plugin for Fickle {
    fn describe() -> Metadata {
        metadata("test/fickle", "0.1.0", "Remembers").claim(Claim::KeyPrefix("fickle".into()))
    }
}

impl Constraint for Fickle {
    fn compile(_: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        Ok(Compiled::ask(vec![column("node.hostname", ColumnType::Text)]))
    }

    fn test(_: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
        rows.texts(0).map(|_| ROWS.fetch_add(1, Ordering::Relaxed) % 2 == 0).collect()
    }
}
