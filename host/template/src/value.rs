//! What templates look at: values with the shapes that Go tells apart.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value at all: what a map gives for a key that it lacks.
    Missing,
    /// Nothing, where anything could be: a `null` of JSON.
    Null,
    /// Nothing, where a value of this type could be.
    NilPointer(&'static str),
    /// True or false.
    Bool(bool),
    /// A number without a fraction.
    Int(i64),
    /// A number that may have a fraction.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// Bytes, and the text that stands for them in JSON.
    Bytes(Arc<[u8]>, Arc<str>),
    /// Values in their order.
    List(Arc<[Value]>),
    /// Values by key.
    Map(Arc<Map>),
    /// Values by name, all of which are known.
    Struct(Arc<Struct>),
    /// A value that prints as this text: a moment, a span of time.
    Printed(Arc<str>, Box<Value>),
}

/// Values by key, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Arc<str>, Value)>,
    /// What `index` gives for a key that it lacks; nothing where anything may be in it.
    zero: Option<Value>,
}

/// Values by name, in their order.
#[derive(Clone, Debug)]
pub struct Struct {
    /// What Go calls its type.
    pub name: &'static str,
    /// What it consists of.
    pub fields: Vec<(Cow<'static, str>, Field)>,
    /// Whether a name that it lacks has no value, where it would be a mistake.
    pub is_open: bool,
    /// What it is as JSON, where that is not just its fields.
    pub json: Option<Value>,
}

/// What a name in a [`Struct`] stands for.
#[derive(Clone, Debug)]
pub enum Field {
    /// A value.
    Value(Value),
    /// A method without arguments that gives this value.
    Method(Value),
    /// A method that takes a key: `.Label "KEY"`. It looks the key up in this map.
    Keyed(Arc<Map>, fn(&Map, &str) -> Value),
}

// === impl Value ===

impl Value {
    /// What Go calls its type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Missing => "<nil>",
            Self::Null => "interface {}",
            Self::NilPointer(name) => name,
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Bytes(..) => "[]uint8",
            Self::List(list) if list.iter().any(|item| !matches!(item, Self::Text(_))) => {
                "[]interface {}"
            }
            Self::List(_) => "[]string",
            Self::Map(map) if matches!(map.zero, Some(Self::Text(_))) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Struct(fields) => fields.name,
            Self::Printed(_, value) => value.type_name(),
        }
    }

    /// Whether `if` takes it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Null | Self::NilPointer(_) => false,
            Self::Bool(on) => *on,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Bytes(bytes, _) => !bytes.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Struct(_) => true,
            Self::Printed(_, value) => value.is_true(),
        }
    }

    /// The value below what it prints as.
    pub fn plain(&self) -> &Self {
        match self {
            Self::Printed(_, value) => value.plain(),
            value => value,
        }
    }

    /// The text that it is, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self.plain() {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number that it is, where it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.plain() {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(Arc::new(map))
    }
}

impl From<Struct> for Value {
    fn from(fields: Struct) -> Self {
        Self::Struct(Arc::new(fields))
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        Self::List(values.into_iter().collect())
    }
}

/// As Go's `fmt.Print` shows it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing | Self::Null | Self::NilPointer(_) => f.write_str("<nil>"),
            Self::Bool(on) => write!(f, "{on}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => f.write_str(&crate::printf::shortest(*number)),
            Self::Text(text) | Self::Printed(text, _) => f.write_str(text),
            Self::Bytes(bytes, _) => {
                let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
                write!(f, "[{}]", numbers.join(" "))
            }
            Self::List(list) => {
                f.write_str("[")?;
                for (at, item) in list.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Self::Map(map) => {
                f.write_str("map[")?;
                for (at, (key, value)) in map.sorted().into_iter().enumerate() {
                    write!(f, "{}{key}:{value}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            // All that it has are methods, which do not print.
            Self::Struct(fields) if fields.has_methods_alone() => Ok(()),
            Self::Struct(fields) => {
                f.write_str("{")?;
                let values = fields.fields.iter().filter_map(|(_, field)| match field {
                    Field::Value(value) => Some(value),
                    Field::Method(_) | Field::Keyed(..) => None,
                });
                for (at, value) in values.enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Missing | Self::Null | Self::NilPointer(_) => serializer.serialize_unit(),
            Self::Bool(on) => serializer.serialize_bool(*on),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) | Self::Bytes(_, text) => serializer.serialize_str(text),
            Self::Printed(_, value) => value.serialize(serializer),
            Self::List(list) => {
                let mut items = serializer.serialize_seq(Some(list.len()))?;
                for item in list.iter() {
                    items.serialize_element(item)?;
                }
                items.end()
            }
            Self::Map(map) => {
                let mut entries = serializer.serialize_map(Some(map.entries.len()))?;
                for (key, value) in &map.entries {
                    entries.serialize_entry(&**key, value)?;
                }
                entries.end()
            }
            Self::Struct(fields) => match &fields.json {
                Some(json) => json.serialize(serializer),
                None => {
                    let mut entries = serializer.serialize_map(None)?;
                    for (name, field) in &fields.fields {
                        if let Field::Value(value) | Field::Method(value) = field {
                            entries.serialize_entry(name, value)?;
                        }
                    }
                    entries.end()
                }
            },
        }
    }
}

/// From JSON; maps keep the order of their keys.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Json;

        impl<'de> Visitor<'de> for Json {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of JSON")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, on: bool) -> Result<Value, E> {
                Ok(Value::Bool(on))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Int(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                // Go's templates have one kind of number without a fraction.
                Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::from(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(list.into_iter().collect())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut map = Map::default();
                while let Some((key, value)) = entries.next_entry::<String, Value>()? {
                    map.insert(key, value);
                }
                Ok(map.into())
            }
        }

        deserializer.deserialize_any(Json)
    }
}

// === impl Map ===

impl Map {
    /// A map of texts alone: what it lacks is an empty text to `index`.
    pub fn of_texts<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let entries = entries.into_iter().map(|(key, text)| (key.into(), Value::Text(text.into())));
        Self { entries: entries.collect(), zero: Some(Value::from("")) }
    }

    /// The same map, all of whose values are of one type that has this zero.
    #[must_use]
    pub fn with_zero(mut self, zero: Value) -> Self {
        self.zero = Some(zero);
        self
    }

    /// Adds a value; of two with one key the later counts.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: Value) {
        let key = key.into();
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }

    /// The value with a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| **known == *key).map(|(_, value)| value)
    }

    /// What `index` gives.
    pub fn index(&self, key: &str) -> Value {
        match (self.get(key), &self.zero) {
            (Some(value), _) => value.clone(),
            (None, Some(zero)) => zero.clone(),
            (None, None) => Value::Missing,
        }
    }

    /// Keys and values in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// Keys and values in the order of the keys.
    pub(crate) fn sorted(&self) -> Vec<(&Arc<str>, &Value)> {
        let mut entries: Vec<_> = self.entries.iter().map(|(key, value)| (key, value)).collect();
        entries.sort_by_key(|(key, _)| *key);
        entries
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

// === impl Struct ===

impl Struct {
    fn has_methods_alone(&self) -> bool {
        let is_value = |(_, field): &(_, Field)| matches!(field, Field::Value(_));
        !self.fields.is_empty() && !self.fields.iter().any(is_value)
    }

    /// What a name stands for.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }
}
