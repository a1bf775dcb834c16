//! How a node's networks are against how they should be: what `net doctor` tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::json::null_as_default;
use crate::{EndpointId, NetworkNews, NodeId};

/// Sentences of one kind that a node tells at most; one more says how many there are besides.
pub const SENTENCES_MAX: usize = 100;

/// Of the hash FNV-1a, which is the same in every release.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// What a node finds when it looks at its own networks. It changes nothing by that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetFindings {
    /// Why the node joins no networks, and its kernel cannot be looked at; empty: it does.
    pub unable: String,
    /// Networks with containers here.
    pub networks: usize,
    /// Containers on them: their network namespaces.
    pub sandboxes: usize,
    /// Of these, those whose questions for names are answered.
    pub named: usize,
    /// Other nodes that containers are reached on.
    pub peers: usize,
    /// Virtual addresses of services.
    pub virtual_addresses: usize,
    /// Published ports that the kernel serves.
    pub kernel_ports: usize,
    /// Published ports that the daemon serves, and why.
    #[serde(deserialize_with = "null_as_default")]
    pub user_ports: Vec<UserPort>,
    /// Bytes in the largest packet of containers; 0: there are none.
    pub mtu: u32,
    /// What the node has heard from the leader.
    pub heard: NetHeard,
    /// What is not as it should be.
    #[serde(deserialize_with = "null_as_default")]
    pub differences: Vec<NetDifference>,
    /// What is worth knowing, and as it should be.
    #[serde(deserialize_with = "null_as_default")]
    pub notes: Vec<String>,
    /// Nodes that were asked for a sign of life by VXLAN, and gave none. For the leader, which
    /// judges it: see [`NetReport::judge_data_path`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<NetSilence>,
    /// VXLAN network identifiers by which the node's kernel gives one. For the leader as well.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub answers: BTreeSet<u32>,
}

/// A node that was asked for a sign of life by VXLAN, and gave none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetSilence {
    /// See [`crate::Node::number`].
    pub number: u16,
    /// Where its VXLAN ends.
    pub address: IpAddr,
    /// The UDP port of VXLAN.
    pub port: u16,
    /// The VXLAN network identifier by which it was asked.
    pub vni: u32,
}

/// A published port that is served in user space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserPort {
    /// `8080/tcp`
    pub port: String,
    /// Why the kernel does not serve it, in a sentence.
    pub why: String,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetDifference {
    /// In a sentence.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// What a node has heard of networks, in numbers that two binaries can compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetHeard {
    /// Networks of its tasks and containers.
    pub networks: usize,
    /// Nodes, itself among them.
    pub nodes: usize,
    /// Services on these networks.
    pub services: usize,
    /// Tasks and containers on them, everywhere.
    pub endpoints: usize,
    /// A hash of all of them, in hexadecimal digits.
    pub mark: String,
}

/// How a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetStatus {
    /// All is as it should be.
    Ok,
    /// Something is not.
    Differs,
    /// It joins no networks.
    None,
    /// Its binary does not know how to look.
    Old,
    /// It did not answer.
    #[default]
    Silent,
}

/// One node in the doctor's report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetReport {
    /// The node.
    #[serde(rename = "NodeID")]
    pub node: NodeId,
    /// Its name.
    pub hostname: String,
    /// How it stands.
    pub status: NetStatus,
    /// Why it joins no networks, or did not answer.
    pub why: String,
    /// What to do about that.
    pub advice: String,
    /// What it found; none: it was not heard.
    pub findings: Option<NetFindings>,
}

// === impl NetFindings ===

impl NetFindings {
    /// Adds what was found of another part.
    pub fn join(&mut self, part: Self) {
        self.networks += part.networks;
        self.sandboxes += part.sandboxes;
        self.named += part.named;
        self.peers += part.peers;
        self.virtual_addresses += part.virtual_addresses;
        self.kernel_ports += part.kernel_ports;
        self.user_ports.extend(part.user_ports);
        self.mtu = self.mtu.max(part.mtu);
        self.differences.extend(part.differences);
        self.notes.extend(part.notes);
        self.silent.extend(part.silent);
        self.answers.extend(part.answers);
        if self.unable.is_empty() {
            self.unable = part.unable;
        }
        if self.heard == NetHeard::default() {
            self.heard = part.heard;
        }
    }

    /// Adds one thing that is not as it should be.
    pub fn differ(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        self.differences.push(NetDifference { what: what.into(), advice: advice.into() });
    }

    /// At most [`SENTENCES_MAX`] of each kind, for a message between nodes.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let (differences, ports, notes, silent) =
            (self.differences.len(), self.user_ports.len(), self.notes.len(), self.silent.len());
        self.differences.truncate(SENTENCES_MAX);
        self.user_ports.truncate(SENTENCES_MAX);
        self.notes.truncate(SENTENCES_MAX);
        self.silent.truncate(SENTENCES_MAX);
        if let Some(more) = differences.checked_sub(SENTENCES_MAX).filter(|more| *more > 0) {
            self.differ(format!("and {more} differences more"), "mend these first, and ask again");
        }
        for (count, of) in [
            (ports, "ports in user space"),
            (notes, "notes"),
            (silent, "nodes of which nothing comes back"),
        ] {
            if let Some(more) = count.checked_sub(SENTENCES_MAX).filter(|more| *more > 0) {
                self.notes.push(format!("and {more} {of} more"));
            }
        }
        self
    }
}

// === impl NetSilence ===

impl NetSilence {
    /// As a difference of a node: what, and what to do.
    fn told(&self, hostname: &str, peer: &str) -> (String, String) {
        let Self { address, port, .. } = self;
        let what = format!(
            "nothing comes back from {peer} ({address}) by the data path: is UDP port {port} open \
             between the nodes?"
        );
        let advice = format!(
            "let UDP port {port} (VXLAN) through between {hostname} and {peer}, in both \
             directions: in the firewalls of both machines and of the network between them; \
             until then containers of the two do not reach each other, though TCP works between \
             the daemons"
        );
        (what, advice)
    }
}

// === impl NetHeard ===

impl NetHeard {
    /// Of all that the leader says of networks. Whether a task takes connections does not
    /// count: its node knows that before the leader does.
    pub fn of(news: &NetworkNews) -> Self {
        let networks = news.networks.iter().map(|n| format!("n {} {}", n.id, n.version.index));
        let nodes = news.peers.iter().map(|p| format!("p {} {} {}", p.node, p.number, p.address));
        let services = news.services.iter().map(|service| {
            let ips = service.virtual_ips.iter().map(|ip| format!(" {} {}", ip.network, ip.addr));
            format!("s {} {}{}", service.id, service.name, ips.collect::<String>())
        });
        let endpoints = news.endpoints.iter().map(|endpoint| {
            let id = match endpoint.id {
                EndpointId::Task(task) => format!("t {task}"),
                EndpointId::Attachment(attachment) => format!("a {attachment}"),
            };
            let on = endpoint.on.iter().flat_map(|on| {
                on.addresses.iter().map(move |address| format!(" {} {address}", on.network))
            });
            format!("{id} {}{}", endpoint.node, on.collect::<String>())
        });
        let mut lines: Vec<_> = networks.chain(nodes).chain(services).chain(endpoints).collect();
        lines.sort_unstable();
        let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
        let mark =
            bytes.fold(FNV_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        Self {
            networks: news.networks.len(),
            nodes: news.peers.len(),
            services: news.services.len(),
            endpoints: news.endpoints.len(),
            mark: format!("{mark:016x}"),
        }
    }

    fn told(&self) -> String {
        let Self { networks, nodes, services, endpoints, .. } = self;
        format!(
            "networks: {networks}, nodes: {nodes}, services: {services}, addresses of tasks and containers: {endpoints}"
        )
    }
}

// === impl NetStatus ===

impl NetStatus {
    /// As a table says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Differs => "differs",
            Self::None => "no networks here",
            Self::Old => "too old to say",
            Self::Silent => "does not answer",
        }
    }

    /// Whether nothing is to be done about the node.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Ok | Self::None)
    }
}

// === impl NetReport ===

impl NetReport {
    /// A node that answered. The leader knows what it should have heard, which may have
    /// changed while it was asked: any of these will do, and nothing is said without one.
    pub fn of(
        node: NodeId,
        hostname: &str,
        mut findings: NetFindings,
        should_have_heard: &[NetHeard],
    ) -> Self {
        let joins = findings.unable.is_empty();
        if let Some(last) = should_have_heard.last().filter(|_| joins)
            && !should_have_heard.contains(&findings.heard)
        {
            let (has, should) = (findings.heard.told(), last.told());
            let what = match has == should {
                true => format!("it has not heard of the latest changes of networks ({has})"),
                false => format!("it has heard of {has}; the leader knows of {should}"),
            };
            findings.differ(
                what,
                "ask again in a moment; if it stays so, restart the node's daemon (tasks go on)",
            );
        }
        let status = match (findings.differences.is_empty(), joins) {
            (false, _) => NetStatus::Differs,
            (true, true) => NetStatus::Ok,
            (true, false) => NetStatus::None,
        };
        Self {
            node,
            hostname: hostname.to_owned(),
            status,
            why: findings.unable.clone(),
            advice: String::new(),
            findings: Some(findings),
        }
    }

    /// Nodes that others heard nothing of by VXLAN: what they say themselves is needed to
    /// [judge](Self::judge_data_path) that.
    pub fn silent(reports: &[Self], numbered: &BTreeMap<u16, NodeId>) -> BTreeSet<NodeId> {
        let findings = reports.iter().filter_map(|report| report.findings.as_ref());
        let silent = findings.flat_map(|findings| &findings.silent);
        silent.filter_map(|silence| numbered.get(&silence.number).copied()).collect()
    }

    /// Says on each node of whom nothing comes back by VXLAN. Whoever is named has just said,
    /// here or among others, that its kernel answers by that very network: so it is no node
    /// that is down, has no networks, or has begun or left the network meanwhile.
    pub fn judge_data_path(
        reports: &mut [Self],
        others: &[Self],
        numbered: &BTreeMap<u16, NodeId>,
    ) {
        let all = reports.iter().chain(others);
        let answering: BTreeMap<_, _> = all
            .filter_map(|report| {
                let answers = report.findings.as_ref()?.answers.clone();
                Some((report.node, (report.hostname.clone(), answers)))
            })
            .collect();
        for report in reports {
            let Some(findings) = &mut report.findings else { continue };
            findings.answers.clear();
            for silence in std::mem::take(&mut findings.silent) {
                let node = numbered.get(&silence.number).and_then(|node| answering.get(node));
                let Some((peer, _)) = node.filter(|(_, by)| by.contains(&silence.vni)) else {
                    continue;
                };
                let (what, advice) = silence.told(&report.hostname, peer);
                findings.differ(what, advice);
                report.status = NetStatus::Differs;
            }
        }
    }

    /// Notes which nodes carry larger packets of containers than others do.
    pub fn compare(reports: &mut [Self]) {
        let mtu = |report: &Self| report.findings.as_ref().map_or(0, |findings| findings.mtu);
        let of_nodes = reports.iter().filter(|report| mtu(report) > 0);
        let Some((least, on)) = of_nodes.map(|report| (mtu(report), report.hostname.clone())).min()
        else {
            return;
        };
        for findings in reports.iter_mut().filter_map(|report| report.findings.as_mut()) {
            if findings.mtu > least {
                findings.notes.push(format!(
                    "packets of containers have up to {} bytes here and {least} on {on}: give the \
                     devices of both data path addresses one MTU, or large packets get lost",
                    findings.mtu
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkEndpoint, NetworkPeer, TaskId};

    fn heard(endpoints: usize) -> NetHeard {
        NetHeard { endpoints, mark: endpoints.to_string(), ..NetHeard::default() }
    }

    fn findings(endpoints: usize) -> NetFindings {
        NetFindings { heard: heard(endpoints), ..NetFindings::default() }
    }

    fn report(findings: NetFindings, should: &[NetHeard]) -> NetReport {
        NetReport::of(NodeId::from_bits(1), "n1", findings, should)
    }

    fn peer(number: u16) -> NetworkPeer {
        NetworkPeer {
            node: NodeId::from_bits(number.into()),
            number,
            address: "192.168.5.1".parse().expect("an address"),
            hostname: String::new(),
            agent: String::new(),
        }
    }

    #[test]
    fn a_node_is_well_until_something_differs_or_it_cannot_join_networks() {
        assert_eq!(report(findings(3), &[heard(3)]).status, NetStatus::Ok);
        let mut wrong = findings(3);
        wrong.differ("table inet swarmw of nftables is missing", "wait");
        let told = report(wrong.clone(), &[heard(3)]);
        assert_eq!((told.status, told.findings), (NetStatus::Differs, Some(wrong)));

        let unable = NetFindings { unable: "no root".to_owned(), ..NetFindings::default() };
        let told = report(unable.clone(), &[heard(3)]);
        assert_eq!((told.status, told.why.as_str()), (NetStatus::None, "no root"));
        assert!(told.status.is_well(), "it has nothing that could differ");

        let mut both = unable;
        both.differ("port 80/tcp cannot be opened", "stop whoever has it");
        assert_eq!(report(both, &[]).status, NetStatus::Differs);
    }

    #[test]
    fn a_node_that_has_heard_less_than_the_leader_knows_is_behind() {
        let told = report(findings(2), &[heard(3), heard(4)]);
        assert_eq!(told.status, NetStatus::Differs);
        let differences = told.findings.expect("it answered").differences;
        let what = &differences[0].what;
        assert!(
            what.contains("containers: 2; the leader knows") && what.ends_with(": 4"),
            "{what}"
        );

        for fine in [&[heard(2), heard(3)][..], &[heard(1), heard(2)], &[]] {
            let told = report(findings(2), fine);
            assert_eq!(told.status, NetStatus::Ok, "changed while it was asked: {fine:?}");
        }
    }

    #[test]
    fn what_was_heard_is_told_by_a_mark_that_depends_on_no_order_and_not_on_who_serves() {
        let endpoint = |serves| NetworkEndpoint {
            id: EndpointId::Task(TaskId::from_bits(7)),
            service: None,
            names: Vec::new(),
            node: NodeId::from_bits(1),
            on: Vec::new(),
            serves,
            user_space: false,
        };
        let news = |peers: Vec<_>, serves| {
            NetHeard::of(&NetworkNews {
                peers,
                endpoints: vec![endpoint(serves)],
                ..NetworkNews::default()
            })
        };
        let first = news(vec![peer(1), peer(2)], true);
        assert_eq!(first, news(vec![peer(2), peer(1)], false));
        assert_eq!((first.nodes, first.endpoints), (2, 1));
        assert_ne!(first.mark, news(vec![peer(1), peer(3)], true).mark, "another node");
    }

    #[test]
    fn the_node_with_the_larger_packets_is_told_of_the_smaller_ones() {
        let with = |mtu| report(NetFindings { mtu, ..NetFindings::default() }, &[]);
        let mut reports = [with(1450), with(0), with(1400)];
        NetReport::compare(&mut reports);
        let notes = reports.map(|report| report.findings.map_or(0, |found| found.notes.len()));
        assert_eq!(notes, [1, 0, 0]);
    }

    #[test]
    fn a_node_of_which_nothing_comes_back_is_named_if_it_says_that_it_answers() {
        let silence = |number: u16| NetSilence {
            number,
            address: IpAddr::from([192, 168, 5, number.to_be_bytes()[1]]),
            port: 4789,
            vni: 4097,
        };
        let told = |number: u16, silent: &[u16], answers: &[u32]| {
            let findings = NetFindings {
                silent: silent.iter().map(|of| silence(*of)).collect(),
                answers: answers.iter().copied().collect(),
                ..NetFindings::default()
            };
            let node = NodeId::from_bits(number.into());
            NetReport::of(node, &format!("n{number}"), findings, &[])
        };
        let numbered =
            (1..=5_u16).map(|number| (number, NodeId::from_bits(number.into()))).collect();
        // The third has no such network, the fourth was not heard at all, 6 is nobody's number.
        let away = NetReport { node: NodeId::from_bits(4), ..NetReport::default() };
        let first = told(1, &[2, 3, 4, 5, 6], &[4097]);
        let mut reports = [first, told(2, &[], &[4096, 4097]), told(3, &[], &[4096]), away];
        let of_others = [told(5, &[1], &[4097])];
        let silent = NetReport::silent(&reports, &numbered);
        let asked: BTreeSet<_> = (2..=5).map(NodeId::from_bits).collect();
        assert_eq!(silent, asked, "these are to be asked");

        NetReport::judge_data_path(&mut reports, &of_others, &numbered);
        let statuses = reports.each_ref().map(|report| report.status);
        let ok = NetStatus::Ok;
        assert_eq!(statuses, [NetStatus::Differs, ok, ok, NetStatus::Silent]);
        let [first, ..] = reports;
        let findings = first.findings.expect("it answered");
        let what: Vec<_> = findings.differences.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "nothing comes back from n2 (192.168.5.2) by the data path: is UDP port 4789 open \
                 between the nodes?",
                "nothing comes back from n5 (192.168.5.5) by the data path: is UDP port 4789 open \
                 between the nodes?"
            ]
        );
        assert!(findings.differences[0].advice.contains("between n1 and n2, in both directions"));
        let is_left = !findings.silent.is_empty() || !findings.answers.is_empty();
        assert!(!is_left, "what was judged is not told besides");
    }

    #[test]
    fn what_is_told_has_a_bound_that_says_how_much_more_there_is() {
        let mut many = NetFindings::default();
        (0..SENTENCES_MAX + 5).for_each(|n| many.differ(n.to_string(), ""));
        let told = many.bounded().differences;
        assert_eq!(told.len(), SENTENCES_MAX + 1);
        assert_eq!(told[SENTENCES_MAX].what, "and 5 differences more");
    }
}
