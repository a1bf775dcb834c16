//! How long things take, as benchmarks print it.

use std::time::Duration;

/// Prints what something took that was done once.
pub fn print(what: &str, took: Duration) {
    println!("{what}: {:.1} ms", milliseconds(took));
}

/// Prints what something took that was done often; the median.
pub fn print_spread(what: &str, mut took: Vec<Duration>) -> Duration {
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{what}: median {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        milliseconds(at(50)),
        milliseconds(at(90)),
        milliseconds(at(99)),
        milliseconds(at(100)),
    );
    at(50)
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
