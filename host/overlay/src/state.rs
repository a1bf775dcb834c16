//! What is known of the router, and how it becomes what it should be.

use std::collections::BTreeSet;
use std::net::IpAddr;

use swarmw_model::NetworkId;

use crate::difference::{Difference, Step, difference};
use crate::drift::{Applied, Drift, Failure};
use crate::layout::{Device, Kind, Layout, mtu_over};
use crate::overlay::Settings;
use crate::router::{Machine, Router};
use crate::settings::SETTINGS;
use crate::table::{Listed, Table};
use crate::{Desired, DesiredNetwork, Error, Result, Veth, netfilter, nft, table};

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Made with the first network, removed with the last.
    router: Option<Router>,
    /// It was made since the last `apply`.
    made: bool,
    desired: Option<Desired>,
    /// What is there, if nobody else changed it; none: to be read.
    known: Option<Known>,
    /// Links made since this process began, which nothing may have been told of yet.
    linked: BTreeSet<Veth>,
    /// The rules that are always there, as they were listed first.
    rules: Option<String>,
    /// The number of the ruleset when it was last read and found right.
    generation: Option<u32>,
}

/// What is there.
#[derive(Debug)]
struct Known {
    layout: Layout,
    table: Table,
    /// Of networks, by the address that the underlay was looked up with.
    mtu: (IpAddr, u32),
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
}

// === impl State ===

impl State {
    pub(crate) fn of(router: Option<Router>) -> Self {
        Self { router, ..Self::default() }
    }

    /// See [`crate::Overlay::apply`].
    pub(crate) async fn apply(&mut self, settings: &Settings, desired: Desired) -> Result<Applied> {
        self.desired = Some(desired.clone());
        if desired.networks.is_empty() && self.is_unlinked(settings).await? {
            return self.close().await;
        }
        let seen = match self.known.take() {
            Some(known) if known.suffices(&desired) => Seen::from(known),
            _ => {
                let mut seen = self.look(settings, &desired).await?;
                // They may be about to be told of.
                seen.abandoned.clear();
                seen
            }
        };
        self.settle(settings, &desired, seen).await
    }

    /// See [`crate::Overlay::check`].
    pub(crate) async fn check(&mut self, settings: &Settings) -> Result<Vec<Drift>> {
        Ok(self.judged(settings).await?.map_or_else(Vec::new, |(_, _, drifts)| drifts))
    }

    /// See [`crate::Overlay::repair`].
    pub(crate) async fn repair(&mut self, settings: &Settings) -> Result<(Vec<Drift>, Applied)> {
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
        let said = network.underlay_mtu.map_or(u32::MAX, |said| mtu_over(address, said));
        let mtu = self.mtu(settings, address).await?.min(said);
        let router = self.router(settings).await?;
        router.add_veth(veth, network.vni, mtu).await?;
        let mut made = Layout::default();
        let device = Device { group: network.vni, up: true, kind: Kind::Veth };
        made.devices.insert(veth.0.clone(), device);
        made.add_gateways(&veth.0, network);
        for (device, address) in made.addresses.clone() {
            router.step(&Step::AddAddress { device, address }).await?;
        }
        self.linked.insert(veth.clone());
        if let Some(known) = &mut self.known {
            known.layout.devices.extend(made.devices);
            known.layout.addresses.extend(made.addresses);
        }
        Ok(())
    }

    /// See [`crate::Overlay::unlink`].
    pub(crate) async fn unlink(&mut self, settings: &Settings, veth: &Veth) -> Result<()> {
        self.linked.remove(veth);
        let Some(router) = &mut self.router else { return Ok(()) };
        router.remove_device(veth.checked()?).await?;
        if let Some(known) = &mut self.known {
            known.layout.forget(&veth.0);
        }
        let last = self.desired.as_ref().is_some_and(|desired| desired.networks.is_empty());
        if last && self.is_unlinked(settings).await? {
            self.close().await?;
        }
        Ok(())
    }

    /// See [`crate::Overlay::mtu`].
    pub(crate) async fn mtu(&mut self, settings: &Settings, address: IpAddr) -> Result<u32> {
        if let Some(Known { mtu: (_, mtu), .. }) =
            self.known.as_ref().filter(|known| known.mtu.0 == address)
        {
            return Ok(*mtu);
        }
        let underlay = match &self.router {
            Some(router) => router.machine.mtu_of(address).await?,
            None => Machine::open(&settings.machine).await?.mtu_of(address).await?,
        };
        Ok(mtu_over(address, underlay))
    }

    /// See [`crate::Overlay::close`].
    pub(crate) async fn close(&mut self) -> Result<Applied> {
        let mut applied = Applied::default();
        let Some(mut router) = self.router.take() else { return Ok(applied) };
        *self = Self { desired: self.desired.take(), ..Self::default() };
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
    async fn judged(&mut self, settings: &Settings) -> Result<Option<(Desired, Seen, Vec<Drift>)>> {
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
            Some(known) if self.generation == generation => Some(Listed::of(known.table.clone())),
            _ => self.list(settings).await?,
        };
        Ok(Seen { named, settings: different, layout, listed, generation, mtu, abandoned })
    }

    async fn list(&mut self, settings: &Settings) -> Result<Option<Listed>> {
        let router = self.router(settings).await?;
        let Some(listing) = nft::list(&settings.nft, &router.inside, table::TABLE).await? else {
            return Ok(None);
        };
        let mut listed = table::list(&listing).unwrap_or_else(|said| {
            let said = format!("nftables lists the table in unknown words: {said}");
            Listed { broken: vec![said], ..Listed::default() }
        });
        if listed.broken.is_empty() {
            let rules = self.rules.get_or_insert_with(|| listed.rules.clone());
            if *rules != listed.rules {
                listed.broken.push("a rule of nftables was changed".to_owned());
            }
        }
        Ok(Some(listed))
    }

    /// Makes what is seen what is desired.
    async fn settle(
        &mut self,
        settings: &Settings,
        desired: &Desired,
        seen: Seen,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        let (found, is_whole) = match seen.listed {
            Some(listed) => (listed.table, listed.broken.is_empty()),
            None => (Table::default(), false),
        };
        let table = Table::of(desired, &found);
        let mut wanted = Layout::of(desired, seen.mtu);
        let Difference { steps, lost } = difference(&seen.layout, &wanted);
        applied.lost.extend(lost.into_iter().map(Drift::lost));
        wanted.keep_to(&seen.layout);

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
                nft::change(&settings.nft, &router.inside, change.text).await?;
                (applied.chains, applied.elements) = (change.chains, change.elements);
            }
        }
        let gone = Table::gone(&found, &table);
        if !gone.is_empty() {
            applied.flows = netfilter::forget(&router.inside, gone).await?;
        }
        if !is_whole {
            // What the rules are, for comparison.
            self.rules = None;
            self.list(settings).await?;
        }
        // What was refused may be half done.
        let is_known = applied.failed.is_empty();
        let known = Known { layout: wanted, table, mtu: (desired.address, seen.mtu) };
        self.known = is_known.then_some(known);
        Ok(applied)
    }
}

// === impl Layout ===

impl Layout {
    /// Whom it concerns that the kernel refused a step.
    fn failure(&self, desired: &Desired, step: &Step, error: &Error) -> Failure {
        let device = step.device();
        // One that goes is of no network that stays.
        let group = device.and_then(|name| self.devices.get(name)).map(|device| device.group);
        let of = |(id, network): (&NetworkId, &DesiredNetwork)| {
            let is_of = match step {
                Step::SetRoute { to, .. } | Step::RemoveRoute { to, .. } if group.is_none() => {
                    network.pools.iter().any(|pool| pool.subnet.contains(to))
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

// === impl Known ===

impl Known {
    /// Whether it says all that is needed for a change to what is desired.
    fn suffices(&self, desired: &Desired) -> bool {
        let veths = desired.networks.values().flat_map(|network| network.here.values());
        let mut links = veths.map(|veth| self.layout.devices.contains_key(&veth.0));
        self.mtu.0 == desired.address && links.all(|is_known| is_known)
    }
}

// === impl Seen ===

impl From<Known> for Seen {
    fn from(known: Known) -> Self {
        Self {
            named: true,
            settings: Vec::new(),
            layout: known.layout,
            listed: Some(Listed::of(known.table)),
            generation: None,
            mtu: known.mtu.1,
            abandoned: Vec::new(),
        }
    }
}

impl Seen {
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
                table.unlike(&Table::of(desired, table)).into_iter().for_each(&mut add);
            }
        }
        let Difference { steps, lost } = difference(&self.layout, &Layout::of(desired, self.mtu));
        steps.iter().for_each(|step| add(step.to_string()));
        drifts.extend(lost.into_iter().map(Drift::lost));
        drifts
    }
}
