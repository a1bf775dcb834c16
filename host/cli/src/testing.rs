//! What tests share: output that can be read back, command lines, what they change.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use swarmw_model::ServiceSpec;

use crate::io::Io;

/// What was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    stdout: Buffer,
    stderr: Buffer,
}

#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

// === impl Captured ===

impl Captured {
    pub(crate) fn io(&self, is_tty: bool, columns: u16) -> Io {
        Io {
            stdout: Box::new(self.stdout.clone()),
            stderr: Box::new(self.stderr.clone()),
            is_tty,
            columns,
            answers: None,
        }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }
}

// === impl Buffer ===

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The words of a command line without its commands.
pub(crate) fn parse<A: clap::Args + clap::FromArgMatches>(line: &str) -> Result<A, clap::Error> {
    let command = crate::prepare(A::augment_args(clap::Command::new("swarmw")));
    let words = crate::parse::words(line).expect("words").0;
    let matches =
        command.try_get_matches_from(std::iter::once("swarmw".to_owned()).chain(words))?;
    A::from_arg_matches(&matches)
}

/// What differs between two specs: the place of each value that changed, and what is
/// there now; `null` for what has gone.
pub(crate) fn changes(before: &ServiceSpec, after: &ServiceSpec) -> Value {
    let json = |spec| serde_json::to_value(spec).expect("JSON");
    let mut found = Map::new();
    compare("", &json(before), &json(after), &mut found);
    Value::Object(found)
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Map<String, Value>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let at = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, &at(old), &at(new), found);
            }
        }
        (old, new) if old == new => {}
        (_, new) => {
            let path = path.replace("TaskTemplate.", "").replace("ContainerSpec.", "");
            found.insert(path, new.clone());
        }
    }
}
