//! What nodes have beside CPU and memory, under names of the operator's: GPUs, licences.
//! A node has so many of a kind, or names each; tasks ask for a number.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Some of a kind, in the shape of Docker's API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Shape", into = "Shape")]
pub enum GenericResource {
    /// One that has a name: a GPU by its serial number.
    Named {
        /// What it is.
        kind: String,
        /// Which one.
        name: String,
    },
    /// A number of them.
    Discrete {
        /// What they are.
        kind: String,
        /// How many.
        count: i64,
    },
}

/// The variables that tell a task what it was given begin so.
const VARIABLE: &str = "DOCKER_RESOURCE_";

/// Docker's shape: one of the two.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Shape {
    #[serde(skip_serializing_if = "Option::is_none")]
    named_resource_spec: Option<Of<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discrete_resource_spec: Option<Of<i64>>,
}

/// A kind, and which or how many.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Of<T> {
    kind: String,
    value: T,
}

/// What an operator types, `KIND=NUMBER` or `KIND=NAME`, by kind. Several names are
/// several resources.
///
/// # Errors
/// Swarm's words for what is wrong.
pub fn parse_generic_resources<'a>(
    terms: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<GenericResource>, String> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for term in terms {
        let malformed = || {
            parse_error(format_args!("incorrect term {term}, missing '=' or malformed expression"))
        };
        let (kind, value) = term.split_once('=').ok_or_else(malformed)?;
        let (kind, value) = (kind.trim(), value.trim());
        if kind.is_empty() || value.is_empty() || value.contains('=') {
            return Err(malformed());
        }
        kinds.entry(kind).or_default().push(value);
    }
    let mut all = Vec::new();
    for (kind, values) in kinds {
        let own = kind.to_owned();
        match (&values[..], values.iter().any(|value| value.parse::<i64>().is_ok())) {
            ([number], true) => {
                let count = number.parse().unwrap_or_default();
                if count < 0 {
                    let why = format_args!("cannot ask for negative resource {kind}");
                    return Err(parse_error(why));
                }
                all.push(GenericResource::Discrete { kind: own, count });
            }
            (_, true) => {
                return Err(parse_error(format_args!(
                    "mixed discrete and named resources in expression '{kind}=[{}]'",
                    values.join(" ")
                )));
            }
            (names, false) => all.extend(names.iter().map(|name| GenericResource::Named {
                kind: kind.to_owned(),
                name: (*name).to_owned(),
            })),
        }
    }
    Ok(all)
}

fn parse_error(why: fmt::Arguments<'_>) -> String {
    format!("could not parse GenericResource: {why}")
}

/// How many of each kind are asked for; none where that is nothing.
pub fn counts_by_kind(asked: &[GenericResource]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for resource in asked {
        let sum: &mut i64 = counts.entry(resource.kind().to_owned()).or_default();
        *sum = sum.saturating_add(resource.count().max(0));
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// The variables that tell a task what it was given: `DOCKER_RESOURCE_GPU=UUID1,UUID2`.
pub fn resource_variables(given: &[GenericResource]) -> Vec<String> {
    let mut variables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in given {
        let name = format!("{VARIABLE}{}", resource.kind().to_uppercase());
        variables.entry(name).or_default().push(resource.value());
    }
    variables.into_iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect()
}

// === impl GenericResource ===

impl GenericResource {
    /// What it is.
    pub fn kind(&self) -> &str {
        match self {
            Self::Named { kind, .. } | Self::Discrete { kind, .. } => kind,
        }
    }

    /// How many: a named one is one.
    pub fn count(&self) -> i64 {
        match self {
            Self::Named { .. } => 1,
            Self::Discrete { count, .. } => *count,
        }
    }

    /// Which one; empty where they are counted.
    pub fn name(&self) -> &str {
        match self {
            Self::Named { name, .. } => name,
            Self::Discrete { .. } => "",
        }
    }

    /// Which one, or how many, as a word.
    fn value(&self) -> String {
        match self {
            Self::Named { name, .. } => name.clone(),
            Self::Discrete { count, .. } => count.to_string(),
        }
    }
}

impl fmt::Display for GenericResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind(), self.value())
    }
}

// === impl Shape ===

impl TryFrom<Shape> for GenericResource {
    type Error = &'static str;

    fn try_from(shape: Shape) -> Result<Self, Self::Error> {
        match (shape.named_resource_spec, shape.discrete_resource_spec) {
            (Some(Of { kind, value }), None) => Ok(Self::Named { kind, name: value }),
            (None, Some(Of { kind, value })) => Ok(Self::Discrete { kind, count: value }),
            _ => Err("a generic resource has a NamedResourceSpec or a DiscreteResourceSpec"),
        }
    }
}

impl From<GenericResource> for Shape {
    fn from(resource: GenericResource) -> Self {
        match resource {
            GenericResource::Named { kind, name } => {
                Self { named_resource_spec: Some(Of { kind, value: name }), ..Self::default() }
            }
            GenericResource::Discrete { kind, count } => {
                Self { discrete_resource_spec: Some(Of { kind, value: count }), ..Self::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_type_numbers_or_names() {
        for (typed, want) in [
            ("", "[]"),
            ("gpu=2", r#"[{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}}]"#),
            (
                "gpu=UUID2 ssd=1 gpu=UUID1",
                r#"[{"NamedResourceSpec":{"Kind":"gpu","Value":"UUID2"}},{"NamedResourceSpec":{"Kind":"gpu","Value":"UUID1"}},{"DiscreteResourceSpec":{"Kind":"ssd","Value":1}}]"#,
            ),
            ("gpu", "incorrect term gpu, missing '=' or malformed expression"),
            ("gpu=1=2", "incorrect term gpu=1=2, missing '=' or malformed expression"),
            ("=1", "incorrect term =1, missing '=' or malformed expression"),
            ("gpu=-1", "cannot ask for negative resource gpu"),
            ("gpu=1 gpu=a", "mixed discrete and named resources in expression 'gpu=[1 a]'"),
            ("gpu=1 gpu=2", "mixed discrete and named resources in expression 'gpu=[1 2]'"),
        ] {
            let got = match parse_generic_resources(typed.split_whitespace()) {
                Ok(resources) => serde_json::to_string(&resources).expect("JSON"),
                Err(why) => why,
            };
            assert_eq!(got.trim_start_matches("could not parse GenericResource: "), want);
        }
    }

    #[test]
    fn both_of_dockers_shapes_are_read_and_nothing_else() {
        for (posted, want) in [
            (r#"{"NamedResourceSpec":{"Kind":"gpu","Value":"a"}}"#, Some("gpu=a")),
            (
                r#"{"NamedResourceSpec":null,"DiscreteResourceSpec":{"Kind":"gpu","Value":3}}"#,
                Some("gpu=3"),
            ),
            (r#"{}"#, None),
            (
                r#"{"NamedResourceSpec":{"Kind":"a","Value":"b"},"DiscreteResourceSpec":{"Kind":"a","Value":3}}"#,
                None,
            ),
        ] {
            let got = serde_json::from_str::<GenericResource>(posted).ok();
            assert_eq!(got.map(|r| r.to_string()).as_deref(), want, "{posted}");
        }
    }

    #[test]
    fn a_task_is_told_what_it_was_given() {
        let given = parse_generic_resources(["gpu=b", "gpu=a", "Ssd=3"]).expect("resources");
        assert_eq!(
            resource_variables(&given),
            ["DOCKER_RESOURCE_GPU=b,a", "DOCKER_RESOURCE_SSD=3"]
        );
        assert!(resource_variables(&[]).is_empty());
    }

    #[test]
    fn what_is_asked_twice_is_asked_for_in_sum() {
        let of = |kind: &str, count| GenericResource::Discrete { kind: kind.to_owned(), count };
        let counts = counts_by_kind(&[of("gpu", 1), of("gpu", 2), of("ssd", 0)]);
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("gpu".to_owned(), 3)]);
    }
}
