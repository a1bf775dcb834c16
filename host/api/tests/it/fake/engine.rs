//! A container engine that answers what it was told to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;

/// Method and path with its query, and the body.
pub type Asked = (String, Value);

/// It knows networks, containers and volumes.
#[derive(Clone)]
pub struct FakeEngine {
    pub socket: PathBuf,
    pub networks: Arc<Mutex<Vec<Value>>>,
    pub containers: Arc<Mutex<Vec<Value>>>,
    pub events: Arc<Mutex<Vec<Value>>>,
    /// What it says instead of removing networks.
    pub prunes_no_more: Arc<Mutex<Option<String>>>,
    /// Volumes that no container uses.
    pub volumes: Arc<Mutex<Vec<Value>>>,
    /// Volumes that it does not remove, each with the status of its answer.
    pub holds: Arc<Mutex<BTreeMap<String, u16>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

// === impl FakeEngine ===

impl FakeEngine {
    pub fn start(folder: &Path) -> Self {
        let socket = folder.join("engine.sock");
        let engine = Self {
            socket: socket.clone(),
            networks: Arc::default(),
            containers: Arc::default(),
            events: Arc::default(),
            prunes_no_more: Arc::default(),
            volumes: Arc::default(),
            holds: Arc::default(),
            asked: Arc::default(),
        };
        let listener = UnixListener::bind(&socket).expect("binds");
        let serving = engine.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let engine = serving.clone();
                let service = service_fn(move |request| {
                    let engine = engine.clone();
                    async move { engine.answer(request).await }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        engine
    }

    /// What changes something that it was asked since the last time.
    pub fn take_writes(&self) -> Vec<Asked> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().filter(|(what, _)| !what.starts_with("GET ")).collect()
    }

    /// The paths that it was asked for by `GET` since the last time.
    pub fn take_reads(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.iter().filter_map(|(what, _)| Some(what.strip_prefix("GET ")?.to_owned())).collect()
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let whole = parts.uri.to_string();
        let rest = whole.strip_prefix("/v1.41").unwrap_or(&whole).to_owned();
        let content = body.collect().await.expect("a body").to_bytes();
        let posted = serde_json::from_slice(&content).unwrap_or_default();
        if !matches!(&*rest, "/_ping" | "/version") {
            self.asked.lock().unwrap().push((format!("{} {rest}", parts.method), posted));
        }
        let path = rest.split('?').next().unwrap_or_default();
        let (status, told) = self.told(parts.method.as_str(), path, parts.uri.query());
        let events: Vec<_> = self.events.lock().unwrap().iter().map(|e| format!("{e}\n")).collect();
        if path == "/events" {
            let response = Response::builder().header("api-version", "1.41");
            return Ok(response.body(Body::from(events.concat())).expect("a response"));
        }
        let body = if told.is_null() { Body::empty() } else { Body::from(told.to_string()) };
        let response = Response::builder().status(status).header("api-version", "1.41").body(body);
        Ok(response.expect("a response"))
    }

    fn told(&self, method: &str, path: &str, query: Option<&str>) -> (u16, Value) {
        let networks = self.networks.lock().unwrap();
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        match (method, &segments[..]) {
            ("GET", ["networks"]) => {
                let only_shadows = query.is_some_and(|query| query.contains("%22swarmw%22"));
                let wanted = |n: &&Value| !only_shadows || n["Driver"] == "swarmw";
                (200, networks.iter().filter(wanted).cloned().collect())
            }
            ("GET", ["networks", id]) => match networks.iter().find(|n| n["Id"] == *id) {
                Some(network) => (200, network.clone()),
                None => (404, json!({"message": format!("network {id} not found")})),
            },
            ("GET", ["containers", "json"]) => (200, json!(*self.containers.lock().unwrap())),
            ("GET", ["containers", _, "json"]) => (200, self.containers.lock().unwrap()[0].clone()),
            ("POST", ["networks", "prune"]) => match &*self.prunes_no_more.lock().unwrap() {
                Some(why) => (500, json!({"message": why})),
                None => (200, json!({"NetworksDeleted": ["old"]})),
            },
            ("GET", ["volumes"]) => (200, json!({"Volumes": *self.volumes.lock().unwrap()})),
            ("GET", ["system", "df"]) => {
                let mut volumes = self.volumes.lock().unwrap().clone();
                for volume in &mut volumes {
                    volume["UsageData"] = json!({"Size": 1000, "RefCount": 0});
                }
                (200, json!({"Volumes": volumes}))
            }
            ("POST", ["volumes", "prune"]) => {
                (200, json!({"VolumesDeleted": ["engines"], "SpaceReclaimed": 7}))
            }
            ("DELETE", ["volumes", name]) => match self.holds.lock().unwrap().get(*name) {
                Some(status) => (*status, json!({"message": format!("remove {name}: busy")})),
                None => (204, Value::Null),
            },
            ("POST", [_, "create"]) => (201, json!({"Id": "made"})),
            ("DELETE", _) => (204, Value::Null),
            _ => (200, Value::Null),
        }
    }
}
