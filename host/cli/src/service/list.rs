//! `service ls`

use swarmw_model::{ImageReference, PortConfig, PublishMode, ServiceMode};

use crate::client::Service;
use crate::failure::Failure;
use crate::table::{Column, Format, List, Row, natural, render, short};

const LIST: List = List {
    of: "*service.serviceContext",
    columns: &[
        column("ID", "ID"),
        column("Name", "NAME"),
        column("Mode", "MODE"),
        column("Replicas", "REPLICAS"),
        column("Image", "IMAGE"),
        column("Ports", "PORTS"),
    ],
    shown: &["ID", "Name", "Mode", "Replicas", "Image", "Ports"],
    raw: &[
        ("id", "ID"),
        ("name", "Name"),
        ("mode", "Mode"),
        ("replicas", "Replicas"),
        ("image", "Image"),
        ("ports", "Ports"),
    ],
};

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// The list of services as text.
pub(crate) fn show(
    mut services: Vec<Service>,
    format: Option<&str>,
    quiet: bool,
) -> Result<String, Failure> {
    services.sort_by(|a, b| natural(&a.spec.name, &b.spec.name));
    let rows: Vec<Row> = services.iter().map(row).collect();
    render(&Format::new(format, quiet), &LIST, &rows)
}

fn row(service: &Service) -> Row {
    let mode = match service.spec.mode {
        ServiceMode::Replicated(_) => "replicated",
        ServiceMode::Global(_) => "global",
        ServiceMode::ReplicatedJob(_) => "replicated job",
        ServiceMode::GlobalJob(_) => "global job",
    };
    let image = service.spec.task_template.image();
    [
        ("ID", short(&service.id).to_owned()),
        ("Name", service.spec.name.clone()),
        ("Mode", mode.to_owned()),
        ("Replicas", replicas(service)),
        ("Image", ImageReference::parse(image).to_string()),
        ("Ports", ports(&service.endpoint.ports)),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .into()
}

fn replicas(service: &Service) -> String {
    let (running, desired, completed) = match &service.service_status {
        Some(status) => (status.running_tasks, status.desired_tasks, status.completed_tasks),
        None => (0, service.spec.replicas().unwrap_or(0), 0),
    };
    let most =
        service.spec.task_template.placement.as_ref().map_or(0, |placement| placement.max_replicas);
    match &service.spec.mode {
        ServiceMode::Replicated(_) if most > 0 => {
            format!("{running}/{desired} (max {most} per node)")
        }
        ServiceMode::Replicated(_) | ServiceMode::Global(_) => format!("{running}/{desired}"),
        ServiceMode::ReplicatedJob(job) => {
            format!("{running}/{desired} ({completed}/{} completed)", job.completions())
        }
        // What is wanted yet and what is done are all of it.
        ServiceMode::GlobalJob(_) => {
            format!("{running}/{desired} ({completed}/{} completed)", desired + completed)
        }
    }
}

/// Ports that lie side by side, as one.
struct Range {
    published: (u16, u16),
    target: (u16, u16),
    protocol: swarmw_model::PortProtocol,
}

/// Ingress ports, by protocol and number, neighbours drawn together.
fn ports(ports: &[PortConfig]) -> String {
    let mut ports: Vec<_> =
        ports.iter().filter(|port| port.publish_mode == PublishMode::Ingress).collect();
    ports.sort_by_key(|port| (port.protocol.to_string(), port.published_port));
    let mut ranges: Vec<Range> = Vec::new();
    for port in ports {
        match ranges.last_mut().filter(|range| range.goes_on_with(port)) {
            Some(range) => {
                range.published.1 = port.published_port;
                range.target.1 = port.target_port;
            }
            None => ranges.push(Range {
                published: (port.published_port, port.published_port),
                target: (port.target_port, port.target_port),
                protocol: port.protocol,
            }),
        }
    }
    let shown: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

// === impl Range ===

impl Range {
    fn goes_on_with(&self, port: &PortConfig) -> bool {
        let next = |last: u16, port: u16| matches!(port.checked_sub(last), Some(0 | 1));
        let is_range = self.target.0 != self.target.1;
        port.protocol == self.protocol
            && next(self.published.1, port.published_port)
            && next(self.target.1, port.target_port)
            && !(is_range && port.target_port <= self.target.1)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |(from, to): (u16, u16)| match from == to {
            true => from.to_string(),
            false => format!("{from}-{to}"),
        };
        write!(f, "*:{}->{}/{}", side(self.published), side(self.target), self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_reads_as_dockers() {
        let services = serde_json::from_value(json!([
            {"ID": "bbbbbbbbbbbbbbbbbbbbbbbbb", "Spec": {"Name": "web10", "Mode": {"Global": {}},
                "TaskTemplate": {"ContainerSpec": {"Image": "hello.wasm@sha256:ab"}}},
             "ServiceStatus": {"RunningTasks": 2, "DesiredTasks": 3}},
            {"ID": "aaaaaaaaaaaaaaaaaaaaaaaaa", "Spec": {"Name": "web2", "Mode": {"Replicated": {"Replicas": 3}},
                "TaskTemplate": {"ContainerSpec": {"Image": "redis:3.0.6@sha256:ab"}, "Placement": {"MaxReplicas": 5}}},
             "Endpoint": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}]},
             "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 3}},
        ]))
        .expect("services");
        assert_eq!(
            show(services, None, false).expect("a table"),
            "ID             NAME      MODE         REPLICAS               IMAGE         PORTS\n\
             aaaaaaaaaaaa   web2      replicated   1/3 (max 5 per node)   redis:3.0.6   *:8080->80/tcp\n\
             bbbbbbbbbbbb   web10     global       2/3                    hello.wasm    \n"
        );
    }

    #[test]
    fn jobs_show_how_much_is_done() {
        let services = serde_json::from_value(json!([
            {"ID": "a", "Spec": {"Name": "each", "Mode": {"GlobalJob": {}}},
             "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 3}},
            {"ID": "b", "Spec": {"Name": "some",
                "Mode": {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}},
                "TaskTemplate": {"Placement": {"MaxReplicas": 1}}},
             "ServiceStatus": {"RunningTasks": 0, "DesiredTasks": 2, "CompletedTasks": 5}},
        ]))
        .expect("services");
        assert_eq!(
            show(services, Some("{{.Name}} is a {{.Mode}}: {{.Replicas}}"), false).expect("lines"),
            "each is a global job: 1/2 (3/5 completed)\n\
             some is a replicated job: 0/2 (5/5 completed)\n"
        );
    }

    #[test]
    fn neighbouring_ports_are_drawn_together() {
        for (given, want) in [
            ("18080:80/tcp 18081:81/tcp 18082:82/tcp", "*:18080-18082->80-82/tcp"),
            ("8000:80/tcp 8001:80/tcp", "*:8000-8001->80/tcp"),
            ("53:53/udp 53:53/tcp", "*:53->53/tcp, *:53->53/udp"),
            ("90:9/tcp 80:8/tcp", "*:80->8/tcp, *:90->9/tcp"),
            ("80:81/tcp 81:80/tcp", "*:80->81/tcp, *:81->80/tcp"),
            ("", ""),
        ] {
            let parsed: Vec<_> = given
                .split_whitespace()
                .flat_map(|text| crate::parse::publish(text).expect(text).0)
                .collect();
            assert_eq!(ports(&parsed), want, "{given}");
        }
    }
}
