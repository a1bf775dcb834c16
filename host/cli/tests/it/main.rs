//! What the command line says to a daemon's answers, beside what the docker client says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use swarmw_cli::Io;
use swarmw_model::{Duration, Time};
use swarmw_template::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// What the docker client 28.2.2 said; `docker/record.py` asks it.
const SAID: &str = include_str!("docker/said.json");
/// What daemons answer, to it and here.
const ANSWERS: &str = include_str!("docker/answers.json");
/// The label that makes a service one of a stack.
const NAMESPACE: &str = "com.docker.stack.namespace";

#[derive(Deserialize)]
struct Said {
    command: String,
    stdout: String,
    stderr: String,
    code: i32,
}

/// Commands that are not answered as the docker client answers them, and why.
const DIFFERENT: [(&str, &str); 3] = [
    ("service inspect job --pretty", "the docker client says nothing of jobs"),
    ("servce ls", "a near miss is told what it may have meant"),
    ("node lss", "a near miss is told what it may have meant"),
];

#[tokio::test]
async fn views_are_the_docker_clients_to_the_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = serve(folder.path());
    let all: Vec<Said> = serde_json::from_str(SAID).expect("JSON");
    let mut wrong = Vec::new();
    for said in &all {
        let (stdout, stderr, code) = ask(&socket, &said.command).await;
        let want = (
            ours(&masked(&said.command, &said.stdout)),
            ours(&masked(&said.command, &said.stderr)),
            said.code,
        );
        let got = (masked(&said.command, &stdout), stderr, code);
        let excused = DIFFERENT.iter().any(|(command, _)| *command == said.command);
        if (got != want) != excused {
            wrong.push(format!("$ {}\n--- docker\n{want:#?}\n--- swarmw\n{got:#?}", said.command));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n\n"));
    assert!(all.len() > 150, "{}", all.len());
}

/// Texts of the docker client that name it.
fn ours(text: &str) -> String {
    text.replace("docker ", "swarmw ").replace("docker: ", "swarmw: ")
}

/// Moments that depend on when one asks are the same moment here.
fn masked(command: &str, text: &str) -> String {
    if !(command.starts_with("secret inspect") || command.starts_with("config inspect")) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let is_moment = rest[at..].chars().nth(4) == Some('-');
        let end = match rest[at..].find(['Z', '+', '"']) {
            Some(end) if is_moment => at + end,
            _ => at + 2,
        };
        out += &rest[..at];
        out += if is_moment { "MOMENT" } else { "20" };
        rest = &rest[end..];
    }
    out + rest
}

/// Runs one command; gives what it wrote and its code.
async fn ask(socket: &Path, command: &str) -> (String, String, i32) {
    let captured = [Buffer::default(), Buffer::default()];
    let mut io = Io {
        stdout: Box::new(captured[0].clone()),
        stderr: Box::new(captured[1].clone()),
        is_tty: false,
        columns: 200,
        answers: None,
    };
    let host = format!("unix://{}", socket.display());
    let mut words = vec!["swarmw".to_owned(), "-H".to_owned(), host];
    words.extend(shell_words(command));
    let code = swarmw_cli::run_arguments(words.into_iter().map(Into::into), &mut io).await;
    (captured[0].text(), captured[1].text(), code)
}

/// Words as a shell reads them, as far as the commands need one.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut any = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                any = true;
            }
            ' ' if !quoted => {
                words.push(String::new());
                any = false;
            }
            c => {
                any = true;
                words.last_mut().expect("a word").push(c);
            }
        }
    }
    if !any {
        words.pop();
    }
    words
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// === a daemon that answers from a file ===

fn serve(folder: &Path) -> PathBuf {
    let path = folder.join("daemon.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream));
        }
    });
    path
}

/// One request after another.
async fn connection(stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(first)) = lines.next_line().await {
        let mut length = 0;
        while let Ok(Some(line)) = lines.next_line().await {
            if line.is_empty() {
                break;
            }
            let line = line.to_lowercase();
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        lines.get_mut().read_exact(&mut body).await.expect("a body");
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (status, body) = match method {
            "POST" => written(target),
            "DELETE" => removed(target),
            _ => answer(target),
        };
        let head = format!(
            "HTTP/1.1 {status} .\r\nApi-Version: 1.47\r\nOstype: linux\r\nSwarm: active/manager\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let body = if first.starts_with("HEAD") { String::new() } else { body };
        if write.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What creates and updates are answered.
fn written(target: &str) -> (u16, String) {
    let (path, _) = parts(target);
    if path.ends_with("/create") {
        return (201, format!(r#"{{"ID":"new{}","Warnings":null}}"#, "a".repeat(22)));
    }
    let Some(path) = path.strip_suffix("/update") else {
        return (404, r#"{"message":"page not found"}"#.to_owned());
    };
    match answer(path) {
        (200, _) => (200, r#"{"Warnings":null}"#.to_owned()),
        missed => missed,
    }
}

fn removed(target: &str) -> (u16, String) {
    match answer(parts(target).0) {
        (200, _) => (200, "{}".to_owned()),
        missed => missed,
    }
}

fn parts(target: &str) -> (&str, &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => &rest[rest.find('/').unwrap_or(0)..],
        None => path,
    };
    (path, query)
}

fn answer(target: &str) -> (u16, String) {
    let (path, query) = parts(target);
    if path == "/_ping" {
        return (200, "OK".to_owned());
    }
    let known = answers();
    let json = |value: &Value| serde_json::to_string(value).expect("JSON");
    if let Some(found) = known.get(path) {
        let wanted = |one: &&Value| {
            let one = Some(*one);
            match path {
                "/services" if query.contains(NAMESPACE) => {
                    field(field(field(one, "Spec"), "Labels"), NAMESPACE).is_some()
                }
                "/tasks" if query.contains("sw10") => text(one, "ServiceID").starts_with("sw10"),
                "/tasks" if query.contains("sw2") => text(one, "ServiceID").starts_with("sw2"),
                _ => true,
            }
        };
        return match found {
            Value::List(list) => {
                (200, json(&list.iter().filter(wanted).cloned().collect::<Value>()))
            }
            found => (200, json(found)),
        };
    }
    let (folder, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let of = known.get(&format!("/{folder}"));
    let of = if folder == "volumes" { field(of, "Volumes") } else { of };
    let list: &[Value] = if let Some(Value::List(list)) = of { &list[..] } else { &[] };
    let found = list.iter().find(|one| {
        let one = Some(*one);
        [text(one, "ID"), text(one, "Id"), text(one, "Name")].contains(&name)
            || text(field(one, "Spec"), "Name") == name
            || text(field(one, "Description"), "Hostname") == name
    });
    match found {
        Some(found) => (200, json(found)),
        None => {
            let kind = &folder[..folder.len().saturating_sub(1)];
            (404, format!(r#"{{"message":"{kind} {name} not found"}}"#))
        }
    }
}

fn field<'v>(value: Option<&'v Value>, name: &str) -> Option<&'v Value> {
    match value? {
        Value::Map(map) => map.get(name),
        _ => None,
    }
}

fn text<'v>(value: Option<&'v Value>, name: &str) -> &'v str {
    field(value, name).and_then(Value::as_text).unwrap_or_default()
}

/// The answers, with their moments so many seconds ago.
fn answers() -> BTreeMap<String, Value> {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let now = Time::from_nanos(i64::try_from(since).expect("seconds") * 1_000_000_000);
    let mut out = String::new();
    // An `@` may be of an image too; then what follows is no number.
    for part in ANSWERS.split_inclusive('@') {
        match part.strip_suffix('@').map(str::parse::<i64>) {
            Some(Ok(seconds)) => {
                out.pop();
                out += &(now - Duration::from_secs(seconds)).to_string();
            }
            _ => out += part,
        }
    }
    serde_json::from_str(&out).expect("JSON")
}
