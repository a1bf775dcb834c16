//! Two ways to do the same, measured in turn, so that a machine that becomes slower makes
//! both slower.

/// One of the ways.
pub struct Way<'a> {
    name: &'a str,
    /// How much of it there is per second.
    measure: Box<dyn FnMut() -> f64 + 'a>,
}

// === impl Way ===

impl<'a> Way<'a> {
    pub fn new(name: &'a str, measure: impl FnMut() -> f64 + 'a) -> Self {
        Self { name, measure: Box::new(measure) }
    }

    /// Measures this way beside another, each first in every other round, after one round that
    /// does not count; prints medians and the ratio of each round.
    pub fn beside(mut self, mut other: Way<'_>, unit: &str, rounds: usize) {
        (self.measure)();
        (other.measure)();
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let (own, its) = if round.is_multiple_of(2) {
                let own = (self.measure)();
                (own, (other.measure)())
            } else {
                let its = (other.measure)();
                ((self.measure)(), its)
            };
            ours.push(own);
            theirs.push(its);
            ratios.push(own / its);
        }
        let (own, its, ratio) = (Spread::of(ours), Spread::of(theirs), Spread::of(ratios));
        println!("{}: {} {unit}", self.name, own.shown(unit_digits(own.median)));
        println!("  {}: {} {unit}", other.name, its.shown(unit_digits(its.median)));
        let medians = own.median / its.median;
        println!("  ratio of the medians {medians:.3}, of each round {}", ratio.shown(3));
    }
}

/// Small figures are shown with decimals.
fn unit_digits(median: f64) -> usize {
    if median < 1_000.0 { 2 } else { 0 }
}

/// The middle one of some values, and the ends.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

// === impl Spread ===

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        Self { least: values[0], median: values[last / 2], most: values[last] }
    }

    fn shown(&self, digits: usize) -> String {
        let Self { least, median, most } = self;
        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}
