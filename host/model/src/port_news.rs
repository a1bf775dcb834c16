//! What a node is told of published ports: all of them, and from then on what changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::json::is_default;
use crate::{Backend, PortProtocol, PublishedPort, TaskId};

/// All published ports, or what changed of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortNews {
    /// This is all; else what it does not mention stays.
    #[serde(default, skip_serializing_if = "is_default")]
    pub complete: bool,
    /// Another part follows at once: nothing is done before the last has come.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more: bool,
    /// Ports, each with those of its tasks that are new or otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// Tasks that ports have no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_tasks: Vec<(PortKey, Vec<TaskId>)>,
    /// Ports that are published no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_ports: Vec<PortKey>,
}

/// By what a published port is known.
pub type PortKey = (PortProtocol, u16);

/// A task of a port takes new connections, or keeps those that it has.
type Place<'a> = (bool, &'a Backend);

// === impl PortNews ===

impl PortNews {
    /// Tasks in one part, and ports. A task takes some 120 bytes, 400 at most: a part stays
    /// below the 4 MiB of a message, with as much beside it.
    pub const PART_MAX: usize = 5_000;

    /// All of it, for a node that has heard nothing yet.
    pub fn all(now: &[PublishedPort]) -> Self {
        Self { complete: true, ports: now.to_vec(), ..Self::default() }
    }

    /// What leads from one list to another; none: nothing has changed.
    pub fn between(before: &[PublishedPort], now: &[PublishedPort]) -> Option<Self> {
        let had: BTreeMap<_, _> = before.iter().map(|port| (port.key(), port)).collect();
        let has: BTreeSet<_> = now.iter().map(PublishedPort::key).collect();
        let mut news = Self::default();
        news.remove_ports.extend(had.keys().filter(|key| !has.contains(*key)));
        for port in now {
            match had.get(&port.key()) {
                Some(before) if *before == port => {}
                Some(before) => news.add_difference(before, port),
                None => news.ports.push(port.clone()),
            }
        }
        (news != Self::default()).then_some(news)
    }

    fn add_difference(&mut self, before: &PublishedPort, now: &PublishedPort) {
        let had: BTreeMap<_, _> = before.places().map(|place| (place.1.task, place)).collect();
        let has: BTreeSet<_> = now.places().map(|place| place.1.task).collect();
        let gone: Vec<_> = had.keys().filter(|task| !has.contains(*task)).copied().collect();
        if !gone.is_empty() {
            self.remove_tasks.push((now.key(), gone));
        }
        let is_news =
            |serves, backend: &&Backend| had.get(&backend.task) != Some(&(serves, *backend));
        self.ports.push(PublishedPort {
            backends: now.backends.iter().filter(|one| is_news(true, one)).cloned().collect(),
            leaving: now.leaving.iter().filter(|one| is_news(false, one)).cloned().collect(),
            ..now.bare()
        });
    }

    /// Cuts it into parts of at most so many tasks and ports each; at least one.
    pub fn parts(self, most: usize) -> Vec<Self> {
        let complete = self.complete;
        let mut cut = Cut { parts: Vec::new(), most, room: most };
        cut.parts.push(Self { complete, ..Self::default() });
        for key in self.remove_ports {
            cut.take(1).remove_ports.push(key);
        }
        for (key, tasks) in self.remove_tasks {
            for some in tasks.chunks(most.max(1)) {
                cut.take(some.len()).remove_tasks.push((key, some.to_vec()));
            }
        }
        for port in self.ports {
            cut.port(port);
        }
        cut.parts
    }

    /// Takes in the part that follows.
    pub fn join(&mut self, next: Self) {
        self.more = next.more;
        self.ports.extend(next.ports);
        self.remove_tasks.extend(next.remove_tasks);
        self.remove_ports.extend(next.remove_ports);
    }

    /// Makes a list what it should be.
    pub fn change(self, list: &mut Vec<PublishedPort>) {
        if self.complete {
            list.clear();
        }
        list.retain(|port| !self.remove_ports.contains(&port.key()));
        let mut known: BTreeMap<_, _> =
            std::mem::take(list).into_iter().map(|port| (port.key(), port)).collect();
        for (key, tasks) in self.remove_tasks {
            if let Some(port) = known.get_mut(&key) {
                port.forget(&tasks.into_iter().collect());
            }
        }
        for news in self.ports {
            let port = known.entry(news.key()).or_insert_with(|| news.bare());
            port.forget(&news.places().map(|(_, backend)| backend.task).collect());
            (port.target, port.snat) = (news.target, news.snat);
            port.backends.extend(news.backends);
            port.leaving.extend(news.leaving);
        }
        list.extend(known.into_values());
    }
}

/// Parts that are being made.
struct Cut {
    parts: Vec<PortNews>,
    most: usize,
    room: usize,
}

// === impl Cut ===

impl Cut {
    /// The part that so much goes into: a new one, if the last has no room for it.
    fn take(&mut self, much: usize) -> &mut PortNews {
        let last = self.parts.len() - 1;
        if much > self.room && self.room < self.most {
            self.parts[last].more = true;
            self.parts.push(PortNews::default());
            self.room = self.most;
        }
        self.room = self.room.saturating_sub(much);
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    /// A port with many tasks is in several parts, each with some of them.
    fn port(&mut self, port: PublishedPort) {
        let places: Vec<_> = port.places().collect();
        if places.is_empty() {
            self.take(1).ports.push(port.bare());
        }
        for some in places.chunks(self.most.saturating_sub(1).max(1)) {
            let of = |wanted: bool| {
                let these = some.iter().filter(|(serves, _)| *serves == wanted);
                these.map(|(_, backend)| (*backend).clone()).collect()
            };
            let (backends, leaving) = (of(true), of(false));
            self.take(1 + some.len()).ports.push(PublishedPort {
                backends,
                leaving,
                ..port.bare()
            });
        }
    }
}

// === impl PublishedPort ===

impl PublishedPort {
    /// By what it is known.
    pub fn key(&self) -> PortKey {
        (self.protocol, self.published)
    }

    /// Without tasks.
    fn bare(&self) -> Self {
        let (backends, leaving) = Default::default();
        let Self { protocol, published, target, snat, .. } = *self;
        Self { protocol, published, target, backends, leaving, snat }
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let serving = self.backends.iter().map(|backend| (true, backend));
        serving.chain(self.leaving.iter().map(|backend| (false, backend)))
    }

    fn forget(&mut self, tasks: &BTreeSet<TaskId>) {
        self.backends.retain(|backend| !tasks.contains(&backend.task));
        self.leaving.retain(|backend| !tasks.contains(&backend.task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn backend(n: u128) -> Backend {
        Backend {
            task: TaskId::from_bits(n),
            node: NodeId::from_bits(n % 7),
            address: "192.168.100.100:2377".to_owned(),
            ingress: Some([10, 0, 0, 1].into()),
            number: 3,
            data_path: Some([192, 168, 100, 100].into()),
            v6: true,
            target: 0,
        }
    }

    fn port(published: u16, serving: &[u128], leaving: &[u128]) -> PublishedPort {
        PublishedPort {
            protocol: PortProtocol::Tcp,
            published,
            target: 80,
            backends: serving.iter().copied().map(backend).collect(),
            leaving: leaving.iter().copied().map(backend).collect(),
            snat: false,
        }
    }

    /// In an order of its own: there is no first among a port's tasks.
    fn sorted(mut list: Vec<PublishedPort>) -> Vec<PublishedPort> {
        for port in &mut list {
            port.backends.sort_by_key(|backend| backend.task);
            port.leaving.sort_by_key(|backend| backend.task);
        }
        list.sort_by_key(PublishedPort::key);
        list
    }

    /// What a node knows that hears it part by part.
    fn heard(known: &[PublishedPort], parts: Vec<PortNews>) -> Vec<PublishedPort> {
        let more: Vec<_> = parts.iter().map(|part| part.more).collect();
        let (last, rest) = more.split_last().expect("at least one");
        assert!(!last && rest.iter().all(|more| *more), "only the last is the last: {more:?}");
        let mut parts = parts.into_iter();
        let mut whole = parts.next().expect("one");
        parts.for_each(|part| whole.join(part));
        let mut list = known.to_vec();
        whole.change(&mut list);
        sorted(list)
    }

    fn lists() -> Vec<Vec<PublishedPort>> {
        let otherwise = PublishedPort { target: 81, snat: true, ..port(80, &[1, 2], &[]) };
        let mut moved = port(80, &[1, 2], &[]);
        moved.backends[1].ingress = None;
        vec![
            vec![],
            vec![port(80, &[], &[])],
            vec![port(80, &[1, 2], &[])],
            vec![port(80, &[2, 3], &[1])],
            vec![port(80, &[3, 4, 5, 6, 7], &[]), port(81, &[1, 2], &[9])],
            vec![port(81, &[], &[1, 2])],
            vec![otherwise],
            vec![moved],
        ]
    }

    #[test]
    fn who_hears_the_news_knows_the_list_from_wherever_and_in_whatever_parts() {
        for before in lists() {
            for now in lists() {
                for most in [1, 2, 3, PortNews::PART_MAX] {
                    let news = PortNews::between(&before, &now);
                    assert_eq!(news.is_none(), before == now);
                    let parts = news.unwrap_or_default().parts(most);
                    assert_eq!(heard(&before, parts), sorted(now.clone()), "{most}");
                    let parts = PortNews::all(&now).parts(most);
                    assert_eq!(heard(&before, parts), sorted(now.clone()), "all, {most}");
                }
            }
        }
    }

    #[test]
    fn one_task_of_many_is_told_alone() {
        let all: Vec<u128> = (1..=1000).collect();
        let before = [port(80, &all, &[]), port(81, &all, &[])];
        let now = [port(80, &all[1..], &all[..1]), port(81, &all, &[])];
        let news = PortNews::between(&before, &now).expect("news");
        assert_eq!(news.ports, [port(80, &[], &[1])]);
        let gone = [port(80, &all[1..], &[]), port(81, &all, &[])];
        let news = PortNews::between(&now, &gone).expect("news");
        assert_eq!(news.remove_tasks, [(now[0].key(), vec![TaskId::from_bits(1)])]);
        assert_eq!(news.ports, [port(80, &[], &[])]);
    }

    #[test]
    fn no_part_is_larger_than_it_may_be() {
        let all: Vec<u128> = (1..=20_000).collect();
        let now: Vec<_> = (1..=4).map(|published| port(published, &all, &[])).collect();
        let gone = PortNews::between(&now, &[port(1, &[], &[])]).expect("news");
        for news in [PortNews::all(&now), gone] {
            let parts = news.parts(PortNews::PART_MAX);
            for part in &parts {
                let tasks = part.ports.iter().map(|port| 1 + port.places().count());
                let gone = part.remove_tasks.iter().map(|(_, tasks)| tasks.len());
                let much: usize = tasks.chain(gone).sum::<usize>() + part.remove_ports.len();
                assert!(much <= PortNews::PART_MAX, "{much}");
            }
            assert!(parts.len() > 1);
        }
    }
}
