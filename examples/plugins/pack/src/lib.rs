//! `--placement-pref pack=node.labels.rack` fills one rack before it opens the
//! next, so that the others can sleep.

use swarmw_sdk::preference::{Allocation, Compiled, Questions};
use swarmw_sdk::*;

struct Pack;

export!(Pack: Preference);

impl Plugin for Pack {
    fn describe() -> Metadata {
        metadata("example/pack", "0.1.0", "Fills one group of nodes before it opens the next")
            .claim(Claim::Name("pack".into()))
            .option(
                option(
                    "leave",
                    "tasks of room to leave free in each group",
                    OptionType::Integer(IntRange { min: 0, max: 1_000_000 }),
                )
                .default("0"),
            )
    }
}

impl Preference for Pack {
    fn compile(_: &str, argument: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        let column = node_column(argument).ok_or_else(|| {
            problem("bad-column", format!("pack takes a node attribute, not '{argument}'"))
                .at_all(argument)
                .hint("try node.labels.rack")
        })?;
        Ok(Compiled::by_column(column))
    }

    fn allocate(_: &str, _: &str, options: &Options, ask: &Questions) -> Allocation {
        let leave = options.integer("leave").unwrap_or(0).unsigned_abs() as u32;
        let mut counts = vec![0; ask.room.len()];
        for (mut tasks, bins) in ask.each() {
            // The group with the most of this service first, then the busiest.
            let mut order: Vec<usize> = bins.collect();
            order.sort_by_key(|bin| {
                std::cmp::Reverse((ask.service_tasks[*bin], ask.total_tasks[*bin]))
            });
            for bin in order {
                counts[bin] = tasks.min(ask.room[bin].saturating_sub(leave));
                tasks -= counts[bin];
            }
        }
        Allocation { counts, refusals: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(tasks: u32, have: &[u32], room: &[u32], leave: i64) -> Vec<u32> {
        let ask = Questions {
            first: vec![0, room.len() as u32],
            tasks: vec![tasks],
            cpu: vec![0],
            memory: vec![0],
            priority: vec![0],
            room: room.to_vec(),
            service_tasks: have.to_vec(),
            total_tasks: have.to_vec(),
            failures: vec![0; room.len()],
            weight: vec![0.0; room.len()],
            extra: Vec::new(),
        };
        let options = Options::from([("leave", OptionValue::Integer(leave))]);
        Pack::allocate("pack", "node.labels.rack", &options, &ask).counts
    }

    #[test]
    fn one_group_is_full_before_the_next_is_opened() {
        assert_eq!(pack(5, &[0, 0, 0], &[4, 4, 4], 0), [4, 1, 0]);
        assert_eq!(pack(3, &[0, 1, 0], &[4, 2, 4], 0), [1, 2, 0]);
        assert_eq!(pack(9, &[0, 0], &[4, 4], 1), [3, 3], "what is left over waits");
    }
}
