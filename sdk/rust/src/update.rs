//! Update policies: `--update-failure-action NAME`.

use std::marker::PhantomData;

use crate::raw::update::{
    Action, Needs, Order, Outcome, Policy, Query, ReplaceCall, ReplaceNextCall, RollbackCall,
    TargetInfo, View,
};
use crate::raw::{self, Metadata};
use crate::{Claim, Grant, Options, Package, Problem, State, problem};

/// Drives rolling updates. A value is the state of one rollout: saved after each
/// call, replicated, and loaded before the next.
pub trait UpdatePolicy: Package + State {
    /// `publisher/name`.
    const NAME: &'static str;

    /// What operators may set with `--policy-opt`; `()` for nothing.
    type Options: Options;

    /// The names that come here: [`Claim::name`].
    fn claims() -> Vec<Claim>;

    /// What it asks to be allowed: [`Grant::observe`].
    fn grants() -> Vec<Grant> {
        Vec::new()
    }

    /// Reads the settings when a spec is written; a problem refuses the service.
    ///
    /// # Errors
    /// What is wrong with them, for the operator.
    fn check(settings: &Settings, options: &Self::Options) -> Result<Needs, Problem> {
        let _ = (settings, options);
        Ok(Needs { targets: false, group_by: None })
    }

    /// The first call of a rollout; `targets` is empty unless `check` asked.
    ///
    /// # Errors
    /// Pauses the update with the text.
    fn begin(
        rollout: &Rollout<Self::Options>,
        targets: &[TargetInfo],
        view: &View,
        actions: &mut Actions,
    ) -> Result<Self, String>;

    /// On any change, and when the time given to [`Actions::wake_at`] has come.
    ///
    /// # Errors
    /// Pauses the update with the text.
    fn step(
        &mut self,
        rollout: &Rollout<Self::Options>,
        view: &View,
        actions: &mut Actions,
    ) -> Result<(), String>;

    /// Reads the state that version `writer` of this plugin saved.
    ///
    /// # Errors
    /// The old version stays in charge of the rollout.
    fn migrate(writer: &str, mut state: &[u8]) -> Result<Self, String> {
        Self::load(&mut state)
            .filter(|_| state.is_empty())
            .ok_or_else(|| format!("the state of version {writer} is not understood"))
    }
}

/// The `--update-*` values, or in a rollback the `--rollback-*` ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// As typed, one of the names claimed.
    pub failure_action: String,
    /// Targets at once; 0 for all.
    pub parallelism: u64,
    /// Between two of them, in milliseconds.
    pub delay_ms: u64,
    /// How long a new task is watched, in milliseconds.
    pub monitor_ms: u64,
    /// The share of failures that is borne, from 0 to 1.
    pub max_failure_ratio: f64,
    /// Which of the old and the new task goes first.
    pub order: Order,
}

/// Fixed for one rollout; a new spec starts another.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout<O> {
    /// The service's id.
    pub service_id: String,
    /// The service's name.
    pub service_name: String,
    /// The settings of the spec.
    pub settings: Settings,
    /// The plugin's own options.
    pub options: O,
    /// Back to an older spec.
    pub rolling_back: bool,
    /// Targets out of date at the start; their indexes are `0..total`.
    pub total: u32,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
}

/// What the host is to do now, in order. After `pause`, `roll_back` or `complete`
/// the rollout is over.
#[derive(Debug, Default)]
pub struct Actions {
    order: Option<Order>,
    list: Vec<Action>,
}

impl Actions {
    /// Replaces these targets; those that are not out of date are skipped.
    pub fn replace(&mut self, targets: &[u32]) {
        let call = ReplaceCall { targets: targets.to_vec(), order: self.order() };
        self.list.push(Action::Replace(call));
    }

    /// Replaces the next `count` targets that are out of date, in the host's order.
    pub fn replace_next(&mut self, count: u32) {
        if count > 0 {
            let call = ReplaceNextCall { count, order: self.order() };
            self.list.push(Action::ReplaceNext(call));
        }
    }

    /// Asks to be called at this time at the latest; holds for the next call only.
    pub fn wake_at(&mut self, ms: u64) {
        self.list.push(Action::WakeAt(ms));
    }

    /// Has the host ask a URL; needs a grant. The answer comes in a later view.
    pub fn observe(&mut self, query: Query) {
        self.list.push(Action::Observe(query));
    }

    /// Progress for `service ps` and `service inspect`.
    pub fn report(&mut self, text: impl Into<String>) {
        self.list.push(Action::Report(text.into()));
    }

    /// Stops until the operator updates again; the text is the status message.
    pub fn pause(&mut self, text: impl Into<String>) {
        self.list.push(Action::Pause(text.into()));
    }

    /// Back to the spec before; the reason is the status message.
    pub fn roll_back(&mut self, reason: impl Into<String>) {
        let call = RollbackCall { version: None, reason: reason.into() };
        self.list.push(Action::RollbackTo(call));
    }

    /// Done.
    pub fn complete(&mut self) {
        self.list.push(Action::Complete);
    }

    /// What was asked for so far.
    pub fn list(&self) -> &[Action] {
        &self.list
    }

    fn order(&self) -> Order {
        self.order.unwrap_or(Order::StopFirst)
    }
}

impl Settings {
    /// From the policy as the host gives it.
    ///
    /// # Errors
    /// A setting is missing, or of another type.
    pub fn read(policy: &Policy) -> Result<Self, Problem> {
        let settings = raw::Options::new(policy.settings.clone());
        let missing = |name: &str| problem("no-setting", format!("the setting {name} is missing"));
        let whole = |name: &str| {
            settings.integer(name).and_then(|n| n.try_into().ok()).ok_or_else(|| missing(name))
        };
        Ok(Self {
            failure_action: policy.failure_action.clone(),
            parallelism: whole("parallelism")?,
            delay_ms: whole("delay")?,
            monitor_ms: whole("monitor")?,
            max_failure_ratio: settings
                .number("max-failure-ratio")
                .ok_or_else(|| missing("max-failure-ratio"))?,
            order: match settings.text("order") {
                Some("start-first") => Order::StartFirst,
                Some("stop-first") => Order::StopFirst,
                _ => return Err(missing("order")),
            },
        })
    }
}

#[doc(hidden)]
pub struct Lifted<P>(PhantomData<P>);

impl<P: UpdatePolicy> raw::Plugin for Lifted<P> {
    fn describe() -> Metadata {
        crate::package::describe::<P, P::Options>(P::NAME, P::claims(), P::grants())
    }
}

impl<P: UpdatePolicy> raw::UpdatePolicy for Lifted<P> {
    fn check(policy: &Policy) -> Result<Needs, Vec<Problem>> {
        let options = raw::Options::new(policy.options.clone());
        Ok(P::check(&Settings::read(policy)?, &P::Options::read(&options))?)
    }

    fn begin(
        rollout: &raw::update::Rollout,
        targets: &[TargetInfo],
        view: &View,
    ) -> Result<Outcome, String> {
        let rollout = lift::<P>(rollout)?;
        let mut actions = Actions { order: Some(rollout.settings.order), list: Vec::new() };
        let state = P::begin(&rollout, targets, view, &mut actions)?;
        Ok(outcome(&state, actions))
    }

    fn step(
        rollout: &raw::update::Rollout,
        mut state: &[u8],
        view: &View,
    ) -> Result<Outcome, String> {
        let rollout = lift::<P>(rollout)?;
        let mut actions = Actions { order: Some(rollout.settings.order), list: Vec::new() };
        let mut own = P::load(&mut state)
            .filter(|_| state.is_empty())
            .ok_or("the state is not this plugin's")?;
        own.step(&rollout, view, &mut actions)?;
        Ok(outcome(&own, actions))
    }

    fn migrate(writer: &str, state: &[u8]) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        P::migrate(writer, state)?.save(&mut bytes);
        Ok(bytes)
    }
}

fn outcome(state: &impl State, actions: Actions) -> Outcome {
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    Outcome { state: bytes, actions: actions.list }
}

fn lift<P: UpdatePolicy>(raw: &raw::update::Rollout) -> Result<Rollout<P::Options>, String> {
    Ok(Rollout {
        service_id: raw.service_id.clone(),
        service_name: raw.service_name.clone(),
        settings: Settings::read(&raw.policy).map_err(|problem| problem.message)?,
        options: P::Options::read(&raw::Options::new(raw.policy.options.clone())),
        rolling_back: raw.rolling_back,
        total: raw.total,
        started_ms: raw.started_ms,
    })
}
