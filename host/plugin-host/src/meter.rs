//! What a plugin did: calls, time, faults, and the breaker that they open.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use swarmw_model::{Breaker, CallUse, Fault, PluginUse, RowUse, Time};

use crate::journal::now;
use crate::sandbox::FaultKind;

/// Faults that open the breaker, when they happen within [`BREAKER_WINDOW`].
const BREAKER_FAULTS: usize = 3;
/// See [`BREAKER_FAULTS`]; also how long the breaker stays open.
const BREAKER_WINDOW: Duration = Duration::from_secs(600);

/// The counts of one release.
pub struct Meter {
    since: Time,
    calls: BTreeMap<&'static str, CallUse>,
    rows: RowUse,
    /// When it did wrong lately.
    recent: VecDeque<Instant>,
    last: Option<Fault>,
    tightest: Option<Tightest>,
}

/// The call that came nearest to the end of its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tightest {
    /// Which.
    pub call: &'static str,
    /// CPU time that it took, its arguments and its answer handed over.
    pub spent: Duration,
    /// What it may take.
    pub budget: Duration,
}

// === impl Tightest ===

impl Tightest {
    /// How much of its budget it took.
    pub fn share(&self) -> f64 {
        self.spent.as_secs_f64() / self.budget.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

// === impl Meter ===

impl Meter {
    /// Counts from now on.
    pub fn new() -> Self {
        Self {
            since: now(),
            calls: BTreeMap::new(),
            rows: RowUse::default(),
            recent: VecDeque::new(),
            last: None,
            tightest: None,
        }
    }

    /// Whether it may be called; why not.
    pub fn closed(&mut self) -> Result<(), String> {
        self.forget();
        let Some(last) = self.last.as_ref().filter(|_| self.is_open()) else {
            return Ok(());
        };
        Err(format!(
            "failed {BREAKER_FAULTS} times within {} minutes and is not called for now; \
             the last time {} {}",
            BREAKER_WINDOW.as_secs() / 60,
            last.call,
            last.message
        ))
    }

    /// A call that ended, after this much CPU time of its budget.
    pub fn called(&mut self, call: &'static str, spent: Duration, budget: Duration) {
        let now = Tightest { call, spent, budget };
        if self.tightest.is_none_or(|before| before.share() < now.share()) {
            self.tightest = Some(now);
        }
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let of = self.calls.entry(call).or_default();
        of.count += 1;
        of.nanos += nanos;
        of.longest = of.longest.max(nanos);
    }

    /// A call that went wrong. True when this opened the breaker.
    pub fn failed(&mut self, call: &'static str, kind: FaultKind, message: &str) -> bool {
        let of = self.calls.entry(call).or_default();
        match kind {
            FaultKind::Trap => of.traps += 1,
            FaultKind::Late => of.late += 1,
            FaultKind::Invalid => of.invalid += 1,
        }
        let message = message.to_owned();
        self.last = Some(Fault { at: now(), call: call.to_owned(), message });
        self.forget();
        let was_open = self.is_open();
        self.recent.push_back(Instant::now());
        while self.recent.len() > BREAKER_FAULTS {
            self.recent.pop_front();
        }
        self.is_open() && !was_open
    }

    /// The call that came nearest to the end of its budget.
    pub fn tightest(&self) -> Option<Tightest> {
        self.tightest
    }

    /// Answers that a pass needed.
    pub fn needed(&mut self, rows: usize) {
        self.rows.needed += rows as u64;
    }

    /// Rows that the component was asked about.
    pub fn asked(&mut self, rows: usize) {
        self.rows.asked += rows as u64;
    }

    /// All of it.
    pub fn shown(&mut self, digest: &str) -> PluginUse {
        self.forget();
        let left = self.recent.front().map(|first| {
            let left = BREAKER_WINDOW.saturating_sub(first.elapsed());
            let nanos = i64::try_from(left.as_nanos()).unwrap_or(i64::MAX);
            Time::from_nanos(now().as_nanos().saturating_add(nanos))
        });
        PluginUse {
            digest: digest.to_owned(),
            since: self.since,
            calls: self.calls.iter().map(|(call, of)| ((*call).to_owned(), *of)).collect(),
            rows: self.rows,
            breaker: Breaker {
                open: self.is_open(),
                faults: self.recent.len() as u32,
                closes_at: left.filter(|_| self.is_open()),
            },
            last_fault: self.last.clone(),
        }
    }

    fn is_open(&self) -> bool {
        self.recent.len() >= BREAKER_FAULTS
    }

    fn forget(&mut self) {
        while self.recent.front().is_some_and(|first| first.elapsed() >= BREAKER_WINDOW) {
            self.recent.pop_front();
        }
    }
}
