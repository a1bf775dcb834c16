use std::net::{IpAddr, Ipv6Addr};

use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;
use swarmw_model::NodeId;
use swarmw_model::PortProtocol::{Sctp, Tcp, Udp};

use super::*;
use crate::difference::{Difference, difference};
use crate::layout::Layout;
use crate::netfilter::Gone;
use crate::ports::plan;
use crate::ports::table::Table;
use crate::ports::{Local, PublishedEnds, Remote};

const MTU: u32 = 1450;
const PROTOCOLS: [PortProtocol; 3] = [Tcp, Udp, Sctp];

/// What may become otherwise, of few tasks and ports: so that one change often undoes
/// another.
#[derive(Clone, Debug)]
enum Op {
    Here(u8, Option<(u8, bool)>),
    Elsewhere(u8, Option<(u16, bool, bool)>),
    Port(u8, u16, Option<Served>),
    Node(u8, Option<u16>),
    Peer(u16, bool),
}

/// Tasks and their ports, whether clients are masked, and whether user space may have it.
type Served = (BTreeSet<(u8, u16)>, bool, bool);

/// What is known to be there, and what was desired.
struct World {
    table: Table,
    layout: Layout,
    desired: DesiredPorts,
    index: Index,
}

/// What leads from what is found to what is desired.
#[derive(Debug, PartialEq)]
struct Changed {
    difference: Difference,
    /// With how many chains and elements there are in it.
    text: (String, usize, usize),
    gone: BTreeSet<Gone>,
}

fn op() -> impl Strategy<Value = Op> {
    let task = || 0..6u8;
    let backends = || btree_set((task(), 80..82u16), 0..4);
    let published = (backends(), any::<bool>(), any::<bool>());
    prop_oneof![
        4 => (task(), option::of((0..4u8, any::<bool>()))).prop_map(|(t, l)| Op::Here(t, l)),
        6 => (task(), option::weighted(0.7, (1..5u16, any::<bool>(), any::<bool>())))
            .prop_map(|(t, r)| Op::Elsewhere(t, r)),
        8 => (0..3u8, 0..3u16, option::weighted(0.8, published))
            .prop_map(|(protocol, port, ends)| Op::Port(protocol, port, ends)),
        1 => (0..3u8, option::of(1..4u16)).prop_map(|(on, number)| Op::Node(on, number)),
        1 => (1..4u16, any::<bool>()).prop_map(|(number, there)| Op::Peer(number, there)),
    ]
}

fn task(number: u8) -> Ipv4Addr {
    [10, 0, 0, 10 + number].into()
}

fn end(number: u16) -> IpAddr {
    let [_, low] = number.to_be_bytes();
    [192, 168, 7, low].into()
}

/// A node with a task that nothing changes.
fn desired() -> DesiredPorts {
    let local = Local { v4: Some([172, 18, 0, 9].into()), v6: None };
    DesiredPorts {
        node: NodeId::from_bits(1),
        number: 1,
        address: end(1),
        port: 4789,
        vni: 4096,
        bridge: "docker_gwbridge".to_owned(),
        peers: (1..4).map(|number| (number, end(number))).collect(),
        nodes: BTreeMap::new(),
        here: [(task(9), local)].into(),
        elsewhere: OrdMap::new(),
        ports: OrdMap::new(),
    }
}

// === impl World ===

impl World {
    fn new() -> Self {
        let desired = desired();
        let table = Table::of(&desired, &Table::default(), true);
        let index = Index::of(&desired);
        Self { table, layout: plan::layout(&desired, MTU), desired, index }
    }

    /// Makes one change by its part and as a whole.
    fn changes(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        let before = self.desired.clone();
        for op in ops {
            self.wish(op);
        }
        let table = Table::of(&self.desired, &self.table, true);
        let layout = plan::layout(&self.desired, MTU);
        let whole = changed((&self.table, &self.layout), (&table, &layout));
        let part = Part::between(&before, &self.desired, &self.index);
        self.index.follow(&before, &self.desired);
        let index = Index::of(&self.desired);
        prop_assert_eq!(&self.index, &index);
        if let Some(part) = part {
            let sides = part.sides().map(|side| Table::of_ends(side, &self.table));
            let ways = part.sides().map(plan::ways);
            let (found, there) = (self.table.part(&sides), self.layout.part(&ways));
            prop_assert_eq!(changed((&found, &there), (&sides[1], &ways[1])), whole);
            let ([_, narrow], [_, ways]) = (sides, ways);
            self.table.replace(&found, narrow);
            self.layout.replace(&there, ways);
            prop_assert_eq!(&self.table, &table);
            prop_assert_eq!(&self.layout, &layout);
        } else {
            let same = (&before.peers, &before.nodes) == (&self.desired.peers, &self.desired.nodes);
            prop_assert!(!same);
        }
        (self.table, self.layout) = (table, layout);
        Ok(())
    }

    fn wish(&mut self, op: &Op) {
        let desired = &mut self.desired;
        match op {
            Op::Here(number, local) => {
                desired.here.remove(&task(*number));
                desired.here.extend(local.map(|(on, v6)| {
                    let v6 = v6.then(|| Ipv6Addr::new(0xfd18, 0, 0, 0, 0, 0, 0, on.into()));
                    (task(*number), Local { v4: Some([172, 18, 0, on].into()), v6 })
                }));
            }
            Op::Elsewhere(number, remote) => {
                desired.elsewhere.remove(&task(*number));
                let remote = remote.map(|(node, v4, v6)| (task(*number), Remote { node, v4, v6 }));
                desired.elsewhere.extend(remote);
            }
            Op::Port(protocol, port, published) => {
                let key = (PROTOCOLS[usize::from(*protocol)], *port);
                desired.ports.remove(&key);
                desired.ports.extend(published.as_ref().map(|(backends, snat, user_space)| {
                    let backends = backends.iter().map(|(number, port)| (task(*number), *port));
                    let (backends, snat, user_space) = (backends.collect(), *snat, *user_space);
                    (key, PublishedEnds { backends, snat, user_space })
                }));
            }
            Op::Node(on, number) => {
                let address = [192, 168, 8, *on].into();
                desired.nodes.remove(&address);
                desired.nodes.extend(number.map(|number| (address, number)));
            }
            Op::Peer(number, there) => {
                desired.peers.remove(number);
                desired.peers.extend(there.then(|| (*number, end(*number))));
            }
        }
    }
}

fn changed(found: (&Table, &Layout), wanted: (&Table, &Layout)) -> Changed {
    let difference = difference(found.1, wanted.1);
    let change = wanted.0.change_from(found.0);
    let text = (change.text, change.chains, change.elements);
    Changed { difference, text, gone: Table::gone(found.0, wanted.0) }
}

#[test]
fn a_task_that_serves_a_port_touches_those_beside_it_and_no_others() {
    let remote = |node| Remote { node, v4: true, v6: false };
    let mut before = desired();
    before.elsewhere =
        vec![(task(1), remote(2)), (task(2), remote(3)), (task(3), remote(2))].into();
    let served = |by: &[u8]| PublishedEnds {
        backends: by.iter().map(|number| (task(*number), 80)).collect(),
        ..PublishedEnds::default()
    };
    before.ports = vec![((Tcp, 8080), served(&[1, 2])), ((Tcp, 8081), served(&[3]))].into();
    let mut after = before.clone();
    after.elsewhere.insert(task(1), remote(3));
    let index = Index::of(&before);
    let part = Part::between(&before, &after, &index).expect("a part");
    assert!(part.after.elsewhere.keys().eq(&[task(1), task(2)]));
    assert!(part.after.ports.keys().eq([&(Tcp, 8080)]));
    after.peers.remove(&3);
    assert_eq!(Part::between(&before, &after, &index), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_part_that_a_change_touches_is_changed_as_the_whole_would_be(
        history in prop::collection::vec(prop::collection::vec(op(), 1..5), 1..30)
    ) {
        let mut world = World::new();
        for ops in history {
            world.changes(&ops)?;
        }
    }
}
