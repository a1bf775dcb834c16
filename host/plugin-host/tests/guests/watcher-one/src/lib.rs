//! An update policy that replaces all at once. Its second version is another guest.

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

struct Watcher;

export!(Watcher: UpdatePolicy);

impl Plugin for Watcher {
    fn describe() -> Metadata {
        metadata("test/watcher", "0.1.0", "Replaces all at once")
            .claim(Claim::Name("watcher".into()))
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
