//! From core module to component.

use std::fs;

use wit_component::{ComponentEncoder, DecodedWasm};

use crate::{Guest, PLUGIN_IMPORTS};

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
    // Never seen half written: tests of several processes build the same guests.
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    fs::write(&draft, component)
        .and_then(|()| fs::rename(&draft, &path))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    Guest { path, ..module }
}

/// The component of a core module; why there is none.
pub fn of(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
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
