//! Waits for a service to converge, and shows how far it is.

mod display;
mod jobs;
mod machine;
mod tasks;

use std::collections::HashSet;
use std::time::Duration;

use swarmw_model::{Filters, NodeState};

use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;
use crate::table::now;
use display::Display;
use machine::{Message, Progress};

/// Between two looks at the service.
const POLL: Duration = Duration::from_millis(200);

/// Waits until the service has converged and stayed so for its monitor time.
/// Ctrl-C ends the waiting, not the work, and is no failure.
pub(crate) async fn wait(
    client: &Client,
    reference: &str,
    quiet: bool,
    io: &mut Io,
) -> Result<(), Failure> {
    let mut progress = Progress::new(reference);
    let mut display = Display::new(quiet, io);
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let service = client.service(reference).await?;
        let mut filters = Filters::default();
        filters.add("service", &service.id);
        // Swarm's own word for "made for the service's present spec".
        filters.add("_up-to-date", "true");
        let tasks = client.tasks(&filters).await?;
        let nodes: HashSet<String> = client
            .nodes(&Filters::default())
            .await?
            .into_iter()
            .filter(|node| node.status.state != NodeState::Down)
            .map(|node| node.id)
            .collect();
        let step = progress.step(&service, &tasks, &nodes, now());
        for message in &step.messages {
            display.show(message, io)?;
        }
        if let Some(end) = step.end {
            return end.map_err(Failure::new);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = &mut interrupt => {
                if !progress.has_converged() {
                    for text in [
                        "Operation continuing in background.".to_owned(),
                        format!("Use `swarmw service ps {reference}` to check progress."),
                    ] {
                        display.show(&Message::plain("", text), io)?;
                    }
                }
                return Ok(());
            }
        }
    }
}
