//! Real components in the real host.

mod builtins;
mod changes;
mod constraints;
mod examples;
mod golden;
mod hostile;
mod module;
mod preferences;
mod rollouts;
mod support;
#[path = "../../../orchestrator/tests/it/swarm.rs"]
mod swarm;
mod threats;
mod updates;
mod volumes;
#[expect(dead_code, reason = "the orchestrator's own tests use all of it")]
#[path = "../../../orchestrator/tests/it/world.rs"]
mod world;

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
