//! The compiling child of tests, which run their own binary.

/// Compiles a component where the arguments say so: `… compile-component PROFILE IN
/// OUT`. False where they do not.
pub fn compile_if_asked() -> bool {
    let arguments: Vec<_> = std::env::args_os()
        .skip_while(|argument| argument != "compile-component")
        .skip(1)
        .collect();
    if arguments.is_empty() {
        return false;
    }
    if let Err(error) = swarmw_plugin_host::compile_child(&arguments) {
        // Past the test harness, which keeps what a test prints.
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{error}");
        std::process::exit(1);
    }
    true
}

/// Not a test of its own: the child of the others, which run this binary as
/// `… --exact child::compiling_child compile-component PROFILE IN OUT`.
#[test]
fn compiling_child() {
    compile_if_asked();
}
