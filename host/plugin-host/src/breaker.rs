//! What is not asked of a plugin any more, for a while.
//!
//! A fault is of one *question*: an expression with its options, a rollout, a volume.
//! One that failed three times is set aside alone, as what operators type must not take
//! a plugin away from those who typed something else. The plugin itself is not called
//! any more when it failed three different questions of the cluster and answered fewer,
//! or failed so often that its faults cost the leader too much time. Questions that are
//! only tried, of specs that are not in the cluster yet, do not count for that.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Faults of one question, or questions that failed, within [`WINDOW`].
const FAULTS: usize = 3;
/// Faults of all questions of the cluster within [`WINDOW`], however much goes well:
/// each may cost a budget of time.
const FAULTS_MAX: usize = 30;
/// How long a fault counts, and an answer.
const WINDOW: Duration = Duration::from_secs(600);
/// Different questions whose last outcome counts, the latest ones.
const LATEST: usize = 16;
/// Questions that failed and are remembered; of more, the one that failed longest ago is
/// forgotten.
const FAILED_MAX: usize = 1_000;

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    about: u64,
    /// The cluster needs the answer: it is not only tried.
    counts: bool,
}

/// Whether a plugin is called.
#[derive(Default)]
pub struct Breaker {
    failed: HashMap<u64, Failed>,
    /// The latest questions, each once, when, and whether they went well.
    latest: VecDeque<Outcome>,
    /// The last faults that count, at most [`FAULTS_MAX`].
    faults: VecDeque<Instant>,
    open: Option<Open>,
}

struct Outcome {
    about: u64,
    at: Instant,
    well: bool,
}

/// Nothing is asked.
struct Open {
    since: Instant,
    why: String,
    last: String,
}

#[derive(Default)]
struct Failed {
    at: VecDeque<Instant>,
    last: String,
}

/// What a fault led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing yet.
    Called,
    /// This question is not asked any more.
    SetAside,
    /// Nothing is.
    Open,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Faults that count.
    pub faults: usize,
    /// Questions that are set aside.
    pub set_aside: usize,
    /// While nothing is asked: until something is again.
    pub closes_in: Option<Duration>,
    /// Until the first of the questions set aside is asked again.
    pub asked_in: Option<Duration>,
}

// === impl Question ===

impl Question {
    /// A question about this, which the cluster needs answered.
    pub fn about(thing: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        Self { about: hasher.finish(), counts: true }
    }

    /// The same, tried for somebody who asks whether it could be answered.
    pub fn tried(self) -> Self {
        Self { counts: false, ..self }
    }
}

// === impl Breaker ===

impl Breaker {
    /// Whether this may be asked now; why not.
    pub fn may_ask(&mut self, question: Question, now: Instant) -> Result<(), String> {
        self.forget(now);
        let minutes = WINDOW.as_secs() / 60;
        if let Some(Open { why, last, .. }) = &self.open {
            return Err(format!(
                "failed {why} within {minutes} minutes and is not called for as long, or until it \
                 is enabled again; the last time {last}"
            ));
        }
        match self.failed.get(&question.about) {
            Some(failed) if failed.at.len() >= FAULTS => Err(format!(
                "failed {FAULTS} times at this within {minutes} minutes and is not asked it for as \
                 long, or until it is enabled again; the last time {}",
                failed.last
            )),
            _ => Ok(()),
        }
    }

    /// It went well.
    pub fn answered(&mut self, question: Question, now: Instant) {
        self.note(question, true, now);
    }

    /// It went wrong, so.
    pub fn faulted(&mut self, question: Question, fault: &str, now: Instant) -> After {
        self.forget(now);
        self.make_room(question);
        let of = self.failed.entry(question.about).or_default();
        of.at.push_back(now);
        fault.clone_into(&mut of.last);
        let faults = of.at.len();
        self.note(question, false, now);
        if question.counts {
            self.faults.push_back(now);
            if self.open.is_none()
                && let Some(why) = self.too_many()
            {
                self.open = Some(Open { since: now, why, last: fault.to_owned() });
                return After::Open;
            }
        }
        if faults == FAULTS { After::SetAside } else { After::Called }
    }

    /// Whether it failed so often that it is not to be called.
    fn too_many(&self) -> Option<String> {
        let bad = self.latest.iter().filter(|outcome| !outcome.well).count();
        if bad >= FAULTS && bad > self.latest.len() - bad {
            return Some(format!("{FAULTS} different questions"));
        }
        (self.faults.len() >= FAULTS_MAX).then(|| format!("{FAULTS_MAX} times"))
    }

    /// How it stands.
    pub fn standing(&mut self, now: Instant) -> Standing {
        self.forget(now);
        let aside = || self.failed.values().filter(|failed| failed.at.len() >= FAULTS);
        let left = |since: Instant| WINDOW.saturating_sub(now - since);
        Standing {
            faults: self.failed.values().map(|failed| failed.at.len()).sum(),
            set_aside: aside().count(),
            closes_in: self.open.as_ref().map(|open| left(open.since)),
            asked_in: aside().filter_map(|failed| failed.at.front().copied()).min().map(left),
        }
    }

    fn note(&mut self, question: Question, well: bool, now: Instant) {
        if !question.counts {
            return;
        }
        self.latest.retain(|known| known.about != question.about);
        self.latest.push_back(Outcome { about: question.about, at: now, well });
        if self.latest.len() > LATEST {
            self.latest.pop_front();
        }
    }

    /// Room for one more question that failed.
    fn make_room(&mut self, question: Question) {
        if self.failed.len() < FAILED_MAX || self.failed.contains_key(&question.about) {
            return;
        }
        let last = |failed: &Failed| failed.at.back().copied();
        let oldest = self.failed.iter().min_by_key(|(_, failed)| last(failed));
        if let Some(about) = oldest.map(|(about, _)| *about) {
            self.failed.remove(&about);
        }
    }

    /// What is older than the window counts no more.
    fn forget(&mut self, now: Instant) {
        let old = |at: Instant| now.saturating_duration_since(at) >= WINDOW;
        if self.open.as_ref().is_some_and(|open| old(open.since)) {
            *self = Self::default();
        }
        self.failed.retain(|_, failed| {
            failed.at.retain(|at| !old(*at));
            !failed.at.is_empty()
        });
        self.faults.retain(|at| !old(*at));
        self.latest.retain(|outcome| !old(outcome.at));
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.as_ref().map(|open| &open.why);
        f.debug_struct("Breaker").field("open", &open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "good";

    fn ask(breaker: &mut Breaker, what: &str, now: Instant) -> Result<After, String> {
        put(breaker, Question::about(what), what, now)
    }

    fn try_out(breaker: &mut Breaker, what: &str, now: Instant) -> Result<After, String> {
        put(breaker, Question::about(what).tried(), what, now)
    }

    fn put(
        breaker: &mut Breaker,
        question: Question,
        what: &str,
        now: Instant,
    ) -> Result<After, String> {
        breaker.may_ask(question, now)?;
        if what.starts_with(GOOD) {
            breaker.answered(question, now);
            return Ok(After::Called);
        }
        Ok(breaker.faulted(question, &format!("trapped at {what}"), now))
    }

    #[test]
    fn a_question_that_fails_three_times_is_set_aside_alone_and_for_ten_minutes() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        assert_eq!(ask(&mut breaker, "bad", start), Ok(After::Called));
        let later = start + WINDOW / 2;
        assert_eq!(ask(&mut breaker, "bad", later), Ok(After::Called));
        assert_eq!(ask(&mut breaker, "bad", later), Ok(After::SetAside));
        let said = ask(&mut breaker, "bad", later).expect_err("set aside");
        assert!(
            said.contains("failed 3 times at this") && said.ends_with("trapped at bad"),
            "{said}"
        );
        assert_eq!(ask(&mut breaker, "good", later), Ok(After::Called));
        let want =
            Standing { faults: 3, set_aside: 1, closes_in: None, asked_in: Some(WINDOW / 2) };
        assert_eq!(breaker.standing(later), want);

        // The first of the three is forgotten, and it may be tried once more.
        let after = start + WINDOW;
        assert_eq!(ask(&mut breaker, "bad", after), Ok(After::SetAside));
        assert!(ask(&mut breaker, "bad", after).is_err());
    }

    #[test]
    fn a_plugin_that_fails_three_questions_and_answers_fewer_is_not_called() {
        for (answered, after) in [(0, After::Open), (2, After::Open), (3, After::Called)] {
            let (mut breaker, now) = (Breaker::default(), Instant::now());
            for number in 0..answered {
                ask(&mut breaker, &format!("good {number}"), now).expect("closed");
            }
            let faults: Vec<_> =
                ["a", "b", "c"].iter().map(|what| ask(&mut breaker, what, now)).collect();
            assert_eq!(faults, [Ok(After::Called), Ok(After::Called), Ok(after)], "{answered}");
            let others = ask(&mut breaker, "good others", now);
            assert_eq!(others.is_err(), after == After::Open, "{answered}: {others:?}");
            assert!(ask(&mut breaker, "good others", now + WINDOW).is_ok());
        }
    }

    #[test]
    fn what_operators_try_stops_nothing_else_however_much_of_it_fails() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for number in 0..2 * FAULTS_MAX {
            let typo = format!("typo {number}");
            assert_eq!(try_out(&mut breaker, &typo, now), Ok(After::Called), "{typo}");
        }
        assert_eq!(ask(&mut breaker, "good", now), Ok(After::Called));
        for after in [After::Called, After::Called, After::SetAside] {
            assert_eq!(try_out(&mut breaker, "slip", now), Ok(after));
        }
        assert!(try_out(&mut breaker, "slip", now).is_err(), "but it is set aside itself");
        assert_eq!(breaker.standing(now).closes_in, None);
    }

    #[test]
    fn faults_have_a_bound_whatever_goes_well_beside_them() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for number in 1..=FAULTS_MAX {
            ask(&mut breaker, &format!("good {number}"), now).expect("closed");
            let after = if number == FAULTS_MAX { After::Open } else { After::Called };
            assert_eq!(ask(&mut breaker, &format!("bad {number}"), now), Ok(after), "{number}");
        }
        let said = ask(&mut breaker, "good", now).expect_err("open");
        assert!(said.starts_with("failed 30 times within 10 minutes"), "{said}");
        assert_eq!(breaker.standing(now).closes_in, Some(WINDOW));
    }

    #[test]
    fn what_went_well_long_ago_does_not_speak_for_a_plugin() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for number in 0..LATEST {
            ask(&mut breaker, &format!("good {number}"), start).expect("closed");
        }
        let later = start + WINDOW;
        let faults: Vec<_> = ["a", "b", "c"].map(|what| ask(&mut breaker, what, later)).into();
        assert_eq!(faults, [Ok(After::Called), Ok(After::Called), Ok(After::Open)]);
    }

    #[test]
    fn of_too_many_questions_the_one_that_failed_longest_ago_is_forgotten() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |number: usize| start + Duration::from_micros(number as u64);
        for number in 0..2 * FAILED_MAX {
            let question = Question::about(number).tried();
            for _ in 0..FAULTS {
                breaker.faulted(question, "trapped", at(number));
            }
        }
        assert_eq!((breaker.failed.len(), breaker.latest.len()), (FAILED_MAX, 0));
        let is_aside = |breaker: &mut Breaker, number: usize| {
            let question = Question::about(number);
            breaker.may_ask(question, at(2 * FAILED_MAX)).is_err()
        };
        assert!(!is_aside(&mut breaker, FAILED_MAX - 1));
        assert!(is_aside(&mut breaker, FAILED_MAX));
    }
}
