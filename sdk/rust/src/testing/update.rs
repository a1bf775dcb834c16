//! Cases of update policies.

use super::case::{Case, Expected, What};
use super::placement::{refused, unmet};
use super::{End, Failure, PolicyText, Subject, rollout};

/// Plays a case of an update policy.
pub fn update(case: &Case, subject: &mut dyn Subject) -> Result<(), (usize, String)> {
    let What::Update { name, replicas, settings, script } = &case.what else { return Ok(()) };
    let policy = PolicyText {
        name: name.clone(),
        settings: settings.clone(),
        options: case.options.clone(),
    };
    let end = match rollout::play(&policy, "web", *replicas, script, subject) {
        Ok(end) => end,
        Err(failure @ Failure::Refused(_)) => return refused(case, &failure),
        Err(Failure::Broken(text)) => return Err((case.line, text)),
    };
    for (line, expected) in &case.expected {
        let true_now = match expected {
            Expected::Ends(outcome) => *outcome == end.outcome,
            Expected::Says(text) => end.message.contains(text.as_str()),
            Expected::Within(ms) => end.at_ms <= *ms,
            Expected::Replaced(ms, count) => ordered_by(&end, *ms) == *count,
            other => return Err((*line, unmet(other))),
        };
        if !true_now {
            return Err((*line, format!("it went so:\n{}", story(&end))));
        }
    }
    Ok(())
}

fn ordered_by(end: &End, ms: u64) -> u32 {
    end.ordered.iter().take_while(|(at, _)| *at <= ms).last().map_or(0, |(_, n)| *n)
}

/// Line by line, as `plugin dev` shows it too.
pub fn story(end: &End) -> String {
    let line = |told: &super::Told| {
        format!("    {:>8}  {}", format!("{:.1}s", told.at_ms as f64 / 1000.0), told.what)
    };
    end.story.iter().map(line).collect::<Vec<_>>().join("\n")
}
