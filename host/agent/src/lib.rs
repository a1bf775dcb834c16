//! What every node runs: the session with a manager, the task machine, the executors.
