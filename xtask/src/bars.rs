//! `cargo xtask bars [ID]`: measures the figures that BENCHMARKS.md and docs/reliability.md
//! state.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{root, run_command};
use crate::system;

/// A figure: its id and the commands that measure it.
struct Bar {
    id: &'static str,
    what: &'static str,
    needs: Needs,
    commands: &'static [Run],
}

/// What a figure needs of the machine.
enum Needs {
    Nothing,
    /// Network namespaces, as root, and programs that send through them.
    Networks,
    /// All that the tests need: engines, for one.
    Engines,
}

/// What is run, as it is typed; blanks part its words.
enum Run {
    /// Of swarmw itself.
    Swarmw(&'static str),
    /// A benchmark of one room.
    Bench(&'static str),
    /// A test that prints figures, or counts what a figure is about: its target, and the end
    /// of its name.
    Test(&'static str, &'static str),
}

/// Cycles of networks that come and go, where a figure is wanted, and minutes of rest
/// afterwards.
const NIGHT: [(&str, &str); 2] = [("SWARMW_CYCLES", "1000"), ("SWARMW_REST", "30")];

const BARS: &[Bar] = &[
    Bar {
        id: "scheduler-one-service",
        what: "1,000 nodes, 100,000 tasks of one service: under 1 CPU-second and 500 MB",
        needs: Needs::Nothing,
        commands: &[Run::Swarmw("bench scheduler --nodes 1000 --tasks 100000 --services 1")],
    },
    Bar {
        id: "scheduler-thousand-services",
        what: "10,000 nodes, 100,000 tasks in 1,000 services, two constraints and a spread: \
               deciding takes under 30 ms, the median of five rounds",
        needs: Needs::Nothing,
        commands: &[Run::Swarmw(
            "bench scheduler --nodes 10000 --tasks 100000 --services 1000 --constraints 2 --spread \
             --rounds 5",
        )],
    },
    Bar {
        id: "scheduler-unique-column",
        what: "a constraint over host names costs no more than one over ten racks",
        needs: Needs::Nothing,
        commands: &[
            Run::Swarmw(
                "bench scheduler --nodes 10000 --tasks 1000 --services 1000 --constraints 1 \
                 --rounds 7",
            ),
            Run::Swarmw(
                "bench scheduler --nodes 10000 --tasks 1000 --services 1000 --constraints 1 \
                 --unique --rounds 7",
            ),
        ],
    },
    Bar {
        id: "plugin-platform",
        what: "built-in components under 64 KB, loaded from the cache in under 1 ms; a loop ends \
               within 10 ms of its budget (p99); a hoarder takes at most 16 MB more than it may",
        needs: Needs::Nothing,
        commands: &[Run::Bench("platform")],
    },
    Bar {
        id: "networks",
        what: "one changed task among 5,000, behind virtual addresses or published ports, takes \
               under 25 ms, and no more than among 500; by either, throughput is within 5 % of a \
               direct connection over VXLAN and connections are made at a rate within 10 % of a \
               bare rule's; an endpoint's change is with 50 nodes in under 500 ms (p99)",
        needs: Needs::Networks,
        commands: &[
            Run::Bench("networks"),
            Run::Bench("ports"),
            Run::Bench("traffic"),
            Run::Bench("endpoints"),
        ],
    },
    Bar {
        id: "dead-addresses",
        what: "S9: 500 tasks replaced while somebody looks their name up: a dead address is \
               answered for 2 s at most (p99), none after 10 s",
        needs: Needs::Engines,
        commands: &[Run::Test("clusters", "addresses_of_dead_tasks_are_soon_answered_no_more")],
    },
    Bar {
        id: "repairs",
        what: "S10: rules, links and routes removed by hand are back within 30 s",
        needs: Needs::Engines,
        commands: &[Run::Test(
            "clusters",
            "names_and_addresses_stay_while_managers_daemons_and_engines_are_away",
        )],
    },
    Bar {
        id: "narrow-network",
        what: "S11: 30 tasks on a /28, 10,000 addresses given and freed under new leaders: \
               nobody has what another has, none is lost",
        needs: Needs::Nothing,
        commands: &[Run::Test("it", "a_narrow_network_gives_each_address_to_one")],
    },
    Bar {
        id: "client-addresses",
        what: "S12: 1,000 connections by each of three nodes, IPv4 and IPv6: tasks see the \
               client's own address in all of them",
        needs: Needs::Engines,
        commands: &[Run::Test(
            "clusters",
            "kernels_lead_published_ports_to_every_task_in_turn_and_keep_the_clients_address",
        )],
    },
    Bar {
        id: "cycles",
        what: "S16: 1,000 networks with a service come and go: no link, address, rule, \
               namespace, container or file descriptor is left; what daemons weigh, and by how much \
               that grows in 30 min of rest",
        needs: Needs::Engines,
        commands: &[Run::Test(
            "clusters",
            "networks_and_services_that_come_and_go_leave_nothing_behind",
        )],
    },
    Bar {
        id: "lists",
        what: "a list of 100 tasks is answered in under 2 ms (median), of 10,000 in 150 ms, of \
               5,000 services in 100 ms, by the leader and by a follower",
        needs: Needs::Nothing,
        commands: &[Run::Bench("lists"), Run::Swarmw("bench lists")],
    },
    Bar {
        id: "tasks",
        what: "200 Wasm tasks: under 2 MB proportional each at rest, first response under 15 ms \
               after the process is spawned",
        needs: Needs::Nothing,
        commands: &[Run::Swarmw("bench tasks --tasks 200")],
    },
    Bar {
        id: "cluster",
        what: "leader under 60 MB, worker under 40 MB resident; above 2,000 creates per second \
               from 64 clients; leader killed to next accepted write under 2 s at the median",
        needs: Needs::Nothing,
        commands: &[Run::Swarmw("bench cluster")],
    },
];

/// Measures all figures, or the one named.
pub fn run(id: Option<&str>) -> Result<()> {
    let chosen: Vec<_> = BARS.iter().filter(|bar| id.is_none_or(|id| id == bar.id)).collect();
    if chosen.is_empty() {
        let known: Vec<_> = BARS.iter().map(|bar| bar.id).collect();
        bail!("no bar {:?}; there are: {}", id.unwrap_or_default(), known.join(", "));
    }
    for bar in chosen {
        match bar.needs {
            Needs::Nothing => {}
            Needs::Networks => system::prepare_networks()?,
            Needs::Engines => system::prepare()?,
        }
        println!("{}: {}", bar.id, bar.what);
        for command in bar.commands {
            let words = match command {
                Run::Swarmw(words) => format!("run --release --quiet -- {words}"),
                Run::Bench(name) => format!("bench --quiet --workspace --bench {name}"),
                Run::Test(target, name) => of_test(target, name),
            };
            let mut cargo = Command::new("cargo");
            cargo.args(words.split(' ')).envs(NIGHT).current_dir(root());
            run_command(&mut cargo)?;
        }
    }
    Ok(())
}

/// What cargo runs of a test, whether it is for every day or not; it prints what it sees.
fn of_test(target: &str, name: &str) -> String {
    format!(
        "test --release --quiet --workspace --test {target} -- {name} --include-ignored --nocapture"
    )
}
