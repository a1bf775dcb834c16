//! Plugins in other languages than Rust, with their tools from npm and PyPI.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::Desk;

/// The kinds of plugins.
const KINDS: [&str; 4] = ["constraint", "preference", "update-policy", "volume-driver"];

/// What is run once in a folder of each language, as `plugin new` says it.
const NPM: &str = "npm install";
const PIP: &str =
    "python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements.txt";

fn install(folder: &Path, how: &str) {
    let mut shell = Command::new("sh");
    let done = shell.args(["-ec", how]).current_dir(folder).output().expect("a shell");
    assert!(done.status.success(), "{how}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A new plugin of each kind passes its cases and the laws. The first folder's tools
/// serve the others.
fn new_plugins_pass(language: &str, how: &str, tools: &str) {
    let desk = Desk::new();
    for kind in KINDS {
        let said = desk.well(&format!("new --kind {kind} --lang {language} @my-{kind}"));
        assert!(said.contains(how), "what to install is said: {said}");
        let folder = desk.path(&format!("my-{kind}"));
        if kind == KINDS[0] {
            let (_, ended) = desk.plugin(&format!("test @my-{kind}"));
            let ended = ended.expect_err("no tools are there yet");
            assert!(ended.contains(&format!("run `{how}`")), "{ended}");
            install(&folder, how);
        } else {
            let first = desk.path(&format!("my-{}", KINDS[0])).join(tools);
            std::os::unix::fs::symlink(first, folder.join(tools)).expect("a link");
        }
        let said = desk.well(&format!("test @my-{kind}"));
        assert!(said.contains("all well"), "{said}");
        assert!(said.contains(&format!("{kind} me/my-{kind} 0.1.0")), "{said}");
    }
}

/// An example passes its cases and the laws, with tools from its own lists.
fn example_passes(name: &str, how: &str) {
    let desk = Desk::new();
    let folder = desk.path(name);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins").join(name);
    copy(&from, &folder);
    install(&folder, how);
    let said = desk.well(&format!("test @{name}"));
    assert!(said.contains("all well"), "{said}");
}

/// The files of a folder, without what was installed or built there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name();
        let made = ["target", "node_modules", ".venv"].iter().any(|made| name == *made);
        match entry.path().is_dir() {
            true if made => {}
            true => copy(&entry.path(), &to.join(name)),
            false => drop(fs::copy(entry.path(), to.join(name)).expect("a copy")),
        }
    }
}

#[test]
fn the_example_in_javascript_passes_its_cases_and_the_laws() {
    example_passes("matches", NPM);
}

#[test]
#[ignore = "four components"]
fn new_plugins_in_javascript_pass_their_cases_and_the_laws() {
    new_plugins_pass("js", NPM, "node_modules");
}

/// An author sees what went wrong, not only that the component trapped.
#[test]
fn what_a_plugin_in_javascript_throws_is_shown_with_its_line() {
    let desk = Desk::new();
    desk.well("new --kind constraint --lang js @at-least");
    install(&desk.path("at-least"), NPM);
    desk.edit("at-least/plugin.js", "const { present,", "batch.no.such;\n    const { present,");
    let (said, ended) = desk.plugin("test @at-least");
    ended.expect_err("a fault in each call");
    assert!(said.contains("test: TypeError: cannot read property 'such' of undefined"), "{said}");
    assert!(said.contains("plugin.js:"), "{said}");

    desk.edit("at-least/plugin.js", "batch.no.such;", "batch.no such;");
    let (_, ended) = desk.plugin("build @at-least");
    let ended = ended.expect_err("no JavaScript");
    assert!(ended.contains("plugin.js does not build"), "{ended}");
    assert!(ended.contains("plugin.js:55:"), "the line and the column: {ended}");

    desk.edit("at-least/plugin.js", "export const constraint =", "export const constraints =");
    let (_, ended) = desk.plugin("build @at-least");
    let ended = ended.expect_err("no kind");
    assert!(ended.contains("exports the interface of no kind"), "{ended}");
}

#[test]
#[ignore = "19 MB of tools, and as much in each component"]
fn new_plugins_in_python_pass_their_cases_and_the_laws() {
    new_plugins_pass("python", PIP, ".venv");
}

/// The cause is in the log although the library's own traceback is of no use there.
#[test]
#[ignore = "19 MB of tools, and as much in the component"]
fn what_a_plugin_in_python_raises_is_shown_with_its_line() {
    let desk = Desk::new();
    desk.well("new --kind constraint --lang python @at-least");
    install(&desk.path("at-least"), PIP);
    desk.edit("at-least/plugin.py", "absent = next(", "absent = batch.absent or next(");
    let (said, ended) = desk.plugin("test @at-least");
    ended.expect_err("a fault in each call");
    assert!(said.contains("test: AttributeError: 'Tuples' object has no attribute"), "{said}");
    assert!(said.contains("at test (/1/plugin.py:55)"), "{said}");
}

#[test]
#[ignore = "19 MB of tools, and as much in the component"]
fn the_example_in_python_passes_its_cases_and_the_laws() {
    example_passes("office-hours", PIP);
}

#[test]
#[ignore = "100 MB of tools, and a C library to build"]
fn new_plugins_in_c_pass_their_cases_and_the_laws() {
    new_plugins_pass("c", PIP, ".venv");
}

#[test]
#[ignore = "100 MB of tools, and a C library to build"]
fn the_example_in_c_passes_its_cases_and_the_laws() {
    example_passes("in-proportion", PIP);
}
