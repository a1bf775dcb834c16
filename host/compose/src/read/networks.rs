//! `networks:` and `volumes:` at the top of a file.

use crate::fields::{Fields, Found, Notes};
use crate::node::Value;
use crate::project::{Ipam, Network, Subnet, Volume};

/// `external: true`, or Docker's old `external: {name: …}`.
pub(super) fn external(
    word: &str,
    key: &str,
    name: &mut String,
    fields: &mut Fields<'_>,
    notes: &mut Notes,
) -> bool {
    let Some(found) = fields.take("external") else { return false };
    let is_external = match &found.node.value {
        Value::Map(_) => {
            let mut inner = found.fields(notes);
            let old = inner.text("name", notes);
            inner.finish(notes);
            if !old.is_empty() {
                if !name.is_empty() {
                    notes.wrong(
                        found.at(),
                        format!(
                            "{word} {key}: {word}.external.name and {word}.name conflict; only use {word}.name"
                        ),
                    );
                }
                notes.warn(format!(
                    "{word} {key}: {word}.external.name is deprecated in favor of {word}.name"
                ));
                *name = old;
            }
            true
        }
        _ => found.flag(notes),
    };
    if is_external && name.is_empty() {
        key.clone_into(name);
    }
    is_external
}

/// One network.
pub(super) fn network(key: &str, found: &Found<'_>, notes: &mut Notes) -> Network {
    let mut network = Network { at: found.at().clone(), ..Network::default() };
    if found.node.is_null() {
        return network;
    }
    let mut fields = found.fields(notes);
    network.name = fields.text("name", notes);
    network.external = external("network", key, &mut network.name, &mut fields, notes);
    network.driver = fields.text("driver", notes);
    network.driver_opts = fields.take("driver_opts").map(|f| f.options(notes)).unwrap_or_default();
    network.ipam = fields.take("ipam").map(|found| ipam(&found, notes)).unwrap_or_default();
    network.internal = fields.flag("internal", notes);
    network.attachable = fields.flag("attachable", notes);
    network.enable_ipv4 = fields.take("enable_ipv4").map(|found| found.flag(notes));
    network.enable_ipv6 = fields.take("enable_ipv6").map(|found| found.flag(notes));
    network.labels = fields.labels("labels", notes);
    network.extras = fields.extras();
    fields.finish(notes);
    network
}

fn ipam(found: &Found<'_>, notes: &mut Notes) -> Ipam {
    let mut fields = found.fields(notes);
    let mut ipam = Ipam { driver: fields.text("driver", notes), ..Ipam::default() };
    for item in fields.take("config").map(|found| found.items(notes)).unwrap_or_default() {
        let mut fields = item.fields(notes);
        ipam.config.push(Subnet {
            subnet: fields.text("subnet", notes),
            ip_range: fields.text("ip_range", notes),
            gateway: fields.text("gateway", notes),
            aux_addresses: fields
                .take("aux_addresses")
                .map(|found| found.options(notes))
                .unwrap_or_default(),
        });
        fields.finish(notes);
    }
    ipam.options = fields.take("options").map(|f| f.options(notes)).unwrap_or_default();
    fields.finish(notes);
    ipam
}

/// One volume.
pub(super) fn volume(key: &str, found: &Found<'_>, notes: &mut Notes) -> Volume {
    let mut volume = Volume { at: found.at().clone(), ..Volume::default() };
    if found.node.is_null() {
        return volume;
    }
    let mut fields = found.fields(notes);
    volume.name = fields.text("name", notes);
    volume.external = external("volume", key, &mut volume.name, &mut fields, notes);
    volume.driver = fields.text("driver", notes);
    volume.driver_opts = fields.take("driver_opts").map(|f| f.options(notes)).unwrap_or_default();
    volume.labels = fields.labels("labels", notes);
    volume.extras = fields.extras();
    fields.finish(notes);
    if volume.external {
        for (given, what) in [
            (!volume.driver.is_empty(), "driver"),
            (!volume.driver_opts.is_empty(), "driver_opts"),
            (!volume.labels.is_empty(), "labels"),
        ] {
            if given {
                notes.wrong(
                    &volume.at,
                    format!(
                        "conflicting parameters \"external\" and {what:?} specified for volume {key:?}"
                    ),
                );
            }
        }
    }
    volume
}
