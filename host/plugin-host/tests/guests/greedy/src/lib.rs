//! A preference that puts everything into the first bin, room or not.

use swarmw_sdk::raw::preference::{Allocation, Class, Compiled, Questions};
use swarmw_sdk::raw::*;

struct Greedy;

export!(Greedy: Preference);

impl Plugin for Greedy {
    fn describe() -> Metadata {
        metadata("test/greedy", "0.1.0", "Overfills").claim(Claim::Name("greedy".into()))
    }
}

impl Preference for Greedy {
    fn compile(_: &str, argument: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        Ok(Compiled::by_class(vec![column(argument, ColumnType::Version)]))
    }

    fn classify(_: &str, _: &str, _: &Options, rows: &Tuples) -> Vec<Class> {
        rows.versions(0)
            .map(|version| Class {
                label: version.map_or(String::new(), |v| v.major.to_string()),
                weight: 1.0,
            })
            .collect()
    }

    fn allocate(_: &str, _: &str, _: &Options, ask: &Questions) -> Allocation {
        let mut counts = vec![0; ask.room.len()];
        counts[0] = ask.tasks[0];
        Allocation { counts, refusals: Vec::new() }
    }
}
