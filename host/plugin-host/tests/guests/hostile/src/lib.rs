//! A constraint whose value names what it does wrong.

use swarmw_sdk::raw::*;

struct Hostile;

export!(Hostile: Constraint);

impl Plugin for Hostile {
    fn describe() -> Metadata {
        metadata("test/hostile", "0.1.0", "Misbehaves on demand")
            .claim(Claim::KeyPrefix("hostile".into()))
            .option(option("mood", "how it is today", OptionType::Duration).default("1m"))
    }
}

impl Constraint for Hostile {
    fn compile(expression: &str, options: &Options) -> Result<Compiled, Vec<Problem>> {
        let text = column("node.hostname", ColumnType::Text);
        match expression.split("==").nth(1).unwrap_or_default() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "trap" => panic!("on purpose"),
            "memory" => {
                // Not touched: the limit of time is not to be met first.
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(Vec::with_capacity(1 << 20)));
                }
            }
            "stack" => Ok(Compiled::plan(Plan::Always).because(&deep(u64::MAX))),
            "huge" => Ok(Compiled::plan(Plan::Always).because(&"x".repeat(8 << 20))),
            "column" => Ok(Compiled::plan(Plan::Equals(Match::one("node.shoe", "x")))),
            "log" => {
                for _ in 0..400 {
                    log(Level::Info, &"a line\n".repeat(100));
                }
                Ok(Compiled::plan(Plan::Always))
            }
            "mood" => Err(problem("mood", format!("{:?}", options.integer("mood"))).into()),
            _ => Ok(Compiled::ask(vec![text])),
        }
    }

    fn test(expression: &str, _: &Options, rows: &Tuples) -> Vec<bool> {
        match expression.split("==").nth(1).unwrap_or_default() {
            "short" => Vec::new(),
            "late-loop" => loop {
                std::hint::black_box(());
            },
            "late-trap" => panic!("on purpose"),
            "late-memory" => {
                // Not touched: the limit of time is not to be met first.
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(Vec::with_capacity(1 << 20)));
                }
            }
            _ => rows.texts(0).map(|t| t == Some("good")).collect(),
        }
    }
}

#[allow(unconditional_recursion)]
fn deep(n: u64) -> String {
    let below = deep(std::hint::black_box(n - 1));
    std::hint::black_box(below)
}
