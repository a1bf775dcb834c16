//! The router of a node: its namespace, and sockets in it and beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

use crate::layout::Layout;
use crate::namespace::Namespace;
use crate::netfilter::{Asked, Flow, Forgotten, Gone, Netfilter};
use crate::netlink::Netlink;
use crate::overlay::Settings;
use crate::settings::SETTINGS;
use crate::{Error, Result, Veth, nft};

/// Messages of one transaction that the kernel takes from a socket as it is; each is of some
/// hundred bytes.
const MESSAGES_MAX: usize = 256;

/// The router of a node.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) inside: Namespace,
    pub(crate) links: Netlink,
    /// The node's own namespace, where VXLAN ends and the engine takes containers' links.
    pub(crate) machine: Machine,
    /// Numbers of the router's devices, by name.
    pub(crate) indexes: BTreeMap<String, u32>,
    /// Made when it is first needed, and again after an error.
    netfilter: Option<Netfilter>,
}

/// The node's own namespace.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) space: Namespace,
    pub(crate) links: Netlink,
}

// === impl Router ===

impl Router {
    /// The one that is there, if there is one.
    pub(crate) async fn adopt(settings: &Settings) -> Result<Option<Self>> {
        match Namespace::open(&settings.path())? {
            Some(inside) => Ok(Some(Self::of(inside, settings).await?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn make(settings: &Settings) -> Result<Self> {
        let inside = Namespace::make(&settings.path()).await?;
        let router = Self::of(inside, settings).await?;
        // Devices begin with what is set before they are made. What is of connection
        // tracking may only be there with the first rule that needs it.
        let mut early: Vec<_> = (0..SETTINGS.len()).collect();
        early.retain(|place| !SETTINGS[*place].key.starts_with("net.netfilter."));
        router.set(early).await?;
        Ok(router)
    }

    async fn of(inside: Namespace, settings: &Settings) -> Result<Self> {
        let links = Netlink::open(&inside).await?;
        let machine = Machine::open(&settings.machine).await?;
        Ok(Self { inside, links, machine, indexes: BTreeMap::new(), netfilter: None })
    }

    /// The node's own namespace as if it were one.
    pub(crate) async fn of_machine(path: &Path) -> Result<Self> {
        let machine = Machine::open(path).await?;
        let (inside, links) = (machine.space.clone(), machine.links.clone());
        Ok(Self { inside, links, machine, indexes: BTreeMap::new(), netfilter: None })
    }

    /// Links that nothing wants, that this process did not make, and whose containers have
    /// given them back.
    pub(crate) async fn abandoned(
        &self,
        there: &Layout,
        wanted: &Layout,
        linked: &BTreeSet<Veth>,
    ) -> Result<Vec<Veth>> {
        let mut abandoned = Vec::new();
        for veth in there.veths() {
            if !wanted.devices.contains_key(&veth.0)
                && !linked.contains(&veth)
                && self.machine.has(&veth.other_end()).await?
            {
                abandoned.push(veth);
            }
        }
        Ok(abandoned)
    }

    /// Changes nftables, as it is said to `nft`, and to the kernel if that is possible.
    pub(crate) async fn change(
        &mut self,
        nft: &Path,
        text: String,
        asked: Option<Vec<Asked>>,
    ) -> Result<()> {
        match asked.filter(|asked| asked.len() <= MESSAGES_MAX) {
            Some(asked) => {
                let netfilter = self.netfilter().await?;
                netfilter.change(asked).await?;
                self.netfilter = Some(netfilter);
                Ok(())
            }
            None => nft::change(nft, &self.inside, text).await,
        }
    }

    /// See [`Netfilter::forget`].
    pub(crate) async fn forget(&mut self, gone: BTreeSet<Gone>) -> Result<Forgotten> {
        let netfilter = self.netfilter().await?;
        let forgotten = netfilter.forget(gone).await?;
        self.netfilter = Some(netfilter);
        Ok(forgotten)
    }

    /// See [`Netfilter::forget_strays`].
    pub(crate) async fn forget_strays(
        &mut self,
        is_astray: impl Fn(&Flow) -> bool + Send + 'static,
    ) -> Result<Forgotten> {
        let netfilter = self.netfilter().await?;
        let forgotten = netfilter.forget_strays(is_astray).await?;
        self.netfilter = Some(netfilter);
        Ok(forgotten)
    }

    async fn netfilter(&mut self) -> Result<Netfilter> {
        match self.netfilter.take() {
            Some(netfilter) => Ok(netfilter),
            None => Netfilter::open(&self.inside).await,
        }
    }

    /// The number of a device: those that this room made it knows.
    pub(crate) async fn index(&mut self, name: &str) -> Result<u32> {
        if let Some(index) = self.indexes.get(name) {
            return Ok(*index);
        }
        let failed = Error::kernel("found", format!("device {name}"));
        let index = index_of(&self.links, name).await.map_err(failed)?;
        self.indexes.insert(name.to_owned(), index);
        Ok(index)
    }
}

// === impl Machine ===

impl Machine {
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let missing = || Error::Namespace {
            path: path.to_owned(),
            act: "opened",
            source: std::io::Error::other("it is no network namespace"),
        };
        let space = Namespace::open(path)?.ok_or_else(missing)?;
        let links = Netlink::open(&space).await?;
        Ok(Self { space, links })
    }

    /// The MTU of the device that has an address.
    pub(crate) async fn mtu_of(&self, address: IpAddr) -> Result<u32> {
        let failed = || Error::kernel("read", "addresses of this node");
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let addresses = self.links.dump(all).await.map_err(failed())?;
        let has = |message: &AddressMessage| {
            message.attributes.iter().any(|attribute| match attribute {
                AddressAttribute::Local(local) => *local == address,
                AddressAttribute::Address(of) => of.is_ipv6() && *of == address,
                _ => false,
            })
        };
        let index = addresses.iter().find_map(|message| match message {
            RouteNetlinkMessage::NewAddress(message) if has(message) => Some(message.header.index),
            _ => None,
        });
        let mut asked = LinkMessage::default();
        asked.header.index = index.ok_or(Error::NoAddress(address))?;
        let failed = Error::kernel("read", format!("the device with address {address}"));
        let link = self.links.get(RouteNetlinkMessage::GetLink(asked)).await.map_err(failed)?;
        let mtu = attributes(&link).iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        mtu.ok_or(Error::NoAddress(address))
    }

    /// Whether there is a device of this name.
    pub(crate) async fn has(&self, name: &str) -> Result<bool> {
        match index_of(&self.links, name).await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(false),
            Err(error) => Err(Error::kernel("read", format!("device {name}"))(error)),
        }
    }
}

/// There is no such device.
pub(crate) const ENODEV: i32 = 19;

pub(crate) async fn index_of(links: &Netlink, name: &str) -> std::io::Result<u32> {
    let mut asked = LinkMessage::default();
    asked.attributes.push(LinkAttribute::IfName(name.to_owned()));
    match links.get(RouteNetlinkMessage::GetLink(asked)).await? {
        Some(RouteNetlinkMessage::NewLink(link)) => Ok(link.header.index),
        _ => Err(std::io::Error::from_raw_os_error(ENODEV)),
    }
}

fn attributes(link: &Option<RouteNetlinkMessage>) -> &[LinkAttribute] {
    match link {
        Some(RouteNetlinkMessage::NewLink(link)) => &link.attributes,
        _ => &[],
    }
}
