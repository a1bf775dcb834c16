//! Names of client writes: a retry is told what became of the first try.

use swarmw_model::{RequestId, ServiceId, Time};
use swarmw_state::{State, Transaction};

use crate::build::*;

fn named(request: u128, service_bits: u128, name: &str) -> Transaction {
    Transaction {
        at: Time::ZERO,
        request: Some(RequestId::from_bits(request)),
        changes: vec![create(ServiceId::from_bits(service_bits), service(name))],
    }
}

#[test]
fn a_retry_has_the_first_outcome_even_after_the_object_is_gone() {
    let mut state = State::default();
    let first = state.apply(1, &named(1, 5, "web")).outcomes;
    let refused = state.apply(2, &named(2, 6, "web")).outcomes;
    let gone = Transaction {
        request: None,
        changes: vec![swarmw_state::Change::RemoveService { id: ServiceId::from_bits(5) }],
        ..named(0, 0, "")
    };
    state.apply(3, &gone);
    // By the same manager or by one that starts from a snapshot.
    for mut state in [state.clone(), State::from_snapshot(&state.to_snapshot()).unwrap()] {
        let again = state.apply(4, &named(1, 5, "web"));
        assert_eq!((again.outcomes, again.events.len()), (first.clone(), 0));
        assert_eq!(state.apply(5, &named(2, 6, "web")).outcomes, refused);
        assert_eq!(state.service_count(), 0);
        assert_eq!(state.index(), 5);
    }
}

#[test]
fn the_last_ten_thousand_names_are_kept() {
    let mut state = State::default();
    let nothing = |n| Transaction { changes: Vec::new(), ..named(n, 0, "") };
    for n in 0..10_005 {
        state.apply(n + 1, &nothing(n.into()));
    }
    let known = |n| state.outcomes_of(RequestId::from_bits(n)).is_some();
    assert!(!known(4) && known(5) && known(10_004));
}
