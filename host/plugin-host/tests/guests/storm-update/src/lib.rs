//! An update policy whose option names the function that does wrong, and how.

#[path = "../../attacks.rs"]
mod attacks;

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

struct Storm;

export!(Storm: UpdatePolicy);

impl Plugin for Storm {
    fn describe() -> Metadata {
        metadata("test/storm-update", "0.1.0", "Fails where it is told to")
            .claim(Claim::Name("storm".into()))
            .option(option("attack", "what it does wrong", OptionType::Text).default("none"))
    }
}

fn told(policy: &Policy) -> &str {
    let attack = policy.options.iter().find(|option| option.name == "attack");
    match attack.map(|option| &option.value) {
        Some(OptionValue::Text(text)) => text,
        _ => "",
    }
}

fn outcome(told: &str, rollout: &Rollout) -> Result<Outcome, String> {
    let action = match told {
        "state-fat" => return Ok(Outcome { state: vec![0; 65_537], actions: Vec::new() }),
        "state-huge" => return Ok(Outcome { state: vec![0; 8 << 20], actions: Vec::new() }),
        "actions-many" => {
            return Ok(Outcome { state: Vec::new(), actions: vec![Action::WakeAt(1); 1_001] });
        }
        "error-escape" => return Err("\u{1b}[2J\u{7}gone\nmad".into()),
        "error-huge" => return Err("x".repeat(1 << 20)),
        "beyond" => Action::Replace(ReplaceCall {
            targets: vec![rollout.total],
            order: Order::StopFirst,
        }),
        "report-long" => Action::Report("x".repeat(4_097)),
        "report-escape" => Action::Report("\u{1b}[2Jfine".into()),
        "ungranted" | "slow" | "long" => Action::Observe(Query {
            id: "q".into(),
            url: if told == "long" { "x".repeat(5_000) } else { "http://10.0.0.1/".into() },
            pointer: "/a".into(),
            timeout_ms: if told == "slow" { 30_001 } else { 1_000 },
        }),
        _ => Action::WakeAt(rollout.started_ms + 1_000),
    };
    Ok(Outcome { state: Vec::new(), actions: vec![action] })
}

impl UpdatePolicy for Storm {
    fn check(policy: &Policy) -> Result<Needs, Vec<Problem>> {
        attacks::strike("check", told(policy));
        let group_by = (told(policy) == "group-wrong").then(|| "node.shoe".to_owned());
        Ok(Needs { targets: false, group_by })
    }

    fn begin(rollout: &Rollout, _: &[TargetInfo], _: &View) -> Result<Outcome, String> {
        let told = told(&rollout.policy);
        attacks::strike("begin", told);
        outcome(told, rollout)
    }

    fn step(rollout: &Rollout, _: &[u8], _: &View) -> Result<Outcome, String> {
        let told = told(&rollout.policy);
        attacks::strike("step", told);
        outcome(told, rollout)
    }
}
