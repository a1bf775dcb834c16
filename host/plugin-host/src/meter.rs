//! What a plugin did: calls, time, faults, and the [breaker](crate::breaker) that they
//! open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use swarmw_model::{Breaker, CallUse, Fault, PluginUse, RowUse, Time};

use crate::breaker::{self, After, Question};
use crate::journal::now;
use crate::sandbox::FaultKind;

/// The counts of one release.
pub struct Meter {
    since: Time,
    calls: BTreeMap<&'static str, CallUse>,
    rows: RowUse,
    breaker: breaker::Breaker,
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
            breaker: breaker::Breaker::default(),
            last: None,
            tightest: None,
        }
    }

    /// Whether it may be asked this; why not.
    pub fn may_ask(&mut self, question: Question) -> Result<(), String> {
        self.breaker.may_ask(question, Instant::now())
    }

    /// A call that went well.
    pub fn answered(&mut self, question: Question) {
        self.breaker.answered(question, Instant::now());
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

    /// A call that went wrong, and what comes of it.
    pub fn failed(
        &mut self,
        call: &'static str,
        question: Question,
        kind: FaultKind,
        message: &str,
    ) -> After {
        let of = self.calls.entry(call).or_default();
        match kind {
            FaultKind::Trap => of.traps += 1,
            FaultKind::Late => of.late += 1,
            FaultKind::Invalid => of.invalid += 1,
        }
        let fault = format!("{call} {message}");
        let message = message.to_owned();
        self.last = Some(Fault { at: now(), call: call.to_owned(), message });
        self.breaker.faulted(question, &fault, Instant::now())
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
        let breaker::Standing { faults, set_aside, closes_in, asked_in } =
            self.breaker.standing(Instant::now());
        let then = |left: Duration| {
            let nanos = i64::try_from(left.as_nanos()).unwrap_or(i64::MAX);
            Time::from_nanos(now().as_nanos().saturating_add(nanos))
        };
        PluginUse {
            digest: digest.to_owned(),
            since: self.since,
            calls: self.calls.iter().map(|(call, of)| ((*call).to_owned(), *of)).collect(),
            rows: self.rows,
            breaker: Breaker {
                open: closes_in.is_some(),
                faults: faults as u32,
                set_aside: set_aside as u32,
                closes_at: closes_in.map(then),
                set_aside_until: asked_in.map(then),
            },
            last_fault: self.last.clone(),
        }
    }
}
