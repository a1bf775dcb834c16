//! What the project does to itself: test, lint, measure.
fn main() {}
