//! From core module to component.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use wasmparser::{BinaryReader, BinaryReaderError};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::{Guest, PLUGIN_IMPORTS};

/// How many drafts this process has made.
static DRAFTS: AtomicU32 = AtomicU32::new(0);

/// Writes `NAME.component.wasm` beside the module, unless it stands there already.
pub fn encode(module: Guest) -> Guest {
    let bytes = fs::read(&module.path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", module.path.display()));
    let component =
        of(&bytes).unwrap_or_else(|error| panic!("{} is no component: {error}", module.name));
    let path = module.path.with_extension("component.wasm");
    // The same bytes keep their time, and what includes them is not built again.
    if fs::read(&path).is_ok_and(|old| old == component) {
        return Guest { path, ..module };
    }
    // Never seen half written: tests of several processes, and of several threads of
    // one, build the same guests.
    let count = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{count}.draft", std::process::id()));
    fs::write(&draft, component)
        .and_then(|()| fs::rename(&draft, &path))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    Guest { path, ..module }
}

/// A component's custom section with the names of its parts: two in a hundred of a small
/// component, for nobody but whoever takes one apart.
const NAMES: &str = "component-name";
/// Before the first section: the magic number and the version.
const PREAMBLE: usize = 8;

/// The component of a core module; why there is none.
pub fn of(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .and_then(|component| Ok(without_names(&component)?))
        .map_err(|error| format!("{error:#}"))
}

fn without_names(component: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = BinaryReader::new(component, 0);
    let mut kept = reader.read_bytes(PREAMBLE)?.to_vec();
    while !reader.eof() {
        let start = reader.original_position();
        let is_custom = reader.read_u8()? == 0;
        let length = reader.read_var_u32()?;
        let content = reader.read_bytes(length as usize)?;
        let is_named = |name| BinaryReader::new(content, 0).read_string().is_ok_and(|n| n == name);
        if !(is_custom && is_named(NAMES)) {
            kept.extend_from_slice(&component[start..reader.original_position()]);
        }
    }
    Ok(kept)
}

/// Refuses a component that imports more than [`PLUGIN_IMPORTS`].
pub fn check_imports(guest: &Guest) {
    let name = &guest.name;
    let decoded = fs::read(&guest.path)
        .map_err(Into::into)
        .and_then(|component| wit_component::decode(&component))
        .unwrap_or_else(|error| panic!("{name} cannot be decoded: {error:#}"));
    let DecodedWasm::Component(resolve, world) = decoded else {
        panic!("{name} is no component");
    };
    for key in resolve.worlds[world].imports.keys() {
        let import = resolve.name_world_key(key);
        assert!(
            PLUGIN_IMPORTS.contains(&import.as_str()),
            "{name} imports {import}; a plugin may import {} only",
            PLUGIN_IMPORTS.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_component_goes_without_the_names_of_its_parts() {
        let module = b"\0asm\x01\0\0\0";
        let whole = ComponentEncoder::default().module(module).and_then(|mut e| e.encode());
        let whole = whole.expect("a component");
        let has_names = |bytes: &[u8]| bytes.windows(NAMES.len()).any(|w| w == NAMES.as_bytes());
        assert!(has_names(&whole));

        let component = of(module).expect("a component");

        assert!(!has_names(&component) && component.len() < whole.len());
        assert!(matches!(wit_component::decode(&component), Ok(DecodedWasm::Component(..))));
    }

    #[test]
    fn several_threads_encode_the_same_guest() {
        let folder = std::env::temp_dir().join(format!("swarmw-guest-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("empty.wasm");
        fs::write(&path, b"\0asm\x01\0\0\0").expect("a module");
        let component = path.with_extension("component.wasm");
        for _ in 0..100 {
            thread::scope(|scope| {
                for _ in 0..4 {
                    let (name, path) = ("empty".to_owned(), path.clone());
                    scope.spawn(|| encode(Guest { name, path }));
                }
            });
            fs::remove_file(&component).expect("it was written");
        }
        let left: Vec<_> = fs::read_dir(&folder).expect("the folder").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
