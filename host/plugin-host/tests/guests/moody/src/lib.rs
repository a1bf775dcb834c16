//! A preference whose argument names what it does wrong once tasks are shared out.

use swarmw_sdk::raw::preference::{Allocation, Class, Compiled, Questions};
use swarmw_sdk::raw::*;

struct Moody;

export!(Moody: Preference);

impl Plugin for Moody {
    fn describe() -> Metadata {
        metadata("test/moody", "0.1.0", "Fails when it matters").claim(Claim::Name("moody".into()))
    }
}

impl Preference for Moody {
    fn compile(_: &str, _: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        Ok(Compiled::by_class(vec![column("node.hostname", ColumnType::Text)]))
    }

    fn classify(_: &str, argument: &str, _: &Options, rows: &Tuples) -> Vec<Class> {
        let weight = if argument == "nan" { f64::NAN } else { 1.0 };
        rows.texts(0).map(|_| Class { label: String::new(), weight }).collect()
    }

    fn allocate(_: &str, argument: &str, _: &Options, ask: &Questions) -> Allocation {
        match argument {
            "loop" => loop {
                std::hint::black_box(());
            },
            "trap" => panic!("on purpose"),
            "memory" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            _ => Allocation { counts: vec![u32::MAX; ask.room.len()], refusals: Vec::new() },
        }
    }
}
