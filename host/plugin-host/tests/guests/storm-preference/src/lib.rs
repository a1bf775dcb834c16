//! A preference whose argument names the function that does wrong, and how.

#[path = "../../attacks.rs"]
mod attacks;

use swarmw_sdk::raw::preference::{Allocation, Bins, Class, Compiled, Questions, Refusal};
use swarmw_sdk::raw::*;

struct Storm;

export!(Storm: Preference);

impl Plugin for Storm {
    fn describe() -> Metadata {
        metadata("test/storm-preference", "0.1.0", "Fails where it is told to")
            .claim(Claim::Name("storm".into()))
    }
}

impl Preference for Storm {
    fn compile(_: &str, told: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        attacks::strike("compile", told);
        let mut compiled = Compiled::by_class(vec![column("node.hostname", ColumnType::Text)]);
        match told {
            "bins-wrong" => compiled.bins = Bins::ByColumn("node.shoe".into()),
            "loads-wrong" => compiled.loads = vec!["node.free.".into()],
            "loads-many" => compiled.loads = vec!["skew.total".into(); 9],
            _ => {}
        }
        Ok(compiled)
    }

    fn classify(_: &str, told: &str, _: &Options, rows: &Tuples) -> Vec<Class> {
        attacks::strike("classify", told);
        let class = |label: &str, weight| Class { label: label.into(), weight };
        match told {
            "classify-none" => Vec::new(),
            "classify-nan" => vec![class("", f64::NAN); rows.rows as usize],
            "classify-long" => vec![class(&"x".repeat(257), 0.0); rows.rows as usize],
            "classify-huge" => vec![class(&"x".repeat(1 << 20), 0.0); 8],
            _ => vec![class("", 0.0); rows.rows as usize],
        }
    }

    fn allocate(_: &str, told: &str, _: &Options, ask: &Questions) -> Allocation {
        attacks::strike("allocate", told);
        let bins = ask.room.len();
        let refusal = |bin, reason: &str| Refusal { bin, reason: reason.into() };
        let (counts, refusals) = match told {
            "allocate-none" => (Vec::new(), Vec::new()),
            "allocate-room" => (vec![u32::MAX; bins], Vec::new()),
            "allocate-sum" => (ask.room.clone(), Vec::new()),
            "allocate-beyond" => (vec![0; bins], vec![refusal(bins as u32, "no")]),
            "allocate-reasons" => (vec![0; bins], vec![refusal(0, "no"); bins + 1]),
            "allocate-escape" => (vec![0; bins], vec![refusal(0, "\u{1b}[2Jno")]),
            _ => (vec![0; bins], Vec::new()),
        };
        Allocation { counts, refusals }
    }
}
