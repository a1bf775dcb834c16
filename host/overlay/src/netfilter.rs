//! What `nft` does not do: the number of the ruleset, and flows to forget. Both over the
//! kernel's netfilter socket, whose messages are few and small enough to write by hand
//! (linux/netfilter/nfnetlink.h, nf_tables.h, nfnetlink_conntrack.h).
//!
//! Changes of nftables that are made all the time are made here, too. The kernel closes a
//! socket only when no processor sees any more what was removed by then, which takes 10 ms
//! and more: `nft` waits for that each time, a socket that is kept never does.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr as KernelAddress};

use crate::namespace::Namespace;
use crate::{Error, Result};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

const GET_GENERATION: u16 = 10 << 8 | 16;
const NFTA_GEN_ID: u16 = 1;

const GET_FLOWS: u16 = 1 << 8 | 1;
const DELETE_FLOW: u16 = 1 << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// Of the flags of a filter: the source's address (net/netfilter/nf_internals.h).
const BY_SOURCE: u32 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SOURCE: u16 = 2;
const CTA_PROTO_TO: u16 = 3;

/// A flow that was answered, and one whose destination was translated
/// (linux/netfilter/nf_conntrack_common.h).
const IPS_SEEN_REPLY: u32 = 2;
const IPS_DST_NAT: u32 = 32;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const UDP: u8 = 17;
const ENOENT: i32 = 2;

/// An attribute has attributes in it.
const NESTED: u16 = 0x8000;

/// Up to so many addresses the kernel is asked for the flows of each: it looks at all of its
/// table every time, but says only those. For more, it says once all that were translated.
const ASKED_MAX: usize = 32;

/// Sizes of `nlmsghdr` and `nfgenmsg`.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

/// A socket in a namespace, to be kept.
#[derive(Clone, Debug)]
pub(crate) struct Netfilter(Arc<Mutex<Socket>>);

/// A message of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) family: u8,
    pub(crate) attributes: Vec<u8>,
}

// === impl Netfilter ===

impl Netfilter {
    pub(crate) async fn open(inside: &Namespace) -> Result<Self> {
        let failed = Error::kernel("opened", "a netfilter socket");
        let socket = inside.within(|| Socket::new(NETLINK_NETFILTER)).await?.map_err(failed)?;
        Ok(Self(Arc::new(Mutex::new(socket))))
    }

    /// Makes one transaction of nftables: all of it, or nothing. After an error the socket
    /// is of no use: there may be more of the answer.
    pub(crate) async fn change(&self, asked: Vec<Asked>) -> Result<()> {
        let failed = Error::kernel("made", "a change of nftables");
        self.with(move |socket| transact(socket, &asked)).await.map_err(failed)
    }

    /// Forgets flows of UDP, and of others those that were never answered: their next packet
    /// begins anew.
    pub(crate) async fn forget(&self, gone: BTreeSet<Gone>) -> Result<Forgotten> {
        let failed = Error::kernel("forgotten", "flows to backends that went");
        let by: BTreeSet<_> = gone.iter().map(Gone::answered_by).collect();
        let is_gone = move |flow: &Flow| !flow.lasts() && flow.is_of(&gone);
        self.with(move |socket| forget_where(socket, &by, is_gone)).await.map_err(failed)
    }

    /// The same of all flows whose destination was translated, if they go astray.
    pub(crate) async fn forget_strays(
        &self,
        is_astray: impl Fn(&Flow) -> bool + Send + 'static,
    ) -> Result<Forgotten> {
        let failed = Error::kernel("forgotten", "flows to backends that went before");
        let is_gone = move |flow: &Flow| flow.translated && !flow.lasts() && is_astray(flow);
        let looked = move |socket: &Socket| forget_said(socket, [(0, translated())], is_gone);
        self.with(looked).await.map_err(failed)
    }

    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Socket) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let socket = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            act(&socket.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(io::Error::other)?
    }
}

fn transact(socket: &Socket, asked: &[Asked]) -> io::Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let edge = |kind| request(kind, 0, 0, 0, NFNL_SUBSYS_NFTABLES, &[]);
    let mut batch = edge(BEGIN);
    let mut sequence = 0;
    let mut left = asked.len();
    for Asked { kind, flags, family, attributes } in asked {
        (sequence, left) = (sequence + 1, left - 1);
        // The answer to the last one comes last.
        let acknowledged = if left == 0 { NLM_F_ACK } else { 0 };
        batch.extend(request(*kind, flags | acknowledged, sequence, *family, 0, attributes));
    }
    batch.extend(edge(END));
    socket.send_to(&batch, &KernelAddress::new(0, 0), 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for (kind, message) in messages(&datagram) {
            if kind != NLMSG_ERROR {
                continue;
            }
            let code = message.get(HEADER..HEADER + 4).and_then(|code| code.try_into().ok());
            match code.map_or(0, i32::from_ne_bytes) {
                0 if word(message, 8) == Some(sequence) => return Ok(()),
                0 => {}
                code => return Err(io::Error::from_raw_os_error(-code)),
            }
        }
    }
}

/// The number of the ruleset, which every change of nftables in the namespace raises.
pub(crate) async fn generation(inside: &Namespace) -> Result<u32> {
    let failed = Error::kernel("read", "the number of nftables' ruleset");
    inside.within(generation_here).await?.map_err(failed)
}

/// The number of the ruleset of the network namespace that the calling thread is in: every
/// change of nftables there raises it.
///
/// # Errors
/// The kernel refuses: this needs root.
pub fn generation_here() -> io::Result<u32> {
    let mut number = None;
    exchange(&Socket::new(NETLINK_NETFILTER)?, GET_GENERATION, 0, 0, &[], |message| {
        let said = attributes(body(message)).into_iter().find(|(kind, _)| *kind == NFTA_GEN_ID);
        number = said.and_then(|(_, value)| value.try_into().ok()).map(u32::from_be_bytes);
    })?;
    number.ok_or_else(|| io::Error::other("the kernel gave no number"))
}

/// Where flows no longer go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gone {
    /// From what the client sent to, to who answers.
    Pair { to: IpAddr, by: IpAddr },
    /// From a port of any address, to a port of who answers.
    Port { protocol: u8, port: u16, end: IpAddr, target: u16 },
}

/// What was done about flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Forgotten.
    pub(crate) flows: usize,
    /// Said by the kernel, to find them.
    pub(crate) read: usize,
}

/// Forgets UDP flows to an address and port, of the network namespace that the calling
/// thread is in: their next packet begins anew. How many there were.
///
/// # Errors
/// The kernel refuses: this needs root.
pub fn forget_flows_here(to: SocketAddr) -> io::Result<usize> {
    let is_gone =
        |flow: &Flow| flow.protocol == UDP && (flow.to, flow.port) == (to.ip(), to.port());
    let socket = Socket::new(NETLINK_NETFILTER)?;
    forget_where(&socket, &BTreeSet::new(), is_gone).map(|forgotten| forgotten.flows)
}

/// Forgets flows, of those that certain addresses answer; without any, of all.
fn forget_where(
    socket: &Socket,
    by: &BTreeSet<IpAddr>,
    is_gone: impl Fn(&Flow) -> bool,
) -> io::Result<Forgotten> {
    let asked: BTreeSet<_> = match by.len() {
        0 => [(0, Vec::new())].into(),
        1..=ASKED_MAX => by.iter().map(|by| asked_for(*by)).collect(),
        _ => [(0, translated())].into(),
    };
    forget_said(socket, asked, is_gone)
}

/// Forgets flows, of those that the kernel says with filters, each of a family.
fn forget_said(
    socket: &Socket,
    filters: impl IntoIterator<Item = (u8, Vec<u8>)>,
    is_gone: impl Fn(&Flow) -> bool,
) -> io::Result<Forgotten> {
    let (mut forgotten, mut gone) = (Forgotten::default(), Vec::new());
    for (family, filter) in filters {
        exchange(socket, GET_FLOWS, NLM_F_DUMP, family, &filter, |message| {
            forgotten.read += 1;
            // Kernels that do not know a filter say all.
            if let Some(flow) = Flow::read(message).filter(&is_gone) {
                let family = message.get(HEADER).copied().unwrap_or_default();
                gone.push((family, flow.named));
            }
        })?;
    }
    for (family, named) in gone {
        match exchange(socket, DELETE_FLOW, NLM_F_ACK, family, &named, |_| {}) {
            Ok(()) => forgotten.flows += 1,
            // It ended by itself.
            Err(error) if error.raw_os_error() == Some(ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

/// A family and a filter with flows that an address answers. Of IPv6 it is all that were
/// translated: kernels (6.18 for one) say just those that another address answers.
fn asked_for(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (AF_INET, answered_by(v4)),
        IpAddr::V6(_) => (AF_INET6, translated()),
    }
}

/// A filter: flows that an address answers.
fn answered_by(address: Ipv4Addr) -> Vec<u8> {
    let (mut source, mut tuple, mut flags) = (Vec::new(), Vec::new(), Vec::new());
    put(&mut source, CTA_IP_V4_SRC, &address.octets());
    put(&mut tuple, CTA_TUPLE_IP | NESTED, &source);
    put(&mut flags, CTA_FILTER_REPLY_FLAGS, &BY_SOURCE.to_ne_bytes());
    let mut filter = Vec::new();
    put(&mut filter, CTA_TUPLE_REPLY | NESTED, &tuple);
    put(&mut filter, CTA_FILTER | NESTED, &flags);
    filter
}

/// A filter: flows whose destination was translated, as all are that go to backends.
fn translated() -> Vec<u8> {
    let mut filter = Vec::new();
    put(&mut filter, CTA_STATUS, &IPS_DST_NAT.to_be_bytes());
    filter
}

// === impl Gone ===

impl Gone {
    fn answered_by(&self) -> IpAddr {
        match *self {
            Self::Pair { by, .. } => by,
            Self::Port { end, .. } => end,
        }
    }
}

/// A flow of the connection table.
pub(crate) struct Flow {
    pub(crate) protocol: u8,
    /// What the client sent to.
    pub(crate) to: IpAddr,
    pub(crate) port: u16,
    /// Who answers.
    pub(crate) answered_by: IpAddr,
    pub(crate) target: u16,
    answered: bool,
    /// Its destination was.
    translated: bool,
    /// The attributes that name it.
    named: Vec<u8>,
}

// === impl Flow ===

impl Flow {
    fn read(message: &[u8]) -> Option<Self> {
        let all = attributes(body(message));
        let find = |wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        let (original, reply, id) = (find(CTA_TUPLE_ORIG)?, find(CTA_TUPLE_REPLY)?, find(CTA_ID)?);
        let mut named = Vec::new();
        put(&mut named, CTA_TUPLE_ORIG | NESTED, original);
        put(&mut named, CTA_ID, id);
        let (_, to) = ends(original)?;
        let (answered_by, _) = ends(reply)?;
        let status = find(CTA_STATUS).and_then(|status| status.try_into().ok());
        let status = status.map_or(0, u32::from_be_bytes);
        Some(Self {
            protocol: protocol(original)?,
            to,
            port: port(original, CTA_PROTO_TO),
            answered_by,
            target: port(reply, CTA_PROTO_SOURCE),
            answered: status & IPS_SEEN_REPLY != 0,
            translated: status & IPS_DST_NAT != 0,
            named,
        })
    }

    /// A connection is between two who know of it.
    fn lasts(&self) -> bool {
        self.protocol != UDP && self.answered
    }

    fn is_of(&self, gone: &BTreeSet<Gone>) -> bool {
        let Self { protocol, to, port, answered_by, target, .. } = *self;
        gone.contains(&Gone::Pair { to, by: answered_by })
            || gone.contains(&Gone::Port { protocol, port, end: answered_by, target })
    }
}

/// Source and destination of a tuple.
fn ends(tuple: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (_, inner) = attributes(tuple).into_iter().find(|(kind, _)| *kind == CTA_TUPLE_IP)?;
    let addresses: Vec<_> = attributes(inner).into_iter().filter_map(address).collect();
    let find = |kinds: [u16; 2]| {
        let found = addresses.iter().find(|(kind, _)| kinds.contains(kind));
        found.map(|(_, address)| *address)
    };
    // CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST.
    Some((find([1, 3])?, find([2, 4])?))
}

fn address((kind, value): (u16, &[u8])) -> Option<(u16, IpAddr)> {
    let address = match value.len() {
        4 => <[u8; 4]>::try_from(value).ok()?.into(),
        16 => <[u8; 16]>::try_from(value).ok()?.into(),
        _ => return None,
    };
    Some((kind, address))
}

fn protocol(tuple: &[u8]) -> Option<u8> {
    of_protocol(tuple, CTA_PROTO_NUM)?.first().copied()
}

/// Not all protocols have ports.
fn port(tuple: &[u8], kind: u16) -> u16 {
    let port = of_protocol(tuple, kind).and_then(|port| port.try_into().ok());
    port.map_or(0, u16::from_be_bytes)
}

fn of_protocol(tuple: &[u8], wanted: u16) -> Option<&[u8]> {
    let (_, inner) = attributes(tuple).into_iter().find(|(kind, _)| *kind == CTA_TUPLE_PROTO)?;
    let found = attributes(inner).into_iter().find(|(kind, _)| *kind == wanted);
    found.map(|(_, value)| value)
}

/// Sends a request and reads all of its answer, message by message.
fn exchange(
    socket: &Socket,
    kind: u16,
    flags: u16,
    family: u8,
    attributes: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let request = request(kind, flags, 0, family, 0, attributes);
    socket.send_to(&request, &KernelAddress::new(0, 0), 0)?;

    loop {
        let (datagram, _) = socket.recv_from_full()?;
        for (kind, message) in messages(&datagram) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = message.get(HEADER..HEADER + 4).and_then(|c| c.try_into().ok());
                    return match code.map_or(0, i32::from_ne_bytes) {
                        0 => Ok(()),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    };
                }
                _ => each(message),
            }
        }
        if flags & (NLM_F_DUMP | NLM_F_ACK) == 0 {
            return Ok(());
        }
    }
}

/// A message, to port 0: the kernel.
fn request(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: &[u8],
) -> Vec<u8> {
    let length = HEADER + FAMILY_HEADER + attributes.len();
    let mut request = Vec::with_capacity(length);
    request.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    request.extend([0; 4]);
    // Version 0.
    request.extend([family, 0]);
    request.extend(resource.to_be_bytes());
    request.extend(attributes);
    request
}

/// Messages of a datagram, each with its kind.
fn messages(mut datagram: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((length, kind)) = datagram
        .get(..4)
        .and_then(<[u8]>::first_chunk)
        .and_then(|length: &[u8; 4]| Some((u32::from_ne_bytes(*length), short(datagram, 4)?)))
    {
        let Ok(length) = usize::try_from(length) else { break };
        let Some(message) = datagram.get(..length).filter(|_| length >= HEADER) else { break };
        found.push((kind, message));
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    found
}

/// What follows the headers.
fn body(message: &[u8]) -> &[u8] {
    message.get(HEADER + FAMILY_HEADER..).unwrap_or_default()
}

/// Attributes by their kinds, without the flags of it.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (short(bytes, 0), short(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { break };
        found.push((kind & 0x3fff, value));
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    found
}

pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Everything in netlink begins at a multiple of four.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}
