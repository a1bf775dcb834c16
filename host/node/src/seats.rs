//! Asking the leader for a seat among the managers, and giving it back.

use std::future::Future;

use anyhow::Result;
use swarmw_model::FEATURE_LEVEL;
use swarmw_proto::pb::membership_client::MembershipClient;
use swarmw_proto::{Channels, pb};
use tonic::transport::Channel;
use tonic::{Response, Status};

/// Asks for the seat of a manager that others reach at `address`.
pub(crate) async fn ask_for_seat(
    channels: &Channels,
    managers: &[String],
    address: &str,
) -> Result<pb::JoinReply> {
    let ask = async |mut client: MembershipClient<Channel>| {
        let feature_level = FEATURE_LEVEL;
        client.join(pb::JoinRequest { address: address.to_owned(), feature_level }).await
    };
    ask_leader(channels, managers, ask)
        .await
        .map_err(|last| anyhow::anyhow!("no manager gives this node a seat: {}", last.message()))
}

/// Asks to be demoted.
pub(crate) async fn ask_to_leave(channels: &Channels, managers: &[String]) -> Result<()> {
    let ask = async |mut client: MembershipClient<Channel>| {
        client.leave(pb::LeaveRequest { force: false }).await
    };
    let asked = ask_leader(channels, managers, ask).await;
    asked.map(drop).map_err(|last| anyhow::anyhow!("{}", last.message()))
}

/// Tries every manager, and the leader that one of them names.
async fn ask_leader<T, F>(
    channels: &Channels,
    managers: &[String],
    ask: impl Fn(MembershipClient<Channel>) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut last = Status::unavailable("no manager is known");
    let mut queue: Vec<String> = managers.to_vec();
    let mut asked = 0;
    while asked < queue.len() {
        let target = queue[asked].clone();
        asked += 1;
        let answer = match channels.get(&target) {
            Ok(channel) => ask(MembershipClient::new(channel)).await,
            Err(status) => Err(status),
        };
        match answer {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => last = follow_hint(status, &mut queue),
        }
    }
    Err(last)
}

/// Notes the leader that a refusal names, unless it has been asked already.
fn follow_hint(status: Status, queue: &mut Vec<String>) -> Status {
    let leader = status.metadata().get(swarmw_manager::LEADER).and_then(|v| v.to_str().ok());
    if let Some(leader) = leader.map(str::to_owned)
        && !queue.contains(&leader)
    {
        queue.push(leader);
    }
    status
}
