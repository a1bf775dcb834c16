//! Native policies: Swarm's constraints and spread, and a few that misbehave.
//! Every call is counted.

use std::collections::HashMap;
use std::sync::Arc;

use swarmw_model::Preference;
use swarmw_scheduler::{
    Allocation, Bins, Class, ColumnRef, ColumnType, CompiledPreference, Constraint, Match, Plan,
    Policies, PolicyFailure, Questions, RawOptions, TupleColumn, Tuples,
};

/// Calls by kind, and the rows that `test` was asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub constraint: usize,
    pub test: usize,
    pub rows: usize,
    pub preference: usize,
    pub classify: usize,
    pub allocate: usize,
}

/// Native policies.
#[derive(Default)]
pub struct Native {
    pub calls: Calls,
    pub generation: u64,
    /// `==` and `!=` answered by the scheduler's own index.
    pub indexed: bool,
    /// Every node passes every constraint.
    pub lax: bool,
    /// Plugins of these names are being compiled.
    pub compiling: Vec<&'static str>,
    /// Plugins of these names trap.
    pub broken: Vec<&'static str>,
    pub ids: HashMap<String, u64>,
}

impl Native {
    fn id(&mut self, text: String) -> u64 {
        let next = self.ids.len() as u64;
        *self.ids.entry(text).or_insert(next)
    }

    fn broken(&self, plugin: &str) -> Result<(), PolicyFailure> {
        match self.broken.contains(&plugin) {
            true => Err(PolicyFailure::Broken { plugin: plugin.into(), message: "trapped".into() }),
            false => Ok(()),
        }
    }
}

fn split(expression: &str) -> Option<(&str, bool, &str)> {
    let (key, equal, value) = match expression.split_once("==") {
        Some((key, value)) => (key, true, value),
        None => {
            let (key, value) = expression.split_once("!=")?;
            (key, false, value)
        }
    };
    Some((key.trim(), equal, value.trim()))
}

impl Policies for Native {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn constraint(
        &mut self,
        expression: &str,
        _: &RawOptions,
    ) -> Result<Arc<Constraint>, PolicyFailure> {
        self.calls.constraint += 1;
        let Some((key, equal, value)) = split(expression) else {
            return Err(PolicyFailure::Unclaimed {
                message: format!("no plugin claims {expression}"),
            });
        };
        let wanted = Match { column: key.to_owned(), values: vec![value.to_owned()] };
        let plan = match (self.indexed, equal) {
            (false, _) => Plan::Ask,
            (true, true) => Plan::Equals(wanted),
            (true, false) => Plan::NotEquals(wanted),
        };
        Ok(Arc::new(Constraint {
            id: self.id(expression.to_owned()),
            plugin: expression.into(),
            plan,
            reads: vec![ColumnRef { name: key.to_owned(), read_as: ColumnType::Text }],
            reason: "scheduling constraints not satisfied".into(),
        }))
    }

    fn test(
        &mut self,
        constraint: &Constraint,
        batch: &Tuples,
    ) -> Result<Vec<bool>, PolicyFailure> {
        self.broken("constraint")?;
        self.calls.test += 1;
        self.calls.rows += batch.rows;
        let (_, equal, value) = split(&constraint.plugin).expect("compiled");
        let TupleColumn { values, .. } = &batch.columns[0];
        let same =
            |text: &Option<Arc<str>>| text.as_ref().is_some_and(|t| t.eq_ignore_ascii_case(value));
        Ok(values.iter().map(|text| self.lax || same(text) == equal).collect())
    }

    fn preference(
        &mut self,
        preference: &Preference,
        _: &RawOptions,
    ) -> Result<Arc<CompiledPreference>, PolicyFailure> {
        if self.compiling.contains(&&*preference.name) {
            return Err(PolicyFailure::NotYet { plugin: preference.name.as_str().into() });
        }
        self.calls.preference += 1;
        let read = |name: &str| ColumnRef { name: name.to_owned(), read_as: ColumnType::Text };
        let loads = match preference.name.as_str() {
            "near" => vec![format!("service.{}.tasks", preference.argument)],
            _ => vec![],
        };
        let (bins, reads) = match preference.name.as_str() {
            "near" => (Bins::ByColumn("node.labels.zone".to_owned()), vec![]),
            "spread" | "refuse" => (Bins::ByColumn(preference.argument.clone()), vec![]),
            "initial" => (Bins::ByClass, vec![read(&preference.argument)]),
            "each" => (Bins::EachNode, vec![]),
            name => {
                return Err(PolicyFailure::Unclaimed {
                    message: format!("no plugin claims preference {name}"),
                });
            }
        };
        Ok(Arc::new(CompiledPreference {
            id: self.id(format!("{preference:?}")),
            plugin: preference.name.as_str().into(),
            preference: preference.clone(),
            bins,
            reads,
            loads,
        }))
    }

    fn classify(
        &mut self,
        preference: &CompiledPreference,
        batch: &Tuples,
    ) -> Result<Vec<Class>, PolicyFailure> {
        self.broken(&preference.plugin)?;
        self.calls.classify += 1;
        let label = |text: &Option<Arc<str>>| Class {
            label: text.as_ref().map_or("", |t| &t[..1.min(t.len())]).to_owned(),
            weight: 1.0,
        };
        Ok(batch.columns[0].values.iter().map(label).collect())
    }

    fn allocate(
        &mut self,
        preference: &CompiledPreference,
        questions: &Questions,
    ) -> Result<Allocation, PolicyFailure> {
        self.broken(&preference.plugin)?;
        self.calls.allocate += 1;
        let mut counts = vec![0; questions.room.len()];
        let mut refusals = Vec::new();
        for (q, tasks) in questions.tasks.iter().enumerate() {
            let bins = questions.first[q] as usize..questions.first[q + 1] as usize;
            if &*preference.plugin == "refuse" {
                refusals.extend(bins.map(|bin| (bin as u32, "not today".to_owned())));
                continue;
            }
            if let Some(near) = questions.extra.first() {
                let best = bins.max_by(|a, b| near[*a].total_cmp(&near[*b])).expect("a bin");
                counts[best] = *tasks;
                continue;
            }
            level(
                *tasks,
                &questions.room[bins.clone()],
                &questions.service_tasks[bins.clone()],
                &mut counts[bins],
            );
        }
        Ok(Allocation { counts, refusals })
    }
}

/// Levels bins by tasks of the service: each task goes to the lowest bin with room.
fn level(tasks: u32, room: &[u32], loads: &[u32], counts: &mut [u32]) {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    let mut heap: BinaryHeap<_> = (0..room.len())
        .filter(|bin| room[*bin] > 0)
        .map(|bin| Reverse((loads[bin], bin)))
        .collect();
    for _ in 0..tasks {
        let Some(Reverse((load, bin))) = heap.pop() else {
            break;
        };
        counts[bin] += 1;
        if counts[bin] < room[bin] {
            heap.push(Reverse((load + 1, bin)));
        }
    }
}
