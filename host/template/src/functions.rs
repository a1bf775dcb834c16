//! Functions: those that every template has, and what a caller adds.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::printf;
use crate::value::Value;

/// What a function takes in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Any,
    /// Text.
    Text,
    /// A number without a fraction.
    Int,
    /// A list of texts.
    Texts,
}

/// A function that knows its arguments alone.
type Plain = fn(&[Value]) -> Result<Value, String>;
type Call<'f> = Box<dyn Fn(&[Value]) -> Result<Value, String> + 'f>;

/// A function that a caller adds.
pub struct Function<'f> {
    takes: &'static [Kind],
    call: Call<'f>,
}

/// Functions by name. They go before those that every template has.
#[derive(Default)]
pub struct Functions<'f>(BTreeMap<&'static str, Function<'f>>);

/// What every template has.
#[derive(Clone, Copy)]
pub(crate) struct Builtin {
    /// Of the arguments that there must be.
    pub(crate) takes: &'static [Kind],
    /// Whether there may be more.
    pub(crate) more: bool,
    pub(crate) call: Plain,
}

// === impl Kind ===

impl Kind {
    /// What Go calls it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Texts => "[]string",
        }
    }

    pub(crate) fn admits(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => value.as_text().is_some(),
            Self::Int => value.as_int().is_some(),
            Self::Texts => match value.plain() {
                Value::List(list) => list.iter().all(|item| item.as_text().is_some()),
                _ => false,
            },
        }
    }
}

// === impl Functions ===

impl<'f> Functions<'f> {
    /// Adds a function that takes as many arguments as `takes` has kinds. What it
    /// gets is of these kinds.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        takes: &'static [Kind],
        call: impl Fn(&[Value]) -> Result<Value, String> + 'f,
    ) -> Self {
        self.0.insert(name, Function { takes, call: Box::new(call) });
        self
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function<'f>> {
        self.0.get(name)
    }
}

impl fmt::Debug for Functions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl Function ===

impl Function<'_> {
    pub(crate) fn takes(&self) -> &'static [Kind] {
        self.takes
    }

    pub(crate) fn call(&self, values: &[Value]) -> Result<Value, String> {
        (self.call)(values)
    }
}

impl fmt::Debug for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("takes", &self.takes).finish_non_exhaustive()
    }
}

pub(crate) fn is_builtin(name: &str) -> bool {
    // These two are the walker's own: they look at no more than they must.
    matches!(name, "and" | "or" | "call") || builtin(name).is_some()
}

pub(crate) fn builtin(name: &str) -> Option<Builtin> {
    use Kind::{Any, Text};
    let (takes, more, call): (&'static [Kind], bool, Plain) = match name {
        "eq" => (&[Any], true, eq),
        "ne" => (&[Any, Any], false, |values| Ok(Value::Bool(!equal(values)?))),
        "lt" => (&[Any, Any], false, |values| ordered(values, Ordering::is_lt)),
        "le" => (&[Any, Any], false, |values| ordered(values, Ordering::is_le)),
        "gt" => (&[Any, Any], false, |values| ordered(values, Ordering::is_gt)),
        "ge" => (&[Any, Any], false, |values| ordered(values, Ordering::is_ge)),
        "not" => (&[Any], false, |values| Ok(Value::Bool(!values[0].is_true()))),
        "len" => (&[Any], false, len),
        "index" => (&[Any], true, index),
        "slice" => (&[Any], true, slice),
        "print" => (&[], true, |values| Ok(printf::print(values).into())),
        "println" => (&[], true, |values| Ok(printf::print_line(values).into())),
        "printf" => (&[Text], true, |values| {
            let format = values[0].as_text().unwrap_or_default();
            Ok(printf::printf(format, &values[1..]).into())
        }),
        "html" => (&[], true, |values| Ok(escaped(values, html).into())),
        "js" => (&[], true, |values| Ok(escaped(values, js).into())),
        "urlquery" => (&[], true, |values| Ok(escaped(values, url_query).into())),
        _ => return None,
    };
    Some(Builtin { takes, more, call })
}

fn eq(values: &[Value]) -> Result<Value, String> {
    if values.len() < 2 {
        return Err("missing argument for comparison".to_owned());
    }
    for other in &values[1..] {
        if equal(&[values[0].clone(), other.clone()])? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(values: &[Value]) -> Result<bool, String> {
    let is_nil =
        |value: &Value| matches!(value, Value::Missing | Value::Null | Value::NilPointer(_));
    match (values[0].plain(), values[1].plain()) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (a, b) if is_nil(a) || is_nil(b) => Ok(is_nil(a) == is_nil(b)),
        (a @ (Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Bytes(..)), b)
            if std::mem::discriminant(a) == std::mem::discriminant(b) =>
        {
            Err(format!("non-comparable type {a}: {}", a.type_name()))
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn ordered(values: &[Value], is: fn(Ordering) -> bool) -> Result<Value, String> {
    let order = match (values[0].plain(), values[1].plain()) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        (
            Value::Int(_) | Value::Text(_) | Value::Float(_) | Value::Bool(_),
            Value::Int(_) | Value::Text(_) | Value::Float(_) | Value::Bool(_),
        ) => return Err("incompatible types for comparison".to_owned()),
        _ => return Err("invalid type for comparison".to_owned()),
    };
    Ok(Value::Bool(order.is_some_and(is)))
}

fn len(values: &[Value]) -> Result<Value, String> {
    let length = match values[0].plain() {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes, _) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        // Go's own slip, which its users see.
        Value::Missing | Value::Null => {
            return Err("reflect: call of reflect.Value.Type on zero Value".to_owned());
        }
        Value::NilPointer(_) => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(values: &[Value]) -> Result<Value, String> {
    let mut item = values[0].clone();
    if matches!(item, Value::Missing | Value::Null) {
        return Err("index of untyped nil".to_owned());
    }
    for key in &values[1..] {
        item = match item.plain() {
            Value::Text(text) => {
                let at = position(key, text.len(), "string")?;
                Value::Int(i64::from(text.as_bytes()[at]))
            }
            Value::Bytes(bytes, _) => {
                Value::Int(i64::from(bytes[position(key, bytes.len(), "slice")?]))
            }
            Value::List(list) => list[position(key, list.len(), "slice")?].clone(),
            Value::Map(map) => match key.as_text() {
                Some(key) => match map.index(key) {
                    Value::Missing => Value::Null,
                    value => value,
                },
                None => {
                    return Err(format!("value has type {}; should be string", key.type_name()));
                }
            },
            Value::Missing | Value::Null | Value::NilPointer(_) => {
                return Err("index of nil pointer".to_owned());
            }
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

/// A place in something that is this long.
fn position(key: &Value, length: usize, of: &str) -> Result<usize, String> {
    let at = bound(key, length)?;
    match at < length {
        true => Ok(at),
        false => Err(format!("reflect: {of} index out of range")),
    }
}

/// A place in something that is this long, or its end.
fn bound(key: &Value, length: usize) -> Result<usize, String> {
    let number = match key.plain() {
        Value::Int(number) => *number,
        Value::Missing | Value::Null | Value::NilPointer(_) => {
            return Err("cannot index slice/array with nil".to_owned());
        }
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    usize::try_from(number)
        .ok()
        .filter(|at| *at <= length)
        .ok_or_else(|| format!("index out of range: {number}"))
}

fn slice(values: &[Value]) -> Result<Value, String> {
    let (item, keys) = (values[0].plain(), &values[1..]);
    if keys.len() > 3 {
        return Err(format!("too many slice indexes: {}", keys.len()));
    }
    let length = match item {
        Value::Text(_) if keys.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Missing | Value::Null | Value::NilPointer(_) => {
            return Err("slice of untyped nil".to_owned());
        }
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let bounds = keys.iter().map(|key| bound(key, length)).collect::<Result<Vec<_>, _>>()?;
    for pair in bounds.windows(2) {
        if pair[0] > pair[1] {
            return Err(format!("invalid slice index: {} > {}", pair[0], pair[1]));
        }
    }
    let range = bounds.first().copied().unwrap_or(0)..bounds.get(1).copied().unwrap_or(length);
    Ok(match item {
        Value::List(list) => Value::List(list[range].into()),
        item => {
            let bytes = &item.as_text().unwrap_or_default().as_bytes()[range];
            String::from_utf8_lossy(bytes).into_owned().into()
        }
    })
}

fn escaped(values: &[Value], escape: fn(&str) -> String) -> String {
    escape(&match values {
        [Value::Text(text)] => text.to_string(),
        [Value::Missing] => "<no value>".to_owned(),
        values => printf::print(values),
    })
}

fn html(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
        out
    })
}

fn js(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\\' => out.push_str(r"\\"),
            '\'' => out.push_str(r"\'"),
            '"' => out.push_str(r#"\""#),
            '<' | '>' | '&' | '=' | '\0'..' ' => out += &format!(r"\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
        out
    })
}

fn url_query(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out += &format!("%{byte:02X}"),
        }
        out
    })
}
