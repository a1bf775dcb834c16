//! The way there: rules of routing that lead what is marked to a table of tasks elsewhere.
//! The machine's own ways, those to the same addresses too, are everybody else's.
//!
//! The way back: rules of routing, and a table for each node. One rule stands before the
//! others' and sends what is marked on, to one rule for each node at the very end: packets
//! that are not marked pass one rule, whatever the number of nodes.
//!
//! Where the kernel checks sources (`rp_filter`), it looks for the way of an answer: with the
//! mark if the device has `src_valid_mark`, and as if it came in where the packet goes out. So
//! the same rule says that what arrives from a node is right. On the way there, answers are
//! marked like what they answer, so the table says that they came by the right device. They
//! themselves go on as if they were not marked, and so clients may have addresses that tasks
//! have as well: what comes in by the device passes by the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv6Addr;

use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::plan::{DEVICE, MARKS, mark_of};
use super::table::MASK;
use crate::device::next_hop;
use crate::layout::LED;
use crate::netlink::Mode;
use crate::router::{ENODEV, Router};
use crate::{Error, Result};

/// Before the main table, and before what VPNs add.
const FIRST: u32 = 5357;
/// To tasks elsewhere.
const THERE: u32 = 5358;
/// Where whoever is not led there goes on.
const PAST: u32 = 5359;
/// After all others.
const LAST: u32 = 53570;

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EEXIST: i32 = 17;

/// Rules, and the default routes of tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    rules: BTreeSet<Rule>,
    /// By family and table; none: another way than by a node.
    ways: BTreeMap<(bool, u32), Option<Ipv6Addr>>,
}

/// A rule of routing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    v6: bool,
    priority: u32,
    mark: u32,
    mask: u32,
    from: Option<String>,
    act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Goto(u32),
    Table(u32),
    Nothing,
    Other,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    RemoveRule(Rule),
    RemoveWay { v6: bool, table: u32 },
    SetWay { v6: bool, table: u32, hop: Ipv6Addr },
    AddRule(Rule),
}

// === impl Policy ===

impl Policy {
    /// What is marked so is led to tasks elsewhere.
    pub(super) fn lead_there(&mut self) {
        let (v6, mark, mask) = (false, LED, MASK);
        let from = Some(DEVICE.to_owned());
        self.rules.insert(Rule { v6, priority: FIRST, mark, mask, from, act: Act::Goto(PAST) });
        for (priority, act) in [(THERE, Act::Table(LED)), (PAST, Act::Nothing)] {
            self.rules.insert(Rule { v6, priority, mark, mask, from: None, act });
        }
    }

    /// What came in by nodes is answered by them.
    pub(super) fn lead_back(&mut self, bridge: &str, numbers: impl Iterator<Item = u16>) {
        let numbers: Vec<_> = numbers.collect();
        for v6 in [false, true] {
            self.rules.insert(Rule {
                v6,
                priority: FIRST,
                mark: MARKS,
                mask: MASK,
                from: Some(bridge.to_owned()),
                act: Act::Goto(LAST),
            });
            for number in &numbers {
                let table = mark_of(*number);
                let (mark, act) = (table, Act::Table(table));
                let (priority, mask) = (LAST, u32::MAX);
                self.rules.insert(Rule { v6, priority, mark, mask, from: None, act });
                self.ways.insert((v6, table), Some(next_hop(*number)));
            }
        }
    }

    /// What goes with the device.
    pub(super) fn forget_ways(&mut self) {
        self.ways.clear();
    }

    /// From one to another, in an order that works.
    pub(super) fn turns(&self, wanted: &Self) -> Vec<Turn> {
        let mut turns = Vec::new();
        for rule in self.rules.difference(&wanted.rules) {
            turns.push(Turn::RemoveRule(rule.clone()));
        }
        for (v6, table) in self.ways.keys().filter(|key| !wanted.ways.contains_key(*key)) {
            turns.push(Turn::RemoveWay { v6: *v6, table: *table });
        }
        for ((v6, table), hop) in &wanted.ways {
            if let Some(hop) = hop.filter(|_| self.ways.get(&(*v6, *table)) != Some(hop)) {
                turns.push(Turn::SetWay { v6: *v6, table: *table, hop });
            }
        }
        for rule in wanted.rules.difference(&self.rules) {
            turns.push(Turn::AddRule(rule.clone()));
        }
        turns
    }
}

// === impl Turn ===

/// As what is wrong.
impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveRule(rule) => write!(f, "{rule} is too much"),
            Self::AddRule(rule) => write!(f, "{rule} is missing"),
            Self::RemoveWay { v6, table } => {
                write!(f, "the way back of table {table:#x}{} is too much", of_family(*v6))
            }
            Self::SetWay { v6, table, hop } => {
                write!(f, "table {table:#x}{} does not lead back to {hop}", of_family(*v6))
            }
        }
    }
}

// === impl Rule ===

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { v6, priority, mark, mask, from, act } = self;
        write!(f, "routing rule {priority}{} for mark {mark:#x}", of_family(*v6))?;
        if *mask != u32::MAX {
            write!(f, "/{mask:#x}")?;
        }
        if let Some(from) = from {
            write!(f, " from {from}")?;
        }
        match act {
            Act::Goto(to) => write!(f, " to rule {to}"),
            Act::Table(table) => write!(f, " to table {table:#x}"),
            Act::Nothing => f.write_str(" to what follows"),
            Act::Other => f.write_str(" to another end"),
        }
    }
}

fn of_family(v6: bool) -> &'static str {
    if v6 { " of IPv6" } else { "" }
}

impl Rule {
    /// None: another's.
    fn read(message: &RuleMessage) -> Option<Self> {
        let header = &message.header;
        let mut rule = Self {
            v6: header.family == AddressFamily::Inet6,
            priority: 0,
            mark: 0,
            mask: u32::MAX,
            from: None,
            act: Act::Other,
        };
        let mut table = u32::from(header.table);
        let mut to = 0;
        let mut strange = header.dst_len != 0 || header.src_len != 0 || header.tos != 0;
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(said) => rule.priority = *said,
                RuleAttribute::FwMark(said) => rule.mark = *said,
                RuleAttribute::FwMask(said) => rule.mask = *said,
                RuleAttribute::Iifname(said) => rule.from = Some(said.clone()),
                RuleAttribute::Oifname(_) => strange = true,
                RuleAttribute::Goto(said) => to = *said,
                RuleAttribute::Table(said) => table = *said,
                _ => {}
            }
        }
        rule.act = match header.action {
            _ if strange => Act::Other,
            RuleAction::Goto => Act::Goto(to),
            RuleAction::ToTable => Act::Table(table),
            RuleAction::Nop => Act::Nothing,
            _ => Act::Other,
        };
        let is_ours = [FIRST, THERE, PAST, LAST].contains(&rule.priority)
            && [MARKS, LED].contains(&(rule.mark & MASK));
        is_ours.then_some(rule)
    }

    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family(self.v6);
        message.attributes = vec![
            RuleAttribute::Priority(self.priority),
            RuleAttribute::FwMark(self.mark),
            RuleAttribute::FwMask(self.mask),
        ];
        if let Some(from) = &self.from {
            message.attributes.push(RuleAttribute::Iifname(from.clone()));
        }
        match self.act {
            Act::Goto(to) => {
                message.header.action = RuleAction::Goto;
                message.attributes.push(RuleAttribute::Goto(to));
            }
            Act::Table(table) => {
                message.header.action = RuleAction::ToTable;
                message.attributes.push(RuleAttribute::Table(table));
            }
            Act::Nothing => message.header.action = RuleAction::Nop,
            // To be removed, whatever it is.
            Act::Other => {}
        }
        message
    }
}

fn family(v6: bool) -> AddressFamily {
    if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

// === impl Router ===

impl Router {
    /// Rules and tables of published ports, as they are; and devices that live by router
    /// advertisements.
    pub(super) async fn read_policy(&mut self) -> Result<(Policy, BTreeSet<u32>)> {
        let mut policy = Policy::default();
        let mut advertised = BTreeSet::new();
        let device = match self.index(DEVICE).await {
            Ok(index) => Some(index),
            Err(error) if error.errno() == Some(ENODEV) => None,
            Err(error) => return Err(error),
        };
        for v6 in [false, true] {
            let mut message = RuleMessage::default();
            message.header.family = family(v6);
            let rules = self.links.dump(RouteNetlinkMessage::GetRule(message)).await;
            for rule in rules.map_err(Error::kernel("read", "rules of routing"))? {
                let RouteNetlinkMessage::NewRule(rule) = rule else { continue };
                policy.rules.extend(Rule::read(&rule));
            }
            let mut message = RouteMessage::default();
            message.header.address_family = family(v6);
            let routes = self.links.dump(RouteNetlinkMessage::GetRoute(message)).await;
            for route in routes.map_err(Error::kernel("read", "routes"))? {
                let RouteNetlinkMessage::NewRoute(route) = route else { continue };
                policy.take_way(&route, device);
                if v6 && route.header.protocol == RouteProtocol::Ra {
                    advertised.extend(oif(&route));
                }
            }
        }
        Ok((policy, advertised))
    }

    pub(super) async fn turn(&mut self, turn: &Turn) -> Result<()> {
        let (asked, mode, act) = match turn {
            Turn::RemoveRule(rule) => {
                (RouteNetlinkMessage::DelRule(rule.message()), Mode::Change, "removed")
            }
            Turn::AddRule(rule) => {
                (RouteNetlinkMessage::NewRule(rule.message()), Mode::Make, "made")
            }
            Turn::RemoveWay { v6, table } => {
                let message = self.way(*v6, *table, None).await?;
                (RouteNetlinkMessage::DelRoute(message), Mode::Change, "removed")
            }
            Turn::SetWay { v6, table, hop } => {
                let message = self.way(*v6, *table, Some(*hop)).await?;
                (RouteNetlinkMessage::NewRoute(message), Mode::Replace, "made")
            }
        };
        match self.links.ask(asked, mode).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let so_already: &[i32] = match mode {
                    Mode::Change => &[ENOENT, ESRCH, ENODEV],
                    Mode::Make => &[EEXIST],
                    Mode::Replace => &[],
                };
                match error.raw_os_error() {
                    Some(errno) if so_already.contains(&errno) => Ok(()),
                    _ => Err(Error::kernel(act, what(turn))(error)),
                }
            }
        }
    }

    async fn way(&mut self, v6: bool, table: u32, hop: Option<Ipv6Addr>) -> Result<RouteMessage> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(v6);
        message.header.table = RouteHeader::RT_TABLE_UNSPEC;
        message.attributes.push(RouteAttribute::Table(table));
        let Some(hop) = hop else { return Ok(message) };
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Oif(self.index(DEVICE).await?));
        message.attributes.push(match v6 {
            false => RouteAttribute::Via(RouteVia::Inet6(hop)),
            true => RouteAttribute::Gateway(hop.into()),
        });
        Ok(message)
    }
}

fn what(turn: &Turn) -> String {
    match turn {
        Turn::RemoveRule(rule) | Turn::AddRule(rule) => rule.to_string(),
        Turn::RemoveWay { table, .. } | Turn::SetWay { table, .. } => {
            format!("the default route of table {table:#x}")
        }
    }
}

impl Policy {
    fn take_way(&mut self, route: &RouteMessage, device: Option<u32>) {
        let mut table = u32::from(route.header.table);
        let mut hop = None;
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Table(said) => table = *said,
                RouteAttribute::Via(RouteVia::Inet6(via)) => hop = Some(*via),
                RouteAttribute::Gateway(RouteAddress::Inet6(via)) => hop = Some(*via),
                _ => {}
            }
        }
        if table & MASK != MARKS || route.header.destination_prefix_length != 0 {
            return;
        }
        let by_it = device.is_some() && oif(route) == device;
        let v6 = route.header.address_family == AddressFamily::Inet6;
        self.ways.insert((v6, table), hop.filter(|_| by_it));
    }
}

fn oif(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_a_rule_and_a_table_of_both_families() {
        let mut policy = Policy::default();
        policy.lead_back("docker_gwbridge", [2, 3].into_iter());
        assert_eq!((policy.rules.len(), policy.ways.len()), (6, 4));
        let mut more = Policy::default();
        more.lead_back("docker_gwbridge", [2, 3, 4].into_iter());
        let turns: Vec<_> = policy.turns(&more).iter().map(|turn| turn.to_string()).collect();
        let wanted = [
            "table 0x53570004 does not lead back to fe80::5357:4",
            "table 0x53570004 of IPv6 does not lead back to fe80::5357:4",
            "routing rule 53570 for mark 0x53570004 to table 0x53570004 is missing",
            "routing rule 53570 of IPv6 for mark 0x53570004 to table 0x53570004 is missing",
        ];
        assert_eq!(turns, wanted);
        assert_eq!(more.turns(&policy).len(), 4);
        assert_eq!(more.turns(&more), []);
    }

    #[test]
    fn a_rule_is_read_as_it_was_written() {
        let mut policy = Policy::default();
        policy.lead_there();
        policy.lead_back("docker_gwbridge", [2].into_iter());
        for rule in &policy.rules {
            assert_eq!(Rule::read(&rule.message()).as_ref(), Some(rule));
        }
        let mut other = policy.rules.iter().next().expect("one").message();
        other.attributes.retain(|attribute| !matches!(attribute, RuleAttribute::FwMark(_)));
        assert_eq!(Rule::read(&other), None, "another's");
    }
}
