//! Swarm's spread: one branch per value of a node's label, levelled by the
//! number of the service's own tasks.

mod level;

use swarmw_sdk::raw::preference::{Allocation, Compiled, Questions};
use swarmw_sdk::raw::{
    Claim, Metadata, Options, Plugin, Preference, Problem, metadata, node_column, problem,
};

/// The plugin `swarmw/spread`.
pub struct Spread;

swarmw_sdk::raw::export!(Spread: Preference);

impl Plugin for Spread {
    fn describe() -> Metadata {
        metadata(
            "swarmw/spread",
            env!("CARGO_PKG_VERSION"),
            "Spreads the tasks of a service evenly over the values of a node label",
        )
        .claim(Claim::Name("spread".into()))
    }
}

impl Preference for Spread {
    fn compile(_: &str, argument: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        let column = node_column(argument).ok_or_else(|| {
            problem(
                "bad-descriptor",
                format!("spread descriptor '{argument}' is no attribute of a node"),
            )
            .at_all(argument)
            .hint("try node.labels.KEY or engine.labels.KEY")
        })?;
        Ok(Compiled::by_column(column))
    }

    fn allocate(_: &str, _: &str, _: &Options, ask: &Questions) -> Allocation {
        let mut counts = vec![0; ask.room.len()];
        for (tasks, bins) in ask.each() {
            level::fill(
                tasks,
                &ask.service_tasks[bins.clone()],
                &ask.total_tasks[bins.clone()],
                &ask.room[bins.clone()],
                &mut counts[bins],
            );
        }
        Allocation { counts, refusals: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarmw_sdk::raw::preference::Bins;

    fn ask(tasks: u32, service_tasks: &[u32], room: &[u32]) -> Vec<u32> {
        let bins = room.len();
        let questions = Questions {
            first: vec![0, bins as u32],
            tasks: vec![tasks],
            cpu: vec![0],
            memory: vec![0],
            priority: vec![0],
            room: room.to_vec(),
            service_tasks: service_tasks.to_vec(),
            total_tasks: service_tasks.to_vec(),
            failures: vec![0; bins],
            weight: vec![0.0; bins],
            extra: Vec::new(),
        };
        Spread::allocate("spread", "node.labels.a", &Options::default(), &questions).counts
    }

    #[test]
    fn a_label_makes_bins_by_its_values() {
        for (argument, column) in [
            ("node.labels.rack", "node.labels.rack"),
            ("Node.Labels.Rack", "node.labels.Rack"),
            ("engine.labels.zone", "engine.labels.zone"),
        ] {
            let compiled = Spread::compile("spread", argument, &Options::default());
            let bins = compiled.expect(argument).bins;
            assert_eq!(bins, Bins::ByColumn(column.into()), "{argument}");
        }
        for argument in ["", "rack", "node.labels.", "node.labels"] {
            let refused = Spread::compile("spread", argument, &Options::default());
            assert_eq!(refused.expect_err(argument)[0].code, "bad-descriptor");
        }
    }

    #[test]
    fn branches_are_levelled_by_service_tasks() {
        for (tasks, have, room, want) in [
            (6, &[0, 0, 0][..], &[9, 9, 9][..], &[2, 2, 2][..]),
            (4, &[0, 0, 0], &[9, 9, 9], &[2, 1, 1]),
            (4, &[3, 0], &[9, 9], &[1, 3]),
            (2, &[5, 0, 1], &[9, 9, 9], &[0, 2, 0]),
            (3, &[5, 0, 1], &[9, 9, 9], &[0, 2, 1]),
            (6, &[0, 0], &[1, 9], &[1, 5]),
            (6, &[0, 0], &[1, 2], &[1, 2]),
            (1, &[0], &[0], &[0]),
        ] {
            assert_eq!(ask(tasks, have, room), want, "{tasks} over {have:?}, room {room:?}");
        }
    }

    #[test]
    fn each_question_has_its_own_bins() {
        let questions = Questions {
            first: vec![0, 2, 3],
            tasks: vec![3, 2],
            cpu: vec![0; 2],
            memory: vec![0; 2],
            priority: vec![0; 2],
            room: vec![9, 9, 9],
            service_tasks: vec![0, 0, 0],
            total_tasks: vec![7, 0, 0],
            failures: vec![0; 3],
            weight: vec![0.0; 3],
            extra: Vec::new(),
        };
        let got = Spread::allocate("spread", "node.labels.a", &Options::default(), &questions);
        assert_eq!(got.counts, [1, 2, 2]);
    }
}
