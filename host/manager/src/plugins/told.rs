//! Lines of the log about placement plugins that fail: a pass that fails is followed by
//! the next, and the first line says what all of them would.

use std::collections::BTreeMap;

use swarmw_model::{Duration, Time};
use swarmw_scheduler::PolicyFailure;

/// Between two lines about one plugin.
const EVERY: Duration = Duration::from_secs(60);

/// When each plugin was last told of. Of plugins that are well there is nothing here.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<String, Last>);

#[derive(Debug)]
struct Last {
    at: Time,
    held_back: u64,
}

// === impl Told ===

impl Told {
    /// Whether to tell of a failure now, and how many of the same plugin were held back
    /// since it was told of last.
    pub(crate) fn tell(&mut self, failure: &PolicyFailure, now: Time) -> Option<u64> {
        let plugin = match failure {
            PolicyFailure::Broken { plugin, .. }
            | PolicyFailure::Refused { plugin, .. }
            | PolicyFailure::NotCalled { plugin, .. }
            | PolicyFailure::NotYet { plugin } => &**plugin,
            PolicyFailure::Unclaimed { .. } => "",
        };
        let recent = |last: &Last| now.since(last.at) < EVERY;
        if let Some(last) = self.0.get_mut(plugin)
            && recent(last)
        {
            last.held_back += 1;
            return None;
        }
        let held_back = self.0.remove(plugin).map_or(0, |last| last.held_back);
        // Those that were told of long ago, and of which nothing is left to tell.
        self.0.retain(|_, last| recent(last) || last.held_back > 0);
        self.0.insert(plugin.to_owned(), Last { at: now, held_back: 0 });
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_told_of_once_a_minute_with_the_count_of_what_was_held_back() {
        let broken = |plugin: &str| PolicyFailure::Broken {
            plugin: plugin.into(),
            message: "trapped".to_owned(),
        };
        let at = |seconds: i64| Time::from_nanos(seconds * 1_000_000_000);
        let mut told = Told::default();
        for (plugin, second, want) in [
            ("a", 0, Some(0)),
            ("a", 1, None),
            ("b", 1, Some(0)),
            ("a", 59, None),
            ("a", 60, Some(2)),
            ("a", 61, None),
            ("b", 200, Some(0)),
            ("a", 200, Some(1)),
        ] {
            assert_eq!(told.tell(&broken(plugin), at(second)), want, "{plugin} at {second} s");
        }
        told.tell(&broken("c"), at(1_000));
        assert_eq!(told.0.len(), 1, "what is over is forgotten");
    }
}
