//! What a plugin can do wrong in any of its functions, by name.

use std::hint::black_box;

/// Does what `text` says when it is meant for this function: `NAME-loop`, `-trap`,
/// `-memory`, `-hoard` or `-stack`.
pub fn strike(function: &str, text: &str) {
    match text.strip_prefix(function).and_then(|rest| rest.strip_prefix('-')) {
        Some("loop") => loop {
            black_box(());
        },
        Some("trap") => panic!("on purpose"),
        // Not touched, and so not paid for with time: only one limit can be met.
        Some("memory") => {
            let mut wanted: Vec<Vec<u8>> = Vec::new();
            loop {
                wanted.push(black_box(Vec::with_capacity(1 << 20)));
            }
        }
        Some("hoard") => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(vec![1; 1 << 20]));
            }
        }
        Some("stack") => drop(black_box(deep(u64::MAX))),
        _ => {}
    }
}

#[allow(unconditional_recursion)]
fn deep(n: u64) -> String {
    let below = deep(black_box(n - 1));
    black_box(below)
}
