//! What a container's state means for its task. Pure.

use std::net::{IpAddr, Ipv4Addr};

use bollard::models::{ContainerInspectResponse, HealthStatusEnum, PortBinding};
use swarmw_model::{
    Assignment, ContainerStatus, PortConfig, PortProtocol, PortStatus, PublishMode,
};

use crate::executor::{Exit, Started};

/// Swarm's words for a task whose container fails its health checks.
pub(super) const UNHEALTHY: &str = "task: unhealthy container";

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running(Health),
    /// Its process has ended.
    Ended,
}

/// How a running container's health checks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Healthy, or not checked.
    Good,
    /// Not checked often enough yet.
    Starting,
    /// It failed too often.
    Bad,
}

/// How the container is.
pub(super) fn life(seen: &ContainerInspectResponse) -> Life {
    let Some(state) = &seen.state else { return Life::Created };
    if state.running == Some(true) {
        let health = state.health.as_ref().and_then(|h| h.status);
        return Life::Running(match health {
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Bad,
            _ => Health::Good,
        });
    }
    // An engine says the year 1 of what never was.
    let started = state.started_at.as_deref().is_some_and(|at| !at.starts_with("0001-"));
    if started { Life::Ended } else { Life::Created }
}

/// A running container, as its task's status tells it.
pub(super) fn started(seen: &ContainerInspectResponse, ports: &[PortConfig]) -> Started {
    Started { container: status(seen), ports: bound(seen, ports) }
}

/// How the container ended, in Swarm's words.
pub(super) fn exit(seen: &ContainerInspectResponse) -> Exit {
    let container = status(seen);
    let state = seen.state.as_ref();
    let cause = match state.and_then(|s| s.error.as_deref()).unwrap_or_default() {
        "" if state.and_then(|s| s.oom_killed) == Some(true) => "out of memory",
        cause => cause,
    };
    let error = (container.exit_code != 0 && !cause.is_empty())
        .then(|| format!("task: non-zero exit ({}): {cause}", container.exit_code));
    Exit { container, error }
}

/// The exit code of a process that SIGKILL ended.
const KILLED: i64 = 137;

/// Whether the container may have ended for want of memory, which engines tell by an
/// event of its own, before or after they tell of the end.
pub(super) fn may_lack_memory(seen: &ContainerInspectResponse) -> bool {
    let limited = seen.host_config.as_ref().and_then(|h| h.memory).is_some_and(|limit| limit > 0);
    let killed = seen
        .state
        .as_ref()
        .is_some_and(|state| state.exit_code == Some(KILLED) && state.oom_killed != Some(true));
    limited && killed && life(seen) == Life::Ended
}

fn status(seen: &ContainerInspectResponse) -> ContainerStatus {
    let state = seen.state.as_ref();
    ContainerStatus {
        container_id: seen.id.clone().unwrap_or_default(),
        pid: state.and_then(|s| s.pid).unwrap_or_default(),
        exit_code: state.and_then(|s| s.exit_code).unwrap_or_default(),
    }
}

/// Host-mode ports as the engine bound them.
fn bound(seen: &ContainerInspectResponse, ports: &[PortConfig]) -> Option<PortStatus> {
    let map = seen.network_settings.as_ref()?.ports.as_ref()?;
    let host_port = |port: &PortConfig| {
        let bindings: &Vec<PortBinding> =
            map.get(&key(port.target_port, port.protocol))?.as_ref()?;
        let mut numbers = bindings.iter().filter_map(|b| b.host_port.as_ref()?.parse::<u16>().ok());
        match port.published_port {
            0 => numbers.next(),
            wanted => numbers.find(|n| *n == wanted),
        }
    };
    let ports: Vec<_> = ports
        .iter()
        .filter(|port| port.publish_mode == PublishMode::Host)
        .filter_map(|port| Some(PortConfig { published_port: host_port(port)?, ..port.clone() }))
        .collect();
    (!ports.is_empty()).then_some(PortStatus { ports })
}

/// A port in the engine's notation, `80/tcp`.
pub(super) fn key(port: u16, protocol: PortProtocol) -> String {
    format!("{port}/{protocol}")
}

/// Where a container is reached from its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Here.
    At(IpAddr),
    /// On the bridge that its engine connects it to beside the cluster's networks, which
    /// the container itself does not tell of.
    OnBridge,
    /// Nowhere: it has no network.
    Nowhere,
}

/// The container's address on a bridge of the node; those of the task's networks are the
/// cluster's.
pub(super) fn reached(seen: &ContainerInspectResponse, task: &Assignment) -> Reached {
    let mode = seen.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
    if mode == Some("host") {
        return Reached::At(Ipv4Addr::LOCALHOST.into());
    }
    let ours: Vec<IpAddr> =
        task.attachments.iter().flat_map(|a| &a.addresses).map(ipnet::IpNet::addr).collect();
    let networks = seen.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut addresses = networks
        .into_iter()
        .flat_map(|networks| networks.values())
        .filter_map(|network| network.ip_address.as_ref()?.parse().ok());
    match addresses.find(|address| !ours.contains(address)) {
        Some(address) => Reached::At(address),
        None if ours.is_empty() => Reached::Nowhere,
        None => Reached::OnBridge,
    }
}

/// Names of the networks that a container is on, or will be when it starts.
pub(super) fn networks_of(seen: &ContainerInspectResponse) -> Vec<String> {
    let networks = seen.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    networks.into_iter().flat_map(|networks| networks.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerState, Health as Checked, HostConfig, NetworkSettings};

    use super::*;

    fn seen(state: ContainerState) -> ContainerInspectResponse {
        ContainerInspectResponse {
            id: Some("c".to_owned()),
            state: Some(state),
            ..Default::default()
        }
    }

    fn running(health: Option<HealthStatusEnum>) -> ContainerState {
        ContainerState {
            running: Some(true),
            pid: Some(7),
            health: health.map(|status| Checked { status: Some(status), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn a_container_lives_as_its_state_says() {
        let never = ContainerState {
            running: Some(false),
            started_at: Some("0001-01-01T00:00:00Z".to_owned()),
            ..Default::default()
        };
        let ended = ContainerState {
            running: Some(false),
            started_at: Some("2026-01-01T00:00:00Z".to_owned()),
            ..Default::default()
        };
        for (state, want) in [
            (never, Life::Created),
            (ended, Life::Ended),
            (running(None), Life::Running(Health::Good)),
            (running(Some(HealthStatusEnum::NONE)), Life::Running(Health::Good)),
            (running(Some(HealthStatusEnum::STARTING)), Life::Running(Health::Starting)),
            (running(Some(HealthStatusEnum::HEALTHY)), Life::Running(Health::Good)),
            (running(Some(HealthStatusEnum::UNHEALTHY)), Life::Running(Health::Bad)),
        ] {
            assert_eq!(life(&seen(state.clone())), want, "{state:?}");
        }
    }

    #[test]
    fn an_exit_names_its_cause_where_the_engine_knows_it() {
        let ended = |code, error: &str, oom| ContainerState {
            exit_code: Some(code),
            error: Some(error.to_owned()),
            oom_killed: Some(oom),
            ..Default::default()
        };
        for (state, want) in [
            (ended(0, "", false), None),
            (ended(1, "", false), None),
            (ended(137, "", true), Some("task: non-zero exit (137): out of memory")),
            (ended(127, "no such file", false), Some("task: non-zero exit (127): no such file")),
        ] {
            let exit = exit(&seen(state.clone()));
            assert_eq!(exit.error.as_deref(), want, "{state:?}");
            assert_eq!(exit.container.container_id, "c");
        }
    }

    #[test]
    fn only_a_killed_container_with_a_limit_may_lack_memory() {
        let ended = |code, oom, limit| ContainerInspectResponse {
            host_config: Some(HostConfig { memory: Some(limit), ..Default::default() }),
            ..seen(ContainerState {
                started_at: Some("2026-11-21T10:00:00Z".to_owned()),
                exit_code: Some(code),
                oom_killed: Some(oom),
                ..Default::default()
            })
        };
        assert!(may_lack_memory(&ended(137, false, 8 << 20)));
        for told in [ended(137, true, 8 << 20), ended(137, false, 0), ended(1, false, 8 << 20)] {
            assert!(!may_lack_memory(&told), "{told:?}");
        }
    }

    #[test]
    fn host_ports_are_told_as_bound_and_ingress_ports_are_not() {
        let binding = |port: &str| {
            Some(vec![PortBinding { host_ip: None, host_port: Some(port.to_owned()) }])
        };
        let mut container = seen(running(None));
        container.network_settings = Some(NetworkSettings {
            ports: Some(HashMap::from([
                ("80/tcp".to_owned(), binding("49153")),
                ("53/udp".to_owned(), binding("53")),
                ("443/tcp".to_owned(), None),
            ])),
            ..Default::default()
        });
        let port = |target, published, protocol, mode| PortConfig {
            target_port: target,
            published_port: published,
            protocol,
            publish_mode: mode,
            ..Default::default()
        };
        let ports = [
            port(80, 0, PortProtocol::Tcp, PublishMode::Host),
            port(53, 53, PortProtocol::Udp, PublishMode::Host),
            port(443, 8443, PortProtocol::Tcp, PublishMode::Ingress),
        ];

        let told = started(&container, &ports).ports.expect("ports");

        let numbers: Vec<_> =
            told.ports.iter().map(|p| (p.target_port, p.published_port)).collect();
        assert_eq!(numbers, [(80, 49153), (53, 53)]);
    }
}
