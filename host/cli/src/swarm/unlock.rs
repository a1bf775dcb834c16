//! `swarm unlock` and `swarm unlock-key`.

use serde_json::json;

use crate::client::{Client, UnlockKey};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;

/// `swarm unlock-key`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct UnlockKeyArgs {
    /// Only display token
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    quiet: bool,
    /// Rotate unlock key
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    rotate: bool,
}

/// Asks for the key where the node is locked, and nowhere else.
pub(super) async fn unlock(client: &Client, io: &mut Io) -> Result<(), Failure> {
    match client.info().await?.swarm.local_node_state.as_str() {
        "inactive" => return Err(Failure::new("Error: This node is not part of a swarm")),
        "locked" => {}
        _ => return Err(Failure::new("Error: swarm is not locked")),
    }
    let key = io.secret("Enter unlock key: ")?;
    client.post("/swarm/unlock").json(&json!({"UnlockKey": key}))?.fetch().await?;
    Ok(())
}

pub(super) async fn unlock_key(
    client: &Client,
    args: &UnlockKeyArgs,
    io: &mut Io,
) -> Result<(), Failure> {
    if args.rotate {
        let swarm = client.swarm().await?;
        if !swarm.spec.encryption.auto_lock_managers {
            return Err(Failure::new("cannot rotate because autolock is not turned on"));
        }
        client
            .post("/swarm/update")
            .query("version", swarm.version.index)
            .query("rotateManagerUnlockKey", true)
            .json(&swarm.spec)?
            .fetch()
            .await?;
        if !args.quiet {
            io.line("Successfully rotated manager unlock key.")?;
        }
    }
    if !args.quiet {
        return show(client, io).await;
    }
    let key = fetch(client).await?;
    io.line(key)?;
    Ok(())
}

/// Says what unlocks managers, and that it is to be kept.
pub(super) async fn show(client: &Client, io: &mut Io) -> Result<(), Failure> {
    let key = fetch(client).await?;
    io.line(format!(
        "To unlock a swarm manager after it restarts, run the `swarmw swarm unlock`\n\
         command and provide the following key:\n\n    {key}\n\n\
         Remember to store this key in a password manager, since without it you\n\
         will not be able to restart the manager."
    ))?;
    Ok(())
}

async fn fetch(client: &Client) -> Result<String, Failure> {
    let answer: Result<UnlockKey, _> = client.get("/swarm/unlockkey").read().await;
    match answer {
        Err(e) => Err(Failure::new(format!("could not fetch unlock key: {e}"))),
        Ok(answer) if answer.unlock_key.is_empty() => Err(Failure::new("no unlock key is set")),
        Ok(answer) => Ok(answer.unlock_key),
    }
}
