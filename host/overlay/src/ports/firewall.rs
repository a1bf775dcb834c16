//! The engine's firewall: it drops what is forwarded to containers, unless it is told.
//!
//! It is told in a chain of our own, [`CHAIN`], with the engine's own program. What leads
//! there is in `DOCKER-USER`, which the engine keeps for others and never rewrites, after the
//! user's own rules; without an engine's chain, in `FORWARD` if that drops. An engine that
//! keeps its firewall in nftables has no chain for others there: what one table accepts
//! another may still drop.

use std::path::{Path, PathBuf};

use super::plan::DEVICE;
use crate::namespace::Namespace;
use crate::{Error, Result, nft};

/// The chain of published ports.
const CHAIN: &str = "SWARMW-PORTS";
/// The engine's chain for others' rules.
const USER: &str = "DOCKER-USER";

/// The table of an engine that keeps its firewall in nftables.
const ENGINES: &str = "ip docker-bridges";

/// Whether an engine keeps its firewall in nftables, and only there.
pub(super) async fn is_out_of_reach(
    nft: &Path,
    inside: &Namespace,
    firewalls: &[(&'static str, Firewall)],
) -> Result<bool> {
    let is_told = firewalls.iter().any(|(_, firewall)| firewall.user.is_some());
    Ok(!is_told && nft::list(nft, inside, ENGINES).await?.is_some())
}

/// A firewall as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Firewall {
    /// There is a program, and it answers.
    answers: bool,
    drops: bool,
    /// Rules of the engine's chain for others, if there is one.
    user: Option<Vec<String>>,
    /// Rules of our chain, if there is one.
    own: Option<Vec<String>>,
    forward: Vec<String>,
}

/// What is not as it should be, and what makes it so.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Correction {
    pub(super) said: Vec<String>,
    /// For `iptables-restore`.
    text: String,
}

/// The chain's rules.
fn rules(bridge: &str) -> [String; 4] {
    [
        // From other nodes and to them: nftables lets only published ports pass.
        format!("-i {DEVICE} -j ACCEPT"),
        format!("-o {DEVICE} -j ACCEPT"),
        format!("-o {bridge} -m conntrack --ctstate DNAT -j ACCEPT"),
        format!("-i {bridge} -m conntrack --ctstate DNAT --ctdir REPLY -j ACCEPT"),
    ]
}

// === impl Firewall ===

impl Firewall {
    /// Reads the firewall of one family. Without the program there is none.
    pub(super) async fn read(program: &Path, inside: &Namespace) -> Self {
        let output = match nft::run(program, inside, &["-w", "5", "-S"], String::new()).await {
            Ok(output) if output.status.success() => output,
            _ => return Self::default(),
        };
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    fn parse(listed: &str) -> Self {
        let mut firewall = Self { answers: true, ..Self::default() };
        for line in listed.lines() {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (chain, rule) = rest.split_once(' ').unwrap_or((rest, ""));
            let rules = match chain {
                "FORWARD" => {
                    firewall.drops |= verb == "-P" && rule == "DROP";
                    &mut firewall.forward
                }
                USER => firewall.user.get_or_insert_default(),
                CHAIN => firewall.own.get_or_insert_default(),
                _ => continue,
            };
            if verb == "-A" {
                rules.push(rule.to_owned());
            }
        }
        firewall
    }

    /// What leads to what it should be; `bridge`: none, if it should have nothing of ours.
    pub(super) fn correct(&self, program: &str, bridge: Option<&str>) -> Correction {
        let mut correction = Correction::default();
        if !self.answers {
            return correction;
        }
        let place = match (bridge, &self.user) {
            (None, _) => None,
            (_, Some(_)) => Some(USER),
            (_, None) => self.drops.then_some("FORWARD"),
        };
        let wanted = bridge.filter(|_| place.is_some()).map(|bridge| rules(bridge).to_vec());
        let mut lines = Vec::new();
        if wanted.is_some() && self.own != wanted {
            correction.said.push(format!("chain {CHAIN} of {program} is not as it should be"));
            lines.push(format!("-F {CHAIN}"));
            lines.extend(wanted.iter().flatten().map(|rule| format!("-A {CHAIN} {rule}")));
        }
        let user = self.user.as_deref().unwrap_or_default();
        for (chain, rules) in [(USER, user), ("FORWARD", &self.forward)] {
            let jumps = rules.iter().filter(|rule| **rule == jump()).count();
            if place == Some(chain) {
                let there = rules.iter().position(|rule| *rule == jump());
                let end = end(chain, rules);
                if there.is_some_and(|there| there <= end) && jumps == 1 {
                    continue;
                }
                correction
                    .said
                    .push(format!("chain {chain} of {program} does not lead to {CHAIN}"));
                lines.extend((0..jumps).map(|_| format!("-D {chain} {}", jump())));
                lines.push(format!("-I {chain} {} {}", end + 1, jump()));
            } else if jumps > 0 {
                correction.said.push(format!("chain {chain} of {program} leads to {CHAIN}"));
                lines.extend((0..jumps).map(|_| format!("-D {chain} {}", jump())));
            }
        }
        if wanted.is_none() && self.own.is_some() {
            correction.said.push(format!("chain {CHAIN} of {program} is too much"));
            lines.extend([format!("-F {CHAIN}"), format!("-X {CHAIN}")]);
        }
        if !lines.is_empty() {
            let made =
                if self.own.is_none() { format!(":{CHAIN} - [0:0]\n") } else { String::new() };
            correction.text = format!("*filter\n{made}{}\nCOMMIT\n", lines.join("\n"));
        }
        correction
    }
}

/// Where our jump goes in a chain: behind users' rules, but before what ends it; before what
/// an engine may have in `FORWARD`.
fn end(chain: &str, rules: &[String]) -> usize {
    if chain != USER {
        return 0;
    }
    let ours = |rule: &&String| **rule != jump();
    let rest = rules.iter().filter(ours);
    let last = rest.clone().position(|rule| rule == "-j RETURN");
    last.unwrap_or_else(|| rest.count())
}

fn jump() -> String {
    format!("-j {CHAIN}")
}

// === impl Correction ===

impl Correction {
    /// How many lines were written.
    pub(super) async fn make(self, program: &Path, inside: &Namespace) -> Result<usize> {
        if self.text.is_empty() {
            return Ok(0);
        }
        let count = self.text.lines().count() - 2;
        let mut name = program.as_os_str().to_owned();
        name.push("-restore");
        let program = PathBuf::from(name);
        let words = ["--noflush", "-w", "5"];
        let output = nft::run(&program, inside, &words, self.text).await?;
        if output.status.success() {
            return Ok(count);
        }
        Err(Error::Firewall { program, said: nft::said(&output.stderr) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: Option<&str> = Some("docker_gwbridge");

    fn correct(listed: &str) -> String {
        Firewall::parse(listed).correct("iptables", BRIDGE).text
    }

    fn own() -> String {
        let rules = rules("docker_gwbridge").map(|rule| format!("-A {CHAIN} {rule}\n"));
        format!("-N {CHAIN}\n{}", rules.concat())
    }

    #[test]
    fn the_jump_is_after_the_users_rules_and_before_what_ends_them() {
        let user = "-P FORWARD DROP\n-N DOCKER-USER\n-A DOCKER-USER -s 10.9.0.0/16 -j DROP\n";
        let text = correct(user);
        assert!(text.starts_with("*filter\n:SWARMW-PORTS - [0:0]\n-F SWARMW-PORTS\n"), "{text}");
        assert!(text.ends_with("-I DOCKER-USER 2 -j SWARMW-PORTS\nCOMMIT\n"), "{text}");
        let text = correct(&format!("{user}-A DOCKER-USER -j RETURN\n"));
        assert!(text.contains("-I DOCKER-USER 2 -j SWARMW-PORTS\n"), "{text}");
        // It is right already; and behind the end it is not.
        let jump = "-A DOCKER-USER -j SWARMW-PORTS\n";
        let end = "-A DOCKER-USER -j RETURN\n";
        assert_eq!(correct(&format!("{user}{jump}{end}{}", own())), "");
        let text = correct(&format!("{user}{end}{jump}{}", own()));
        let moved = "-D DOCKER-USER -j SWARMW-PORTS\n-I DOCKER-USER 2 -j SWARMW-PORTS\n";
        assert_eq!(text, format!("*filter\n{moved}COMMIT\n"));
    }

    #[test]
    fn without_an_engine_only_a_firewall_that_drops_is_told() {
        assert_eq!(correct("-P FORWARD ACCEPT\n"), "");
        assert_eq!(Firewall::default().correct("iptables", BRIDGE), Correction::default());
        let text = correct("-P FORWARD DROP\n");
        assert!(text.ends_with("-I FORWARD 1 -j SWARMW-PORTS\nCOMMIT\n"), "{text}");
        // The engine has come since.
        let since =
            format!("-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j SWARMW-PORTS\n{}", own());
        let text = correct(&since);
        let moved = "-I DOCKER-USER 1 -j SWARMW-PORTS\n-D FORWARD -j SWARMW-PORTS\n";
        assert_eq!(text, format!("*filter\n{moved}COMMIT\n"));
    }

    #[test]
    fn nothing_is_left() {
        let there =
            format!("-P FORWARD DROP\n-N DOCKER-USER\n-A DOCKER-USER -j SWARMW-PORTS\n{}", own());
        let correction = Firewall::parse(&there).correct("iptables", None);
        let gone = "-D DOCKER-USER -j SWARMW-PORTS\n-F SWARMW-PORTS\n-X SWARMW-PORTS\n";
        assert_eq!(correction.text, format!("*filter\n{gone}COMMIT\n"));
        let none = Firewall::parse("-P FORWARD DROP\n").correct("iptables", None);
        assert_eq!(none, Correction::default());
    }
}
