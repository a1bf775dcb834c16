//! Which nodes have been silent for too long. Pure: the caller brings the time.

use std::collections::BTreeMap;

use swarmw_model::{Duration, NodeId, Time};

/// A node is down after this many heartbeat periods of silence.
pub(crate) const GRACE: i64 = 3;

/// When each node must be heard of again.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    deadlines: BTreeMap<NodeId, Time>,
}

// === impl Liveness ===

impl Liveness {
    /// A node was heard of at `now`.
    pub(crate) fn heard(&mut self, node: NodeId, now: Time, period: Duration) {
        self.deadlines.insert(node, now + period.times(GRACE));
    }

    /// Takes out the nodes that have been silent for too long.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<NodeId> {
        let late: Vec<_> =
            self.deadlines.iter().filter(|(_, by)| **by <= now).map(|(node, _)| *node).collect();
        for node in &late {
            self.deadlines.remove(node);
        }
        late
    }

    /// When the next node would be late.
    pub(crate) fn next(&self) -> Option<Time> {
        self.deadlines.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn at(seconds: i64) -> Time {
        Time::from_nanos(1) + Duration::from_secs(seconds)
    }

    #[test]
    fn three_missed_heartbeats_and_not_two_make_a_node_late() {
        let (a, b) = (NodeId::from_bits(1), NodeId::from_bits(2));
        let mut liveness = Liveness::default();
        liveness.heard(a, at(0), PERIOD);
        liveness.heard(b, at(0), PERIOD);
        liveness.heard(b, at(5), PERIOD);
        assert_eq!(liveness.next(), Some(at(15)));
        assert_eq!(liveness.expire(at(14)), vec![]);
        assert_eq!(liveness.expire(at(15)), vec![a]);
        assert_eq!(liveness.expire(at(15)), vec![]);
        assert_eq!(liveness.next(), Some(at(20)));
    }
}
