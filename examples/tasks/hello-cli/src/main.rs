//! Prints lines, sleeps, exits: a `wasi:cli` task.
//!
//! ```text
//! swarmw service create hello-cli.wasm [LINES [SECONDS [CODE]]]
//! ```
//!
//! `LINES` lines (default 3, 0 for lines without end), one every `SECONDS` (default
//! 1, fractions allowed), then exit code `CODE` (default 0). WASI 0.2 knows success
//! and failure: any code but 0 arrives as 1.

use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let lines: u64 = read(arguments.next(), 3);
    let seconds: f64 = read(arguments.next(), 1.0);
    let code: i32 = read(arguments.next(), 0);
    let name = std::env::var("TASK_NAME").unwrap_or_else(|_| "hello".to_owned());

    let mut line = 0;
    while lines == 0 || line < lines {
        line += 1;
        println!("{name}: line {line}");
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
    if code != 0 {
        eprintln!("{name}: exit code {code}, as asked");
    }
    std::process::exit(code)
}

/// An argument, or its default; one that does not read ends the task with a line.
fn read<T: std::str::FromStr>(argument: Option<String>, default: T) -> T {
    argument.map_or(default, |text| {
        text.parse().unwrap_or_else(|_| {
            eprintln!("hello-cli: {text:?} is not understood: LINES SECONDS CODE");
            std::process::exit(2);
        })
    })
}
