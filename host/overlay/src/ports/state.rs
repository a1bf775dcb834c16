//! What is known of the node's published ports, and how they become what they should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::NodeId;

use super::firewall::{Correction, Firewall, is_out_of_reach};
use super::index::Index;
use super::part::Part;
use super::plan::{self, DEVICE};
use super::policy::{Policy, Turn};
use super::settings::{self, Sysctl, Values};
use super::table::{Fixed, Listed, TABLE, Table, is_of, list};
use super::{DesiredPorts, PortsSettings};
use crate::difference::{Difference, Step, difference};
use crate::drift::{Applied, Drift};
use crate::layout::{Layout, mtu_over};
use crate::namespace::Namespace;
use crate::netfilter::{self, Gone};
use crate::probe::Probe;
use crate::router::Router;
use crate::{Error, Result, nft};

#[derive(Debug)]
pub(super) struct State {
    /// The node's own namespace.
    machine: Router,
    desired: Option<Arc<DesiredPorts>>,
    /// Of what is desired.
    index: Index,
    /// What is there, if nobody else changed it; none: to be read.
    known: Option<Known>,
    /// Nothing is there: this process removed it, and made none since.
    closed: bool,
    /// The number of the ruleset when it was last read and found right.
    generation: Option<u32>,
    /// Whose flows were forgotten since the last look; a packet may have been on its way by
    /// the rules of before.
    gone: BTreeSet<Gone>,
    /// What an earlier process left is taken over: its flows, too, which it may not have come
    /// to forget.
    adopted: bool,
}

/// What is there.
#[derive(Debug)]
struct Known {
    layout: Layout,
    policy: Policy,
    table: Table,
    settings: Vec<Sysctl>,
    /// Devices that live by router advertisements.
    advertised: Vec<String>,
    mtu: u32,
}

/// What was read.
struct Seen {
    layout: Layout,
    policy: Policy,
    advertised: Vec<String>,
    /// None: the table is not there.
    listed: Option<Listed>,
    /// Settings that are otherwise, and what they are.
    settings: Vec<(Sysctl, String)>,
    /// The bridge takes packets to 127.0.0.0/8 because of the table, or is about to.
    opened: bool,
    /// Of both families, with the name of the program.
    firewalls: Vec<(&'static str, Firewall)>,
    /// None: nothing was read.
    generation: Option<u32>,
    mtu: u32,
}

// === impl State ===

impl State {
    pub(super) async fn open(settings: &PortsSettings) -> Result<Self> {
        Ok(Self {
            machine: Router::of_machine(&settings.machine).await?,
            desired: None,
            index: Index::default(),
            known: None,
            closed: false,
            generation: None,
            gone: BTreeSet::new(),
            adopted: false,
        })
    }

    /// See [`super::Ports::apply`].
    pub(super) async fn apply(
        &mut self,
        settings: &PortsSettings,
        desired: DesiredPorts,
    ) -> Result<Applied> {
        let desired = Arc::new(desired);
        let part = self.desire(desired.clone());
        if desired.is_nothing() {
            return self.close(settings).await;
        }
        self.closed = false;
        // Until all is done it is not known what is there.
        let Some(known) = self.known.take().filter(|known| known.suffices(&desired, &self.index))
        else {
            let seen = self.look(settings, &desired).await?;
            return self.settle(settings, &desired, seen).await;
        };
        match part {
            Some(part) => self.settle_part(settings, known, part).await,
            None => self.settle(settings, &desired, Seen::of(known, &desired)).await,
        }
    }

    /// From now on this is desired. What of it differs from what was, as far as a part says it.
    fn desire(&mut self, desired: Arc<DesiredPorts>) -> Option<Part> {
        let Some(before) = &self.desired else {
            self.index = Index::of(&desired);
            self.desired = Some(desired);
            return None;
        };
        let part = Part::between(before, &desired, &self.index);
        self.index.follow(before, &desired);
        self.desired = Some(desired);
        part
    }

    /// See [`super::Ports::check`].
    pub(super) async fn check(&mut self, settings: &PortsSettings) -> Result<Vec<Drift>> {
        Ok(self.judged(settings).await?.map_or_else(Vec::new, |(_, _, drifts)| drifts))
    }

    /// See [`super::Ports::repair`].
    pub(super) async fn repair(
        &mut self,
        settings: &PortsSettings,
    ) -> Result<(Vec<Drift>, Applied)> {
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

    /// See [`super::Ports::are_of`].
    pub(super) async fn is_of(&self, settings: &PortsSettings, node: NodeId) -> Result<bool> {
        let listing = nft::list(&settings.nft, &self.machine.inside, TABLE).await?;
        Ok(listing.is_some_and(|listing| is_of(&listing, node)))
    }

    /// Whom to ask by [`super::Ports::try_data_path`], and where; none: nothing was applied.
    pub(super) async fn probe(&self) -> Result<Option<(Probe, Namespace)>> {
        let Some(desired) = &self.desired else { return Ok(None) };
        let space = self.machine.inside.clone();
        let read = settings::read(&space, settings::arp_ignore()).await?;
        let answers = read.values().flatten().all(|value| value == "0");
        Ok(Some((plan::probe(desired, answers), space)))
    }

    /// See [`super::Ports::close`].
    pub(super) async fn close(&mut self, settings: &PortsSettings) -> Result<Applied> {
        let mut applied = Applied::default();
        if self.closed {
            return Ok(applied);
        }
        (self.known, self.generation) = (None, None);
        let space = self.machine.inside.clone();
        if let Some(listing) = nft::list(&settings.nft, &space, TABLE).await? {
            // Whatever else it says.
            let listed = list(&listing, &Fixed::default()).unwrap_or_default();
            let shut: Vec<_> = shut(&listed.table, &Table::default()).collect();
            applied.settings += shut.len();
            settings::write(&space, shut).await?;
            nft::change(&settings.nft, &space, format!("delete table {TABLE}\n")).await?;
            applied.tables += 1;
        }
        let (policy, _) = self.machine.read_policy().await?;
        for turn in policy.turns(&Policy::default()) {
            self.machine.turn(&turn).await?;
            applied.rules += 1;
        }
        if self.machine.machine.has(DEVICE).await? {
            self.machine.remove_device(DEVICE).await?;
            applied.devices += 1;
        }
        for (program, firewall) in self.firewalls(settings).await {
            let correction = firewall.correct(program, None);
            applied.firewall += correction.make(settings.program(program), &space).await?;
        }
        self.closed = true;
        Ok(applied)
    }

    /// What is desired, what there is, and where they differ; none: nothing was applied.
    async fn judged(
        &mut self,
        settings: &PortsSettings,
    ) -> Result<Option<(Arc<DesiredPorts>, Seen, Vec<Drift>)>> {
        let Some(desired) = self.desired.clone().filter(|desired| !desired.is_nothing()) else {
            return Ok(None);
        };
        let seen = self.look(settings, &desired).await?;
        let drifts = seen.judge(&desired);
        if !drifts.iter().any(Drift::is_repairable) {
            self.generation = seen.generation;
        }
        Ok(Some((desired, seen, drifts)))
    }

    /// Reads the kernel.
    async fn look(&mut self, settings: &PortsSettings, desired: &DesiredPorts) -> Result<Seen> {
        let underlay = self.machine.machine.mtu_of(desired.address).await?;
        let layout = plan::own(self.machine.read().await?);
        let (policy, advertised) = self.machine.read_policy().await?;
        let names = self.machine.indexes.iter();
        let advertised = names.filter(|(_, index)| advertised.contains(index));
        let advertised: Vec<_> = advertised.map(|(name, _)| name.clone()).collect();
        let space = self.machine.inside.clone();

        // Before the listing: a change meanwhile is seen the next time.
        let generation = Some(netfilter::generation(&space).await?);
        let listed = match &self.known {
            Some(known) if self.generation == generation => Some(Listed::of(known.table.clone())),
            _ => self.list(settings, desired).await?,
        };
        let advertised = self.strict(advertised).await?;
        let wanted = settings::wanted(desired, &self.index, &advertised);
        let values =
            settings::read(&space, wanted.iter().map(|wanted| wanted.path.clone()).collect());
        let values = values.await?;
        let localnet = settings::localnet(&desired.bridge);
        let shut = values.get(&localnet).is_some_and(|value| value.as_deref() == Some("0"));
        let is_it = |listed: &Listed| listed.table.opened().any(|it| it == desired.bridge);
        let opened = desired.has_ends() && (shut || listed.as_ref().is_some_and(is_it));
        let firewalls = self.firewalls(settings).await;
        if is_out_of_reach(&settings.nft, &self.machine.inside, &firewalls).await? {
            return Err(Error::EngineFirewall);
        }
        Ok(Seen {
            layout,
            policy,
            listed,
            settings: unlike(wanted, &values),
            advertised,
            opened,
            firewalls,
            generation,
            mtu: mtu_over(desired.address, underlay),
        })
    }

    /// Devices that would no longer heed router advertisements on a machine that forwards.
    async fn strict(&self, devices: Vec<String>) -> Result<Vec<String>> {
        let paths = devices.iter().map(|device| settings::accept_ra(device)).collect();
        let values = settings::read(&self.machine.inside, paths).await?;
        let heeds = |device: &String| {
            let value = values.get(&settings::accept_ra(device)).and_then(Option::as_deref);
            matches!(value, Some("1" | "2"))
        };
        Ok(devices.into_iter().filter(heeds).collect())
    }

    async fn firewalls(&self, settings: &PortsSettings) -> Vec<(&'static str, Firewall)> {
        let mut firewalls = Vec::new();
        for name in ["iptables", "ip6tables"] {
            let firewall = Firewall::read(settings.program(name), &self.machine.inside).await;
            firewalls.push((name, firewall));
        }
        firewalls
    }

    async fn list(
        &self,
        settings: &PortsSettings,
        desired: &DesiredPorts,
    ) -> Result<Option<Listed>> {
        let space = &self.machine.inside;
        let Some(listing) = nft::list(&settings.nft, space, TABLE).await? else {
            return Ok(None);
        };
        Ok(Some(list(&listing, &Fixed::of(desired)).unwrap_or_else(|said| Listed::unread(&said))))
    }

    /// Notes in the table how its rules are listed, now that they were written.
    async fn seal(&self, settings: &PortsSettings, desired: &DesiredPorts) -> Result<()> {
        let Some(listed) = self.list(settings, desired).await? else { return Ok(()) };
        let text = format!("add chain {TABLE} {}\n", listed.seal());
        nft::change(&settings.nft, &self.machine.inside, text).await
    }

    /// Makes what is seen what is desired.
    async fn settle(
        &mut self,
        settings: &PortsSettings,
        desired: &DesiredPorts,
        seen: Seen,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        let (found, is_whole) = match &seen.listed {
            Some(listed) => (listed.table.clone(), listed.broken.is_empty()),
            None => (Table::default(), false),
        };
        let table = Table::of(desired, &found, seen.opened);
        let layout = plan::layout(desired, seen.mtu);
        let policy = plan::policy(desired);
        let Difference { steps, lost } = difference(&seen.layout, &layout);
        applied.lost.extend(lost);

        let space = self.machine.inside.clone();
        // Before the guard goes.
        let shut: Vec<_> = shut(&found, &table).collect();
        applied.settings += shut.len();
        settings::write(&space, shut).await?;
        let (leave, come): (Vec<_>, Vec<_>) = steps.into_iter().partition(is_of_leaving);
        // Before anything is forwarded. Whom nobody is led to yet user space serves, also if the
        // kernel refuses something of what follows.
        let is_new = |step: &Step| matches!(step, Step::AddTunnel { .. });
        let has_ways = seen.settings.is_empty() && !come.iter().any(is_new);
        let begun = match is_whole && has_ways {
            true => begun(&found, &table, &come),
            false => table.without_ports(),
        };
        self.write(settings, &begun, is_whole.then_some(&found), &mut applied).await?;
        let mut there = seen.policy;
        if come.iter().any(is_of_the_device) {
            there.forget_ways();
        }
        applied.settings += seen.settings.len();
        let (own, others): (Vec<_>, Vec<_>) = seen
            .settings
            .into_iter()
            .map(|(setting, _)| setting)
            .partition(Sysctl::is_of_the_device);
        for step in &come {
            self.machine.step(step).await?;
            applied.count(step);
            if is_of_the_device(step) {
                settings::write(&space, own.clone()).await?;
            }
        }
        settings::write(&space, own).await?;
        for turn in there.turns(&policy) {
            self.machine.turn(&turn).await?;
            match turn {
                Turn::RemoveWay { .. } | Turn::SetWay { .. } => applied.routes += 1,
                Turn::RemoveRule(_) | Turn::AddRule(_) => applied.rules += 1,
            }
        }
        for (program, firewall) in &seen.firewalls {
            let bridge = desired.has_ends().then_some(&desired.bridge[..]);
            let correction = firewall.correct(program, bridge);
            applied.firewall += correction.make(settings.program(program), &space).await?;
        }
        // Now that nftables stands before it, and while nobody is led by it.
        settings::write(&space, others).await?;
        self.write(settings, &table, Some(&begun), &mut applied).await?;
        for step in &leave {
            self.machine.step(step).await?;
            applied.count(step);
        }
        self.forget(Table::gone(&found, &table), &mut applied).await?;
        if !self.adopted {
            let adopted = table.clone();
            let forgotten = self.machine.forget_strays(move |flow| adopted.is_astray(flow)).await?;
            applied.forgot(forgotten);
            self.adopted = true;
        }
        if !is_whole {
            self.seal(settings, desired).await?;
        }
        let settings = settings::wanted(desired, &self.index, &seen.advertised);
        let (advertised, mtu) = (seen.advertised, seen.mtu);
        self.known = Some(Known { layout, policy, table, settings, advertised, mtu });
        Ok(applied)
    }

    /// The same where only tasks and ports are to be changed.
    async fn settle_part(
        &mut self,
        settings: &PortsSettings,
        mut known: Known,
        part: Part,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        let sides = part.sides().map(|side| Table::of_ends(side, &known.table));
        let ways = part.sides().map(plan::ways);
        let (found, there) = (known.table.part(&sides), known.layout.part(&ways));
        let ([_, table], [_, ways]) = (sides, ways);
        let (leave, come): (Vec<_>, Vec<_>) =
            difference(&there, &ways).steps.into_iter().partition(is_of_leaving);
        let begun = begun(&found, &table, &come);
        self.write(settings, &begun, Some(&found), &mut applied).await?;
        for step in &come {
            self.machine.step(step).await?;
            applied.count(step);
        }
        self.write(settings, &table, Some(&begun), &mut applied).await?;
        for step in &leave {
            self.machine.step(step).await?;
            applied.count(step);
        }
        self.forget(Table::gone(&found, &table), &mut applied).await?;
        known.layout.replace(&there, ways);
        known.table.replace(&found, table);
        self.known = Some(known);
        Ok(applied)
    }

    /// Forgets flows to who went.
    async fn forget(&mut self, gone: BTreeSet<Gone>, applied: &mut Applied) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        self.gone.extend(gone.iter().cloned());
        applied.forgot(self.machine.forget(gone).await?);
        Ok(())
    }

    /// The same once more, but for those that came back.
    async fn forget_again(&mut self) -> Result<()> {
        let Some(known) = &self.known else { return Ok(()) };
        self.gone.retain(|gone| !known.table.serves(gone));
        if !self.gone.is_empty() {
            self.machine.forget(self.gone.clone()).await?;
            self.gone.clear();
        }
        Ok(())
    }

    /// Writes nftables: what differs from what was found, or the whole.
    async fn write(
        &mut self,
        settings: &PortsSettings,
        table: &Table,
        found: Option<&Table>,
        applied: &mut Applied,
    ) -> Result<()> {
        let change = match found {
            Some(found) => table.change_from(found),
            None => table.whole(),
        };
        if change.is_empty() {
            return Ok(());
        }
        applied.tables += usize::from(found.is_none());
        applied.chains += change.chains;
        applied.elements += change.elements;
        applied.bytes += change.text.len();
        self.machine.change(&settings.nft, change.text, change.asked).await
    }
}

/// Ways go after nobody is sent there any more; with a device, at once.
fn is_of_leaving(step: &Step) -> bool {
    matches!(step, Step::RemoveRoute { .. } | Step::RemoveNeighbour { .. } | Step::RemoveEnd { .. })
}

/// What the table is until the ways are made, which the kernel may refuse: nobody is led to who
/// went, and nobody is refused who is to be led.
fn begun(found: &Table, wanted: &Table, come: &[Step]) -> Table {
    let freed = found.freed_for(wanted);
    if come.is_empty() { freed } else { freed.without_gone(wanted) }
}

/// Bridges that took packets to 127.0.0.0/8 because of a table, and are to do so no more.
fn shut(found: &Table, wanted: &Table) -> impl Iterator<Item = Sysctl> {
    let went = found.opened().filter(|device| wanted.opened().all(|opened| opened != *device));
    went.map(|device| Sysctl { path: settings::localnet(device), value: "0" })
}

fn is_of_the_device(step: &Step) -> bool {
    matches!(step, Step::AddTunnel { .. } | Step::SetDevice { .. } | Step::RemoveDevice { .. })
}

/// Settings that are not as they should be. Those of devices that are not there are none.
fn unlike(wanted: Vec<Sysctl>, values: &Values) -> Vec<(Sysctl, String)> {
    let mut unlike = Vec::new();
    for setting in wanted {
        match values.get(&setting.path) {
            Some(Some(value)) if value != setting.value => {
                let value = value.clone();
                unlike.push((setting, value));
            }
            // It is to be made: its settings come with it.
            Some(None) | None if setting.is_of_the_device() => {
                unlike.push((setting, String::new()));
            }
            _ => {}
        }
    }
    unlike
}

// === impl PortsSettings ===

impl PortsSettings {
    fn program(&self, name: &str) -> &std::path::Path {
        if name == "ip6tables" { &self.ip6tables } else { &self.iptables }
    }
}

// === impl Known ===

impl Known {
    /// Whether it says all that is needed for a change to what is desired: the rules that
    /// are always there, the device and the settings are not to be changed.
    fn suffices(&self, desired: &DesiredPorts, index: &Index) -> bool {
        let device = desired.has_ends().then(|| plan::device(desired, self.mtu));
        self.table.fixed == Fixed::of(desired)
            && self.layout.devices.get(DEVICE) == device.as_ref()
            && self.settings == settings::wanted(desired, index, &self.advertised)
    }
}

// === impl Seen ===

impl Seen {
    fn of(known: Known, desired: &DesiredPorts) -> Self {
        let opened = known.table.opened().any(|bridge| bridge == desired.bridge);
        Self {
            layout: known.layout,
            policy: known.policy,
            advertised: known.advertised,
            listed: Some(Listed::of(known.table)),
            settings: Vec::new(),
            opened,
            firewalls: Vec::new(),
            generation: None,
            mtu: known.mtu,
        }
    }

    fn judge(&self, desired: &DesiredPorts) -> Vec<Drift> {
        let mut drifts = Vec::new();
        let mut add = |sentence: String| drifts.push(Drift::new(sentence));
        match &self.listed {
            None => add(format!("table {TABLE} of nftables is missing")),
            Some(listed) if !listed.broken.is_empty() => {
                listed.broken.iter().cloned().for_each(&mut add);
            }
            Some(Listed { table, .. }) => {
                let wanted = Table::of(desired, table, self.opened);
                table.unlike(&wanted).into_iter().for_each(&mut add);
            }
        }
        let wanted = plan::layout(desired, self.mtu);
        let Difference { steps, lost } = difference(&self.layout, &wanted);
        steps.iter().for_each(|step| add(step.to_string()));
        let there = self.layout.devices.contains_key(DEVICE);
        for (setting, value) in &self.settings {
            // What goes and comes with the device is said of the device.
            if there || !setting.is_of_the_device() {
                let name = settings::shown(&setting.path);
                add(format!("setting {name} is {value}, not {}", setting.value));
            }
        }
        for turn in self.policy.turns(&plan::policy(desired)) {
            if there || !matches!(turn, Turn::SetWay { .. }) {
                add(turn.to_string());
            }
        }
        for (program, firewall) in &self.firewalls {
            let bridge = desired.has_ends().then_some(&desired.bridge[..]);
            let Correction { said, .. } = firewall.correct(program, bridge);
            said.into_iter().for_each(&mut add);
        }
        drifts.extend(lost);
        drifts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ports::table::Element;

    #[test]
    fn a_bridge_that_was_opened_is_shut_once_nobody_is_reached_by_it() {
        let opened = |bridges: &[&str]| {
            let element = |bridge: &&str| Element {
                set: "opened".to_owned(),
                key: (*bridge).to_owned(),
                value: String::new(),
            };
            Table { elements: bridges.iter().map(element).collect(), ..Table::default() }
        };
        let shut: Vec<_> = shut(&opened(&["br0", "br1"]), &opened(&["br1", "br2"])).collect();
        let path = "ipv4/conf/br0/route_localnet".to_owned();
        assert_eq!(shut, [Sysctl { path, value: "0" }]);
    }

    #[test]
    fn settings_of_a_device_that_is_to_be_made_are_written_with_it() {
        let setting = |path: &str| Sysctl { path: path.to_owned(), value: "1" };
        let wanted = ["ipv4/ip_forward", "ipv4/conf/swingress/a", "ipv4/conf/br0/a"].map(setting);
        let values: Values = BTreeMap::from([("ipv4/ip_forward".to_owned(), Some("0".to_owned()))]);
        let unlike: Vec<_> =
            unlike(wanted.into(), &values).into_iter().map(|(setting, _)| setting.path).collect();
        assert_eq!(unlike, ["ipv4/ip_forward", "ipv4/conf/swingress/a"]);
    }
}
