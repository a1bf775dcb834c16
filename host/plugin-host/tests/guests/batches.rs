//! An update policy of two versions: each replaces so many tasks, waits until they have
//! run for [`REST_MS`], and goes on.

use swarmw_sdk::raw::update::*;
use swarmw_sdk::raw::*;

/// Between two batches, in milliseconds.
const REST_MS: u64 = 1_500;

/// What is kept: when the next batch goes, 0 until the last one runs; eight bytes.
fn write(at_ms: u64) -> Vec<u8> {
    at_ms.to_le_bytes().to_vec()
}

fn read(state: &[u8]) -> u64 {
    state.try_into().map_or(0, u64::from_le_bytes)
}

/// What the plugin says of itself.
pub fn describe(version: &str) -> Metadata {
    metadata("test/batch", version, "Replaces a few at a time").claim(Claim::Name("batch".into()))
}

/// The first `batch` targets.
pub fn begin(batch: u32) -> Outcome {
    let call = ReplaceNextCall { count: batch, order: Order::StopFirst };
    Outcome { state: write(0), actions: vec![Action::ReplaceNext(call)] }
}

/// The next ones, when their time has come.
pub fn step(batch: u32, state: &[u8], view: &View) -> Outcome {
    let at = read(state);
    let outcome = |at, actions| Outcome { state: write(at), actions };
    if view.counts.replacing + view.counts.down > 0 {
        return outcome(0, Vec::new());
    }
    if view.counts.outdated == 0 {
        return outcome(0, vec![Action::Complete]);
    }
    if at == 0 {
        let at = view.now_ms + REST_MS;
        return outcome(at, vec![Action::WakeAt(at)]);
    }
    if view.now_ms < at {
        return outcome(at, vec![Action::WakeAt(at)]);
    }
    let call = ReplaceNextCall { count: batch, order: Order::StopFirst };
    outcome(0, vec![Action::ReplaceNext(call)])
}
