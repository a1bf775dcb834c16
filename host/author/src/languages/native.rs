//! What a failed `cargo test` says, without what is nobody's business.

/// Lines of the harness that say nothing: what failed stands in the blocks between.
const NOISE: [&str; 6] = [
    "running ",
    "note: run with `RUST_BACKTRACE",
    "note: Some details are omitted",
    "stack backtrace:",
    "test result: ",
    "error: test failed, to rerun",
];

/// The failures: of a backtrace the frames in the plugin's own sources, of the harness
/// nothing. What does not build is told whole.
pub fn trimmed(said: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut frame = None;
    for line in said.lines() {
        if let Some(place) = line.trim_start().strip_prefix("at ")
            && let Some(frame) = frame.take()
        {
            // The SDK lies in the folder too.
            if place.starts_with("./src/") {
                kept.extend([frame, line]);
            }
            continue;
        }
        frame = None;
        if is_frame(line) {
            frame = Some(line);
        } else if !is_noise(line) {
            kept.push(line);
        }
    }
    kept.dedup_by(|a, b| a.trim().is_empty() && b.trim().is_empty());
    // At the end the names of what failed stand once more.
    if let Some(again) = again(&kept) {
        kept.truncate(again);
    }
    kept.join("\n").trim().to_owned()
}

/// Where the harness writes `failures:` for the second time.
fn again(lines: &[&str]) -> Option<usize> {
    let found = lines.iter().enumerate().filter(|(_, line)| **line == "failures:");
    found.map(|(at, _)| at).nth(1)
}

/// `  12: core::panicking::panic`.
fn is_frame(line: &str) -> bool {
    let Some((number, _)) = line.trim_start().split_once(": ") else { return false };
    line.starts_with(' ') && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_noise(line: &str) -> bool {
    let dots = !line.is_empty() && line.bytes().all(|b| b == b'.' || b == b'F');
    dots || line.ends_with("--- FAILED") || NOISE.iter().any(|noise| line.starts_with(noise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_is_left_and_frames_of_the_plugin_alone() {
        let said = "error: test failed, to rerun pass `--lib`\n\nrunning 2 tests\n.F\nfailures:\n\n\
            ---- own stdout ----\n\nthread 'own' (7) panicked at src/lib.rs:60:9:\nno zone\n\
            stack backtrace:\n   0: __rustc::rust_begin_unwind\n             at \
            /rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/std/src/panicking.rs:689:5\n\
            \x20  1: near::own\n             at ./src/lib.rs:60:9\n   2: near::cases\n             \
            at ./sdk/src/testing/mod.rs:130:5\nnote: run with `RUST_BACKTRACE=1` environment \
            variable to display a backtrace\n\n\nfailures:\n    own\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored\n";
        assert_eq!(
            trimmed(said),
            "failures:\n\n---- own stdout ----\n\nthread 'own' (7) panicked at src/lib.rs:60:9:\n\
             no zone\n   1: near::own\n             at ./src/lib.rs:60:9"
        );
        let broken = "error[E0425]: cannot find value `x`\n  --> src/lib.rs:1:1\n   |\n12 |   x";
        assert_eq!(trimmed(broken), broken, "what does not build is told whole");
    }
}
