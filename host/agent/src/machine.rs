//! What to do next with a task. Pure: the rules of a task's life on its node.

use swarmw_model::TaskState;

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Say that we know of it.
    Accept,
    /// Get the image and make it.
    Prepare,
    /// Prepared; wait for the word to start.
    Hold,
    /// Start it.
    Start,
    /// It runs; wait until it ends or is to stop.
    Watch,
    /// Stop what was made of it.
    Stop,
    /// It was to stop before anything was made: say so.
    Forgo,
    /// It has ended; keep what is left until the leader forgets it.
    Rest,
}

/// Decides by where the task should be and where it stands. An operation under way
/// is not interrupted here: the runner asks again when it is done.
pub(crate) fn next(desired: TaskState, state: TaskState) -> Next {
    use TaskState::{Accepted, Preparing, Ready, Running, Shutdown, Starting};
    if state.is_terminal() {
        return Next::Rest;
    }
    if desired >= Shutdown {
        return if state < Preparing { Next::Forgo } else { Next::Stop };
    }
    match state {
        Running => Next::Watch,
        Ready | Starting if desired >= Running => Next::Start,
        Ready => Next::Hold,
        Accepted | Preparing => Next::Prepare,
        _ => Next::Accept,
    }
}

/// The state of a task whose step failed: before the start it is rejected, from
/// the start on it has failed.
pub(crate) fn after_error(state: TaskState) -> TaskState {
    if state < TaskState::Starting { TaskState::Rejected } else { TaskState::Failed }
}

/// The state of a task that ended by itself, and its error.
pub(crate) fn after_exit(exit_code: i64, error: Option<String>) -> (TaskState, String) {
    match (exit_code, error) {
        (_, Some(error)) => (TaskState::Failed, error),
        (0, None) => (TaskState::Complete, String::new()),
        (code, None) => (TaskState::Failed, format!("task: non-zero exit ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskState::{
        Accepted, Assigned, Complete, Failed, Preparing, Ready, Rejected, Remove, Running,
        Shutdown, Starting,
    };

    #[test]
    fn a_task_goes_its_way_and_waits_where_it_should() {
        for (desired, state, want) in [
            (Running, Assigned, Next::Accept),
            (Running, Accepted, Next::Prepare),
            (Running, Preparing, Next::Prepare),
            (Running, Ready, Next::Start),
            (Running, Starting, Next::Start),
            (Running, Running, Next::Watch),
            (Ready, Accepted, Next::Prepare),
            (Ready, Ready, Next::Hold),
            // Started before the word changed: what runs is not taken back.
            (Ready, Running, Next::Watch),
            (Complete, Ready, Next::Start),
            (Shutdown, Assigned, Next::Forgo),
            (Shutdown, Accepted, Next::Forgo),
            (Shutdown, Preparing, Next::Stop),
            (Shutdown, Ready, Next::Stop),
            (Remove, Running, Next::Stop),
            (Running, Failed, Next::Rest),
            (Shutdown, Complete, Next::Rest),
            (Remove, Rejected, Next::Rest),
        ] {
            assert_eq!(next(desired, state), want, "{desired} {state}");
        }
    }

    #[test]
    fn errors_before_the_start_reject_and_later_ones_fail() {
        assert_eq!(after_error(Preparing), Rejected);
        assert_eq!(after_error(Ready), Rejected);
        assert_eq!(after_error(Starting), Failed);
        assert_eq!(after_exit(0, None), (Complete, String::new()));
        assert_eq!(after_exit(3, None), (Failed, "task: non-zero exit (3)".to_owned()));
        let unhealthy = "task: unhealthy container".to_owned();
        assert_eq!(after_exit(0, Some(unhealthy.clone())), (Failed, unhealthy));
    }
}
