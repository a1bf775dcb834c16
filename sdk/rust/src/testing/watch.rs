//! A call that does not come back, told before it hangs the tests.

use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Failure, PlanOf, PolicyText, RolloutFacts, Rows, Subject, Texts, VolumeText};
use crate::raw::volume::{Node, Scope, Step};
use crate::raw::{constraint, preference, update};

/// The longest that one call may take in `cargo test`: a hundred times and more what a
/// cluster gives it, so that a slow machine and a debugger's stop are not taken for a
/// loop at once.
pub const CALL_MAX: Duration = Duration::from_secs(10);
/// Between looks at the call under way.
const LOOK: Duration = Duration::from_millis(50);
/// What the tests end with when a call loops, as with a panic.
const LOOPS: i32 = 101;

/// A subject whose calls are watched from another thread.
pub struct Watched<'a> {
    subject: &'a mut dyn Subject,
    now: Arc<Mutex<Now>>,
    /// Dropped with it, which ends the thread that watches.
    _end: Sender<()>,
}

/// What is under way.
#[derive(Default)]
struct Now {
    case: String,
    call: Option<(&'static str, Instant)>,
}

/// Ends the tests at once, with what loops: nothing stops a thread that does.
pub fn end_tests(told: &str) {
    // Not by `eprintln!`, which the harness keeps until the test ends.
    let _ = writeln!(std::io::stderr(), "\n{told}");
    std::process::exit(LOOPS);
}

// === impl Watched ===

impl<'a> Watched<'a> {
    /// Calls `late` with words about the first call that takes longer than `most`.
    pub fn new(
        subject: &'a mut dyn Subject,
        most: Duration,
        late: impl FnOnce(&str) + Send + 'static,
    ) -> Self {
        let now = Arc::new(Mutex::new(Now::default()));
        let (end, ended) = mpsc::channel();
        let watched = Arc::clone(&now);
        thread::spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if let Some(told) = locked(&watched).late(most) {
                    return late(&told);
                }
            }
        });
        Self { subject, now, _end: end }
    }

    fn watch<T>(&mut self, call: &'static str, make: impl FnOnce(&mut dyn Subject) -> T) -> T {
        locked(&self.now).call = Some((call, Instant::now()));
        let answer = make(self.subject);
        locked(&self.now).call = None;
        answer
    }
}

impl Now {
    fn late(&self, most: Duration) -> Option<String> {
        let (call, _) = self.call.filter(|(_, since)| since.elapsed() > most)?;
        Some(format!(
            "{}\n  `{call}` did not come back within {} s: does it loop? The tests end here",
            self.case,
            most.as_secs_f64()
        ))
    }
}

fn locked(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subject for Watched<'_> {
    fn next_case(&mut self, case: &str) {
        locked(&self.now).case = case.to_owned();
        self.subject.next_case(case);
    }

    fn constraint(
        &mut self,
        expression: &str,
        options: &Texts,
    ) -> Result<constraint::Compiled, Failure> {
        self.watch("compile", |own| own.constraint(expression, options))
    }

    fn test(
        &mut self,
        expression: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<bool>, Failure> {
        self.watch("test", |own| own.test(expression, options, rows))
    }

    fn preference(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
    ) -> Result<preference::Compiled, Failure> {
        self.watch("compile", |own| own.preference(name, argument, options))
    }

    fn classify(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        rows: &Rows,
    ) -> Result<Vec<preference::Class>, Failure> {
        self.watch("classify", |own| own.classify(name, argument, options, rows))
    }

    fn allocate(
        &mut self,
        name: &str,
        argument: &str,
        options: &Texts,
        ask: &preference::Questions,
    ) -> Result<preference::Allocation, Failure> {
        self.watch("allocate", |own| own.allocate(name, argument, options, ask))
    }

    fn check(&mut self, policy: &PolicyText) -> Result<update::Needs, Failure> {
        self.watch("check", |own| own.check(policy))
    }

    fn begin(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        targets: &[update::TargetInfo],
        view: &update::View,
    ) -> Result<update::Outcome, Failure> {
        self.watch("begin", |own| own.begin(policy, facts, targets, view))
    }

    fn step(
        &mut self,
        policy: &PolicyText,
        facts: &RolloutFacts,
        state: &[u8],
        view: &update::View,
    ) -> Result<update::Outcome, Failure> {
        self.watch("step", |own| own.step(policy, facts, state, view))
    }

    fn volume(&mut self, volume: &VolumeText) -> Result<Scope, Failure> {
        self.watch("check", |own| own.volume(volume))
    }

    fn plan(
        &mut self,
        volume: &VolumeText,
        node: &Node,
        plan: PlanOf,
    ) -> Result<Vec<Step>, Failure> {
        let call = match plan {
            PlanOf::Create => "plan-create",
            PlanOf::Mount => "plan-mount",
            PlanOf::Remove => "plan-remove",
        };
        self.watch(call, |own| own.plan(volume, node, plan))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Comes back when it is told to.
    struct Held(Receiver<()>);

    impl Subject for Held {
        fn check(&mut self, _: &PolicyText) -> Result<update::Needs, Failure> {
            self.0.recv().expect("let go");
            Err(Failure::Broken("let go".to_owned()))
        }
    }

    #[test]
    fn a_call_that_does_not_come_back_is_told_with_its_case() {
        let (free, held) = channel();
        let (tell, told) = channel();
        let mut held = Held(held);
        let mut watched = Watched::new(&mut held, Duration::from_millis(1), move |late| {
            tell.send(late.to_owned()).expect("the test waits");
            free.send(()).expect("the call waits");
        });
        watched.next_case("cases/slow.cases:3 turtles all the way");
        let policy = PolicyText {
            name: "slow".to_owned(),
            settings: crate::Settings {
                failure_action: "slow".to_owned(),
                parallelism: 1,
                delay_ms: 0,
                monitor_ms: 0,
                max_failure_ratio: 0.0,
                order: crate::Order::StopFirst,
            },
            options: Texts::new(),
        };
        watched.check(&policy).expect_err("it was let go");
        let told = told.recv().expect("it was told");
        assert!(
            told.starts_with("cases/slow.cases:3 turtles all the way\n  `check` did"),
            "{told}"
        );
    }
}
