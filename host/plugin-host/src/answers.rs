//! Checks of what placement plugins answer. The error completes the sentence that
//! the plugin's name begins.

use swarmw_scheduler::Questions;

use crate::bindings::constraint::exports::swarmw::constraint::constraint as wit_c;
use crate::bindings::preference::exports::swarmw::preference::preference as wit_p;
use crate::columns;

/// The longest reason and label that is taken.
const REASON_MAX: usize = 256;
/// The most values of a look-up.
const VALUES_MAX: usize = 1_000;
/// The most rows wanted in `questions.extra`.
const LOADS_MAX: usize = 8;

/// As many answers as rows.
pub fn one_per_row(what: &str, got: usize, rows: usize) -> Result<(), String> {
    if got == rows {
        return Ok(());
    }
    Err(format!("gave {got} {what} for {rows} rows"))
}

/// A compiled constraint: a short reason, columns and values within bounds.
pub fn check_constraint(info: &wit_c::CompiledInfo) -> Result<(), String> {
    short("reason", &info.reason)?;
    match &info.plan {
        wit_c::Plan::Equals(wanted) | wit_c::Plan::NotEquals(wanted) => {
            if !columns::exists(&wanted.column) {
                return Err(format!("reads column {:?}, which nodes have not", wanted.column));
            }
            if wanted.values.len() > VALUES_MAX {
                let count = wanted.values.len();
                return Err(format!("compares with {count} values; at most {VALUES_MAX}"));
            }
            Ok(())
        }
        _ => columns::references(info.reads.clone()).map(|_| ()),
    }
}

/// A compiled preference: columns that exist, loads of the grammar.
pub fn check_preference(info: &wit_p::CompiledInfo) -> Result<(), String> {
    if let wit_p::Bins::ByColumn(column) = &info.bins
        && !columns::exists(column)
    {
        return Err(format!("makes bins of column {column:?}, which nodes have not"));
    }
    if info.loads.len() > LOADS_MAX {
        return Err(format!("wants {} loads; at most {LOADS_MAX}", info.loads.len()));
    }
    let in_grammar = |load: &str| {
        load == "skew.total"
            || load.strip_prefix("node.free.").is_some_and(|kind| !kind.is_empty())
            || load
                .strip_prefix("service.")
                .and_then(|rest| rest.strip_suffix(".tasks"))
                .is_some_and(|name| !name.is_empty())
            || load.strip_prefix("tasks.label.").is_some_and(|label| label.contains('='))
    };
    if let Some(load) = info.loads.iter().find(|load| !in_grammar(load)) {
        return Err(format!("wants load {load:?}, which there is not"));
    }
    columns::references(info.reads.clone()).map(|_| ())
}

/// One class per row, short labels, weights that are numbers.
pub fn check_classes(classes: &[wit_p::Class], rows: usize) -> Result<(), String> {
    one_per_row("classes", classes.len(), rows)?;
    for class in classes {
        short("label", &class.label)?;
        if class.weight.is_nan() {
            return Err(format!("gave bin {:?} a weight that is no number", class.label));
        }
    }
    Ok(())
}

/// Counts within room and demand, refusals of bins that exist.
pub fn check_allocation(questions: &Questions, answer: &wit_p::Allocation) -> Result<(), String> {
    let (counts, bins) = (&answer.counts, questions.room.len());
    if counts.len() != bins {
        return Err(format!("gave {} counts for {bins} bins", counts.len()));
    }
    for (bin, (count, room)) in counts.iter().zip(&questions.room).enumerate() {
        if count > room {
            return Err(format!("put {count} tasks into bin {bin}, which has room for {room}"));
        }
    }
    for (question, tasks) in questions.tasks.iter().enumerate() {
        let start = questions.first.get(question).map_or(0, |f| *f as usize);
        let end = questions.first.get(question + 1).map_or(bins, |f| *f as usize);
        let sum: u64 = counts[start..end].iter().map(|c| u64::from(*c)).sum();
        if sum > u64::from(*tasks) {
            return Err(format!("placed {sum} tasks where {tasks} were to be placed"));
        }
    }
    if answer.refusals.len() > bins {
        return Err(format!("gave {} refusals for {bins} bins", answer.refusals.len()));
    }
    for refusal in &answer.refusals {
        short("reason", &refusal.reason)?;
        if refusal.bin as usize >= bins {
            return Err(format!("refused bin {} of {bins}", refusal.bin));
        }
    }
    Ok(())
}

fn short(what: &str, text: &str) -> Result<(), String> {
    if text.len() > REASON_MAX {
        return Err(format!("gave a {what} of {} bytes; at most {REASON_MAX}", text.len()));
    }
    Ok(())
}
