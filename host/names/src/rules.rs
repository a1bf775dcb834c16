//! What leads a container's queries to us, in the kernel.
//!
//! The engine leads what is sent to 127.0.0.11:53 to a port of its own by rules at
//! priority −100; ours stand at −110, so the engine may make its rules before or after us,
//! and again when it restarts. The first of the two that knows an address for a flow wins.
//!
//! Our own queries to the engine's resolver are told apart by the address they come from
//! ([`OURSELVES`]), not by a mark. The kernel decides about a *flow* — addresses and ports —
//! once, and remembers it for 30 seconds and more; marks are not part of it. Were our queries
//! to come from 127.0.0.1, a process that happens to get a port that we had a moment ago
//! would be led to the engine, which knows none of our names; with a hundred queries a
//! second that is every tenth of them.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use tracing::warn;

use crate::sandbox::{OURSELVES, RESOLVER, output, run};

/// Our table in each sandbox.
const TABLE: &str = "swarmw";
/// Before destination NAT as all others do it (−100).
const PRIORITY: i32 = -110;

/// Ports that queries are led to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) udp: u16,
    pub(crate) tcp: u16,
}

/// Puts the rules in the place of those that may be there, in one step.
pub(crate) fn put(ports: Ports) -> io::Result<()> {
    nft(&format!("{}\n{}", absent(), text(ports)))
}

/// Takes them away.
pub(crate) fn remove() -> io::Result<()> {
    nft(&absent())?;
    forget_flows();
    Ok(())
}

/// Whether they are all there.
pub(crate) fn are_there(ports: Ports) -> io::Result<bool> {
    let mut command = Command::new("nft");
    let output = output(command.args(["-n", "list", "table", "ip", TABLE]), "nftables")?;
    if !output.status.success() {
        // Nor are they where nobody knows.
        return Ok(false);
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    let is_there = |line: &str| listed.lines().any(|there| there.trim() == line);
    // Releases of nftables write numbers of priorities differently.
    Ok(listed.contains("type nat hook output ") && rules(ports).iter().all(|rule| is_there(rule)))
}

/// Deleting a table that is not there would be an error.
fn absent() -> String {
    format!("add table ip {TABLE}\ndelete table ip {TABLE}")
}

fn text(ports: Ports) -> String {
    let rules = rules(ports).join("\n");
    format!(
        "table ip {TABLE} {{
            chain output {{
                type nat hook output priority {PRIORITY}; policy accept;
                {rules}
            }}
        }}"
    )
}

/// As nftables lists them.
fn rules(Ports { udp, tcp }: Ports) -> [String; 3] {
    [
        format!("ip saddr {OURSELVES} return"),
        format!("ip daddr {RESOLVER} udp dport 53 dnat to {RESOLVER}:{udp}"),
        format!("ip daddr {RESOLVER} tcp dport 53 dnat to {RESOLVER}:{tcp}"),
    ]
}

/// Processes that keep a socket for their queries (nginx does) would go on to where their
/// first query was led, as long as they ask often enough.
pub(crate) fn forget_flows() {
    if let Err(error) = swarmw_overlay::forget_flows_here((RESOLVER, 53).into()) {
        warn!(%error, "old DNS flows in a container stay for a while");
    }
}

fn nft(rules: &str) -> io::Result<()> {
    let mut input = io::pipe()?;
    // The rules fit the pipe, and are all there before anybody reads them.
    input.1.write_all(rules.as_bytes())?;
    drop(input.1);
    run(Command::new("nft").args(["-f", "-"]).stdin(Stdio::from(input.0)), "nftables")
}
