//! From the operator's text to typed options.

use std::collections::BTreeMap;

use swarmw_model::{Duration, OptionType, PluginOption, Problem};

use crate::bindings::types::{OptionEntry, OptionValue};

/// Options of one plugin, typed, defaults filled in, sorted by name.
///
/// # Errors
/// An option that the plugin has not, that does not read as its type, or that is
/// required and missing; each with the option's help.
pub fn parse(
    specs: &[PluginOption],
    typed: &BTreeMap<&str, &str>,
) -> Result<Vec<OptionEntry>, Vec<Problem>> {
    let mut problems = Vec::new();
    for name in typed.keys() {
        if !specs.iter().any(|s| s.name == **name) {
            problems.push(unknown(specs, name));
        }
    }
    let mut entries = Vec::new();
    for spec in specs {
        let text = typed.get(spec.name.as_str()).copied().or(spec.default.as_deref());
        match text.map(|text| value(spec, text)) {
            Some(Ok(value)) => entries.push(OptionEntry { name: spec.name.clone(), value }),
            Some(Err(problem)) => problems.push(problem),
            None if spec.required => problems.push(problem(
                "missing-option",
                &spec.name,
                format!("option {} is required: {}", spec.name, spec.help),
            )),
            None => {}
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

/// Checks one option by itself.
///
/// # Errors
/// The plugin has no such option, or the text does not read as its type; with help.
pub fn check_one(specs: &[PluginOption], name: &str, text: &str) -> Result<(), Problem> {
    match specs.iter().find(|spec| spec.name == name) {
        Some(spec) => value(spec, text).map(|_| ()),
        None => Err(unknown(specs, name)),
    }
}

fn unknown(specs: &[PluginOption], name: &str) -> Problem {
    let known: Vec<String> = specs.iter().map(|s| format!("{} ({})", s.name, s.help)).collect();
    let known = if known.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", known.join(", "))
    };
    problem("unknown-option", name, format!("unknown option {name}: {known}"))
}

fn problem(code: &str, option: &str, message: String) -> Problem {
    Problem {
        code: code.to_owned(),
        message,
        option: Some(option.to_owned()),
        at: None,
        hint: None,
    }
}

fn value(spec: &PluginOption, text: &str) -> Result<OptionValue, Problem> {
    text_to_value(&spec.ty, text).map(from_text).map_err(|want| {
        problem(
            "bad-option",
            &spec.name,
            format!("option {}: {text:?} is not {want}: {}", spec.name, spec.help),
        )
    })
}

/// A typed value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, a choice, or a secret's name.
    Text(String),
    /// A boolean.
    Boolean(bool),
    /// An integer, milliseconds of a duration, or bytes of a size.
    Integer(i64),
    /// A number.
    Number(f64),
}

fn from_text(value: Value) -> OptionValue {
    match value {
        Value::Text(text) => OptionValue::Text(text),
        Value::Boolean(value) => OptionValue::Boolean(value),
        Value::Integer(value) => OptionValue::Integer(value),
        Value::Number(value) => OptionValue::Number(value),
    }
}

/// Reads the text of an option as its type.
///
/// # Errors
/// What it should have been, for people: `an integer from 1 to 9`.
pub fn text_to_value(ty: &OptionType, text: &str) -> Result<Value, String> {
    match ty {
        OptionType::Text => Ok(Value::Text(text.to_owned())),
        OptionType::Secret if text.is_empty() => Err("the name of a secret".to_owned()),
        OptionType::Secret => Ok(Value::Text(text.to_owned())),
        OptionType::Boolean => match text {
            "true" | "1" | "yes" => Ok(Value::Boolean(true)),
            "false" | "0" | "no" => Ok(Value::Boolean(false)),
            _ => Err("true or false".to_owned()),
        },
        OptionType::Integer { min, max } => text
            .parse()
            .ok()
            .filter(|value| (min..=max).contains(&value))
            .map(Value::Integer)
            .ok_or_else(|| format!("an integer from {min} to {max}")),
        OptionType::Number => number(text).map(Value::Number).ok_or_else(|| "a number".to_owned()),
        OptionType::Duration => text
            .parse::<Duration>()
            .ok()
            .filter(|d| !d.is_negative())
            .map(|d| Value::Integer(d.as_millis()))
            .ok_or_else(|| "a duration such as 1m30s".to_owned()),
        OptionType::Size => {
            size(text).map(Value::Integer).ok_or_else(|| "a size such as 64MiB".to_owned())
        }
        OptionType::Choice(choices) if choices.iter().any(|c| c == text) => {
            Ok(Value::Text(text.to_owned()))
        }
        OptionType::Choice(choices) => Err(format!("one of {}", choices.join(", "))),
    }
}

/// A finite decimal number.
pub fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n: &f64| n.is_finite() && digits)
}

/// Units of sizes: powers of 1024 however written, as Docker reads them.
const UNITS: [(char, u32); 5] = [('k', 10), ('m', 20), ('g', 30), ('t', 40), ('p', 50)];

/// A number of bytes with a unit, such as `64MiB`.
pub fn size(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        unit => {
            let (name, shift) = UNITS.iter().find(|(name, _)| unit.starts_with(*name))?;
            let rest = &unit[name.len_utf8()..];
            ["", "b", "ib"].contains(&rest).then_some(*shift)?
        }
    };
    let bytes = number(amount)? * (1u64 << shift) as f64;
    (bytes < i64::MAX as f64).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_as_their_type() {
        let whole = OptionType::Integer { min: 1, max: 9 };
        let choice = OptionType::Choice(vec!["a".into(), "b".into()]);
        for (ty, text, want) in [
            (&OptionType::Text, "", Some(Value::Text(String::new()))),
            (&OptionType::Boolean, "true", Some(Value::Boolean(true))),
            (&OptionType::Boolean, "maybe", None),
            (&whole, "9", Some(Value::Integer(9))),
            (&whole, "10", None),
            (&whole, "x", None),
            (&OptionType::Number, "0.5", Some(Value::Number(0.5))),
            (&OptionType::Number, "inf", None),
            (&OptionType::Number, "NaN", None),
            (&OptionType::Duration, "1m30s", Some(Value::Integer(90_000))),
            (&OptionType::Duration, "-1s", None),
            (&OptionType::Duration, "5", None),
            (&OptionType::Size, "64MiB", Some(Value::Integer(64 << 20))),
            (&OptionType::Size, "1.5k", Some(Value::Integer(1536))),
            (&OptionType::Size, "12", Some(Value::Integer(12))),
            (&OptionType::Size, "12q", None),
            (&OptionType::Size, "-1", None),
            (&OptionType::Size, "é", None),
            (&OptionType::Size, "1é", None),
            (&choice, "b", Some(Value::Text("b".into()))),
            (&choice, "c", None),
            (&OptionType::Secret, "", None),
        ] {
            assert_eq!(text_to_value(ty, text).ok(), want, "{text:?} as {ty:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_help() {
        let spec = |name: &str, required, default: Option<&str>| PluginOption {
            name: name.to_owned(),
            help: format!("the {name}"),
            ty: OptionType::Size,
            required,
            default: default.map(str::to_owned),
        };
        let specs = [spec("room", false, Some("1k")), spec("least", true, None)];
        let parsed = parse(&specs, &BTreeMap::from([("least", "2k")])).expect("options");
        let names: Vec<_> = parsed.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["least", "room"]);

        for (typed, message) in [
            (BTreeMap::new(), "option least is required: the least"),
            (
                BTreeMap::from([("least", "big")]),
                "option least: \"big\" is not a size such as 64MiB: the least",
            ),
            (
                BTreeMap::from([("least", "1"), ("roof", "1")]),
                "unknown option roof: it has room (the room), least (the least)",
            ),
        ] {
            let problems = parse(&specs, &typed).expect_err(message);
            assert_eq!(problems[0].message, message);
        }
    }
}
