//! Reading requests: bodies within bounds, JSON as Go writes it, parameters.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use swarmw_model::{Filters, Refusal, Version};

use crate::fields;
use crate::reply::Reply;

/// Largest JSON body.
pub(crate) const JSON_MAX: usize = 4 << 20;
/// Largest component or blob.
pub(crate) const UPLOAD_MAX: usize = 64 << 20;

/// Bodies up to this are read before it is known whether they are wanted.
const AHEAD_MAX: usize = 64 << 10;

/// A request whose body is there already, where it is short and says so: a client that is
/// refused, and cut off, while it still writes has a broken pipe in place of the reason.
pub(crate) async fn ahead(request: Request) -> Reply<Request> {
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<usize>().ok()).unwrap_or_default();
    if !(1..=AHEAD_MAX).contains(&length) || headers.contains_key(UPGRADE) {
        return Ok(request);
    }
    let (parts, content) = request.into_parts();
    let content = bytes(content, AHEAD_MAX).await?;
    Ok(Request::from_parts(parts, Body::from(content)))
}

/// A whole body of at most `most` bytes.
pub(crate) async fn bytes(content: Body, most: usize) -> Reply<Bytes> {
    match Limited::new(content, most).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal::invalid(format!("the request's body is larger than {most} bytes")).into())
        }
        Err(error) => {
            Err(Refusal::invalid(format!("the request's body broke off: {error}")).into())
        }
    }
}

/// A JSON body as Go would read it: fields in any letter case, and without `null`s,
/// which Go writes for what is empty. No body at all is an empty object.
pub(crate) async fn json(request: Request) -> Reply<Value> {
    let (parts, content) = request.into_parts();
    if parts.headers.get(CONTENT_LENGTH).is_none_or(|n| n != "0") {
        check_content_type(&parts.headers)?;
    }
    value(&bytes(content, JSON_MAX).await?)
}

/// The same of a body that has been read.
pub(crate) fn value(whole: &Bytes) -> Reply<Value> {
    if whole.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let mut value = serde_json::from_slice(whole).map_err(invalid_json)?;
    drop_nulls(&mut value);
    fields::spell(&mut value);
    Ok(value)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = text.unwrap_or("").split(';').next().unwrap_or("").trim();
    // Without a body there is nothing to describe; a body in pieces has no length.
    let nothing = text.is_none() && headers.get(CONTENT_LENGTH).is_none();
    if nothing || kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "unsupported Content-Type header ({}): must be 'application/json'",
        text.unwrap_or("")
    )))
}

/// Reads a value of the body as one of our types.
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Reply<T> {
    Ok(serde_json::from_value(value).map_err(invalid_json)?)
}

fn invalid_json(error: serde_json::Error) -> Refusal {
    if error.is_eof() && error.line() <= 1 && error.column() == 0 {
        return Refusal::invalid("invalid JSON: got EOF while reading request body");
    }
    Refusal::invalid(format!("invalid JSON: {error}"))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The parameters after the `?`.
pub(crate) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

// === impl Params ===

impl<'a> Params<'a> {
    /// Of a request.
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).collect())
    }

    /// The value of a parameter; an absent one is empty.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All values of a parameter that may come several times.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// All of them, each with its value.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether a switch is on, by Docker's rule.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        let value = self.get(name).trim().to_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The `filters`, of which only the `known` keys may occur.
    pub(crate) fn filters(&self, known: &[&str]) -> Reply<Filters> {
        let filters = Filters::parse(self.get("filters"))
            .map_err(|error| Refusal::invalid(error.to_string()))?;
        filters.check(known)?;
        Ok(filters)
    }

    /// The `version` of the object that an update was made from.
    pub(crate) fn version(&self, kind: &str) -> Reply<Version> {
        let text = self.get("version");
        let why = match text.parse() {
            Ok(index) => return Ok(Version { index }),
            Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                "value out of range"
            }
            Err(_) => "invalid syntax",
        };
        Err(Refusal::invalid(format!(
            "invalid {kind} version '{text}': strconv.ParseUint: parsing {text:?}: {why}"
        ))
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_version_is_refused_in_gos_words() {
        for (query, want) in [
            ("/x", "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax"),
            (
                "/x?version=-1",
                "invalid service version '-1': strconv.ParseUint: parsing \"-1\": invalid syntax",
            ),
            (
                "/x?version=99999999999999999999",
                "invalid service version '99999999999999999999': strconv.ParseUint: parsing \
                 \"99999999999999999999\": value out of range",
            ),
        ] {
            let uri: Uri = query.parse().expect("a uri");
            let refused = Params::of(&uri).version("service").expect_err("refused");
            assert_eq!(refused.0.message, want);
        }
    }

    #[test]
    fn switches_follow_dockers_rule() {
        let uri: Uri = "/x?a=1&b=true&c=0&d=False&e=&f=yes".parse().expect("a uri");
        let params = Params::of(&uri);
        let on: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
            .into_iter()
            .filter(|name| params.is_on(name))
            .collect();
        assert_eq!(on, ["a", "b", "f"]);
    }

    #[test]
    fn nulls_are_as_good_as_absent() {
        let mut value = serde_json::json!({"a": null, "b": {"c": null, "d": [{"e": null}]}});
        drop_nulls(&mut value);
        assert_eq!(value, serde_json::json!({"b": {"d": [{}]}}));
    }
}
