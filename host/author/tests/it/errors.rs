//! Errors name the file and the fix.

use crate::support::Desk;

#[test]
fn what_is_no_plugin_is_said_with_what_to_do() {
    let desk = Desk::new();
    let (_, ended) = desk.plugin("build @nowhere");
    let ended = ended.expect_err("no folder");
    assert!(ended.starts_with("there is no folder"), "{ended}");

    std::fs::create_dir(desk.path("empty")).expect("a folder");
    let (_, ended) = desk.plugin("test @empty");
    let ended = ended.expect_err("no plugin");
    assert!(ended.contains("holds no plugin") && ended.contains("plugin new"), "{ended}");

    let (_, ended) = desk.plugin("new @near");
    let ended = ended.expect_err("no kind");
    assert!(ended.contains("\n  constraint ") && ended.contains("\n  rust "), "{ended}");
    let (_, ended) = desk.plugin("new --kind constraint --publisher swarmw @near");
    let ended = ended.expect_err("not theirs");
    assert!(ended.contains("for what comes with the binary"), "{ended}");
    let (_, ended) = desk.plugin("new --kind constraint @swarmw-sdk");
    let ended = ended.expect_err("a crate of that name is there");
    assert!(ended.contains("try my-swarmw-sdk") && !desk.path("swarmw-sdk").exists(), "{ended}");

    let (_, ended) = desk.plugin("new --kind constraint @empty");
    let ended = ended.expect_err("it is there");
    assert!(ended.contains("exists already"), "{ended}");
}

/// One plugin, spoilt in one way after the other: each build is a second or two.
#[test]
fn what_a_cluster_would_refuse_is_refused_by_build_with_the_file_to_change() {
    let desk = Desk::new();
    desk.well("new --kind constraint @near");
    for (file, good, bad, told) in [
        (
            "near/Cargo.toml",
            "crate-type = [\"cdylib\", \"rlib\"]",
            "crate-type = [\"rlib\"]",
            "crate-type = [\"cdylib\", \"rlib\"]",
        ),
        (
            "near/src/lib.rs",
            "str = \"me/near\"",
            "str = \"near\"",
            "set NAME in src/lib.rs to \"publisher/name\"",
        ),
        (
            "near/src/lib.rs",
            "vec![Claim::call(\"near\")]",
            "vec![Claim::name(\"near\")]",
            "a constraint claims keys, operators and calls, not \"near\": look at claims()",
        ),
        (
            "near/src/lib.rs",
            "#[option(default = \"false\")]",
            "#[option(default = \"perhaps\")]",
            "the default \"perhaps\" of option absent is not true or false: look at the struct",
        ),
        (
            "near/src/lib.rs",
            "export!(Near: Constraint);",
            "export!(Near: Constraint);\nunsafe extern \"C\" { fn clock() -> i64; }\n\
             #[unsafe(no_mangle)] pub extern \"C\" fn now() -> i64 { unsafe { clock() } }",
            "`env`: an `extern \"C\"` function that nothing defines",
        ),
        (
            "near/src/lib.rs",
            "/// whether nodes without",
            "// whether nodes without",
            "does not build",
        ),
        (
            "near/src/lib.rs",
            "export!(Near: Constraint);",
            "impl Package for Near { const VERSION: &str = \"1.0.0\"; const SUMMARY: &str = \"x\"; }",
            "src/lib.rs needs one line `export!(Type: Kind);`",
        ),
        ("near/cases/near.cases", "passes large\n", "passes large huge\n", ""),
    ] {
        desk.edit(file, good, bad);
        let (said, ended) = desk.plugin("build @near");
        match told {
            "" => assert_eq!(ended, Ok(()), "cases are no part of the build: {said}"),
            told => {
                let ended = ended.expect_err(told);
                assert!(ended.contains(told), "{told}\n{ended}");
            }
        }
        desk.edit(file, bad, good);
    }
    // What an operator may set is shown with its words.
    desk.edit(
        "near/src/lib.rs",
        "    absent: bool,",
        "    absent: bool,\n    /// how\n    \
        #[option(default = \"far-off\")]\n    how: How,",
    );
    desk.edit(
        "near/src/lib.rs",
        "/// What operators may set",
        "/// How.\n#[derive(Choice)]\n\
        #[allow(dead_code)]\nenum How { Close, FarOff }\n\n/// What operators may set",
    );
    let said = desk.well("build @near");
    assert!(said.contains("how: how (one of close, far-off; default far-off)"), "{said}");

    // An expression that it refuses is shown as a cluster would show it.
    let folder = desk.path("near").to_string_lossy().into_owned();
    let line = ["plugin", "dev", "--saves", "0", "--constraint", "near(cores, x)", &folder];
    let ended = desk.words(&line).1.expect_err("no number");
    assert!(ended.contains("'x' is no number\n  near(cores, x)\n              ^ try"), "{ended}");

    // An option of a case is told at its own line.
    desk.edit("near/cases/near.cases", "option absent=true", "option absent=perhaps");
    let (said, _) = desk.plugin("test @near");
    assert!(said.contains("cases/near.cases:12: refused: option absent"), "{said}");

    desk.edit("near/cases/near.cases", "passes large\n", "passed large\n");
    let (_, ended) = desk.plugin("test @near");
    let ended = ended.expect_err("no line of a case");
    assert!(ended.contains("cases/near.cases:8: 'passed' starts no line of a case"), "{ended}");
}
