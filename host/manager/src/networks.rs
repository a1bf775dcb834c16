//! Networks as an operator makes them, and containers that join one by themselves.

use std::net::IpAddr;

use swarmw_allocator::{Addresses, choose_subnets, choose_vni};
use swarmw_model::{
    Attachment, AttachmentId, Network, NetworkId, NetworkSpec, NodeId, Refusal, RefusalKind,
    RequestId, Time, Version,
};
use swarmw_proto::{pb, wire};
use swarmw_state::{Change, Outcome, State};
use tonic::{Code, Status};

use crate::propose::Proposer;

/// What was chosen may be taken by somebody else meanwhile: how often another is chosen.
const CHOICES: u128 = 64;
/// Names of one container, and the length of each.
const NAMES_MAX: usize = 64;
/// As DNS has it.
const NAME_LENGTH_MAX: usize = 255;
/// All of them together: every node on the network is told of them.
const NAMES_BYTES_MAX: usize = 4 << 10;

/// Makes a network with the subnets that it names or the next free ones.
pub(crate) async fn create(
    log: &Proposer,
    request: Option<RequestId>,
    spec: &NetworkSpec,
) -> Result<NetworkId, Refusal> {
    // What stands against it now may be what the client's first try has made.
    if let Some(made) = request.and_then(|request| made_before(&log.raft.state(), request)) {
        return Ok(made);
    }
    for choice in 0..CHOICES {
        let state = log.raft.state();
        // A retry of the client's goes through the same choices again.
        let request = request.map(|request| of_choice(request, choice));
        state.needs_networks()?;
        spec.validate()?;
        let network = Network {
            id: NetworkId::random(&mut log.ambient.chance()),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: spec.clone(),
            pools: choose_subnets(&state, spec)?,
            vni: choose_vni(&state)?,
        };
        let id = network.id;
        match log.write(request, Change::CreateNetwork(Box::new(network))).await {
            Err(refusal) if refusal == Refusal::out_of_sequence() => {}
            made => {
                return made.map(|made| made.map_or(id, |made| NetworkId::from_bits(made.bits())));
            }
        }
    }
    Err(Refusal::plain(
        RefusalKind::Unavailable,
        "other networks are being made at the same time, and took what was chosen for this one: \
         try again",
    ))
}

/// The name of the write of one choice.
fn of_choice(request: RequestId, choice: u128) -> RequestId {
    RequestId::from_bits(request.bits().wrapping_add(choice))
}

/// The network that a write of this name has made, by whichever choice.
fn made_before(state: &State, request: RequestId) -> Option<NetworkId> {
    let made = |choice| match state.outcomes_of(of_choice(request, choice))?.first()? {
        Outcome::Done(Some(made)) => Some(NetworkId::from_bits(made.bits())),
        Outcome::Done(None) | Outcome::Dropped(_) | Outcome::Refused(_) => None,
    };
    (0..CHOICES).find_map(made)
}

/// A network that a node has no word of yet: by its id, its name, or the beginning of its
/// id.
pub(crate) fn find(
    state: &State,
    request: &pb::NetworkRequest,
) -> Result<pb::NetworkReply, Status> {
    let text = request.network.as_str();
    let exact = text.parse().ok().and_then(|id| state.network(id));
    let found = match exact.or_else(|| state.network_named(text)) {
        Some(network) => Some(network),
        None if text.is_empty() => None,
        None => {
            let mut begins = state.networks().filter(|n| n.id.to_string().starts_with(text));
            match (begins.next(), begins.next()) {
                (Some(_), Some(_)) => {
                    let message = format!("network {text} is ambiguous");
                    return Err(Status::invalid_argument(message));
                }
                (one, _) => one,
            }
        }
    };
    Ok(pb::NetworkReply { network: wire::encode(&found) })
}

/// Lets a container of a node join a network. The address that a container of the same node
/// has is in use like any other: two containers may have asked for it, and whoever asks
/// again for one knows its attachment.
pub(crate) async fn attach(
    log: &Proposer,
    node: NodeId,
    request: &pb::AttachRequest,
) -> Result<pb::AttachReply, Status> {
    let network: NetworkId = id_of("network", &request.network)?;
    let asked: Option<IpAddr> = match request.address.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| Status::invalid_argument(format!("not an address: {text:?}")))?,
        ),
    };
    let reply = |attachment: &Attachment| pb::AttachReply { attachment: wire::encode(attachment) };
    for _ in 0..CHOICES {
        let state = log.raft.state();
        let id = AttachmentId::random(&mut log.ambient.chance());
        let (growth, attachment) = chosen(&state, node, network, id, asked, !request.v6)?;
        for grow in growth {
            match log.write(None, grow).await {
                // Another one made it grow: its subnet will do as well.
                Err(refusal) if refusal != Refusal::out_of_sequence() => {
                    return Err(said(&refusal));
                }
                _ => {}
            }
        }
        match log.write(None, Change::AddAttachment(Box::new(attachment))).await {
            Ok(_) => {
                let state = log.raft.state();
                let made = state.attachment(id);
                return made
                    .map(|made| reply(made))
                    .ok_or_else(|| Status::aborted("the address was taken back at once"));
            }
            Err(refusal) if refusal == Refusal::out_of_sequence() => {}
            Err(refusal) => return Err(said(&refusal)),
        }
    }
    Err(Status::unavailable("other containers took what was chosen for this one: try again"))
}

fn chosen(
    state: &State,
    node: NodeId,
    network: NetworkId,
    id: AttachmentId,
    asked: Option<IpAddr>,
    v4: bool,
) -> Result<(Vec<Change>, Attachment), Status> {
    state.needs_networks().map_err(|why| said(&why))?;
    let Some(network) = state.network(network) else {
        return Err(Status::not_found(format!("network {network} not found")));
    };
    if !network.spec.attachable {
        let name = &network.spec.name;
        return Err(Status::permission_denied(format!("network {name} not manually attachable")));
    }
    // Before the network grows for it.
    state.may_attach(node).map_err(|why| Status::resource_exhausted(why.message))?;
    let mut addresses = Addresses::of(state);
    let on = addresses.attach(network, id, asked, v4);
    let on = on.map_err(|why| Status::resource_exhausted(&*why))?;
    let attachment = Attachment {
        id,
        version: Version::default(),
        created_at: Time::ZERO,
        node,
        on,
        container: String::new(),
        names: Vec::new(),
    };
    Ok((addresses.growth(), attachment))
}

/// What a container of a node is found by.
pub(crate) async fn name(
    log: &Proposer,
    node: NodeId,
    request: pb::AttachmentNames,
) -> Result<pb::AttachmentDone, Status> {
    let id = own_attachment(&log.raft.state(), node, &request.id)?;
    let long = request.names.iter().chain([&request.container]).any(|n| n.len() > NAME_LENGTH_MAX);
    if request.names.len() > NAMES_MAX || long {
        return Err(Status::invalid_argument(format!(
            "a container has at most {NAMES_MAX} names of at most {NAME_LENGTH_MAX} bytes"
        )));
    }
    let bytes: usize = request.names.iter().map(String::len).sum();
    if bytes > NAMES_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "the names of a container are {bytes} bytes long together, and {NAMES_BYTES_MAX} are \
             the most"
        )));
    }
    let (container, names) = (request.container, request.names);
    let change = Change::NameAttachment { id, container, names };
    log.write(None, change).await.map_err(|why| said(&why))?;
    Ok(pb::AttachmentDone {})
}

/// A container of a node has left.
pub(crate) async fn detach(
    log: &Proposer,
    node: NodeId,
    request: &pb::DetachRequest,
) -> Result<pb::AttachmentDone, Status> {
    let id = own_attachment(&log.raft.state(), node, &request.id)?;
    log.write(None, Change::RemoveAttachment(id)).await.map_err(|why| said(&why))?;
    Ok(pb::AttachmentDone {})
}

/// A node may speak of its own containers only.
fn own_attachment(state: &State, node: NodeId, text: &str) -> Result<AttachmentId, Status> {
    let id: AttachmentId = id_of("attachment", text)?;
    match state.attachment(id) {
        None => Err(Status::not_found(format!("attachment {id} not found"))),
        Some(attachment) if attachment.node != node => {
            Err(Status::permission_denied(format!("attachment {id} is not one of node {node}")))
        }
        Some(_) => Ok(id),
    }
}

fn id_of<I: std::str::FromStr>(what: &str, text: &str) -> Result<I, Status> {
    text.parse().map_err(|_| Status::invalid_argument(format!("not the id of a {what}: {text:?}")))
}

fn said(refusal: &Refusal) -> Status {
    let code = match refusal.kind {
        RefusalKind::InvalidArgument => Code::InvalidArgument,
        RefusalKind::NotFound => Code::NotFound,
        RefusalKind::AlreadyExists => Code::AlreadyExists,
        RefusalKind::FailedPrecondition => Code::FailedPrecondition,
        RefusalKind::Unimplemented => Code::Unimplemented,
        RefusalKind::PermissionDenied => Code::PermissionDenied,
        RefusalKind::Unauthenticated => Code::Unauthenticated,
        // Whoever asks may ask again: the leader was lost, or something changed meanwhile.
        RefusalKind::Unknown | RefusalKind::Unavailable => Code::Unavailable,
    };
    Status::new(code, refusal.message.clone())
}

#[cfg(test)]
mod tests {
    use swarmw_model::{Driver, OVERLAY};
    use swarmw_state::Transaction;

    use super::*;
    use crate::authority::new_node;
    use crate::found::tests::founded;

    #[test]
    fn a_retry_finds_what_was_made_by_whichever_choice() {
        let mut state = State::default();
        let node =
            new_node(NodeId::from_bits(1), swarmw_model::NodeRole::Manager, Default::default());
        let first = Change::InitCluster {
            cluster: Box::new(founded().cluster),
            node: Box::new(node),
            plugins: Vec::new(),
        };
        state.apply(1, &Transaction { at: Time::ZERO, request: None, changes: vec![first] });
        let spec = NetworkSpec {
            name: "web".into(),
            driver: Driver { name: OVERLAY.into(), ..Driver::default() },
            ..NetworkSpec::default()
        };
        let mut network = Network {
            id: NetworkId::from_bits(5),
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            pools: choose_subnets(&state, &spec).expect("room"),
            vni: choose_vni(&state).expect("room"),
            spec,
        };
        let right = network.vni;
        let request = RequestId::from_bits(u128::MAX);
        assert_eq!(made_before(&state, request), None);
        // What the first two choices took was somebody else's by then.
        for (index, choice, vni) in [(2, 0, 4_096), (3, 1, 4_096), (4, 2, right)] {
            network.vni = vni;
            let changes = vec![Change::CreateNetwork(Box::new(network.clone()))];
            let request = Some(of_choice(request, choice));
            state.apply(index, &Transaction { at: Time::ZERO, request, changes });
        }
        assert_eq!(made_before(&state, request), Some(network.id));
    }
}
