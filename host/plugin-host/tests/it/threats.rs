//! The threats that a plugin is, one by one: what it does, what is said of it, and that
//! nobody else is harmed. Each line of a table is a component that attacks.

use swarmw_plugin_host::{COMPONENT, PluginHost, inspect};
use swarmw_scheduler::Policies;

use crate::module::Module;
use crate::storm::{Ask, KINDS, STORMS, constraint, preference, update, volume};
use crate::support::{compiler, guest, guest_module, host_with, no_options};

/// Nobody else is harmed: a built-in answers, and so does a fresh instance of this one.
fn others_are_served(host: &mut PluginHost, ask: Ask, what: &str) {
    host.constraint("node.id==x", &no_options()).expect(what);
    let said = ask(host, "nothing");
    assert!(!said.contains("test/storm"), "after {what}: {said}");
}

#[test]
fn every_function_may_loop_trap_hoard_and_recurse_and_is_named() {
    for (plugin, ask, functions) in KINDS {
        for function in functions {
            for (how, said) in [
                ("loop", "ran for more than "),
                ("trap", "trapped: wasm `unreachable` instruction executed"),
                ("memory", "wanted more than 64 MiB of memory"),
                ("stack", "trapped: call stack exhausted"),
            ] {
                // A host of its own: the breaker is another test's.
                let mut host = host_with(&STORMS);
                let attack = format!("{function}-{how}");
                let answer = ask(&mut host, &attack);
                let said = format!("{plugin}: {function} {said}");
                // Hoarding takes time, and the shorter budgets end first.
                let late = format!("{plugin}: {function} ran for more than ");
                let good = answer.contains(&said) || how == "memory" && answer.contains(&late);
                assert!(good, "{plugin} {attack}: {answer}");
                others_are_served(&mut host, ask, &attack);
            }
        }
    }
}

#[test]
fn answers_that_break_a_rule_are_faults() {
    let cases: &[(Ask, &str, &str)] = &[
        (constraint, "reads-many", "compile reads 17 columns; at most 16"),
        (constraint, "reads-wrong", "compile reads column \"node.secrets.root\", which nodes have"),
        (constraint, "plan-wrong", "compile reads column \"kernel.key\", which nodes have not"),
        (constraint, "plan-many", "compile compares with 1001 values; at most 1000"),
        (constraint, "reason-long", "compile gave a reason of 257 bytes; at most 256"),
        (constraint, "reason-huge", "compile failed: "),
        (constraint, "test-none", "test gave 0 verdicts for 2 rows"),
        (constraint, "test-more", "test gave 3 verdicts for 2 rows"),
        (constraint, "test-huge", "test failed: "),
        (preference, "bins-wrong", "compile makes bins of column \"node.shoe\", which nodes have"),
        (preference, "loads-wrong", "compile wants load \"node.free.\", which there is not"),
        (preference, "loads-many", "compile wants 9 loads; at most 8"),
        (preference, "classify-none", "classify gave 0 classes for 2 rows"),
        (preference, "classify-nan", "classify gave bin \"\" a weight that is no number"),
        (preference, "classify-long", "classify gave a label of 257 bytes; at most 256"),
        (preference, "classify-huge", "classify failed: "),
        (preference, "allocate-none", "allocate gave 0 counts for 2 bins"),
        (preference, "allocate-room", "allocate put 4294967295 tasks into bin 0, which has room"),
        (preference, "allocate-sum", "allocate placed 18 tasks where 3 were to be placed"),
        (preference, "allocate-beyond", "allocate refused bin 2 of 2"),
        (preference, "allocate-reasons", "allocate gave 3 refusals for 2 bins"),
        (update, "group-wrong", "check groups by column \"node.shoe\", which nodes have not"),
        (update, "state-fat", "begin left a state of 65537 bytes; at most 65536"),
        (update, "state-huge", "begin failed: "),
        (update, "actions-many", "begin asked for 1001 actions; at most 1000"),
        (update, "beyond", "begin asked to replace target 3 of 3"),
        (update, "report-long", "begin gave a text of 4097 bytes; at most 4096"),
        (update, "ungranted", "begin has no grant to observe http://10.0.0.1/"),
        (update, "slow", "begin set a query 30001 ms; from 1 to 30000 are possible"),
        (update, "long", "begin gave a query of more than 4096 bytes"),
        (volume, "many", "plan-create planned 101 steps; at most 100"),
        (volume, "huge", "plan-create failed: "),
    ];
    for (ask, attack, said) in cases {
        let mut host = host_with(&STORMS);
        let answer = ask(&mut host, attack);
        // To make much takes time as well.
        let late = said.split_once(' ').map_or("", |(call, _)| call).to_owned() + " ran for more";
        let good = answer.contains(&format!(": {said}"))
            || attack.ends_with("-huge") && answer.contains(&late);
        assert!(good, "{attack}: {answer}");
        others_are_served(&mut host, *ask, attack);
    }
}

#[test]
fn texts_never_reach_a_terminal_with_characters_that_it_obeys() {
    let mut host = host_with(&STORMS);
    let compiled = host.constraint("storm==reason-escape", &no_options()).expect("compiles");
    let mut said = vec![compiled.reason.to_string()];
    let cases: &[(Ask, &str)] = &[
        (constraint, "refuse-escape"),
        (constraint, "refuse-nothing"),
        (constraint, "refuse-many"),
        (preference, "allocate-escape"),
        (update, "error-escape"),
        (update, "error-huge"),
        (update, "report-escape"),
        (volume, "escape"),
    ];
    said.extend(cases.iter().map(|(ask, attack)| ask(&mut host, attack)));
    for text in said {
        assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
        assert!(text.len() < 5_000, "{} bytes", text.len());
    }
}

/// The guest `chameleon` with another mark.
fn chameleon(mark: &str) -> Vec<u8> {
    let mut bytes = guest("chameleon");
    let old = b"chameleon:good..................";
    let new = format!("{:.<32}", format!("chameleon:{mark}"));
    let mut places = 0;
    while let Some(at) = bytes.windows(old.len()).position(|w| w == old) {
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        places += 1;
    }
    assert_eq!(places, usize::from(mark != "good"), "{mark}");
    bytes
}

fn refused(bytes: &[u8]) -> String {
    inspect(bytes, COMPONENT, &compiler()).expect_err("refused").to_string()
}

#[test]
fn what_describes_itself_wrongly_is_not_added() {
    for (mark, said) in [
        ("describe-loop", "the component ran for more than 50 ms when it was asked to describe"),
        ("describe-trap", "the component trapped: wasm `unreachable` instruction executed when"),
        ("describe-memory", "the component wanted more than 64 MiB of memory when"),
        ("describe-stack", "the component trapped: call stack exhausted when"),
        ("claims-huge", "the component failed: "),
        ("name-bare", "name \"chameleon\" is not publisher/name"),
        ("name-long", "is not publisher/name"),
        ("name-escape", "name \"test/\\u{1b}c\" is not publisher/name"),
        ("version", "version \"latest\" is not of the form 1.2.3"),
        ("summary-lines", "summary is not one line of 256 bytes at most"),
        ("summary-escape", "summary is not one line of 256 bytes at most"),
        ("claims-none", "it claims nothing, so nothing would reach it"),
        ("claims-many", "65 claims; at most 64"),
        ("claims-blank", "the claim \"a b\" is empty, too long or has blanks"),
        ("option-name", "option name \"a b\" is not of letters, digits and -_"),
        ("option-secret", "option a is a secret, which only volume drivers have"),
        ("option-choices", "option a has nothing to choose from"),
        ("option-escape", "a choice of option a is not one line of 256 bytes at most"),
        ("option-default", "the default \"much\" of option a is not a size such as 64MiB"),
        ("grant-kind", "a constraint cannot use the grant helper=sshfs"),
    ] {
        let answer = refused(&chameleon(mark));
        assert!(answer.contains(said), "{mark}: {answer}");
        assert!(answer.len() < 1_000 && !answer.contains(char::is_control), "{mark}: {answer:?}");
    }
}

/// The guest `chameleon` as a core module, changed.
fn changed(change: impl FnOnce(Module) -> Module) -> Vec<u8> {
    let module = change(Module::read(&guest_module("chameleon")));
    swarmw_guest_build::component_of(&module.write())
}

#[test]
fn what_wants_too_much_before_it_runs_is_not_added() {
    // loop … br 0 … end
    let endless = [0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b];
    let with_start = |mut module: Module| {
        let function = module.function(&endless);
        module.start(function)
    };
    for (what, bytes, said) in [
        ("nothing", changed(|module| module), None),
        ("4 GiB", changed(|m| m.memory(0, 65_536)), Some("wanted more than 64 MiB of memory")),
        ("65 MiB", changed(|m| m.memory(0, 65 << 4)), Some("wanted more than 64 MiB of memory")),
        ("a table", changed(|m| m.table(1 << 24)), Some("wanted more than 20000 elements")),
        ("memories", changed(|m| m.memories(64)), Some("resource limit exceeded")),
        ("an endless start", changed(with_start), Some("ran for more than 50 ms")),
    ] {
        let answer = inspect(&bytes, COMPONENT, &compiler());
        match (answer, said) {
            (Ok(_), None) => {}
            (Err(why), Some(said)) => {
                let why = why.to_string();
                assert!(why.contains(said) && !why.contains('\n'), "{what}: {why}");
            }
            (answer, _) => panic!("{what}: {answer:?}"),
        }
    }
}

#[test]
fn what_costs_the_compiler_too_much_is_refused_by_its_child() {
    // A function of blocks in blocks.
    let deep = |depth: usize| {
        let mut body = vec![0];
        body.extend(std::iter::repeat_n([0x02, 0x40], depth).flatten());
        body.extend(std::iter::repeat_n(0x0b, depth + 1));
        body
    };
    let bytes = changed(|mut module| {
        module.function(&deep(200_000));
        module
    });
    let answer = inspect(&bytes, COMPONENT, &compiler());
    // Either the compiler takes it within its limits, or it says no; it never hangs.
    if let Err(why) = answer {
        let why = why.to_string();
        let told = ["the component does not compile: ", "the component was not compiled within"];
        assert!(told.iter().any(|text| why.starts_with(text)), "{why}");
    }
    for junk in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0\x01", &[0xff; 4_096]] {
        let answer = refused(junk);
        let told = ["the component does not compile: ", "the file is no WebAssembly component: it"];
        assert!(told.iter().any(|text| answer.starts_with(text)), "{junk:?}: {answer}");
        assert!(!answer.contains(char::is_control), "{answer:?}");
    }
}

#[test]
fn a_stored_component_with_one_bit_changed_never_loads() {
    let folder = tempfile::tempdir().expect("a folder");
    let compiler = swarmw_plugin_host::Compiler::in_process(folder.path().into(), [1; 32]);
    let wasm = guest("chameleon");
    inspect(&wasm, COMPONENT, &compiler).expect("a plugin");
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(files.len(), 2, "the code and its MAC: {files:?}");
    let path = files.iter().find(|path| path.extension().is_some_and(|e| e == "cwasm"));
    let path = path.expect("the code");
    let engine = swarmw_plugin_host::engine(swarmw_plugin_host::Profile::Policy).expect("one");
    let loads = || swarmw_plugin_host::load(&engine, &[1; 32], path).is_ok();
    assert!(loads());
    let mut seed = 1u64;
    let mut flips = 0;
    for file in &files {
        let whole = std::fs::read(file).expect("a file");
        for _ in 0..BITS / files.len() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut changed = whole.clone();
            changed[(seed >> 33) as usize % whole.len()] ^= 1 << (seed >> 61);
            std::fs::write(file, &changed).expect("written");
            assert!(!loads(), "one bit of {} was changed", file.display());
            flips += 1;
        }
        std::fs::write(file, &whole).expect("written");
    }
    assert_eq!((flips, loads()), (BITS, true));
}

/// Bits changed, one at a time.
const BITS: usize = 1_000;
