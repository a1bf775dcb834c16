//! Turns services into tasks: replicas, globals, restarts, updates, history.
