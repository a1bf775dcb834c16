//! Who has a session. What a datagram costs hardly grows with how many have: a bound that is
//! reached is when that matters.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::mpsc;

use super::SESSIONS_MAX;
use super::socket::Caller;

/// Datagrams for a session.
type Datagrams = mpsc::Sender<Vec<u8>>;

/// The sessions of a port.
#[derive(Default)]
pub(super) struct Sessions {
    of: HashMap<Caller, Session>,
    /// All of them by when they were heard last, the one longest silent first.
    heard: BTreeMap<u64, Caller>,
    /// Of the next datagram.
    number: u64,
}

struct Session {
    datagrams: Datagrams,
    /// The number of its last datagram.
    heard: u64,
}

// === impl Sessions ===

impl Sessions {
    /// Where a client's datagram goes. Who has no session gets one; if there are too many
    /// then, the one longest silent goes.
    pub(super) fn heard(
        &mut self,
        caller: Caller,
        begin: impl FnOnce() -> Datagrams,
    ) -> &Datagrams {
        self.forget_ended(caller);
        if !self.of.contains_key(&caller) && self.of.len() >= SESSIONS_MAX {
            let silent = self.heard.pop_first();
            silent.and_then(|(_, caller)| self.of.remove(&caller));
        }
        self.number += 1;
        let heard = self.number;
        let session =
            self.of.entry(caller).or_insert_with(|| Session { datagrams: begin(), heard });
        self.heard.remove(&session.heard);
        self.heard.insert(heard, caller);
        session.heard = heard;
        &session.datagrams
    }

    /// Whether a caller has a session.
    pub(super) fn has(&self, caller: Caller) -> bool {
        self.of.get(&caller).is_some_and(|session| !session.datagrams.is_closed())
    }

    /// Forgets a client's session if it has ended: it may have another by now.
    pub(super) fn forget_ended(&mut self, caller: Caller) {
        if self.of.get(&caller).is_some_and(|session| session.datagrams.is_closed())
            && let Some(ended) = self.of.remove(&caller)
        {
            self.heard.remove(&ended.heard);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn client(number: usize) -> Caller {
        let number = u32::try_from(number).expect("few");
        Caller::of((std::net::Ipv4Addr::from(0x0a00_0000 + number), 1_000).into())
    }

    /// So many clients with a session each, and what hears them.
    fn sessions(count: usize) -> (Sessions, Vec<mpsc::Receiver<Vec<u8>>>) {
        let mut sessions = Sessions::default();
        let heard = (0..count).map(|number| {
            let (datagrams, heard) = mpsc::channel(1);
            sessions.heard(client(number), || datagrams);
            heard
        });
        let heard = heard.collect();
        (sessions, heard)
    }

    #[test]
    fn beyond_the_bound_the_one_longest_silent_goes() {
        let (mut sessions, heard) = sessions(SESSIONS_MAX);
        sessions.heard(client(0), || panic!("it has a session"));
        let (datagrams, _new) = mpsc::channel(1);
        sessions.heard(client(SESSIONS_MAX), || datagrams);
        let gone: Vec<_> = heard.iter().map(mpsc::Receiver::is_closed).collect();
        assert_eq!(gone.iter().position(|gone| *gone), Some(1));
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 1);
        assert_eq!((sessions.of.len(), sessions.heard.len()), (SESSIONS_MAX, SESSIONS_MAX));
    }

    #[test]
    fn a_session_that_has_ended_is_forgotten_and_a_later_one_of_the_same_client_is_not() {
        let (mut sessions, mut heard) = sessions(2);
        heard.clear();
        let (datagrams, _new) = mpsc::channel(1);
        sessions.heard(client(0), || datagrams);
        assert_eq!([0, 1].map(|number| sessions.has(client(number))), [true, false]);
        sessions.forget_ended(client(0));
        sessions.forget_ended(client(1));
        assert_eq!(sessions.of.keys().collect::<Vec<_>>(), [&client(0)]);
        assert_eq!(sessions.heard.len(), 1);
    }

    /// The time of datagrams of one client, beside so many others: the least of some tries.
    fn time(others: usize) -> Duration {
        let (mut sessions, _heard) = sessions(others);
        let tries = (0..5).map(|_| {
            let begun = Instant::now();
            for _ in 0..1_000 {
                sessions.heard(client(0), || panic!("it has a session"));
            }
            begun.elapsed()
        });
        tries.min().expect("some")
    }

    #[test]
    fn a_datagram_costs_about_the_same_among_few_sessions_and_many() {
        let (few, many) = (time(4), time(SESSIONS_MAX));
        // To look at each session would be a thousand times.
        assert!(many < few * 30, "{few:?} with 4 sessions, {many:?} with {SESSIONS_MAX}");
    }

    #[test]
    fn a_flood_of_new_clients_costs_about_the_same_at_the_bound() {
        let flood = |before: usize| {
            let (mut sessions, _heard) = sessions(before);
            let begun = Instant::now();
            for number in 0..1_000 {
                let (datagrams, _heard) = mpsc::channel(1);
                sessions.heard(client(before + number), || datagrams);
            }
            begun.elapsed()
        };
        let least = |before| (0..5).map(|_| flood(before)).min().expect("some");
        let (few, many) = (least(4), least(SESSIONS_MAX));
        assert!(many < few * 30, "{few:?} with room, {many:?} at the bound");
    }
}
