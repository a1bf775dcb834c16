//! Objects as the types of Docker's client hold them. Go's templates tell a field that
//! has no value from one that does not exist, and a moment from its text; JSON does not.

mod types;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use swarmw_model::Duration;
use swarmw_template::{Field, Map, Struct, Value};

use crate::table::go_time;

pub(crate) use types::{CONFIG, EVENT, INFO, NETWORK, NODE, SECRET, SERVICE, VERSION_INFO, VOLUME};

/// Go's moment that is none.
const NO_MOMENT: &str = "0001-01-01T00:00:00Z";

/// What a field holds.
pub(crate) enum Shape {
    /// Whatever JSON has.
    Any,
    Text,
    Number,
    Bool,
    Bytes,
    Moment,
    /// Nanoseconds.
    Span,
    /// The permissions of a file.
    Mode,
    List(&'static Shape),
    Map(&'static Shape),
    /// A value that may be missing, and Go's name for the pointer.
    Maybe(&'static str, &'static Shape),
    Struct(&'static Type),
    Pointer(&'static Type),
    /// A struct whose fields stand among those of the one that has it.
    Embedded(&'static Type),
}

/// A struct.
pub(crate) struct Type {
    /// What Go calls a pointer to it.
    pub(crate) pointer: &'static str,
    pub(crate) fields: &'static [(&'static str, Shape)],
}

// === impl Type ===

impl Type {
    /// An object of this type.
    pub(crate) fn value(&'static self, json: &Value) -> Value {
        self.named(self.pointer.trim_start_matches('*'), Some(json))
    }

    fn named(&'static self, name: &'static str, json: Option<&Value>) -> Value {
        let object = match json {
            Some(Value::Map(map)) => Arc::clone(map),
            _ => Arc::default(),
        };
        let mut fields = Vec::with_capacity(self.fields.len());
        let mut known = Vec::new();
        for (name, shape) in self.fields {
            match shape {
                Shape::Embedded(inner) => {
                    let value = inner.value(&Value::Map(Arc::clone(&object)));
                    if let Value::Struct(inner) = &value {
                        let inner = inner.fields.iter().filter_map(|(name, field)| match field {
                            Field::Value(value) => {
                                Some((name.clone(), Field::Method(value.clone())))
                            }
                            _ => None,
                        });
                        fields.extend(inner);
                    }
                    known.extend(inner.fields.iter().map(|(name, _)| *name));
                    fields.push(((*name).into(), Field::Value(value)));
                }
                shape => {
                    let json = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    known.push(name);
                    let value = shape.value(json.map(|(_, value)| value));
                    fields.push(((*name).into(), Field::Value(value)));
                }
            }
        }
        // What Docker's types do not have, and the daemon tells.
        for (key, value) in object.iter() {
            if !known.iter().any(|name| key.eq_ignore_ascii_case(name)) {
                fields.push((key.to_owned().into(), Field::Method(value.clone())));
            }
        }
        Struct { name, fields, is_open: false, json: Some(Value::Map(object)) }.into()
    }
}

// === impl Shape ===

impl Shape {
    fn value(&'static self, json: Option<&Value>) -> Value {
        let json = json.filter(|json| !matches!(json, Value::Null));
        match (self, json) {
            (Self::Maybe(name, _), None) => Value::NilPointer(name),
            (Self::Maybe(_, shape), json) => shape.value(json),
            (Self::Pointer(of), None) => Value::NilPointer(of.pointer),
            (Self::Pointer(of), json) => of.named(of.pointer, json),
            (Self::Struct(of) | Self::Embedded(of), json) => {
                of.named(of.pointer.trim_start_matches('*'), json)
            }
            (Self::Any, None) => Value::Null,
            (Self::Text, None) => "".into(),
            (Self::Number, None) => Value::Int(0),
            (Self::Bool, None) => Value::Bool(false),
            (Self::Bytes, None) => Value::Bytes(Arc::new([]), "".into()),
            (Self::List(_), None) => Value::List(Arc::new([])),
            (Self::Map(shape), None) => Map::default().with_zero(shape.value(None)).into(),
            (Self::Moment, json) => moment(json.and_then(Value::as_text).unwrap_or(NO_MOMENT)),
            (Self::Span, json) => {
                let nanos = json.and_then(Value::as_int).unwrap_or_default();
                let span = Duration::from_nanos(nanos).to_string();
                Value::Printed(span.into(), Box::new(Value::Int(nanos)))
            }
            (Self::Mode, json) => {
                let mode = json.and_then(Value::as_int).unwrap_or_default();
                Value::Printed(permissions(mode).into(), Box::new(Value::Int(mode)))
            }
            (Self::Bytes, Some(Value::Text(text))) => match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => Value::Bytes(bytes.into(), Arc::clone(text)),
                Err(_) => Value::Text(Arc::clone(text)),
            },
            (Self::List(shape), Some(Value::List(list))) => {
                list.iter().map(|item| shape.value(Some(item))).collect()
            }
            (Self::Map(shape), Some(Value::Map(map))) => {
                let mut shaped = Map::default().with_zero(shape.value(None));
                // Go writes its maps in the order of their keys.
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                for (key, value) in entries {
                    shaped.insert(key, shape.value(Some(value)));
                }
                shaped.into()
            }
            (_, Some(json)) => json.clone(),
        }
    }
}

fn moment(text: &str) -> Value {
    let printed = match text {
        NO_MOMENT => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
        text => go_time(text),
    };
    Value::Printed(printed.into(), Box::new(text.into()))
}

/// `-r--r--r--`
fn permissions(mode: i64) -> String {
    let letters = "rwxrwxrwx".chars().enumerate();
    let shown = letters.map(|(at, letter)| if mode >> (8 - at) & 1 == 1 { letter } else { '-' });
    std::iter::once('-').chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Compiled;

    fn shown(template: &str) -> String {
        let json = r#"{"ID":"a","CreatedAt":"2026-11-20T23:41:33.56Z","Spec":{"Name":"web",
            "Swarmw":{"x":1},"UpdateConfig":{"Delay":90000000000}}}"#;
        let json: Value = serde_json::from_str(json).expect("JSON");
        match Compiled::inspecting(template).expect(template).render(&SERVICE.value(&json)) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_missing_has_its_types_zero() {
        for (template, want) in [
            (
                "{{.Spec.Name}} {{.Spec.Annotations.Name}} {{.Meta.CreatedAt}}",
                "web web 2026-11-20 23:41:33.56 +0000 UTC",
            ),
            (
                "{{.Spec.Labels}} {{.UpdateStatus}} {{.UpdatedAt}}",
                "map[] <nil> 0001-01-01 00:00:00 +0000 UTC",
            ),
            ("{{.Spec.UpdateConfig.Delay}} {{.Spec.UpdateConfig.Monitor}}", "1m30s 0s"),
            (r#"{{index .Spec.Labels "none"}}|{{.Spec.Labels.none}}"#, "|<no value>"),
            ("{{if .Spec.TaskTemplate.Placement}}y{{else}}n{{end}}", "n"),
            ("{{.Spec.Swarmw.x}} {{json .Spec.Swarmw}}", r#"1 {"x":1}"#),
            ("{{json .CreatedAt}} {{json .UpdateStatus}}", r#""2026-11-20T23:41:33.56Z" null"#),
            (
                "{{.UpdateStatus.State}}",
                r#"template parsing error: template: :1:15: executing "" at <.UpdateStatus.State>: nil pointer evaluating *swarm.UpdateStatus.State"#,
            ),
            (
                "{{.Spec.UpdateConfig.Nope}}",
                r#"template parsing error: template: :1:7: executing "" at <.Spec.UpdateConfig.Nope>: can't evaluate field Nope in type *swarm.UpdateConfig"#,
            ),
        ] {
            assert_eq!(shown(template), want, "{template}");
        }
    }

    #[test]
    fn permissions_have_letters() {
        assert_eq!(permissions(0o444), "-r--r--r--");
        assert_eq!(permissions(0o750), "-rwxr-x---");
    }
}
