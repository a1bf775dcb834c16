//! `stack rm`

use std::time::Duration;

use serde_json::Value;
use swarmw_model::TaskState;

use super::{check_name, of_stack};
use crate::client::{Client, ClientError, Service, segment};
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;

/// Between two looks at the tasks.
const POLL: Duration = Duration::from_millis(200);

/// `stack rm`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct RmArgs {
    /// Do not wait for stack removal (default true)
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    detach: bool,
    /// Their names
    #[arg(value_name = "STACK", required = true, num_args(1..))]
    stacks: Vec<String>,
}

pub(super) async fn run(client: &Client, args: RmArgs, io: &mut Io) -> Result<(), Failure> {
    for stack in &args.stacks {
        check_name(stack)?;
    }
    let mut failed = Vec::new();
    for stack in &args.stacks {
        let services = client.services(&of_stack(stack)).await?;
        let networks = list(client, "/networks", stack).await?;
        let secrets = list(client, "/secrets", stack).await?;
        let configs = list(client, "/configs", stack).await?;
        if services.is_empty() && networks.is_empty() && secrets.is_empty() && configs.is_empty() {
            io.warn(format!("Nothing found in stack: {stack}"))?;
            continue;
        }
        let mut all_gone = remove_services(client, services, io).await?;
        for (word, path, objects) in
            [("secret", "/secrets", secrets), ("config", "/configs", configs)]
        {
            for object in objects {
                let name = object["Spec"]["Name"].as_str().unwrap_or_default();
                let id = object["ID"].as_str().unwrap_or_default();
                all_gone &= remove(client, word, path, name, id, io).await?;
            }
        }
        for network in networks {
            let name = network["Name"].as_str().unwrap_or_default();
            let id = network["Id"].as_str().unwrap_or_default();
            all_gone &= remove(client, "network", "/networks", name, id, io).await?;
        }
        if !all_gone {
            let text = format!("failed to remove some resources from stack: {stack}");
            failed.push(Failure::new(text));
        } else if !args.detach {
            wait(client, stack).await?;
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

/// Removes services by their names' order; whether all are gone.
pub(super) async fn remove_services(
    client: &Client,
    mut services: Vec<Service>,
    io: &mut Io,
) -> Result<bool, Failure> {
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let mut all_gone = true;
    for service in services {
        let name = &service.spec.name;
        all_gone &= remove(client, "service", "/services", name, &service.id, io).await?;
    }
    Ok(all_gone)
}

async fn remove(
    client: &Client,
    word: &str,
    path: &str,
    name: &str,
    id: &str,
    io: &mut Io,
) -> Result<bool, Failure> {
    io.line(format!("Removing {word} {name}"))?;
    match client.delete(format!("{path}/{}", segment(id))).fetch().await {
        Ok(_) => Ok(true),
        Err(error) => {
            io.warn(format!("Failed to remove {word} {id}: {error}"))?;
            Ok(false)
        }
    }
}

/// Waits until no task of the stack runs any more, or Ctrl-C ends the waiting.
async fn wait(client: &Client, stack: &str) -> Result<(), Failure> {
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let tasks = client.tasks(&of_stack(stack)).await?;
        if tasks.iter().all(|task| task.status.state > TaskState::Running) {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = &mut interrupt => return Ok(()),
        }
    }
}

/// All objects of a kind that belong to a stack.
pub(super) async fn list(
    client: &Client,
    path: &str,
    stack: &str,
) -> Result<Vec<Value>, ClientError> {
    client.get(path).query("filters", of_stack(stack).to_json()).read().await
}
