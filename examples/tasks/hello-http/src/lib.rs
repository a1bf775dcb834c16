//! Answers every request with its greeting, version and name: a `wasi:http` task.
//!
//! ```text
//! swarmw service create --env VERSION=2 --env 'TASK_NAME={{.Task.Name}}' -p 8080:80 hello-http.wasm
//! ```
//!
//! | variable | default | what |
//! |---|---|---|
//! | `GREETING` | `hello` | the first word |
//! | `VERSION` | `1` | to see an update roll |
//! | `TASK_NAME` | the first argument, else `a task` | to see who answers |
//! | `SHOW` | none | files, such as configs, whose text follows; parted by `:` |
//! | `VISITS` | none | a file, in a volume, that counts the answers |

use std::{env, fs};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let headers = Fields::new();
        let plain = b"text/plain; charset=utf-8".to_vec();
        // A header that cannot be set is not worth failing a request for.
        let _ = headers.set("content-type", &[plain]);
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("a new response has its body");
        ResponseOutparam::set(out, Ok(response));
        write(&body, greeting(&path).as_bytes());
        // The client may be gone; then nobody misses the end.
        let _ = OutgoingBody::finish(body, None);
    }
}

fn greeting(path: &str) -> String {
    let or = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let name = env::var("TASK_NAME")
        .ok()
        .or_else(|| env::args().nth(1))
        .unwrap_or_else(|| "a task".to_owned());
    let visits = env::var("VISITS").map(|file| count(&file)).unwrap_or_default();
    let shown: String = or("SHOW", "").split(':').filter(|f| !f.is_empty()).map(show).collect();
    let (greeting, version) = (or("GREETING", "hello"), or("VERSION", "1"));
    format!("{greeting} from {name}, version {version}, at {path}{shown}{visits}\n")
}

/// The text of a file; what goes wrong is part of the answer.
fn show(file: &str) -> String {
    match fs::read_to_string(file) {
        Ok(text) => format!(", {file}: {}", text.trim_end()),
        Err(error) => format!(", {file}: {error}"),
    }
}

/// Counts one more visit in a file; what goes wrong is part of the answer.
fn count(file: &str) -> String {
    let before = fs::read_to_string(file).unwrap_or_default();
    let visits = before.trim().parse().unwrap_or(0) + 1_u64;
    match fs::write(file, format!("{visits}\n")) {
        Ok(()) => format!(", visit {visits}"),
        Err(error) => format!(", visit {visits}, which cannot be kept: {error}"),
    }
}

/// A stream takes at least 4096 bytes at once; the greeting may be longer.
fn write(body: &OutgoingBody, text: &[u8]) {
    let stream = body.write().expect("a new body has its stream");
    for piece in text.chunks(4096) {
        if stream.blocking_write_and_flush(piece).is_err() {
            return;
        }
    }
}
