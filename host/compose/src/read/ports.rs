//! `ports:`

use swarmw_model::PortConfig;

use crate::amounts::{protocol, short_ports};
use crate::fields::{Found, Notes};
use crate::node::{Node, Value};
use crate::project::Port;

/// The ports of a service: one of a list may stand for a range.
pub(super) fn ports(found: &Found<'_>, notes: &mut Notes) -> Vec<Port> {
    found.items(notes).iter().flat_map(|item| port(item, notes)).collect()
}

fn port(found: &Found<'_>, notes: &mut Notes) -> Vec<Port> {
    match &found.node.value {
        Value::Map(_) => long(found, notes).into_iter().collect(),
        Value::Int(_) | Value::Text(_) => {
            short(found, &found.node.printed().unwrap_or_default(), notes)
        }
        _ => {
            found.wrong(notes, "must be a number, a string or a mapping");
            Vec::new()
        }
    }
}

fn short(found: &Found<'_>, text: &str, notes: &mut Notes) -> Vec<Port> {
    match short_ports(without_address(text, notes)) {
        Ok(mut configs) => {
            // Docker's client goes by the text of the target.
            configs.sort_by_key(|port| format!("{}/{}", port.target_port, port.protocol));
            let port = |config: PortConfig| Port {
                mode: config.publish_mode.to_string(),
                protocol: config.protocol.to_string(),
                config,
            };
            configs.into_iter().map(port).collect()
        }
        Err(error) => {
            found.wrong(notes, &format!("Does not match format 'ports': {error}"));
            Vec::new()
        }
    }
}

/// An address before the ports says nothing in a cluster.
fn without_address<'t>(text: &'t str, notes: &mut Notes) -> &'t str {
    let Some((before, target)) = text.rsplit_once(':') else { return text };
    let Some((address, _)) = before.rsplit_once(':') else { return text };
    let published = &text[address.len() + 1..];
    let address = address.trim_matches(['[', ']']);
    if address.parse::<std::net::IpAddr>().is_err() {
        return text;
    }
    let protocol = if target.contains('/') { "" } else { "/tcp" };
    notes.warn(format!("ignoring IP-address ({text}{protocol}) service will listen on '0.0.0.0'"));
    published
}

fn long(found: &Found<'_>, notes: &mut Notes) -> Option<Port> {
    let mut fields = found.fields(notes);
    let mut port = Port { mode: fields.text("mode", notes), ..Port::default() };
    let number = |found: Option<Found<'_>>, notes: &mut Notes| {
        // The present specification writes numbers as texts too, Docker's does not.
        found.map(|found| found.whole::<u16>(notes)).unwrap_or_default()
    };
    let has_target = fields.take("target");
    if has_target.is_none() {
        found.wrong(notes, "has no target: a port needs one");
    }
    port.config.target_port = number(has_target, notes);
    port.config.published_port = match fields.take("published") {
        Some(found) if is_range(found.node) => {
            let range = found.node.printed().unwrap_or_default();
            found.wrong(notes, &format!("is a range, {range}, and target is one port: name one"));
            0
        }
        found => number(found, notes),
    };
    if let Some(found) = fields.take("protocol") {
        port.protocol = found.text(notes);
        match protocol(&port.protocol) {
            Some(protocol) => port.config.protocol = protocol,
            None => found.wrong(notes, "must be one of the following: \"tcp\", \"udp\", \"sctp\""),
        }
    }
    match port.mode.as_str() {
        "" | "ingress" => {}
        "host" => port.config.publish_mode = swarmw_model::PublishMode::Host,
        mode => found.wrong(notes, &format!("mode must be ingress or host: {mode}")),
    }
    // Names are for tools; an address says nothing in a cluster.
    for key in ["name", "app_protocol"] {
        fields.text(key, notes);
    }
    let address = fields.text("host_ip", notes);
    if !address.is_empty() {
        notes.warn(format!(
            "ignoring IP-address ({address}:{}/{}) service will listen on '0.0.0.0'",
            port.config.target_port, port.config.protocol
        ));
    }
    fields.finish(notes);
    Some(port)
}

/// `8080-8085`: any of them that is free, to a client that publishes on one machine.
fn is_range(node: &Node) -> bool {
    let Value::Text(text) = &node.value else { return false };
    let number = |text: &str| text.trim().parse::<u16>().is_ok();
    text.split_once('-').is_some_and(|(from, to)| number(from) && number(to))
}
