//! Refusals in Docker's exact words that the API and the daemon share.

use swarmw_model::{Refusal, RefusalKind};

fn unavailable(message: impl Into<String>) -> Refusal {
    Refusal::plain(RefusalKind::Unavailable, message)
}

/// A Swarm request to a node in no cluster.
pub fn no_swarm() -> Refusal {
    unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
         to connect this node to swarm and try again.",
    )
}

/// A Swarm request to a worker.
pub fn worker() -> Refusal {
    unavailable(
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster \
         state. Please run this command on a manager node or promote the current node to a \
         manager.",
    )
}

/// A Swarm request to a manager that has not caught up.
pub fn manager_starting() -> Refusal {
    unavailable(
        "This node is not a swarm manager. Manager is being prepared or has trouble connecting \
         to the cluster.",
    )
}

/// The node is in a swarm, and something keeps it from taking part. Docker says
/// [`no_swarm`] here, which sends the operator to `swarm init`.
pub fn out_of_order(why: &str) -> Refusal {
    unavailable(format!(
        "This node is not a swarm manager. It is in a swarm and cannot take part just now: {why}"
    ))
}

/// A Swarm request to a manager that is locked.
pub fn locked() -> Refusal {
    unavailable(
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \
         \"docker swarm unlock\" to unlock it.",
    )
}

/// `leave` without `--force` on a manager that is locked.
pub(crate) fn locked_stays() -> Refusal {
    unavailable(
        "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this \
         message.",
    )
}

/// `unlock` of a manager that is not locked.
pub fn not_locked() -> Refusal {
    Refusal::plain(RefusalKind::AlreadyExists, "swarm is not locked")
}

/// `unlock` with the key of another time or another cluster.
pub fn invalid_unlock_key() -> Refusal {
    Refusal::plain(
        RefusalKind::Unauthenticated,
        "swarm could not be unlocked: invalid key provided",
    )
}

/// No manager leads within the time a request has.
pub fn no_leader() -> Refusal {
    Refusal::rpc(
        RefusalKind::Unknown,
        "The swarm does not have a leader. It's possible that too few managers are online. Make \
         sure more than half of the managers are online.",
    )
}

/// `init` or `join` on a node that has a cluster.
pub fn already_in_swarm() -> Refusal {
    unavailable(
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm \
         and join another one.",
    )
}

/// `leave` on a node that has no cluster.
pub fn not_in_swarm() -> Refusal {
    unavailable("This node is not part of a swarm")
}

/// `join` takes longer than a client should wait; the node goes on trying.
pub fn join_timed_out() -> Refusal {
    unavailable(
        "Timeout was reached before node joined. The attempt to join the swarm will continue in \
         the background. Use the \"docker info\" command to see the current swarm status of your \
         node.",
    )
}

/// A container that no service made, and a network that takes none such. Docker words it
/// so when the container starts.
pub fn not_attachable(network: &str) -> Refusal {
    Refusal::plain(
        RefusalKind::PermissionDenied,
        format!(
            "Could not attach to network {network}: rpc error: code = PermissionDenied desc = \
             network {network} not manually attachable"
        ),
    )
}

/// `leave` without `--force` on a manager, of `reachable` and `unreachable` ones.
pub(crate) fn manager_leaves(reachable: usize, unreachable: usize) -> Refusal {
    let mut text = "You are attempting to leave the swarm on a node that is participating as a \
                    manager. "
        .to_owned();
    if reachable == 1 && unreachable == 0 {
        text.push_str(
            "Removing the last manager erases all current state of the swarm. Use `--force` to \
             ignore this message. ",
        );
        return unavailable(text);
    }
    // The rule is Docker's: it keeps one manager in reserve.
    if reachable < unreachable + 3 {
        text.push_str(&format!(
            "Removing this node leaves {} managers out of {}. Without a Raft quorum your swarm \
             will be inaccessible. ",
            reachable.saturating_sub(1),
            reachable + unreachable
        ));
    } else {
        text.push_str("Doing so may lose the consensus of your swarm. ");
    }
    text.push_str(
        "The only way to restore a swarm that has lost consensus is to reinitialize it with \
         `--force-new-cluster`. Use `--force` to suppress this message.",
    );
    unavailable(text)
}

/// What Swarm has and swarmw has not.
pub(crate) fn not_supported(what: &str) -> Refusal {
    Refusal::plain(
        RefusalKind::Unimplemented,
        format!("{what} not supported by this version of swarmw"),
    )
}
