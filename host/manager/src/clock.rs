//! The one place of this room that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use swarmw_model::Time;

/// Now, by this machine's clock.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
