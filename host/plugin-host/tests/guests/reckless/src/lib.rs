//! An update policy; its name says what it does wrong.

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

struct Reckless;

export!(Reckless: UpdatePolicy);

const NAMES: [&str; 8] =
    ["fat", "many", "beyond", "ungranted", "giving-up", "endless", "trapped", "hungry"];

impl Plugin for Reckless {
    fn describe() -> Metadata {
        NAMES.into_iter().fold(
            metadata("test/reckless", "0.1.0", "Breaks every bound of an outcome"),
            |metadata, name| metadata.claim(Claim::Name(name.into())),
        )
    }
}

impl UpdatePolicy for Reckless {
    fn begin(rollout: &Rollout, _: &[TargetInfo], _: &View) -> Result<Outcome, String> {
        let mut outcome = Outcome { state: Vec::new(), actions: Vec::new() };
        match rollout.policy.failure_action.as_str() {
            "endless" => loop {
                std::hint::black_box(());
            },
            "trapped" => panic!("on purpose"),
            "hungry" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            "fat" => outcome.state = vec![0; 65_537],
            "many" => outcome.actions = vec![Action::WakeAt(1); 1_001],
            "beyond" => outcome.actions.push(Action::Replace(ReplaceCall {
                targets: vec![rollout.total],
                order: Order::StopFirst,
            })),
            "ungranted" => outcome.actions.push(Action::Observe(Query {
                id: "q".into(),
                url: "http://10.0.0.1/".into(),
                pointer: "/a".into(),
                timeout_ms: 1_000,
            })),
            _ => return Err("no idea how to go on".into()),
        }
        Ok(outcome)
    }

    fn step(_: &Rollout, _: &[u8], _: &View) -> Result<Outcome, String> {
        Err("never called".into())
    }
}
