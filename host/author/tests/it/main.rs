//! What an author does, with a real cargo and the real host.

mod dev;
mod errors;
mod interface;
mod journey;
mod languages;
mod laws;
mod publish;
#[expect(dead_code, reason = "the cluster tests use all of it")]
#[path = "../../../../tests/it/support/registry.rs"]
mod registry;
mod support;
#[path = "../../../../tests/it/support/wait.rs"]
mod wait;

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
