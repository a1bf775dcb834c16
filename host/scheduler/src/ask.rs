//! Questions to a preference: how many tasks go to each bin.

use swarmw_state::State;

use crate::batch::Batch;
use crate::loads::Loads;
use crate::tree::clamp;
use crate::{CompiledPreference, Policies, PolicyFailure, Questions, Scheduler};

/// Bins in one call; more questions go in the next.
const CALL_BINS: usize = 100_000;

/// Tasks of a run that are in a branch, to be shared out over its bins.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) run: usize,
    pub(crate) branch: u32,
    pub(crate) count: u32,
}

/// What a preference answered.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) next: Vec<Ask>,
    /// Run, reason, number of nodes.
    pub(crate) refusals: Vec<(usize, String, usize)>,
}

// === impl Batch ===

impl Batch {
    /// Asks one preference about many runs.
    pub(crate) fn ask(
        &self,
        preference: &CompiledPreference,
        asks: &[Ask],
        state: &State,
        scheduler: &Scheduler,
        policies: &mut dyn Policies,
    ) -> Result<Asked, PolicyFailure> {
        let mut asked = Asked::default();
        let mut rest = asks;
        while !rest.is_empty() {
            let mut form = Form::new(preference);
            let mut taken = 0;
            for ask in rest {
                if taken > 0 && form.bins.len() >= CALL_BINS {
                    break;
                }
                self.put(ask, preference, state, scheduler, &mut form);
                taken += 1;
            }
            rest = &rest[taken..];
            if !form.asks.is_empty() {
                let answer = policies.allocate(preference, &form.questions)?;
                self.read(preference, &form, answer, &mut asked)?;
            }
        }
        Ok(asked)
    }

    /// Puts one question. None is put where nothing fits.
    fn put(
        &self,
        ask: &Ask,
        preference: &CompiledPreference,
        state: &State,
        scheduler: &Scheduler,
        form: &mut Form,
    ) {
        let run = &self.runs[ask.run];
        let class = &self.classes[run.class];
        let tree = &self.trees[class.tree];
        let usage = &scheduler.usage;
        let own_room = class.room_for(run, tree, usage);
        let room = own_room.as_ref().unwrap_or(&class.room);
        let children = &tree.branches[ask.branch as usize].children;
        let has_room = |bin: &u32| room[*bin as usize] > 0;
        if !children.iter().any(has_room) {
            return;
        }
        let of_service = tree.sum(run.counts.iter().map(|(row, n)| (*row, u64::from(*n))));
        let failures = tree.sum(run.failures.iter().map(|(row, n)| (*row, u64::from(*n))));
        let loads = Loads { class, tree, scheduler, state, of_service: &of_service };
        let extra: Vec<Vec<f64>> =
            preference.loads.iter().map(|load| loads.per_branch(load, children)).collect();
        let reserved = class.filters.need.reserved;
        let q = &mut form.questions;
        q.tasks.push(ask.count);
        q.cpu.push(reserved.cpu.max(0) as u64);
        q.memory.push(reserved.memory.max(0) as u64);
        q.priority.push(0);
        for bin in children {
            let at = *bin as usize;
            if class.eligible[at] == 0 {
                continue;
            }
            form.bins.push(*bin);
            q.room.push(clamp(room[at]));
            q.service_tasks.push(clamp(of_service[at]));
            q.total_tasks.push(tree.total[at]);
            q.failures.push(clamp(failures[at]));
            q.weight.push(tree.branches[at].weight);
            for (row, values) in q.extra.iter_mut().zip(&extra) {
                row.push(values[at]);
            }
        }
        q.first.push(form.bins.len() as u32);
        form.asks.push(ask.clone());
    }

    fn read(
        &self,
        preference: &CompiledPreference,
        form: &Form,
        answer: crate::Allocation,
        asked: &mut Asked,
    ) -> Result<(), PolicyFailure> {
        let broken =
            |message: String| PolicyFailure::Broken { plugin: preference.plugin.clone(), message };
        if answer.counts.len() != form.bins.len() {
            return Err(broken(format!(
                "allocated {} bins of {}",
                answer.counts.len(),
                form.bins.len()
            )));
        }
        for (at, ask) in form.asks.iter().enumerate() {
            let bins = form.questions.first[at] as usize..form.questions.first[at + 1] as usize;
            let counts = &answer.counts[bins.clone()];
            let rooms = &form.questions.room[bins.clone()];
            let given: u64 = counts.iter().map(|n| u64::from(*n)).sum();
            if given > u64::from(ask.count) || counts.iter().zip(rooms).any(|(n, room)| n > room) {
                return Err(broken(format!(
                    "allocated {given} of {} tasks, or more than a bin has room for",
                    ask.count
                )));
            }
            for (bin, count) in form.bins[bins.clone()].iter().zip(counts) {
                if *count > 0 {
                    asked.next.push(Ask { run: ask.run, branch: *bin, count: *count });
                }
            }
            if given < u64::from(ask.count) {
                self.refusals(preference, form, bins, &answer, ask, asked);
            }
        }
        Ok(())
    }

    /// Why bins with room took no more.
    fn refusals(
        &self,
        preference: &CompiledPreference,
        form: &Form,
        bins: std::ops::Range<usize>,
        answer: &crate::Allocation,
        ask: &Ask,
        asked: &mut Asked,
    ) {
        let eligible = &self.classes[self.runs[ask.run].class].eligible;
        for at in bins {
            if answer.counts[at] == form.questions.room[at] {
                continue;
            }
            let given = answer.refusals.iter().find(|(bin, _)| *bin as usize == at);
            let reason = given.map_or_else(
                || format!("held back by preference {}", preference.preference.name),
                |(_, reason)| reason.clone(),
            );
            let nodes = eligible[form.bins[at] as usize] as usize;
            let known =
                asked.refusals.iter_mut().find(|(run, why, _)| *run == ask.run && *why == reason);
            match known {
                Some((_, _, sum)) => *sum += nodes,
                None => asked.refusals.push((ask.run, reason, nodes)),
            }
        }
    }
}

/// Questions being written, and what their bins stand for.
struct Form {
    questions: Questions,
    asks: Vec<Ask>,
    bins: Vec<u32>,
}

impl Form {
    fn new(preference: &CompiledPreference) -> Self {
        Self {
            questions: Questions {
                first: vec![0],
                extra: vec![Vec::new(); preference.loads.len()],
                ..Questions::default()
            },
            asks: Vec::new(),
            bins: Vec::new(),
        }
    }
}
