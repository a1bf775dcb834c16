//! What is known of the router, and how it becomes what it should be.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use swarmw_model::NetworkId;
use tokio::net::{TcpListener, TcpSocket};

use crate::catch::{self, Catch};
use crate::container::{Container, ContainerEnd};
use crate::difference::{Difference, Step, difference};
use crate::drift::{Applied, Drift, Failure};
use crate::known::{Known, Made, There};
use crate::layout::{Device, Kind, Layout, mtu_over};
use crate::namespace::Namespace;
use crate::netfilter::Gone;
use crate::overlay::Settings;
use crate::part::Part;
use crate::probe::Probe;
use crate::router::{Machine, Router};
use crate::settings::SETTINGS;
use crate::table::{Beginnings, Listed, Table};
use crate::{Desired, DesiredNetwork, Error, Result, Veth, netfilter, nft, table};

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Made with the first network, removed with the last.
    router: Option<Router>,
    /// It was made since the last `apply`.
    made: bool,
    desired: Option<Arc<Desired>>,
    /// What is there, if nobody else changed it; none: to be read.
    known: Option<Known>,
    /// Links made since this process began, which nothing may have been told of yet.
    linked: BTreeSet<Veth>,
    /// The number of the ruleset when it was last read and found right.
    generation: Option<u32>,
    catch: Catch,
    /// Whose flows were forgotten since the last look; a packet may have been on its way by
    /// the rules of before.
    gone: BTreeSet<Gone>,
    /// What an earlier process left is taken over: its flows, too, which it may not have come
    /// to forget.
    adopted: bool,
    /// Of virtual addresses, which networks take along when they go.
    beginnings: Beginnings,
}

/// What was read.
struct Seen {
    named: bool,
    /// Settings that are otherwise: their places, and what they are.
    settings: Vec<(usize, String)>,
    layout: Layout,
    /// None: the table is not there.
    listed: Option<Listed>,
    /// None: nothing was read.
    generation: Option<u32>,
    mtu: u32,
    /// Links of containers that are no more.
    abandoned: Vec<Veth>,
    /// Somebody changed what catches connections.
    is_catch_changed: bool,
}

// === impl State ===

impl State {
    pub(crate) fn of(router: Option<Router>) -> Self {
        Self { router, ..Self::default() }
    }

    /// See [`crate::Overlay::apply`].
    pub(crate) async fn apply(&mut self, settings: &Settings, desired: Desired) -> Result<Applied> {
        let desired = Arc::new(desired);
        let before = self.desired.replace(desired.clone());
        // Until all is done it is not known what is there.
        let known = self.known.take();
        if desired.networks.is_empty() && self.is_unlinked(settings).await? {
            return self.close().await;
        }
        let Some(known) = known.filter(|known| known.suffices(&desired)) else {
            let mut seen = self.look(settings, &desired).await?;
            // They may be about to be told of.
            seen.abandoned.clear();
            return self.settle(settings, &desired, seen).await;
        };
        match before.and_then(|before| known.part(&before, &desired)) {
            Some(part) => self.settle_part(settings, &desired, known, part).await,
            None => {
                let mtu = known.mtu();
                self.settle(settings, &desired, Seen::of(known.there, mtu)).await
            }
        }
    }

    /// See [`crate::Overlay::clear`].
    pub(crate) async fn clear(&mut self, settings: &Settings) -> Result<Applied> {
        if !self.is_unlinked(settings).await? {
            return Ok(Applied::default());
        }
        self.desired = None;
        self.close().await
    }

    /// See [`crate::Overlay::check`].
    pub(crate) async fn check(&mut self, settings: &Settings) -> Result<Vec<Drift>> {
        Ok(self.judged(settings).await?.map_or_else(Vec::new, |(_, _, drifts)| drifts))
    }

    /// See [`crate::Overlay::repair`].
    pub(crate) async fn repair(&mut self, settings: &Settings) -> Result<(Vec<Drift>, Applied)> {
        self.forget_again().await?;
        let Some((desired, seen, drifts)) = self.judged(settings).await? else {
            return Ok(Default::default());
        };
        if !drifts.iter().any(Drift::is_repairable) {
            return Ok((drifts, Applied::default()));
        }
        self.known = None;
        let applied = self.settle(settings, &desired, seen).await?;
        Ok((drifts, applied))
    }

    /// See [`crate::Overlay::link`].
    pub(crate) async fn link(
        &mut self,
        settings: &Settings,
        veth: &Veth,
        network: &DesiredNetwork,
        address: IpAddr,
    ) -> Result<()> {
        let mtu = self.mtu_of(settings, network, address).await?;
        let router = self.router(settings).await?;
        router.add_veth(veth, network.vni, mtu).await?;
        self.settle_link(settings, veth, network).await
    }

    /// See [`crate::Overlay::relink`].
    pub(crate) async fn relink(
        &mut self,
        settings: &Settings,
        veth: &Veth,
        network: &DesiredNetwork,
        address: IpAddr,
        inside: &ContainerEnd<'_>,
    ) -> Result<()> {
        let mtu = self.mtu_of(settings, network, address).await?;
        let container = Container::open(inside.sandbox).await?;
        let name = container.free_name(inside.prefix).await?;
        let router = self.router(settings).await?;
        // Of the one that is gone.
        router.indexes.remove(&veth.0);
        let other = container.end(&name, inside.mac, mtu);
        if !router.add_veth_with(veth, network.vni, mtu, other).await? {
            return Ok(());
        }
        let own: Vec<_> = inside.addresses.iter().map(IpNet::addr).collect();
        let settled = match container.settle(&name, inside.addresses).await {
            Ok(()) => container.extend(&network.pools, &own).await,
            failed => failed,
        };
        if let Err(error) = settled {
            // What is half there would not be missed.
            router.remove_device(veth.checked()?).await?;
            return Err(error);
        }
        self.settle_link(settings, veth, network).await
    }

    async fn mtu_of(
        &mut self,
        settings: &Settings,
        network: &DesiredNetwork,
        address: IpAddr,
    ) -> Result<u32> {
        let said = network.underlay_mtu.map_or(u32::MAX, |said| mtu_over(address, said));
        Ok(self.mtu(settings, address).await?.min(said))
    }

    /// Of a link that is there: the network's gateways are on it, and it is known.
    async fn settle_link(
        &mut self,
        settings: &Settings,
        veth: &Veth,
        network: &DesiredNetwork,
    ) -> Result<()> {
        let router = self.router(settings).await?;
        let mut made = Layout::default();
        let device = Device { group: network.vni, up: true, kind: Kind::Veth };
        made.devices.insert(veth.0.clone(), device);
        made.add_gateways(&veth.0, network);
        for (device, address) in made.addresses.clone() {
            router.step(&Step::AddAddress { device, address }).await?;
        }
        self.linked.insert(veth.clone());
        if let Some(known) = &mut self.known {
            known.link(veth, made, self.desired.as_deref());
        }
        Ok(())
    }

    /// See [`crate::Overlay::unlink`].
    pub(crate) async fn unlink(&mut self, settings: &Settings, veth: &Veth) -> Result<()> {
        self.linked.remove(veth);
        let Some(router) = &mut self.router else { return Ok(()) };
        router.remove_device(veth.checked()?).await?;
        if let Some(known) = &mut self.known {
            known.unlink(veth);
        }
        let last = self.desired.as_ref().is_some_and(|desired| desired.networks.is_empty());
        if last && self.is_unlinked(settings).await? {
            self.close().await?;
        }
        Ok(())
    }

    /// See [`crate::Overlay::socket`].
    pub(crate) async fn socket(&self, v4: bool) -> Result<Option<TcpSocket>> {
        let Some(router) = &self.router else { return Ok(None) };
        let make = move || if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let failed = Error::kernel("made", "a socket in the router");
        router.inside.within(make).await?.map(Some).map_err(failed)
    }

    /// See [`crate::Overlay::listen`].
    pub(crate) async fn listen(&self) -> Result<Option<Vec<TcpListener>>> {
        let Some(router) = &self.router else { return Ok(None) };
        let failed = Error::kernel("made", "a listener in the router");
        router.inside.within(catch::listeners).await?.map(Some).map_err(failed)
    }

    /// See [`crate::Overlay::router`].
    pub(crate) fn router_number(&self) -> Option<u64> {
        self.router.as_ref().and_then(|router| router.inside.number())
    }

    /// See [`crate::Overlay::mtu`].
    pub(crate) async fn mtu(&mut self, settings: &Settings, address: IpAddr) -> Result<u32> {
        if let Some(mtu) = self.known.as_ref().and_then(|known| known.mtu_of(address)) {
            return Ok(mtu);
        }
        let underlay = match &self.router {
            Some(router) => router.machine.mtu_of(address).await?,
            None => Machine::open(&settings.machine).await?.mtu_of(address).await?,
        };
        Ok(mtu_over(address, underlay))
    }

    /// Whom to ask by [`crate::Overlay::try_data_path`], and where; none: nothing was applied.
    pub(crate) fn probe(&self) -> Option<(Probe, Namespace)> {
        let (desired, router) = (self.desired.as_ref()?, self.router.as_ref()?);
        Some((Probe::of(desired), router.inside.clone()))
    }

    /// See [`crate::Overlay::close`].
    pub(crate) async fn close(&mut self) -> Result<Applied> {
        let mut applied = Applied::default();
        let Some(mut router) = self.router.take() else { return Ok(applied) };
        let (desired, beginnings) = (self.desired.take(), std::mem::take(&mut self.beginnings));
        *self = Self { desired, beginnings, ..Self::default() };
        // The kernel takes its time with a namespace: what others can see goes at once.
        for (name, device) in router.read().await?.devices {
            if matches!(device.kind, Kind::Tunnel(_) | Kind::Veth) {
                router.remove_device(&name).await?;
                applied.devices += 1;
            }
        }
        router.inside.remove()?;
        applied.namespaces += 1;
        Ok(applied)
    }

    async fn router(&mut self, settings: &Settings) -> Result<&mut Router> {
        let router = match self.router.take() {
            Some(router) => router,
            None => {
                self.known = None;
                self.catch = Catch::default();
                // There is one where somebody gave up waiting while it was made.
                match Router::adopt(settings).await? {
                    Some(router) => router,
                    None => {
                        self.made = true;
                        Router::make(settings).await?
                    }
                }
            }
        };
        Ok(self.router.insert(router))
    }

    /// Whether no container has a link here.
    async fn is_unlinked(&mut self, settings: &Settings) -> Result<bool> {
        if self.router.is_none() {
            self.router = Router::adopt(settings).await?;
        }
        let Some(router) = &mut self.router else { return Ok(true) };
        let layout = router.read().await?;
        let abandoned = router.abandoned(&layout, &Layout::default(), &self.linked).await?;
        Ok(layout.veths().all(|veth| abandoned.contains(&veth)))
    }

    /// What is desired, what there is, and where they differ; none: nothing was applied.
    async fn judged(
        &mut self,
        settings: &Settings,
    ) -> Result<Option<(Arc<Desired>, Seen, Vec<Drift>)>> {
        let Some(desired) = self.desired.clone().filter(|_| self.router.is_some()) else {
            return Ok(None);
        };
        let seen = self.look(settings, &desired).await?;
        let drifts = seen.judge(settings, &desired);
        if !drifts.iter().any(Drift::is_repairable) {
            self.generation = seen.generation;
        }
        Ok(Some((desired, seen, drifts)))
    }

    /// Reads the kernel.
    async fn look(&mut self, settings: &Settings, desired: &Desired) -> Result<Seen> {
        let linked = self.linked.clone();
        let router = self.router(settings).await?;
        let mtu = mtu_over(desired.address, router.machine.mtu_of(desired.address).await?);
        let layout = router.read().await?;
        let wanted = Layout::of(desired, mtu);
        let abandoned = router.abandoned(&layout, &wanted, &linked).await?;
        let named = router.inside.is_named();
        let different = router.unlike_settings().await?;
        // Before the listing: a change meanwhile is seen the next time.
        let generation = Some(netfilter::generation(&router.inside).await?);
        let listed = match &self.known {
            Some(known) if self.generation == generation => {
                Some(Listed::of(known.there.table.clone()))
            }
            _ => self.list(settings).await?,
        };
        let is_perhaps = self.generation != generation;
        let is_catch_changed = match &mut self.router {
            Some(router) => self.catch.look(settings, router, is_perhaps).await?,
            None => false,
        };
        Ok(Seen {
            named,
            settings: different,
            layout,
            listed,
            generation,
            mtu,
            abandoned,
            is_catch_changed,
        })
    }

    async fn list(&mut self, settings: &Settings) -> Result<Option<Listed>> {
        let router = self.router(settings).await?;
        let Some(listing) = nft::list(&settings.nft, &router.inside, table::TABLE).await? else {
            return Ok(None);
        };
        Ok(Some(table::list(&listing).unwrap_or_else(|said| Listed::unread(&said))))
    }

    /// Notes in the table how its rules are listed, now that they were written.
    async fn seal(&mut self, settings: &Settings) -> Result<()> {
        let Some(listed) = self.list(settings).await? else { return Ok(()) };
        let text = format!("add chain {} {}\n", table::TABLE, listed.seal());
        nft::change(&settings.nft, &self.router(settings).await?.inside, text).await
    }

    /// Makes what is seen what is desired.
    async fn settle(
        &mut self,
        settings: &Settings,
        desired: &Desired,
        seen: Seen,
    ) -> Result<Applied> {
        let mtu = seen.mtu;
        let (mut applied, made) = self.make(settings, desired, seen).await?;
        self.settle_catch(settings, desired, &mut applied).await;
        // What was refused may be half done.
        let is_known = applied.failed.is_empty();
        self.known = is_known.then(|| Known::of(desired, made, mtu));
        Ok(applied)
    }

    /// The same where only a part of it is to be changed.
    async fn settle_part(
        &mut self,
        settings: &Settings,
        desired: &Desired,
        mut known: Known,
        part: Part,
    ) -> Result<Applied> {
        let found = known.found(&part);
        let seen = Seen::of(found.clone(), known.mtu());
        let (mut applied, made) = self.make(settings, &part.after, seen).await?;
        if part.is_caught_otherwise || !self.catch.is_settled() {
            self.settle_catch(settings, desired, &mut applied).await;
        }
        if applied.failed.is_empty() {
            known.take_over(&found, made);
            self.known = Some(known);
        }
        Ok(applied)
    }

    /// Has connections to tasks that no kernel leads to caught.
    async fn settle_catch(
        &mut self,
        settings: &Settings,
        desired: &Desired,
        applied: &mut Applied,
    ) {
        let Some(router) = &mut self.router else { return };
        match self.catch.settle(settings, router, desired).await {
            Ok(elements) => applied.elements += elements,
            // A kernel that cannot do it has all else.
            Err(error) => {
                let why = format!("containers do not reach components: {error}");
                applied.failed.push(Failure { network: None, veth: None, why });
            }
        }
    }

    /// Forgets flows to backends that went, and did not come back, once more.
    async fn forget_again(&mut self) -> Result<()> {
        let (Some(router), Some(known)) = (&mut self.router, &self.known) else { return Ok(()) };
        self.gone.retain(|gone| !known.there.table.serves(gone));
        if !self.gone.is_empty() {
            router.forget(self.gone.clone()).await?;
            self.gone.clear();
        }
        Ok(())
    }

    /// Makes what is seen what is desired, and says what was done and what there is then.
    async fn make(
        &mut self,
        settings: &Settings,
        desired: &Desired,
        seen: Seen,
    ) -> Result<(Applied, Made)> {
        let mut applied = Applied::default();
        let (found, is_whole) = match seen.listed {
            Some(listed) => (listed.table, listed.broken.is_empty()),
            None => (Table::default(), false),
        };
        let table = Table::of(desired, &found, &self.beginnings);
        let mut wanted = Layout::of(desired, seen.mtu);
        let Difference { steps, lost } = difference(&seen.layout, &wanted);
        applied.lost.extend(lost);
        wanted.keep_to(&seen.layout);
        let gone = Table::gone(&found, &table);
        self.gone.extend(gone.iter().cloned());

        let is_adopted = self.adopted;
        applied.namespaces += usize::from(std::mem::take(&mut self.made));
        let router = self.router(settings).await?;
        if !seen.named {
            router.inside.name_again()?;
            applied.namespaces += 1;
        }
        // Before anything is forwarded.
        if !is_whole {
            let change = table.whole();
            nft::change(&settings.nft, &router.inside, change.text).await?;
            applied.tables += 1;
            (applied.chains, applied.elements) = (change.chains, change.elements);
        }
        applied.settings = seen.settings.len();
        router.set(seen.settings.into_iter().map(|(place, _)| place).collect()).await?;
        for veth in seen.abandoned {
            match router.remove_device(&veth.0).await {
                Ok(()) => applied.devices += 1,
                Err(error) => applied.failed.push(Failure {
                    network: None,
                    veth: Some(veth),
                    why: error.to_string(),
                }),
            }
        }
        // What is refused keeps nothing else from being done.
        let mut given_up = BTreeSet::new();
        for step in steps {
            if step.device().is_some_and(|device| given_up.contains(device)) {
                continue;
            }
            let Err(error) = router.step(&step).await else {
                applied.count(&step);
                continue;
            };
            match wanted.veth_of(&step).filter(|_| error.is_of_no_device()) {
                Some(veth) => {
                    router.indexes.remove(&veth);
                    applied.lost.push(Drift::lost(format!("the link {veth} has just gone")));
                }
                None => applied.failed.push(wanted.failure(desired, &step, &error)),
            }
            if let Some(device) = step.device() {
                wanted.forget(device);
                given_up.insert(device.to_owned());
            }
        }
        if is_whole {
            let change = table.change_from(&found);
            if !change.is_empty() {
                (applied.chains, applied.elements) = (change.chains, change.elements);
                router.change(&settings.nft, change.text, change.asked).await?;
            }
        }
        if !gone.is_empty() {
            applied.forgot(router.forget(gone).await?);
        }
        if !is_adopted {
            let adopted = table.clone();
            applied.forgot(router.forget_strays(move |flow| adopted.is_astray(flow)).await?);
            self.adopted = true;
        }
        self.beginnings.note(&found, &table);
        if !is_whole {
            self.seal(settings).await?;
        }
        Ok((applied, Made { there: There { layout: wanted, table }, gone: given_up }))
    }
}

// === impl Layout ===

impl Layout {
    /// Whom it concerns that the kernel refused a step.
    fn failure(&self, desired: &Desired, step: &Step, error: &Error) -> Failure {
        let device = step.device();
        // One that goes is of no network that stays.
        let group = device.and_then(|name| self.devices.get(name)).map(|device| device.group);
        let of = |(id, network): (&NetworkId, &Arc<DesiredNetwork>)| {
            let is_of = match step {
                Step::SetRoute { to, .. } | Step::RemoveRoute { to, .. } if group.is_none() => {
                    network.pools.iter().any(|pool| pool.subnet.contains(&to.to))
                }
                _ => Some(network.vni) == group,
            };
            is_of.then_some(*id)
        };
        Failure {
            network: desired.networks.iter().find_map(of),
            veth: self.veth_of(step).map(Veth),
            why: error.to_string(),
        }
    }
}

// === impl Seen ===

impl Seen {
    /// As if it had been read.
    fn of(there: There, mtu: u32) -> Self {
        Self {
            named: true,
            settings: Vec::new(),
            layout: there.layout,
            listed: Some(Listed::of(there.table)),
            generation: None,
            mtu,
            abandoned: Vec::new(),
            is_catch_changed: false,
        }
    }

    fn judge(&self, settings: &Settings, desired: &Desired) -> Vec<Drift> {
        let mut drifts = Vec::new();
        let mut add = |sentence: String| drifts.push(Drift::new(sentence));
        if !self.named {
            add(format!("namespace {} is missing", settings.path().display()));
        }
        for (place, value) in &self.settings {
            let setting = &SETTINGS[*place];
            add(format!("setting {} is {value}, not {}", setting.key, setting.value));
        }
        for veth in &self.abandoned {
            add(format!("link {veth} is of no container"));
        }
        match &self.listed {
            None => add("table inet swarmw of nftables is missing".to_owned()),
            Some(listed) if !listed.broken.is_empty() => {
                listed.broken.iter().cloned().for_each(&mut add);
            }
            Some(Listed { table, .. }) => {
                // What is there goes on as it began, and what is missing is said to be.
                let wanted = Table::of(desired, table, &Beginnings::default());
                table.unlike(&wanted).into_iter().for_each(&mut add);
            }
        }
        if self.is_catch_changed {
            add("table inet swarmw_user of nftables was changed".to_owned());
        }
        let Difference { steps, lost } = difference(&self.layout, &Layout::of(desired, self.mtu));
        steps.iter().for_each(|step| add(step.to_string()));
        drifts.extend(lost);
        drifts
    }
}
