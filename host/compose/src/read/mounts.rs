//! `volumes:` of a service.

use std::path::{Component, Path, PathBuf};

use super::Around;
use crate::fields::{Found, Notes};
use crate::node::Value;
use crate::project::{BindOptions, Mount, TmpfsOptions, VolumeOptions};
use crate::trouble::Position;

/// Words for how mounts in a bind's source spread.
const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];
/// Words for how soon writes are seen.
const CONSISTENCIES: [&str; 3] = ["cached", "delegated", "consistent"];

/// Where programs look for the API.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// The mounts of a service.
pub(super) fn mounts(found: &Found<'_>, around: &Around<'_>, notes: &mut Notes) -> Vec<Mount> {
    let mut all = Vec::new();
    for item in found.items(notes) {
        let mut mount = match &item.node.value {
            Value::Map(_) => long(&item, notes),
            Value::Text(text) => match short(text) {
                Ok(mount) => mount,
                Err(error) => {
                    item.wrong(notes, &error);
                    continue;
                }
            },
            _ => {
                item.wrong(notes, "must be a string or a mapping");
                continue;
            }
        };
        mount.at = item.at().clone();
        if mount.kind == "bind" {
            if mount.source.is_empty() {
                item.wrong(
                    notes,
                    "invalid mount config for type \"bind\": field Source must not be empty",
                );
                continue;
            }
            mount.source = bind_source(&mount.source, item.at(), around, notes);
        }
        all.push(mount);
    }
    all
}

/// The API's socket, in the place where clients look for it: on each node it is the one of
/// the node's daemon, as for every service that asks for it.
pub(super) fn api_socket(at: &Position) -> Mount {
    Mount {
        kind: "bind".to_owned(),
        source: DOCKER_SOCKET.to_owned(),
        target: DOCKER_SOCKET.to_owned(),
        at: at.clone(),
        ..Mount::default()
    }
}

/// `[source:]target[:options]`
pub(crate) fn short(text: &str) -> Result<Mount, String> {
    let parts: Vec<&str> = text.split(':').collect();
    if text.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("invalid spec: {text}: empty section between colons"));
    }
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(format!("invalid spec: {text}: too many colons")),
    };
    let kind = if source.starts_with(['.', '/', '~']) { "bind" } else { "volume" };
    let mut mount = Mount {
        kind: kind.to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        ..Mount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => {
                mount.volume = Some(VolumeOptions { no_copy: true, ..VolumeOptions::default() });
            }
            // Labels of a security module are not known to services.
            "z" | "Z" => {}
            word if CONSISTENCIES.contains(&word) => word.clone_into(&mut mount.consistency),
            word if PROPAGATIONS.contains(&word) => {
                mount.bind =
                    Some(BindOptions { propagation: word.to_owned(), ..BindOptions::default() });
            }
            word => return Err(format!("invalid spec: {text}: unknown option: {word}")),
        }
    }
    Ok(mount)
}

fn long(found: &Found<'_>, notes: &mut Notes) -> Mount {
    let mut fields = found.fields(notes);
    let mut mount = Mount::default();
    match fields.take("type") {
        Some(kind) => mount.kind = kind.text(notes),
        None => found.wrong(notes, "type is required"),
    }
    mount.source = fields.text("source", notes);
    mount.target = fields.text("target", notes);
    mount.read_only = fields.flag("read_only", notes);
    mount.consistency = fields.text("consistency", notes);
    mount.bind = fields.take("bind").map(|found| {
        let mut fields = found.fields(notes);
        let bind = BindOptions {
            propagation: fields.text("propagation", notes),
            create_host_path: fields.take("create_host_path").map(|found| found.flag(notes)),
            recursive: fields.text("recursive", notes),
        };
        if let Some(found) = fields.take("selinux") {
            notes.warn(format!("{} is ignored: services have no such setting", found.path));
        }
        fields.finish(notes);
        bind
    });
    mount.volume = fields.take("volume").map(|found| {
        let mut fields = found.fields(notes);
        let volume = VolumeOptions {
            no_copy: fields.flag("nocopy", notes),
            subpath: fields.text("subpath", notes),
            labels: fields.labels("labels", notes),
        };
        fields.finish(notes);
        volume
    });
    mount.tmpfs = fields.take("tmpfs").map(|found| {
        let mut fields = found.fields(notes);
        let tmpfs = TmpfsOptions {
            size: fields.take("size").map(|found| found.bytes(notes)).unwrap_or_default(),
            mode: fields.take("mode").map(|found| found.whole(notes)).unwrap_or_default(),
        };
        if tmpfs.size < 0 {
            found.wrong(notes, "size must be greater than or equal to 0");
        }
        fields.finish(notes);
        tmpfs
    });
    for key in ["cluster", "image"] {
        if let Some(found) = fields.take(key) {
            mount.other.insert(key.to_owned(), found.node.to_json());
        }
    }
    fields.finish(notes);
    mount
}

fn bind_source(source: &str, at: &Position, around: &Around<'_>, notes: &mut Notes) -> String {
    if let Some(rest) = source.strip_prefix('~') {
        return match (around.lookup)("HOME") {
            Some(home) => format!("{home}{rest}"),
            None => {
                notes.warn("cannot expand '~', because the environment lacks HOME");
                source.to_owned()
            }
        };
    }
    absolute(&at.file.folder, source).to_string_lossy().into_owned()
}

/// A path of a file, from the file's folder, without `.` and `..` where they can go.
pub(crate) fn absolute(folder: &Path, path: &str) -> PathBuf {
    if Path::new(path).is_absolute() {
        return PathBuf::from(path);
    }
    let mut all = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => {
                all.pop();
            }
            Component::CurDir => {}
            part => all.push(part),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_tells_binds_from_volumes() {
        for (text, want) in [
            ("/anon", ("volume", "", "/anon", false)),
            ("data:/data", ("volume", "data", "/data", false)),
            ("v:/v", ("volume", "v", "/v", false)),
            ("data:/data:ro", ("volume", "data", "/data", true)),
            ("./x:/x:rw", ("bind", "./x", "/x", false)),
            ("~/x:/x", ("bind", "~/x", "/x", false)),
            ("/x:/y:ro,rshared,cached", ("bind", "/x", "/y", true)),
        ] {
            let mount = short(text).expect(text);
            let got = (&*mount.kind, &*mount.source, &*mount.target, mount.read_only);
            assert_eq!(got, want, "{text}");
        }
        for (text, want) in [
            ("", "invalid empty volume spec"),
            ("a::b", "invalid spec: a::b: empty section between colons"),
            ("a:/b:ro:x", "invalid spec: a:/b:ro:x: too many colons"),
            ("a:/b:foo", "invalid spec: a:/b:foo: unknown option: foo"),
        ] {
            assert_eq!(short(text).expect_err(text), want);
        }
    }
}
