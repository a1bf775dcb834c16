//! A histogram of powers of two, under the name and interface of the crate that
//! openraft records batch sizes and latencies with.
//!
//! The published crate (0.2.3) fills lookup tables for sixteen resolutions when the
//! first histogram is made: 26 MB, 40 % of a manager at rest, of which openraft reads
//! 2 KB. This one keeps a count per power of two and no tables. It has what openraft
//! uses without its feature `runtime-stats`; with that feature openraft would not
//! compile, which is the time to look whether the published one still does that.

use std::fmt;
use std::marker::PhantomData;

/// Counts of values by their number of significant bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// How many values had this many significant bits: 0 for the value 0.
    counts: [u64; u64::BITS as usize + 1],
    slots: PhantomData<T>,
}

/// Values that shares of what was recorded do not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileStats {
    /// Values recorded.
    pub samples: u64,
    /// Of one in a thousand.
    pub p0_1: u64,
    /// Of 1 %.
    pub p1: u64,
    /// Of 5 %.
    pub p5: u64,
    /// Of 10 %.
    pub p10: u64,
    /// Of half of them.
    pub p50: u64,
    /// Of 90 %.
    pub p90: u64,
    /// Of 99 %.
    pub p99: u64,
    /// Of all but one in a thousand.
    pub p99_9: u64,
}

/// Histograms beside each other.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart(Vec<(&'static str, Histogram)>);

// === impl Histogram ===

impl<T> Histogram<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self { counts: [0; u64::BITS as usize + 1], slots: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        self.counts[(u64::BITS - value.leading_zeros()) as usize] += times;
    }

    /// Values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The greatest value of the power of two that this share (0 to 1) of the values
    /// lies in or below; 0 when nothing was counted.
    pub fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.total() as f64 * share).ceil() as u64;
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        reached.map_or(0, |bits| u64::MAX.checked_shr(u64::BITS - bits as u32).unwrap_or(0))
    }

    /// The usual shares at once.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

// === impl PercentileStats ===

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, .. } = self;
        write!(f, "{samples} samples, p50 {p50}, p90 {p90}, p99 {p99}")
    }
}

// === impl AsciiChart ===

impl AsciiChart {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a histogram under a name.
    #[must_use]
    pub fn add(mut self, name: &'static str, histogram: Histogram) -> Self {
        self.0.push((name, histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.0 {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_values_lies_at_or_below_its_percentile() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile(0.5), 0);
        for value in [0, 1, 2, 3, 100, u64::MAX] {
            histogram.record(value);
        }
        for (share, want) in [(0.0, 0), (0.16, 0), (0.3, 1), (0.6, 3), (0.8, 127), (1.0, u64::MAX)]
        {
            assert_eq!(histogram.percentile(share), want, "{share}");
        }
        assert_eq!(histogram.percentile_stats().samples, 6);
    }
}
