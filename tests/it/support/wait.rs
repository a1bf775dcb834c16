//! Waiting for something to become true.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Generous: it exists only so that a test ends. Nothing is judged by its time.
const DEADLINE: Duration = Duration::from_secs(240);
const EVERY: Duration = Duration::from_millis(50);

/// Waits until `look` finds what it looks for; what it saw last, when it never does.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() > end => {
                panic!("never happened: {what}; last seen: {seen}")
            }
            Err(_) => sleep(EVERY),
        }
    }
}
