//! Groups of tasks placed together: preferences share out the tasks level by
//! level, for all groups at once, and the leaves take nodes one group after the
//! other. What another group took meanwhile is shared out again in a next round.

use std::collections::HashMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use swarmw_model::Time;
use swarmw_state::State;

use crate::ask::{Ask, Asked};
use crate::class::Class;
use crate::explain::Filters;
use crate::group::Group;
use crate::hash::FastSet;
use crate::levels::{Balance, Levels};
use crate::need::Need;
use crate::run::Run;
use crate::tree::{ROOT, Tree};
use crate::{
    CompiledPreference, Consequence, Constraint, Policies, PolicyEvent, PolicyFailure, Scheduler,
};

/// Classes at work at once; each holds bitmaps over all nodes.
const CLASSES: usize = 64;
/// Rounds of sharing out before native balance takes what is left.
const ROUNDS: usize = 64;

/// Groups placed together, and what they share.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) runs: Vec<Run>,
    pub(crate) classes: Vec<Class>,
    pub(crate) trees: Vec<Tree>,
    class_of: HashMap<ClassKey, usize>,
    tree_of: HashMap<Vec<u64>, usize>,
    services: FastSet<swarmw_model::ServiceId>,
}

/// What makes two groups one class.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey {
    need: Need,
    constraints: Vec<u64>,
    preferences: Vec<u64>,
}

/// What a group's policies were compiled to.
pub(crate) struct Policy {
    pub(crate) constraints: Vec<Arc<Constraint>>,
    pub(crate) preferences: Vec<Arc<CompiledPreference>>,
}

// === impl Batch ===

impl Batch {
    /// Whether a group must wait for the next batch.
    pub(crate) fn is_closed_to(&self, group: &Group) -> bool {
        self.classes.len() >= CLASSES || self.services.contains(&group.service)
    }

    /// The class of a need and its policies, made now if it is the first.
    pub(crate) fn class(
        &mut self,
        need: Need,
        policy: &Policy,
        scheduler: &mut Scheduler,
        policies: &mut dyn Policies,
    ) -> Result<usize, PolicyFailure> {
        let key = ClassKey {
            need,
            constraints: policy.constraints.iter().map(|c| c.id).collect(),
            preferences: policy.preferences.iter().map(|p| p.id).collect(),
        };
        if let Some(class) = self.class_of.get(&key) {
            return Ok(*class);
        }
        let tree = self.tree(&policy.preferences, scheduler, policies)?;
        let filters = Filters::new(key.need.clone(), policy.constraints.clone(), &scheduler.table);
        let mask = filters.mask(&scheduler.table, &scheduler.verdicts);
        let mut class = Class::new(filters, mask, tree);
        class.recount(&self.trees[tree], &scheduler.usage);
        self.classes.push(class);
        self.class_of.insert(key, self.classes.len() - 1);
        Ok(self.classes.len() - 1)
    }

    fn tree(
        &mut self,
        preferences: &[Arc<CompiledPreference>],
        scheduler: &mut Scheduler,
        policies: &mut dyn Policies,
    ) -> Result<usize, PolicyFailure> {
        let key: Vec<u64> = preferences.iter().map(|p| p.id).collect();
        if let Some(tree) = self.tree_of.get(&key) {
            return Ok(*tree);
        }
        let Scheduler { table, verdicts, usage, .. } = scheduler;
        let mut tree = Tree::grow(preferences.to_vec(), table, verdicts, policies)?;
        tree.recount(usage);
        self.trees.push(tree);
        self.tree_of.insert(key, self.trees.len() - 1);
        Ok(self.trees.len() - 1)
    }

    /// Takes in a group of a class.
    pub(crate) fn add(
        &mut self,
        at: usize,
        group: &Group,
        class: usize,
        scheduler: &mut Scheduler,
        now: Time,
    ) {
        self.services.insert(group.service);
        let tasks = group.items.len();
        let counts = scheduler.usage.of_service(group.service).cloned().unwrap_or_default();
        self.runs.push(Run {
            group: at,
            class,
            left: u32::try_from(tasks).unwrap_or(u32::MAX),
            counts,
            placed: Vec::with_capacity(tasks),
            failures: scheduler.failures.recent(group.service, group.version, now),
            ..Run::default()
        });
    }

    /// Places what fits; the rows are in the runs.
    pub(crate) fn place(
        &mut self,
        groups: &[Group],
        state: &State,
        scheduler: &mut Scheduler,
        policies: &mut dyn Policies,
        events: &mut Vec<PolicyEvent>,
    ) {
        if self.trees.iter().flat_map(|tree| &tree.levels).any(|p| !p.loads.is_empty()) {
            scheduler.usage.settle();
        }
        let mut levels = Levels::of(&scheduler.table, &scheduler.usage);
        for round in 0.. {
            if round == ROUNDS {
                self.fall_to_native(|run| run.left > 0, groups, scheduler, policies);
            }
            if round > 0 {
                self.recount(scheduler);
            }
            let targets = self.share_out(groups, state, scheduler, policies, events);
            let left: u32 = self.fill(targets, scheduler, &mut levels);
            if left == 0 || round > ROUNDS {
                break;
            }
        }
    }

    fn recount(&mut self, scheduler: &Scheduler) {
        for tree in &mut self.trees {
            tree.recount(&scheduler.usage);
        }
        for class in &mut self.classes {
            class.recount(&self.trees[class.tree], &scheduler.usage);
        }
    }

    /// Gives runs the class of the same need without preferences.
    fn fall_to_native(
        &mut self,
        which: impl Fn(&Run) -> bool,
        groups: &[Group],
        scheduler: &mut Scheduler,
        policies: &mut dyn Policies,
    ) {
        for at in 0..self.runs.len() {
            if !which(&self.runs[at]) {
                continue;
            }
            let group = &groups[self.runs[at].group];
            let Some(policy) = &group.policy else {
                continue;
            };
            let native =
                Policy { constraints: policy.constraints.clone(), preferences: Vec::new() };
            let need = self.classes[self.runs[at].class].filters.need.clone();
            // Without a preference there is nobody who could fail.
            if let Ok(class) = self.class(need, &native, scheduler, policies) {
                self.runs[at].class = class;
            }
        }
    }

    /// Asks the preferences, level by level, how the runs' tasks are to be shared
    /// out over the leaves.
    fn share_out(
        &mut self,
        groups: &[Group],
        state: &State,
        scheduler: &mut Scheduler,
        policies: &mut dyn Policies,
        events: &mut Vec<PolicyEvent>,
    ) -> Vec<Ask> {
        let mut targets = Vec::new();
        let whole = |(run, r): (usize, &Run)| Ask { run, branch: ROOT, count: r.left };
        let mut asks: Vec<Ask> =
            self.runs.iter().enumerate().filter(|(_, r)| r.left > 0).map(whole).collect();
        for run in self.runs.iter_mut().filter(|run| run.left > 0) {
            run.settle();
            run.left = 0;
        }
        while !asks.is_empty() {
            let mut by_preference: Vec<(Arc<CompiledPreference>, Vec<Ask>)> = Vec::new();
            let mut place_of: HashMap<u64, usize> = HashMap::new();
            for ask in std::mem::take(&mut asks) {
                let tree = &self.trees[self.classes[self.runs[ask.run].class].tree];
                if tree.is_leaf(ask.branch) {
                    targets.push(ask);
                    continue;
                }
                let depth = tree.branches[ask.branch as usize].depth;
                let preference = &tree.levels[depth];
                let place = *place_of.entry(preference.id).or_insert(by_preference.len());
                if place == by_preference.len() {
                    by_preference.push((preference.clone(), Vec::new()));
                }
                by_preference[place].1.push(ask);
            }
            for (preference, of_it) in by_preference {
                match self.ask(&preference, &of_it, state, scheduler, policies) {
                    Ok(Asked { next, refusals }) => {
                        asks.extend(next);
                        for (run, reason, nodes) in refusals {
                            self.runs[run].refusals.push((reason, nodes));
                        }
                    }
                    Err(failure) => {
                        let first = &groups[self.runs[of_it[0].run].group];
                        events.push(PolicyEvent {
                            service: first.service,
                            failure,
                            consequence: Consequence::NativeBalance,
                        });
                        let hit: FastSet<usize> = of_it.iter().map(|a| a.run).collect();
                        // What inner levels of the same runs have asked goes with it.
                        let whole = |run: usize, lists: [&[Ask]; 3]| -> u32 {
                            lists
                                .into_iter()
                                .flatten()
                                .filter(|a| a.run == run)
                                .map(|a| a.count)
                                .sum()
                        };
                        let mut restart: Vec<Ask> = hit
                            .iter()
                            .map(|run| Ask {
                                run: *run,
                                branch: ROOT,
                                count: whole(*run, [&of_it, &asks, &targets]),
                            })
                            .collect();
                        restart.sort_by_key(|ask| ask.run);
                        asks.retain(|ask| !hit.contains(&ask.run));
                        targets.retain(|ask| !hit.contains(&ask.run));
                        let places: FastSet<usize> =
                            restart.iter().map(|a| self.runs[a.run].group).collect();
                        self.fall_to_native(
                            |run| places.contains(&run.group),
                            groups,
                            scheduler,
                            policies,
                        );
                        targets.extend(restart);
                    }
                }
            }
        }
        targets
    }

    /// Fills the leaves; says how many tasks found theirs full and are to be shared
    /// out again.
    fn fill(
        &mut self,
        mut targets: Vec<Ask>,
        scheduler: &mut Scheduler,
        levels: &mut Levels,
    ) -> u32 {
        targets.sort_by_key(|target| target.run);
        let Scheduler { table, usage, .. } = scheduler;
        let (mut marks, mut taken) = (FixedBitSet::with_capacity(table.len()), Vec::new());
        let mut again = 0;
        for of_run in targets.chunk_by(|a, b| a.run == b.run) {
            let run = &mut self.runs[of_run[0].run];
            let class = &mut self.classes[run.class];
            let tree = &self.trees[class.tree];
            let (marks, taken) = (&mut marks, &mut taken);
            let mut balance = Balance { table, usage, levels, marks, taken };
            run.marked = None;
            for row in run.marks() {
                balance.marks.insert(table.rank(row) as usize);
            }
            for target in of_run {
                let placed = class.fill(target.branch, target.count, run, tree, &mut balance);
                if target.branch != ROOT {
                    run.left += target.count - placed;
                }
            }
            run.marked = None;
            for row in run.marks() {
                balance.marks.remove(table.rank(row) as usize);
            }
            again += run.left;
        }
        again
    }
}
