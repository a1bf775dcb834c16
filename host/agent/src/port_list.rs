//! What was heard of published ports, merged: the leader tells all of them once, and what
//! changes from then on.

use swarmw_model::{PortNews, PublishedPort};

/// All published ports, as far as the leader has told them.
#[derive(Debug, Default)]
pub(crate) struct PortList {
    ports: Vec<PublishedPort>,
    /// News whose last part has not come.
    part: Option<PortNews>,
}

// === impl PortList ===

impl PortList {
    /// Takes in news; all ports, once their last part has come.
    pub(crate) fn learn(&mut self, news: PortNews) -> Option<Vec<PublishedPort>> {
        let whole = match self.part.take() {
            // Of a session that ended meanwhile nothing is left.
            Some(mut first) if !news.complete => {
                first.join(news);
                first
            }
            _ => news,
        };
        if whole.more {
            self.part = Some(whole);
            return None;
        }
        whole.change(&mut self.ports);
        Some(self.ports.clone())
    }
}

#[cfg(test)]
mod tests {
    use swarmw_model::PortProtocol;

    use super::*;

    fn port(published: u16) -> PublishedPort {
        PublishedPort {
            protocol: PortProtocol::Tcp,
            published,
            target: 80,
            backends: Vec::new(),
            leaving: Vec::new(),
            snat: false,
        }
    }

    #[test]
    fn a_list_is_whole_with_the_last_part_and_changes_with_news() {
        let mut list = PortList::default();
        let mut parts = PortNews::all(&[port(1), port(2)]).parts(1).into_iter();
        assert_eq!(list.learn(parts.next().expect("the first")), None);
        assert_eq!(list.learn(parts.next().expect("the last")), Some(vec![port(1), port(2)]));
        let news = PortNews { remove_ports: vec![port(1).key()], ..PortNews::default() };
        assert_eq!(list.learn(news), Some(vec![port(2)]));
        assert_eq!(list.learn(PortNews::default()), Some(vec![port(2)]), "of the mesh alone");
    }

    #[test]
    fn what_a_session_did_not_end_to_say_is_forgotten_with_the_next() {
        let mut list = PortList::default();
        let first = PortNews::all(&[port(1), port(2)]).parts(1).remove(0);
        assert_eq!(list.learn(first), None);
        assert_eq!(list.learn(PortNews::all(&[port(3)])), Some(vec![port(3)]));
    }
}
