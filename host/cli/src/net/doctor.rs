//! `net doctor`: a table of nodes, then what differs on each and what to do.

use serde_json::Value as Json;
use swarmw_model::{NetFindings, NetReport, NetStatus};

use crate::client::Client;
use crate::failure::Failure;
use crate::inspect::reindent;
use crate::io::Io;
use crate::node;
use crate::table::{Column, Format, List, Row, natural, render};

/// Ports in user space of one reason that are named, before the rest is counted.
const NAMED_MAX: usize = 8;

const LIST: List = List {
    of: "*net.nodeContext",
    columns: &[
        column("Node", "NODE"),
        column("ID", "ID"),
        column("Status", "STATUS"),
        column("Networks", "NETWORKS"),
        column("Containers", "CONTAINERS"),
        column("Names", "NAMES"),
        column("Peers", "PEERS"),
        column("VIPs", "VIPS"),
        column("KernelPorts", "KERNEL PORTS"),
        column("UserPorts", "USER PORTS"),
        column("MTU", "MTU"),
        column("Differences", "DIFFERENCES"),
    ],
    shown: &[
        "Node",
        "Status",
        "Networks",
        "Containers",
        "Names",
        "Peers",
        "VIPs",
        "KernelPorts",
        "UserPorts",
        "Differences",
    ],
    raw: &[("node_id", "ID"), ("node", "Node"), ("status", "Status")],
};

const fn column(name: &'static str, heading: &'static str) -> Column {
    Column { name, heading }
}

/// `net doctor`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct DoctorArgs {
    /// Format output: table, json, or a Go template for each node
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Ask one node alone: id, host name, unique id prefix, or self
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

pub(super) async fn run(client: &Client, args: DoctorArgs, io: &mut Io) -> Result<(), Failure> {
    let mut call = client.get("/swarmw/net/doctor");
    if let Some(reference) = &args.node {
        call = call.query("node", node::resolve(client, reference).await?);
    }
    let answer = call.fetch().await?;
    let mut reports: Vec<NetReport> = serde_json::from_slice(&answer)
        .map_err(|error| Failure::new(format!("unexpected answer: {error}")))?;
    match args.format.as_deref() {
        // As the daemon says it, for programs.
        Some("json") => io.line(reindent(&String::from_utf8_lossy(&answer)))?,
        format => {
            reports.sort_by(|a, b| natural(&a.hostname, &b.hostname));
            io.text(&show(&reports, format)?)?;
        }
    }
    verdict(&reports).map_or(Ok(()), |why| Err(Failure::new(why)))
}

/// Why the command fails, if it does.
fn verdict(reports: &[NetReport]) -> Option<String> {
    let differ = reports.iter().filter(|report| report.status == NetStatus::Differs).count();
    let unheard = reports.iter().filter(|report| !report.status.is_well()).count() - differ;
    let all = reports.len();
    let node = if all == 1 { "node" } else { "nodes" };
    match (differ, unheard) {
        (0, 0) => None,
        (_, 0) => Some(format!("something differs on {differ} of {all} {node}")),
        (0, _) => Some(format!("{unheard} of {all} {node} did not say how they are")),
        _ => Some(format!(
            "something differs on {differ} of {all} {node}, and {unheard} did not say how they are"
        )),
    }
}

/// The table, and below the plain one what there is to say of nodes.
fn show(reports: &[NetReport], format: Option<&str>) -> Result<String, Failure> {
    let format = Format::new(format, false);
    let rows: Vec<_> = reports.iter().map(row).collect();
    let mut text = render(&format, &LIST, &rows)?;
    if format == Format::Table {
        for told in reports.iter().filter_map(told) {
            text.push('\n');
            text += &told;
        }
    }
    Ok(text)
}

fn row(report: &NetReport) -> Row {
    let found = report.findings.as_ref();
    // Of a node that was not heard nothing is known, not zero.
    let count = |of: fn(&NetFindings) -> usize| found.map_or(Json::from("-"), |f| of(f).into());
    let fields: [(&str, Json); 12] = [
        ("Node", report.hostname.as_str().into()),
        ("ID", report.node.to_string().into()),
        ("Status", report.status.words().into()),
        ("Networks", count(|f| f.networks)),
        ("Containers", count(|f| f.sandboxes)),
        ("Names", count(|f| f.named)),
        ("Peers", count(|f| f.peers)),
        ("VIPs", count(|f| f.virtual_addresses)),
        ("KernelPorts", count(|f| f.kernel_ports)),
        ("UserPorts", count(|f| f.user_ports.len())),
        ("MTU", found.map_or(Json::from("-"), |f| f.mtu.into())),
        ("Differences", count(|f| f.differences.len())),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What there is to say of a node beside its line.
fn told(report: &NetReport) -> Option<String> {
    let mut lines = Vec::new();
    if !report.why.is_empty() {
        lines.push(format!("  {}", report.why));
    }
    if !report.advice.is_empty() {
        lines.push(format!("    -> {}", report.advice));
    }
    let found = report.findings.clone().unwrap_or_default();
    for (place, difference) in found.differences.iter().enumerate() {
        lines.push(format!("  {}", difference.what));
        // Once for all that follow each other with the same advice.
        let next = found.differences.get(place + 1);
        if next.is_none_or(|next| next.advice != difference.advice) {
            lines.push(format!("    -> {}", difference.advice));
        }
    }
    lines.extend(in_user_space(&found));
    lines.extend(found.notes.iter().map(|note| format!("  note: {note}")));
    if lines.is_empty() {
        return None;
    }
    Some(format!("{}: {}\n{}\n", report.hostname, report.status.words(), lines.join("\n")))
}

/// Ports in user space, those of one reason in one line.
fn in_user_space(found: &NetFindings) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for port in &found.user_ports {
        match reasons.iter_mut().find(|(why, _)| *why == port.why) {
            Some((_, ports)) => ports.push(port.port.as_str()),
            None => reasons.push((port.why.as_str(), vec![port.port.as_str()])),
        }
    }
    let line = |(why, ports): (&str, Vec<&str>)| {
        let named = ports[..ports.len().min(NAMED_MAX)].join(", ");
        let rest = match ports.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        format!("  in user space: {named}{rest}: {why}")
    };
    reasons.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use swarmw_model::{NodeId, UserPort};

    use super::*;

    fn port(number: u16, why: &str) -> UserPort {
        UserPort { port: format!("{number}/tcp"), why: why.to_owned() }
    }

    fn reports() -> Vec<NetReport> {
        let well = NetFindings {
            networks: 2,
            sandboxes: 3,
            named: 3,
            peers: 2,
            virtual_addresses: 4,
            kernel_ports: 1,
            user_ports: vec![port(80, "no task serves it"), port(81, "no task serves it")],
            mtu: 1450,
            ..NetFindings::default()
        };
        let mut differs = NetFindings {
            networks: 1,
            notes: vec!["mended 3 s ago: a rule".to_owned()],
            ..NetFindings::default()
        };
        differs.differ("table inet swarmw of nftables is missing", "wait");
        differs.differ("device vx4097 is missing", "wait");
        let unable = NetFindings { unable: "no root".to_owned(), ..NetFindings::default() };
        let of = |number, name, found| NetReport::of(NodeId::from_bits(number), name, found, &[]);
        let silent = NetReport {
            hostname: "n4".to_owned(),
            why: "it did not answer within 5 s".to_owned(),
            advice: "see whether it runs".to_owned(),
            ..NetReport::default()
        };
        vec![of(1, "n1", well), of(2, "n2", differs), of(3, "n3", unable), silent]
    }

    #[test]
    fn the_table_has_a_line_for_each_node_and_below_it_what_differs() {
        let text = show(&reports(), None).expect("a table");
        let (table, below) = text.split_once("\n\n").expect("a table and more");
        let lines: Vec<Vec<_>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["n1", "ok", "2", "3", "3", "2", "4", "1", "2", "0"]);
        assert_eq!(lines[2][..2], ["n2", "differs"]);
        assert_eq!(lines[2].last(), Some(&"2"));
        assert_eq!(lines[3][..4], ["n3", "no", "networks", "here"]);
        assert_eq!(lines[4][..4], ["n4", "does", "not", "answer"]);
        assert_eq!(lines[4].last(), Some(&"-"), "nothing is known of it");
        assert_eq!(
            below,
            "n1: ok\n  in user space: 80/tcp, 81/tcp: no task serves it\n\n\
             n2: differs\n  table inet swarmw of nftables is missing\n  device vx4097 is \
             missing\n    -> wait\n  note: mended 3 s ago: a rule\n\n\
             n3: no networks here\n  no root\n\n\
             n4: does not answer\n  it did not answer within 5 s\n    -> see whether it runs\n"
        );
    }

    #[test]
    fn the_command_fails_where_something_differs_or_a_node_is_silent() {
        let all = reports();
        let both = "something differs on 1 of 4 nodes, and 1 did not say how they are";
        assert_eq!(verdict(&all).as_deref(), Some(both));
        assert_eq!(verdict(&all[..1]), None);
        assert_eq!(verdict(&all[1..2]).as_deref(), Some("something differs on 1 of 1 node"));
        assert_eq!(verdict(&all[2..3]), None, "a node without networks is well");
        let silent = "1 of 2 nodes did not say how they are";
        assert_eq!(verdict(&all[2..]).as_deref(), Some(silent));
    }

    #[test]
    fn templates_name_what_the_table_hides() {
        let text = show(&reports()[..1], Some("{{.Node}} {{.MTU}}")).expect("lines");
        assert_eq!(text, "n1 1450\n");
    }
}
