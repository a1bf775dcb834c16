//! `dev` and `bench` show what a plugin does and costs.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use swarmw_author::Command;

use crate::support::{Desk, bench};

/// The longest that a build may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Sends what is written, piece by piece.
struct Pieces(mpsc::Sender<String>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Nobody listens any more when the test is over.
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_save_shows_which_tasks_come_to_another_node_and_bench_what_it_costs() {
    let desk = Desk::new();
    desk.well("new --kind preference @even");
    let said = desk.well("bench --nodes 200 --tasks 2000 --services 20 @even");
    assert!(said.contains("200 nodes, 20 services of 100 tasks each"), "{said}");
    let steady = said.lines().find(|line| line.contains("one more task")).expect("a second pass");
    assert!(steady.trim_end().ends_with(" 1 call"), "one question for all services: {steady}");

    let (send, received) = mpsc::channel();
    let folder = desk.path("even").to_string_lossy().into_owned();
    let line = ["plugin", "dev", "--saves", "2", "--nodes", "6", "--replicas", "6", &folder];
    let line = Line::parse_from(line);
    let dev = thread::spawn(move || {
        swarmw_author::run(line.command, &bench(), &mut Pieces(send)).map_err(|e| e.to_string())
    });
    let mut seen = String::new();
    let mut until = |text: &str| {
        while !seen.contains(text) {
            let piece = received.recv_timeout(PATIENCE);
            seen += &piece.unwrap_or_else(|error| panic!("{error} before {text:?}:\n{seen}"));
        }
        std::mem::take(&mut seen)
    };
    let first = until("Ctrl-C ends");
    assert!(first.contains("zone=a               2   node-1×1 node-4×1"), "{first}");
    // Half a thought: said, and the cluster stays.
    let even = "share.level(|bin| ask.bins[bin].service_tasks, settings.most);";
    desk.edit("even/src/lib.rs", even, "share.give(0, 6)!;");
    until("does not build");
    desk.edit("even/src/lib.rs", "share.give(0, 6)!;", "share.give(0, 6);");
    let changed = until("→ 0");
    assert!(changed.contains("tasks come to another node"), "{changed}");
    assert_eq!(dev.join().expect("no panic"), Ok(()));
}

#[test]
fn a_policys_rollouts_are_shown_and_measured() {
    let desk = Desk::new();
    desk.well("new --kind update-policy @gentle");
    let said = desk.well("dev --saves 0 @gentle");
    assert!(said.contains("rolled-back: 1 of the new tasks failed"), "{said}");
    let said = desk.well("bench --tasks 500 @gentle");
    assert!(said.contains("500 replicas, 5 at once: completed after"), "{said}");
}
