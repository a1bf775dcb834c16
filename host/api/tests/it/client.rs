//! A small HTTP client on a unix socket.

use std::path::{Path, PathBuf};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// An answer, read to its end.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answered {
    /// The body as JSON; `null` where there is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The error message.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or("").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }
}

#[derive(Clone)]
pub struct Client(pub PathBuf);

impl Client {
    pub fn new(socket: &Path) -> Self {
        Self(socket.to_owned())
    }

    /// Sends a request on a connection of its own and reads the answer.
    pub async fn send(&self, request: Request<Body>) -> Answered {
        let stream = UnixStream::connect(&self.0).await.expect("connect");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
                .await
                .expect("handshake");
        tokio::spawn(connection);
        let response = sender.send_request(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.expect("a body").to_bytes(),
        }
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.call("GET", path, None).await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        self.call("DELETE", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answered {
        self.call("POST", path, Some(body)).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answered {
        self.send(request(method, path, body)).await
    }
}

pub fn request(method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path).header("host", "docker");
    match body {
        Some(body) => {
            builder.header("content-type", "application/json").body(Body::from(body.to_string()))
        }
        None => builder.body(Body::empty()),
    }
    .expect("a request")
}

/// A filter as a query value.
pub fn filters(json: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("filters", json).finish()
}
