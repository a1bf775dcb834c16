//! Mounts of services.

use swarmw_model as model;
use swarmw_model::MountKind;

use super::{Refused, scoped, with_namespace};
use crate::amounts;
use crate::project::{Mount, Project, Service};

/// The mounts of a service, those of `tmpfs` behind the others.
pub(super) fn mounts(
    project: &Project,
    service: &Service,
    namespace: &str,
) -> Result<Vec<model::Mount>, Refused> {
    let mut all = Vec::new();
    for mount in &service.volumes {
        let converted = convert(project, mount, namespace)
            .map_err(|refused| Refused { at: Some(mount.at.clone()), ..refused })?;
        all.push(converted);
    }
    for text in &service.tmpfs {
        all.push(tmpfs(text)?);
    }
    Ok(all)
}

fn convert(project: &Project, mount: &Mount, namespace: &str) -> Result<model::Mount, Refused> {
    let kind = match mount.kind.as_str() {
        "volume" | "" => MountKind::Volume,
        "bind" => MountKind::Bind,
        "tmpfs" => MountKind::Tmpfs,
        word @ ("npipe" | "cluster" | "image") => {
            return Err(format!(
                "mounts of type {word} are not supported by this version of swarmw: volume, bind and tmpfs exist"
            )
            .into());
        }
        _ => return Err("volume type must be volume, bind or tmpfs".into()),
    };
    let word = if mount.kind.is_empty() { "volume" } else { &mount.kind };
    let options = [
        ("bind", mount.bind.is_some()),
        ("volume", mount.volume.is_some()),
        ("tmpfs", mount.tmpfs.is_some()),
        ("cluster", mount.other.contains_key("cluster")),
        ("image", mount.other.contains_key("image")),
    ];
    for (options, given) in options {
        if given && options != word {
            return Err(format!("{options} options are incompatible with type {word}").into());
        }
    }
    let mut converted = model::Mount {
        kind,
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
        consistency: mount.consistency.clone(),
        ..model::Mount::default()
    };
    match kind {
        MountKind::Volume => volume(project, mount, namespace, &mut converted)?,
        MountKind::Bind => {
            if mount.source.is_empty() {
                return Err("invalid bind source, source cannot be empty".into());
            }
            converted.bind_options = mount.bind.as_ref().map(bind).transpose()?;
        }
        MountKind::Tmpfs => {
            if !mount.source.is_empty() {
                return Err("invalid tmpfs source, source must be empty".into());
            }
            converted.tmpfs_options = mount
                .tmpfs
                .as_ref()
                .map(|tmpfs| model::TmpfsOptions { size_bytes: tmpfs.size, mode: tmpfs.mode });
        }
    }
    Ok(converted)
}

fn volume(
    project: &Project,
    mount: &Mount,
    namespace: &str,
    converted: &mut model::Mount,
) -> Result<(), Refused> {
    let wanted = mount.volume.clone().unwrap_or_default();
    if mount.source.is_empty() {
        if !wanted.subpath.is_empty() {
            return Err("a volume without a name has no subpath".into());
        }
        return Ok(());
    }
    let volume = project
        .volumes
        .get(&mount.source)
        .ok_or_else(|| format!("undefined volume {:?}", mount.source))?;
    converted.source = scoped(namespace, &mount.source, &volume.name);
    let mut options = model::VolumeOptions {
        no_copy: wanted.no_copy,
        subpath: wanted.subpath,
        ..model::VolumeOptions::default()
    };
    if !volume.external {
        options.labels = with_namespace(namespace, &volume.labels);
        options.labels.extend(wanted.labels);
        if !volume.driver.is_empty() || !volume.driver_opts.is_empty() {
            options.driver_config = Some(model::Driver {
                name: volume.driver.clone(),
                options: volume.driver_opts.clone(),
            });
        }
    }
    converted.volume_options = Some(options);
    Ok(())
}

fn bind(bind: &crate::project::BindOptions) -> Result<model::BindOptions, Refused> {
    let mut options = model::BindOptions {
        propagation: bind.propagation.clone(),
        // Only where the file asks for it: Swarm refuses tasks whose folder is missing.
        create_mountpoint: bind.create_host_path == Some(true),
        ..model::BindOptions::default()
    };
    match bind.recursive.as_str() {
        "" | "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        word => {
            return Err(format!(
                "bind.recursive must be enabled, disabled, writable or readonly: {word}"
            )
            .into());
        }
    }
    Ok(options)
}

/// `/run`, or with options as the engine's `--tmpfs` has them: `/run:size=64m,mode=1777`.
/// What such a mount has anyhow may be said too.
fn tmpfs(text: &str) -> Result<model::Mount, Refused> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = model::Mount {
        kind: MountKind::Tmpfs,
        target: target.to_owned(),
        ..model::Mount::default()
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let invalid = || Refused::from(format!("tmpfs {text:?}: invalid option {option}"));
        match option.split_once('=') {
            Some(("size", size)) => {
                mount.tmpfs_options.get_or_insert_default().size_bytes =
                    amounts::bytes(size).map_err(|_| invalid())?;
            }
            Some(("mode", mode)) => {
                mount.tmpfs_options.get_or_insert_default().mode =
                    u32::from_str_radix(mode, 8).map_err(|_| invalid())?;
            }
            None if option == "ro" => mount.read_only = true,
            None if ["rw", "noexec", "nosuid", "nodev"].contains(&option) => {}
            _ => return Err(invalid()),
        }
    }
    Ok(mount)
}
