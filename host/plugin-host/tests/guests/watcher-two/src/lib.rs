//! An update policy whose first version asked for nothing: this asks to look.

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

struct Watcher;

export!(Watcher: UpdatePolicy);

impl Plugin for Watcher {
    fn describe() -> Metadata {
        metadata("test/watcher", "0.2.0", "Replaces all at once")
            .claim(Claim::Name("watcher".into()))
            .grant(GrantRequest::Observe("http://10.0.0.1/*".into()), "likes to look")
    }
}

impl UpdatePolicy for Watcher {
    fn begin(rollout: &Rollout, _: &[TargetInfo], _: &View) -> Result<Outcome, String> {
        let call = ReplaceNextCall { count: rollout.total, order: Order::StopFirst };
        Ok(Outcome { state: Vec::new(), actions: vec![Action::ReplaceNext(call)] })
    }

    fn step(rollout: &Rollout, _: &[u8], view: &View) -> Result<Outcome, String> {
        let done = view.counts.running + view.counts.gone == rollout.total;
        let actions = if done { vec![Action::Complete] } else { Vec::new() };
        Ok(Outcome { state: Vec::new(), actions })
    }
}
