//! What a task that is a component cannot have: settings of a container that nothing in its
//! sandbox answers to. They are refused by name, not dropped.

use crate::{
    ContainerOptions, ContainerSpec, DnsConfig, PortProtocol, Privileges, PublishMode, Refusal,
    ServiceSpec,
};

/// Refuses what says nothing to a component, where the task is one.
pub(super) fn component(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(container) = spec.container().filter(|_| spec.task_template.is_component()) else {
        return Ok(());
    };
    let options = spec.container_options();
    let of_node = (options != ContainerOptions::default())
        .then_some(("devices, privileges and namespaces of its node", "them"));
    let found = meaningless(container).or(of_node).or_else(|| port(spec));
    match found {
        None => Ok(()),
        Some((what, it)) => Err(Refusal::invalid(format!(
            "a component has no {what}, it is no container: leave {it} out, or run it from an \
             image"
        ))),
    }
}

/// The first port that a component does not serve: it answers HTTP, by way of the nodes.
fn port(spec: &ServiceSpec) -> Option<(&'static str, &'static str)> {
    let ports = spec.endpoint_spec.iter().flat_map(|endpoint| &endpoint.ports);
    let mut found = ports.filter_map(|port| match (port.protocol, port.publish_mode) {
        (PortProtocol::Udp, _) => Some(("port of UDP", "it")),
        (PortProtocol::Sctp, _) => Some(("port of SCTP", "it")),
        (PortProtocol::Tcp, PublishMode::Host) => Some(("port of mode host", "it")),
        (PortProtocol::Tcp, PublishMode::Ingress) => None,
    });
    found.next()
}

/// The first such setting of a container, and the word that stands for it.
fn meaningless(container: &ContainerSpec) -> Option<(&'static str, &'static str)> {
    let dns = container.dns.clone().unwrap_or_default();
    let privileges = Privileges::read(container.privileges.as_ref()).unwrap_or_default();
    let health = container.health_check.as_ref().map(|check| check.test.as_slice());
    let checks = health.is_some_and(|test| !test.is_empty() && test != ["NONE"]);
    let capabilities =
        !container.capability_add.is_empty() || !container.capability_drop.is_empty();
    [
        (!container.hostname.is_empty(), "host name", "it"),
        (!container.user.is_empty(), "user", "it"),
        (!container.groups.is_empty(), "groups", "them"),
        (capabilities, "capabilities", "them"),
        (!container.sysctls.is_empty(), "sysctls", "them"),
        (!container.ulimits.is_empty(), "ulimits", "them"),
        (container.tty, "terminal", "it"),
        (container.init == Some(true), "init", "it"),
        (checks, "health check", "it"),
        (!container.hosts.is_empty(), "hosts file", "it"),
        (dns != DnsConfig::default(), "resolver of its own", "it"),
        (privileges != Privileges::default(), "confinement of an engine", "it"),
    ]
    .into_iter()
    .find_map(|(asked, what, it)| asked.then_some((what, it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_to_a_component_is_refused_by_name() {
        for (settings, want) in [
            (r#""Init":false,"DNSConfig":{},"Isolation":"default","Privileges":{}"#, ""),
            (r#""Healthcheck":{"Test":["NONE"]},"Env":["A=1"],"StopGracePeriod":5"#, ""),
            (r#""Hostname":"a""#, "a component has no host name"),
            (r#""User":"a""#, "a component has no user"),
            (r#""CapabilityDrop":["ALL"]"#, "a component has no capabilities"),
            (r#""TTY":true"#, "a component has no terminal"),
            (r#""Healthcheck":{"Test":["CMD","true"]}"#, "a component has no health check"),
            (r#""DNSConfig":{"Search":["a"]}"#, "a component has no resolver of its own"),
            (r#""Privileges":{"NoNewPrivileges":true}"#, "a component has no confinement"),
        ] {
            for image in ["x.wasm@sha256:ab", "x"] {
                let spec = format!(
                    r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"{image}",{settings}}}}}}}"#
                );
                let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
                let said = component(&spec).err().map(|why| why.message).unwrap_or_default();
                let want = if image == "x" { "" } else { want };
                let right = if want.is_empty() { said.is_empty() } else { said.starts_with(want) };
                assert!(right, "{image} {settings}: {said}");
            }
        }
    }

    #[test]
    fn ports_that_it_does_not_serve_are_refused_by_name() {
        for (port, want) in [
            (r#""Protocol":"tcp""#, ""),
            (r#""Protocol":"udp""#, "a component has no port of UDP"),
            (r#""Protocol":"sctp""#, "a component has no port of SCTP"),
            (r#""PublishMode":"host""#, "a component has no port of mode host"),
        ] {
            for image in ["x.wasm@sha256:ab", "x"] {
                let spec = format!(
                    r#"{{"Name":"a","TaskTemplate":{{"ContainerSpec":{{"Image":"{image}"}}}},
                        "EndpointSpec":{{"Ports":[{{"TargetPort":80}},{{"TargetPort":81,{port}}}]}}}}"#
                );
                let spec: ServiceSpec = serde_json::from_str(&spec).expect("a spec");
                let said = component(&spec).err().map(|why| why.message).unwrap_or_default();
                let want = if image == "x" { "" } else { want };
                let right = if want.is_empty() { said.is_empty() } else { said.starts_with(want) };
                assert!(right, "{image} {port}: {said}");
            }
        }
    }
}
