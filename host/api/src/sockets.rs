//! The engine's socket in containers that clients make themselves: what is bound in its place,
//! and how such containers are shown.

use serde_json::{Map, Value};

use swarmw_model::{EngineSocket, Refusal};

/// A bind's propagation where nobody asked for another one.
const USUAL: &str = "rprivate";

/// Puts what the node gives where the container of a request asks for the engine's socket;
/// whether there was such a place.
pub(crate) fn put(socket: &EngineSocket, posted: &mut Value) -> Result<bool, Refusal> {
    let mut changed = false;
    for bind in list(posted, "/HostConfig/Binds") {
        let Some(instead) = bind.as_str().map(|bind| socket.bind_instead_of(bind)) else {
            continue;
        };
        if let Some(instead) = instead? {
            *bind = Value::from(instead);
            changed = true;
        }
    }
    for mount in list(posted, "/HostConfig/Mounts").iter_mut().filter(|m| m["Type"] == "bind") {
        let Some(source) = mount["Source"].as_str() else { continue };
        let Some(instead) = socket.instead_of(source)? else { continue };
        mount["Source"] = Value::from(instead.source);
        if let Some(propagation) = instead.propagation {
            if !mount["BindOptions"].is_object() {
                mount["BindOptions"] = Value::Object(Map::new());
            }
            mount["BindOptions"]["Propagation"] = Value::from(propagation);
        }
        changed = true;
    }
    Ok(changed)
}

/// Shows a container, of a list or by itself, as it was asked for.
pub(crate) fn put_back(socket: &EngineSocket, container: &mut Value) {
    for bind in list(container, "/HostConfig/Binds") {
        if let Some(asked) = bind.as_str().and_then(|bind| socket.bind_asked_for(bind)) {
            *bind = Value::from(asked);
        }
    }
    for mount in list(container, "/HostConfig/Mounts") {
        if source_put_back(socket, mount) && gives(socket, &mount["BindOptions"]["Propagation"]) {
            drop_propagation(mount);
        }
    }
    for mount in list(container, "/Mounts") {
        if !source_put_back(socket, mount) {
            continue;
        }
        if gives(socket, &mount["Propagation"]) {
            mount["Propagation"] = Value::from(USUAL);
        }
        if let Some(mode) = mount["Mode"].as_str() {
            mount["Mode"] = Value::from(socket.options_asked_for(mode));
        }
    }
}

fn list<'a>(of: &'a mut Value, path: &str) -> &'a mut [Value] {
    match of.pointer_mut(path) {
        Some(Value::Array(list)) => list,
        _ => &mut [],
    }
}

fn source_put_back(socket: &EngineSocket, mount: &mut Value) -> bool {
    let asked = mount["Source"].as_str().and_then(|source| socket.asked_for(source));
    let Some(asked) = asked.map(Value::from) else { return false };
    mount["Source"] = asked;
    true
}

fn gives(socket: &EngineSocket, propagation: &Value) -> bool {
    propagation.as_str().is_some_and(|word| socket.gives_propagation(word))
}

fn drop_propagation(mount: &mut Value) {
    let options = mount.get_mut("BindOptions").and_then(Value::as_object_mut);
    let is_empty = options.is_some_and(|options| {
        options.remove("Propagation");
        options.is_empty()
    });
    if let Some(mount) = mount.as_object_mut().filter(|_| is_empty) {
        mount.remove("BindOptions");
    }
}
