//! `--mount type=volume,source=data,target=/data,…`

use swarmw_model::{BindOptions, Driver, Mount, MountKind, TmpfsOptions, VolumeOptions};

use super::{boolean, bytes, csv};

/// Reads one mount.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let mut mount = Mount::default();
    for field in csv::fields(text)? {
        match field.split_once('=') {
            Some((key, value)) => set(&mut mount, &key.to_lowercase(), value, &field)?,
            None => switch(&mut mount, &field)?,
        }
    }
    check(&mount)?;
    Ok(mount)
}

/// A key that stands alone.
fn switch(mount: &mut Mount, field: &str) -> Result<(), String> {
    match field.to_lowercase().as_str() {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-create-src" => bind(mount).create_mountpoint = true,
        "bind-nonrecursive" => {
            return Err(
                "bind-nonrecursive is deprecated, use bind-recursive=disabled instead".to_owned()
            );
        }
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn set(mount: &mut Mount, key: &str, value: &str, field: &str) -> Result<(), String> {
    let switch = || boolean(value).map_err(|_| format!("invalid value for {key}: {value}"));
    match key {
        "type" => mount.kind = kind(value)?,
        "source" | "src" => mount.source = absolute(value)?,
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = switch()?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_lowercase(),
        "bind-recursive" => recursive(bind(mount), value)?,
        "bind-create-src" => bind(mount).create_mountpoint = switch()?,
        "volume-nocopy" => {
            volume(mount).no_copy =
                boolean(value).map_err(|_| format!("invalid value for volume-nocopy: {value}"))?;
        }
        "volume-subpath" => value.clone_into(&mut volume(mount).subpath),
        "volume-label" => pair(&mut volume(mount).labels, value),
        "volume-driver" => value.clone_into(&mut driver(mount).name),
        "volume-opt" => pair(&mut driver(mount).options, value),
        "tmpfs-size" => {
            let size = bytes(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
            tmpfs(mount).size_bytes = size.0;
        }
        "tmpfs-mode" => {
            tmpfs(mount).mode = u32::from_str_radix(value, 8)
                .map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn kind(value: &str) -> Result<MountKind, String> {
    match value.to_lowercase().as_str() {
        "volume" => Ok(MountKind::Volume),
        "bind" => Ok(MountKind::Bind),
        "tmpfs" => Ok(MountKind::Tmpfs),
        "" => Err("type is required".to_owned()),
        _ => Err(format!("invalid MountType: {value:?}: volume, bind and tmpfs exist")),
    }
}

/// `./data` stands for a folder of the client's; other paths are the node's.
fn absolute(value: &str) -> Result<String, String> {
    if !value.starts_with('.') {
        return Ok(value.to_owned());
    }
    let folder =
        std::env::current_dir().map_err(|error| format!("no working directory: {error}"))?;
    let mut path = std::path::PathBuf::new();
    for part in folder.join(value).components() {
        match part {
            std::path::Component::ParentDir => {
                path.pop();
            }
            std::path::Component::CurDir => {}
            part => path.push(part),
        }
    }
    Ok(path.to_string_lossy().into_owned())
}

fn recursive(bind: &mut BindOptions, value: &str) -> Result<(), String> {
    match value {
        "enabled" => {}
        "disabled" => bind.non_recursive = true,
        "writable" => bind.read_only_non_recursive = true,
        "readonly" => bind.read_only_force_recursive = true,
        _ => {
            return Err(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn pair(map: &mut std::collections::BTreeMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if !key.is_empty() {
        map.insert(key.to_owned(), value.to_owned());
    }
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

/// Docker's client sends a driver with every option, be it an empty one.
fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    let options = mount.volume_options.get_or_insert_default();
    options.driver_config.get_or_insert_default();
    options
}

fn driver(mount: &mut Mount) -> &mut Driver {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn check(mount: &Mount) -> Result<(), String> {
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    let word = match mount.kind {
        MountKind::Volume => "volume",
        MountKind::Bind => "bind",
        MountKind::Tmpfs => "tmpfs",
    };
    for (given, options) in [
        (mount.volume_options.is_some(), "volume"),
        (mount.bind_options.is_some(), "bind"),
        (mount.tmpfs_options.is_some(), "tmpfs"),
    ] {
        if given && options != word {
            return Err(format!("cannot mix '{options}-*' options with mount type '{word}'"));
        }
    }
    let Some(bind) = &mount.bind_options else {
        return Ok(());
    };
    for (given, value) in
        [(bind.read_only_non_recursive, "writable"), (bind.read_only_force_recursive, "readonly")]
    {
        if given && !mount.read_only {
            return Err(format!(
                "option 'bind-recursive={value}' requires 'readonly' to be specified in conjunction"
            ));
        }
    }
    if bind.read_only_force_recursive && bind.propagation != "rprivate" {
        return Err(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_read_as_dockers() {
        for (text, json) in [
            ("source=data,target=/data", r#"{"Type":"volume","Source":"data","Target":"/data"}"#),
            (
                "TYPE=bind,src=/a,dst=/b,ro,bind-propagation=RSHARED",
                r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rshared"}}"#,
            ),
            (
                r#"type=volume,dst=/d,volume-driver=nfs,"volume-opt=o=addr=1.2.3.4,rw",volume-label=a=b,volume-nocopy"#,
                r#"{"Type":"volume","Target":"/d","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},"DriverConfig":{"Name":"nfs","Options":{"o":"addr=1.2.3.4,rw"}}}}"#,
            ),
            (
                "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770",
                r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#,
            ),
            (
                "type=bind,src=/a,dst=/b,readonly=false",
                r#"{"Type":"bind","Source":"/a","Target":"/b"}"#,
            ),
        ] {
            let want: Mount = serde_json::from_str(json).expect("a mount");
            assert_eq!(mount(text).expect(text), want, "{text}");
        }
    }

    #[test]
    fn bad_mounts_are_named() {
        for (text, want) in [
            ("type=volume,source=x", "target is required"),
            (
                "type=bind,dst=/a,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            ("dst=/a,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
            ("dst=/a,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            ("dst=/a,foo", "invalid field 'foo' must be a key=value pair"),
            ("dst=/a,ro=maybe", "invalid value for ro: maybe"),
            ("type=tmpfs,dst=/a,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            (
                "type=bind,dst=/a,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn a_relative_source_is_the_clients() {
        let read = mount("type=bind,src=./x/../y,dst=/b").expect("a mount");
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(read.source, here.join("y").to_string_lossy());
    }
}
