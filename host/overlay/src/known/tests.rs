use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use swarmw_model::{NetworkId, Pool};

use super::*;
use crate::DesiredNetwork;
use crate::difference::{Difference, Step, difference};
use crate::layout::{Device, Kind};
use crate::netfilter::Gone;
use crate::table::Beginnings;

const MTU: u32 = 1450;

/// What may become otherwise, of few networks, containers, links and nodes: so that one
/// change often undoes another.
#[derive(Clone, Debug)]
enum Op {
    Network(u8, Option<u8>),
    Elsewhere(u8, u8, Option<u16>),
    Here(u8, u8, Option<u8>),
    Balanced(u8, u8, Option<Vec<u8>>),
    Peer(u16, Option<u8>),
    Port(u16),
    Link(u8, u8),
    Unlink(u8),
    /// A link goes while it is changed.
    Lose(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let network = || 0..3u8;
    prop_oneof![
        4 => (network(), option::weighted(0.8, 0..4u8)).prop_map(|(n, s)| Op::Network(n, s)),
        8 => (network(), 0..6u8, option::weighted(0.7, 1..5u16))
            .prop_map(|(n, on, node)| Op::Elsewhere(n, on, node)),
        8 => (network(), 0..6u8, option::weighted(0.7, 0..4u8))
            .prop_map(|(n, on, veth)| Op::Here(n, on, veth)),
        8 => (network(), 0..3u8, option::weighted(0.8, vec(0..6u8, 0..4)))
            .prop_map(|(n, on, by)| Op::Balanced(n, on, by)),
        2 => (1..5u16, option::weighted(0.8, 0..3u8)).prop_map(|(n, end)| Op::Peer(n, end)),
        1 => (4789..4791u16).prop_map(Op::Port),
        2 => (0..4u8, network()).prop_map(|(veth, n)| Op::Link(veth, n)),
        1 => (0..4u8).prop_map(Op::Unlink),
        1 => (0..4u8).prop_map(Op::Lose),
    ]
}

fn history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    vec(vec(op(), 1..5), 1..30)
}

/// Whether networks share nothing, as the cluster's leader sees to it; or all there is.
#[derive(Clone, Copy, PartialEq)]
enum Leader {
    Careful,
    Careless,
}

struct World {
    leader: Leader,
    known: Known,
    desired: Desired,
}

/// What leads from what is found to what is desired, and what there is then.
#[derive(Debug, PartialEq)]
struct Changed {
    difference: Difference,
    /// With how many chains and elements there are in it.
    text: (String, usize, usize),
    gone: BTreeSet<Gone>,
}

// === impl World ===

impl World {
    fn new(leader: Leader) -> Self {
        let desired = Desired {
            number: 1,
            address: [192, 168, 7, 1].into(),
            port: 4789,
            peers: (1..4).map(|number| (number, end(number, 0))).collect(),
            networks: BTreeMap::new(),
        };
        let there = There { layout: Layout::of(&desired, MTU), table: Table::default() };
        let made = Made { there, ..Made::default() };
        Self { leader, known: Known::of(&desired, made, MTU), desired }
    }

    /// Makes one change by its part and as a whole.
    fn changes(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        let before = self.desired.clone();
        let mut lost = None;
        for op in ops {
            match *op {
                Op::Link(link, network) => self.link(&veth(link), network, &before),
                Op::Unlink(link) => self.known.unlink(&veth(link)),
                Op::Lose(link) => lost = Some(veth(link).0),
                ref other => self.wish(other),
            }
        }
        let networks: Vec<_> = self.desired.networks.values().cloned().collect();
        for network in &networks {
            for veth in network.here.values() {
                if !self.known.there.layout.devices.contains_key(&veth.0) {
                    self.known.link(veth, made(veth, network), Some(&before));
                }
            }
        }
        prop_assert!(self.known.suffices(&self.desired));
        let is_told = self.known.plain && before.port == self.desired.port;
        let (whole, made) = change(&self.known.there, &self.desired, lost.as_deref());
        let known = Known::of(&self.desired, made, MTU);
        let Some(part) = self.known.part(&before, &self.desired) else {
            // With care only links that were made again, and what is all networks', need it.
            prop_assert!(!is_told || self.leader == Leader::Careless);
            self.known = known;
            return Ok(());
        };
        let found = self.known.found(&part);
        let (narrow, made) = change(&found, &part.after, lost.as_deref());
        prop_assert_eq!(narrow, whole);
        self.known.take_over(&found, made);
        prop_assert_eq!(&self.known, &known);
        Ok(())
    }

    fn link(&mut self, veth: &Veth, network: u8, before: &Desired) {
        if let Some(network) = self.desired.networks.get(&id(network)) {
            self.known.link(veth, made(veth, network), Some(before));
        }
    }

    fn wish(&mut self, op: &Op) {
        let is_careful = self.leader == Leader::Careful;
        match *op {
            Op::Network(number, None) => {
                self.desired.networks.remove(&id(number));
            }
            Op::Network(number, Some(shape)) => {
                let pools = pools(number, shape, self.leader);
                let vni =
                    if is_careful { number + 4 * (shape % 2) } else { number / 2 + shape / 2 };
                let nothing = || DesiredNetwork {
                    vni: 0,
                    underlay_mtu: None,
                    pools: Vec::new(),
                    here: BTreeMap::new(),
                    elsewhere: BTreeMap::new(),
                    caught: BTreeSet::new(),
                    balanced: BTreeMap::new(),
                };
                let network = self.desired.networks.entry(id(number));
                let network = Arc::make_mut(network.or_insert_with(|| Arc::new(nothing())));
                (network.vni, network.pools) = (4097 + u32::from(vni), pools);
            }
            Op::Peer(number, None) => {
                self.desired.peers.remove(&number);
            }
            Op::Peer(number, Some(place)) => {
                let end = match place {
                    2 if !is_careful => "fd77::2".parse().expect("an address"),
                    place => end(number, place),
                };
                self.desired.peers.insert(number, end);
            }
            Op::Port(port) => self.desired.port = port,
            Op::Elsewhere(number, on, node) => {
                let on = self.address(number, on);
                let Some(network) = self.network(number) else { return };
                network.elsewhere.remove(&on);
                network.elsewhere.extend(node.map(|node| (on, node)));
            }
            Op::Here(number, on, link) => {
                let on = self.address(number, on);
                if let (Some(link), true) = (link, is_careful) {
                    for (_, other) in
                        self.desired.networks.iter_mut().filter(|(other, _)| **other != id(number))
                    {
                        Arc::make_mut(other).here.retain(|_, there| *there != veth(link));
                    }
                }
                let Some(network) = self.network(number) else { return };
                network.here.remove(&on);
                network.here.extend(link.map(|link| (on, veth(link))));
            }
            Op::Balanced(number, on, ref by) => {
                let on = self.address(number, on);
                let by = by.as_ref();
                let by = by.map(|by| by.iter().map(|by| self.address(number, *by)).collect());
                let Some(network) = self.network(number) else { return };
                network.balanced.remove(&on);
                network.balanced.extend(by.map(|by| (on, by)));
            }
            Op::Link(..) | Op::Unlink(_) | Op::Lose(_) => {}
        }
    }

    fn network(&mut self, number: u8) -> Option<&mut DesiredNetwork> {
        self.desired.networks.get_mut(&id(number)).map(Arc::make_mut)
    }

    /// Every third is of IPv6; without care, the last are another network's.
    fn address(&self, network: u8, on: u8) -> IpAddr {
        let network = if self.leader == Leader::Careless && on > 3 { 0 } else { network };
        match on % 3 {
            2 => [0xfd00, u16::from(network), 0, 0, 0, 0, 0, 0x10 + u16::from(on)].into(),
            _ => [10, network, 1, on].into(),
        }
    }
}

fn change(found: &There, desired: &Desired, lost: Option<&str>) -> (Changed, Made) {
    let table = Table::of(desired, &found.table, &Beginnings::default());
    let mut layout = Layout::of(desired, MTU);
    let difference = difference(&found.layout, &layout);
    layout.keep_to(&found.layout);
    let mut made = Made::default();
    if let Some(lost) = lost.filter(|lost| difference.steps.iter().any(|step| is_of(step, lost))) {
        layout.forget(lost);
        made.gone.insert(lost.to_owned());
    }
    let gone = Table::gone(&found.table, &table);
    let change = table.change_from(&found.table);
    made.there = There { layout, table };
    let text = (change.text, change.chains, change.elements);
    (Changed { difference, text, gone }, made)
}

fn is_of(step: &Step, device: &str) -> bool {
    step.device() == Some(device)
}

fn made(veth: &Veth, network: &DesiredNetwork) -> Layout {
    let mut made = Layout::default();
    let device = Device { group: network.vni, up: true, kind: Kind::Veth };
    made.devices.insert(veth.0.clone(), device);
    made.add_gateways(&veth.0, network);
    made
}

fn pools(network: u8, shape: u8, leader: Leader) -> Vec<Pool> {
    let pool = |subnet: String, gateway: IpAddr| {
        let subnet = subnet.parse().expect("a subnet");
        Pool { subnet, range: subnet, gateway, auxiliary: BTreeMap::new() }
    };
    let four = if leader == Leader::Careless && shape == 3 {
        pool("10.0.1.1/32".to_owned(), [10, 0, 1, 1].into())
    } else {
        pool(format!("10.{network}.0.0/16"), [10, network, 0, 1].into())
    };
    let six = [0xfd00, u16::from(network), 0, 0, 0, 0, 0, 1].into();
    let mut pools = vec![four, pool(format!("fd00:{network:x}::/64"), six)];
    if shape > 1 {
        pools.push(pool(format!("10.{}.0.0/16", 100 + network), [10, 100 + network, 0, 1].into()));
    }
    pools
}

fn id(network: u8) -> NetworkId {
    NetworkId::from_bits(u128::from(network) + 1)
}

fn veth(link: u8) -> Veth {
    Veth(format!("sw{link}"))
}

fn end(node: u16, place: u8) -> IpAddr {
    let [_, low] = node.to_be_bytes();
    [192, 168, 7 + place, low].into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_part_that_a_change_touches_is_changed_as_the_whole_would_be(history in history()) {
        let mut world = World::new(Leader::Careful);
        for ops in history {
            world.changes(&ops)?;
        }
    }

    #[test]
    fn what_networks_share_is_told_from_the_whole(history in history()) {
        let mut world = World::new(Leader::Careless);
        for ops in history {
            world.changes(&ops)?;
        }
    }
}
