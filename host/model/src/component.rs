//! What a file of WebAssembly is by its first bytes and its exports, without an engine.

/// The first bytes of every WebAssembly binary.
const MAGIC: &[u8] = b"\0asm";
/// The version and layer of a component, as the preview of the format has it.
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
/// The version and layer of a core module.
const MODULE: [u8; 4] = [1, 0, 0, 0];
/// The number of the section with a component's exports.
const EXPORTS: u8 = 11;
/// What makes a component a task, without the version.
const RUNS: [&str; 2] = ["wasi:cli/run@", "wasi:http/incoming-handler@"];
/// What makes it a plugin, without the version.
const PLUGIN: &str = "swarmw:types/plugin@";
/// Bytes shown of what is no WebAssembly.
const SHOWN: usize = 12;

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// A component.
    Component,
    /// A core module, which a component is made of.
    Module,
    /// No WebAssembly that is known here.
    Other,
}

impl Binary {
    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk()) {
            Some(&COMPONENT) => Self::Component,
            Some(&MODULE) => Self::Module,
            _ => Self::Other,
        }
    }
}

/// How bytes begin that should have been a component, for people.
pub fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        0 => "is empty".to_owned(),
        _ => format!("begins with \"{}\"", bytes[..bytes.len().min(SHOWN)].escape_ascii()),
    }
}

/// Why nothing would run if a service had these bytes as its image; `None` for what can
/// be a task. What the bytes do when they run is not looked at.
pub fn not_a_task(bytes: &[u8]) -> Option<String> {
    match Binary::of(bytes) {
        Binary::Other => Some(format!("it is no WebAssembly component: it {}", shown(bytes))),
        Binary::Module => Some(
            "it is a core module, no component: build it for the target wasm32-wasip2".to_owned(),
        ),
        Binary::Component if RUNS.iter().any(|name| exports(bytes, name)) => None,
        Binary::Component => {
            let plugin = match exports(bytes, PLUGIN) {
                true => "; it is a plugin: add it with `swarmw plugin add`",
                false => "; build it for the target wasm32-wasip2",
            };
            Some(format!(
                "it exports neither wasi:cli/run nor wasi:http/incoming-handler, so there is \
                 nothing to run{plugin}"
            ))
        }
    }
}

/// Whether a component exports a name that begins so. A component whose sections do not
/// fit exports nothing.
fn exports(bytes: &[u8], name: &str) -> bool {
    let mut rest = bytes.get(MAGIC.len() + COMPONENT.len()..).unwrap_or_default();
    while let Some((&id, after)) = rest.split_first() {
        let Some((size, after)) = leb128(after) else { return false };
        let Some((section, next)) = after.split_at_checked(size) else { return false };
        // Each name stands in whole after its length.
        if id == EXPORTS && section.windows(name.len()).any(|part| part == name.as_bytes()) {
            return true;
        }
        rest = next;
    }
    false
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with a section of something else before the one with this export.
    fn exporting(name: &str) -> Vec<u8> {
        let mut bytes = [MAGIC, &COMPONENT].concat();
        // 200 bytes: a length of two.
        bytes.extend([0, 0xc8, 1]);
        bytes.extend([b'x'; 200]);
        let section = [&[1, 1, name.len() as u8], name.as_bytes(), &[5, 0, 0]].concat();
        bytes.extend([EXPORTS, section.len() as u8]);
        bytes.extend(section);
        bytes
    }

    #[test]
    fn what_can_be_a_task_is_told_from_what_cannot() {
        let module = [MAGIC, &MODULE].concat();
        for (bytes, told) in [
            (exporting("wasi:cli/run@0.2.6"), None),
            (exporting("wasi:http/incoming-handler@0.2.0"), None),
            (exporting("swarmw:types/plugin@0.1.0"), Some("it is a plugin: add it with")),
            (exporting("acme:own/thing@1.0.0"), Some("nothing to run; build it for")),
            (module, Some("a core module, no component")),
            (b"[package]\nname".to_vec(), Some("it begins with \"[package]\\nna\"")),
            (Vec::new(), Some("it is empty")),
            ([MAGIC, &COMPONENT, &[11, 200]].concat(), Some("nothing to run")),
        ] {
            match (not_a_task(&bytes), told) {
                (None, None) => {}
                (Some(why), Some(told)) => assert!(why.contains(told), "{why}"),
                (why, told) => panic!("{why:?} for {told:?}"),
            }
        }
    }
}
