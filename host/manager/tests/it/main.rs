//! Managers in one process, on real files and real TLS, with agents that follow a
//! script: what the leader promises to agents, and who may call what.
//!
//! Time is real, with short periods: the log's file is written by a thread of its
//! own, which a paused clock would not wait for.

mod agent;
mod leading;
mod roles;
mod sessions;
mod steady;
mod swarm;

/// Not a test of its own: the compiling child of the others, which run this binary
/// as `… --exact compiling_child compile-component PROFILE IN OUT`.
#[test]
fn compiling_child() {
    let arguments: Vec<_> = std::env::args_os()
        .skip_while(|argument| argument != "compile-component")
        .skip(1)
        .collect();
    if arguments.is_empty() {
        return;
    }
    if let Err(error) = swarmw_plugin_host::compile_child(&arguments) {
        // Past the test harness, which keeps what a test prints.
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{error}");
        std::process::exit(1);
    }
}
