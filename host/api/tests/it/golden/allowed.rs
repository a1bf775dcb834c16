//! Where answers may differ from Docker's, and why.

use std::collections::BTreeSet;

use serde_json::Value;

use super::compare::Difference;

/// Lines of a place, a tab and a reason; `*` in a place stands for whatever.
const ALLOWED: &str = include_str!("differences.txt");

/// Fails on what differs and is not allowed, and on what is allowed and does not differ.
pub fn check(differences: &[Difference], of: &str) {
    let faults = faults(differences, of, ALLOWED);
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn faults(differences: &[Difference], of: &str, allowed: &str) -> Vec<String> {
    let lines = allowed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let allowed: Vec<_> = lines
        .map(|line| line.split_once('\t').expect("a place, a tab and a reason"))
        .filter_map(|(place, _)| place.strip_prefix(of)?.strip_prefix(": "))
        .collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut faults = Vec::new();
    for difference in differences {
        let fitting: Vec<_> =
            allowed.iter().copied().filter(|name| fits(name, &difference.place)).collect();
        if fitting.is_empty() {
            faults.push(told(difference));
        }
        used.extend(fitting);
    }
    let unused = allowed.iter().filter(|name| !used.contains(*name));
    faults.extend(unused.map(|name| format!("nothing differs any more in {name}")));
    faults
}

fn told(Difference { place, docker, ours }: &Difference) -> String {
    let shown = |value: &Option<Value>| match value {
        Some(value) => value.to_string(),
        None => "nothing".to_owned(),
    };
    format!("{place}\n  docker {}\n  here   {}", shown(docker), shown(ours))
}

/// Whether a place is one that a name with `*` names.
fn fits(name: &str, place: &str) -> bool {
    let Some((begin, end)) = name.split_once('*') else { return name == place };
    let Some(rest) = place.strip_prefix(begin) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(end, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_with_stars() {
        for (name, place, fitting) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b.c", true),
            ("*.c", "a.b.c", true),
            ("*.b.*", "a.b.c", true),
            ("*.b.*.d", "a.b.c", false),
            ("a*c", "a.b.c", true),
            ("a*d", "a.b.c", false),
        ] {
            assert_eq!(fits(name, place), fitting, "{name} {place}");
        }
    }

    #[test]
    fn what_is_not_allowed_and_what_is_not_needed_are_faults() {
        let differs = |place: &str| Difference {
            place: place.to_owned(),
            docker: None,
            ours: Some(Value::Null),
        };
        let differences = [differs("x.A"), differs("x.B")];
        let allowed = "# why\nhere: x.A\tso\nhere: x.C\tso\nthere: x.D\tso\n";
        assert_eq!(
            faults(&differences, "here", allowed),
            ["x.B\n  docker nothing\n  here   null", "nothing differs any more in x.C"]
        );
    }
}
