use std::sync::Arc;

use swarmw_model::{PlacedPreference, Preference, ServiceSpec, SwarmwOptions};
use swarmw_scheduler::{Bins, ColumnType, Policies, Questions, TupleColumn, Tuples};

use crate::support::{host, host_with, no_options};

fn preference(name: &str, argument: &str) -> Preference {
    Preference { name: name.into(), argument: argument.into() }
}

fn questions(tasks: &[u32], bins_each: usize, room: &[u32], have: &[u32]) -> Questions {
    let bins = room.len();
    Questions {
        first: (0..=tasks.len()).map(|q| (q * bins_each) as u32).collect(),
        tasks: tasks.to_vec(),
        cpu: vec![0; tasks.len()],
        memory: vec![0; tasks.len()],
        priority: vec![0; tasks.len()],
        room: room.to_vec(),
        service_tasks: have.to_vec(),
        total_tasks: have.to_vec(),
        failures: vec![0; bins],
        weight: vec![0.0; bins],
        extra: vec![],
    }
}

#[test]
fn spread_levels_for_many_services_in_one_call() {
    let mut host = host();
    let wanted = preference("spread", "node.labels.rack");
    let spread = host.preference(&wanted, &no_options()).expect("spread");
    assert_eq!(spread.bins, Bins::ByColumn("node.labels.rack".into()));
    let calls = host.calls();
    let ask = questions(&[5, 2], 3, &[9, 9, 9, 0, 1, 9], &[0, 4, 0, 0, 0, 0]);
    let answer = host.allocate(&spread, &ask).expect("an allocation");
    assert_eq!(answer.counts, [3, 0, 2, 0, 1, 1]);
    assert_eq!(host.calls(), calls + 1);
}

/// The law: no branch that could take one more has two tasks less than another
/// that was given one.
#[test]
fn spread_is_as_even_as_room_allows() {
    let mut host = host();
    let wanted = preference("spread", "node.labels.rack");
    let spread = host.preference(&wanted, &no_options()).expect("spread");
    let mut seed = 7u32;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    for _ in 0..200 {
        let bins = 1 + next(6) as usize;
        let room: Vec<u32> = (0..bins).map(|_| next(6)).collect();
        let have: Vec<u32> = (0..bins).map(|_| next(8)).collect();
        let tasks = 1 + next(20);
        let ask = questions(&[tasks], bins, &room, &have);
        let counts = host.allocate(&spread, &ask).expect("within bounds").counts;
        let placed: u32 = counts.iter().sum();
        assert_eq!(placed, tasks.min(room.iter().sum()), "{ask:?}");
        for a in 0..bins {
            for b in 0..bins {
                let could = counts[b] < room[b];
                let uneven = counts[a] > 0 && have[a] + counts[a] > have[b] + counts[b] + 1;
                assert!(!(could && uneven), "{ask:?} gave {counts:?}");
            }
        }
    }
}

#[test]
fn classes_are_asked_once_per_value() {
    let mut host = host_with(&["greedy"]);
    let wanted = preference("greedy", "engine.version");
    let greedy = host.preference(&wanted, &no_options()).expect("greedy");
    let rows = Tuples {
        rows: 3,
        columns: vec![TupleColumn {
            read_as: ColumnType::Version,
            values: ["v20.10.1", "28.0", "x"].map(|t| Some(Arc::from(t))).to_vec(),
        }],
    };
    let labels = |host: &mut swarmw_plugin_host::PluginHost| -> Vec<String> {
        let classes = host.classify(&greedy, &rows).expect("classes");
        classes.into_iter().map(|c| c.label).collect()
    };
    assert_eq!(labels(&mut host), ["20", "28", ""]);
    let calls = host.calls();
    labels(&mut host);
    assert_eq!(host.calls(), calls);
}

#[test]
fn an_allocation_beyond_room_is_a_fault_with_a_name() {
    let mut host = host_with(&["greedy"]);
    let wanted = preference("greedy", "engine.version");
    let greedy = host.preference(&wanted, &no_options()).expect("greedy");
    let failure =
        host.allocate(&greedy, &questions(&[5], 2, &[4, 4], &[0, 0])).expect_err("too many");
    assert_eq!(
        failure.to_string(),
        "plugin test/greedy: allocate put 5 tasks into bin 0, which has room for 4"
    );
}

#[test]
fn unknown_preferences_and_descriptors_are_refused() {
    let host = host();
    for (name, argument, want) in [
        ("pack", "node.labels.a", "unknown placement preference pack: only spread exists"),
        (
            "spread",
            "rack",
            "spread descriptor 'rack' is no attribute of a node\n  spread=rack\n         \
             ^^^^ try node.labels.KEY or engine.labels.KEY",
        ),
    ] {
        let spec = ServiceSpec {
            swarmw: Some(SwarmwOptions {
                preferences: vec![PlacedPreference {
                    preference: preference(name, argument),
                    after: 0,
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        let refusal = host.check_service(&spec).expect_err(name);
        assert_eq!((refusal.to_string().as_str(), refusal.kind.http_status()), (want, 400));
    }
}
