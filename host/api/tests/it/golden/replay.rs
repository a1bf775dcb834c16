//! What was asked of Docker's engines, asked of our API in the same order.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use swarmw_api::Standing;

use super::compare::{Difference, Pairs};
use super::rest;
use crate::client::{Answered, Client};
use crate::fake::{NOW, Served, leading, serve};

/// Headers that are compared.
const HEADERS: [&str; 5] =
    ["Api-Version", "Content-Type", "Docker-Experimental", "Ostype", "Swarm"];
/// Bytes before each piece of a log.
const FRAME_HEAD: usize = 8;

/// A request, and what was answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub what: String,
    /// Of a documented one: the version of the API that has it first.
    #[serde(default)]
    pub since: String,
    /// Method and path.
    pub ask: String,
    #[serde(default)]
    query: Map<String, Value>,
    /// The node that was asked; the manager where none is named.
    #[serde(default)]
    to: String,
    #[serde(default)]
    sent: Option<Value>,
    pub status: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    /// Where in the answer `told` stands; all of it where nothing is said.
    #[serde(default)]
    part: String,
    #[serde(default)]
    pub told: Option<Value>,
}

/// Two nodes that are asked.
pub struct Replay {
    pub alpha: Served,
    pub beta: Served,
    pub pairs: Pairs,
    pub differences: Vec<Difference>,
}

// === impl Exchange ===

impl Exchange {
    pub fn method(&self) -> &str {
        self.ask.split(' ').next().unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.ask.split(' ').nth(1).unwrap_or_default()
    }

    pub fn is_of_logs(&self) -> bool {
        self.path().ends_with("/logs")
    }

    fn is_of_events(&self) -> bool {
        self.path().ends_with("/events")
    }

    /// What the answer holds, in the recording's form.
    fn content(&self, answered: &Answered) -> Option<Value> {
        let text = String::from_utf8_lossy(&answered.body);
        let whole = match &*text {
            "" => return None,
            _ if self.is_of_logs() && answered.status == 200 => pieces(&answered.body),
            _ if self.is_of_events() && answered.status == 200 => {
                let lines = text.lines().map(|line| serde_json::from_str(line).expect("an event"));
                json!({"lines": lines.collect::<Vec<Value>>()})
            }
            _ => serde_json::from_str(&text).unwrap_or_else(|_| json!({"text": text})),
        };
        whole.pointer(&self.part).cloned()
    }
}

/// A log: a terminal's as it is, else piece by piece.
fn pieces(mut body: &[u8]) -> Value {
    if !matches!(body.first(), Some(1..=3)) {
        return json!({"text": String::from_utf8_lossy(body)});
    }
    let mut pieces = Vec::new();
    while let Some((head, rest)) = body.split_at_checked(FRAME_HEAD) {
        let length = u32::from_be_bytes(head[4..].try_into().expect("four bytes"));
        let (text, rest) = rest.split_at(length.try_into().expect("a short piece"));
        pieces.push(json!({"output": head[0], "text": String::from_utf8_lossy(text)}));
        body = rest;
    }
    json!({"frames": pieces})
}

// === impl Replay ===

impl Replay {
    /// Two nodes in no swarm.
    pub async fn outside() -> Self {
        let (alpha, beta) = (serve(Standing::Inactive).await, serve(Standing::Inactive).await);
        alpha.fake.rests.store(true, Ordering::SeqCst);
        alpha.fake.describes.lock().unwrap().tls_info = Some(rest::tls_info());
        Self { alpha, beta, pairs: Pairs::default(), differences: Vec::new() }
    }

    /// One of which leads a swarm.
    pub async fn leading() -> Self {
        let replay = Self::outside().await;
        replay.alpha.fake.found();
        replay.alpha.fake.set(leading());
        replay
    }

    pub async fn play(&mut self, group: &str, exchanges: &[Exchange]) {
        for exchange in exchanges {
            rest::before(self, exchange);
            let answered = self.ask(exchange).await;
            let place = format!("{group}/{}", exchange.what);
            self.hold_beside(&place, exchange, &answered);
            rest::after(self, exchange);
        }
    }

    fn client(&self, exchange: &Exchange) -> &Client {
        match exchange.to.as_str() {
            "" => &self.alpha.client,
            "beta" => &self.beta.client,
            other => panic!("no node {other}"),
        }
    }

    async fn ask(&self, exchange: &Exchange) -> Answered {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &exchange.query {
            query.append_pair(key, &self.asked(key, value));
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        let path = format!("{}{mark}{query}", self.pairs.translate(exchange.path()));
        let mut sent = exchange.sent.as_ref().map(|sent| self.pairs.translate_all(sent));
        let key = sent.as_mut().and_then(|sent| sent.get_mut("UnlockKey"));
        if let Some(key) = key.filter(|key| **key == "<unlock key>") {
            *key = json!(rest::unlock_key(self));
        }
        self.client(exchange).call(exchange.method(), &path, sent).await
    }

    /// A parameter as it is meant here: by our versions, and by the clock of the test, at whose
    /// one moment everything happens.
    fn asked(&self, key: &str, value: &Value) -> String {
        let value = self.pairs.translate_all(value);
        match (key, value.as_str()) {
            ("version", Some(version)) => self.pairs.version(version),
            ("since", Some(_)) => "0".to_owned(),
            ("until", Some(_)) => {
                let now = NOW.as_nanos();
                format!("{}.{:09}", now / 1_000_000_000, now % 1_000_000_000)
            }
            (_, Some(text)) => text.to_owned(),
            (_, None) => value.to_string(),
        }
    }

    fn hold_beside(&mut self, place: &str, exchange: &Exchange, answered: &Answered) {
        let ours = exchange.content(answered);
        let status = answered.status.as_u16();
        if status != exchange.status {
            self.differences.push(Difference {
                place: format!("{place}#status"),
                docker: Some(json!([exchange.status, exchange.told])),
                ours: Some(json!([status, ours])),
            });
            if status < 400 || exchange.status < 400 {
                return;
            }
        }
        if let Some(headers) = &exchange.headers {
            self.hold_headers_beside(place, headers, answered);
        }
        let found = self.pairs.compare(place, exchange.told.as_ref(), ours.as_ref());
        self.differences.extend(found);
    }

    fn hold_headers_beside(
        &mut self,
        place: &str,
        headers: &BTreeMap<String, String>,
        answered: &Answered,
    ) {
        for name in HEADERS {
            let docker = headers.get(name).map_or("", String::as_str);
            let ours = answered.header(name);
            if docker != ours {
                self.differences.push(Difference {
                    place: format!("{place}#{name}"),
                    docker: Some(json!(docker)),
                    ours: Some(json!(ours)),
                });
            }
        }
    }
}
