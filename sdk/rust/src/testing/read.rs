//! From texts to typed options and columns, as the host reads them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Rows, Texts};
use crate::raw::{self, Cells, Column, ColumnType, Metadata, OptionType, Tuples};
use crate::{Ip, OptionEntry, OptionValue, Problem, Version, problem};

/// Options of a plugin from what an operator types.
pub fn options(metadata: &Metadata, texts: &Texts) -> Result<raw::Options, Vec<Problem>> {
    let specs: BTreeMap<&str, _> = metadata.options.iter().map(|s| (s.name.as_str(), s)).collect();
    let mut problems: Vec<Problem> = texts
        .keys()
        .filter(|name| !specs.contains_key(name.as_str()))
        .map(|name| problem("unknown-option", format!("unknown option {name}")).of_option(name))
        .collect();
    let mut entries = Vec::new();
    for spec in &metadata.options {
        let text = texts.get(&spec.name).or(spec.default.as_ref());
        match text.map(|text| (text, option(&spec.ty, text))) {
            Some((_, Ok(value))) => entries.push(OptionEntry { name: spec.name.clone(), value }),
            Some((text, Err(want))) => {
                let message =
                    format!("option {}: {text:?} is not {want}: {}", spec.name, spec.help);
                problems.push(problem("bad-option", message).of_option(&spec.name));
            }
            None if spec.required => {
                let message = format!("option {} is required: {}", spec.name, spec.help);
                problems.push(problem("missing-option", message).of_option(&spec.name));
            }
            None => {}
        }
    }
    if problems.is_empty() { Ok(raw::Options::new(entries)) } else { Err(problems) }
}

/// The value of an option's text, or what it should be.
pub fn option(ty: &OptionType, text: &str) -> Result<OptionValue, String> {
    match ty {
        OptionType::Text => Ok(OptionValue::Text(text.to_owned())),
        OptionType::Secret if text.is_empty() => Err("the name of a secret".to_owned()),
        OptionType::Secret => Ok(OptionValue::Text(text.to_owned())),
        OptionType::Boolean => match text {
            "true" | "1" | "yes" => Ok(OptionValue::Boolean(true)),
            "false" | "0" | "no" => Ok(OptionValue::Boolean(false)),
            _ => Err("true or false".to_owned()),
        },
        OptionType::Integer(range) => text
            .parse()
            .ok()
            .filter(|n| (range.min..=range.max).contains(n))
            .map(OptionValue::Integer)
            .ok_or_else(|| format!("an integer from {} to {}", range.min, range.max)),
        OptionType::Number => {
            number(text).map(OptionValue::Number).ok_or_else(|| "a number".to_owned())
        }
        OptionType::Duration => amount(text, &TIMES)
            .map(OptionValue::Integer)
            .ok_or_else(|| "a duration such as 1m30s".to_owned()),
        OptionType::Size => {
            size(text).map(OptionValue::Integer).ok_or_else(|| "a size such as 64MiB".to_owned())
        }
        OptionType::Choice(words) if words.iter().any(|w| w == text) => {
            Ok(OptionValue::Text(text.to_owned()))
        }
        OptionType::Choice(words) => Err(format!("one of {}", words.join(", "))),
    }
}

/// Milliseconds of each unit, longest name first.
const TIMES: [(&str, f64); 4] = [("ms", 1.0), ("h", 3_600_000.0), ("m", 60_000.0), ("s", 1_000.0)];

/// `1m30s`: numbers with units, added up.
fn amount(text: &str, units: &[(&str, f64)]) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, after) = rest.split_at(end);
        let (name, factor) = units.iter().find(|(name, _)| after.starts_with(name))?;
        sum += number(amount)? * factor;
        rest = &after[name.len()..];
    }
    (!text.is_empty()).then_some(sum as i64)
}

/// `64MiB`, `1.5k`, `12`: powers of 1024 however written.
fn size(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let shift = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    Some((number(amount)? * (1u64 << shift) as f64) as i64)
}

fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n: &f64| n.is_finite() && digits)
}

/// Rows of texts as a plugin gets them. What cannot be read is absent.
pub fn tuples(rows: &Rows) -> Tuples {
    let columns = rows.reads.iter().enumerate().map(|(at, read)| {
        let values = rows.values.iter().map(|row| row[at].as_deref());
        match read.read_as {
            ColumnType::Text => column(values, |t| Some(t.to_owned()), String::new(), Cells::Text),
            ColumnType::Integer => column(values, |t| t.parse().ok(), 0, Cells::Integer),
            ColumnType::Number => column(values, number, 0.0, Cells::Number),
            ColumnType::Version => {
                let none = Version { major: 0, minor: 0, patch: 0, pre: String::new() };
                column(values, Version::parse, none, Cells::Version)
            }
            ColumnType::Ip => {
                let ip = |t: &str| Some(Ip::from(t.parse::<IpAddr>().ok()?));
                column(values, ip, Ip { high: 0, low: 0 }, Cells::Ip)
            }
        }
    });
    Tuples { rows: rows.values.len() as u32, columns: columns.collect() }
}

fn column<'a, T: Clone>(
    values: impl Iterator<Item = Option<&'a str>>,
    read: impl Fn(&str) -> Option<T>,
    absent: T,
    cells: impl FnOnce(Vec<T>) -> Cells,
) -> Column {
    let values: Vec<Option<T>> = values.map(|value| value.and_then(&read)).collect();
    let present = values.iter().map(Option::is_some).collect();
    let filled = values.into_iter().map(|value| value.unwrap_or_else(|| absent.clone()));
    Column { present, cells: cells(filled.collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_as_the_host_reads_them() {
        for (ty, text, want) in [
            (OptionType::Duration, "1m30s", Ok(OptionValue::Integer(90_000))),
            (OptionType::Duration, "250ms", Ok(OptionValue::Integer(250))),
            (OptionType::Duration, "5", Err("a duration such as 1m30s".to_owned())),
            (OptionType::Size, "64MiB", Ok(OptionValue::Integer(64 << 20))),
            (OptionType::Size, "1.5k", Ok(OptionValue::Integer(1536))),
            (OptionType::Size, "12q", Err("a size such as 64MiB".to_owned())),
            (OptionType::Number, "NaN", Err("a number".to_owned())),
        ] {
            assert_eq!(option(&ty, text), want, "{text}");
        }
    }
}
