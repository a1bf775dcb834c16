//! `swarmw demo`: the main job on one machine, with no Docker and no root.
//!
//! Five daemons on 127.0.0.2 to 127.0.0.6 make a cluster of three managers and two
//! workers; everything else is done with the commands a person would type, which
//! are shown as they are run.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::local::{Cluster, PORT, PREFERENCE, Shell, get};

/// The example HTTP service, a `wasi:http` component built from `examples/tasks`.
const HELLO: &[u8] = include_bytes!(env!("SWARMW_HELLO_HTTP"));

const REPLICAS: usize = 6;
/// Each of these waits ends long before; it is there only so that the demo ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a five-node cluster on loopback addresses and shows what it does.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Leave the cluster up at the end and say how to talk to it
    #[arg(long)]
    pub keep: bool,
}

/// Runs the demo; ends with nothing left behind, also at Ctrl-C.
///
/// # Errors
/// What went wrong, in one line.
pub fn run(args: &DemoArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = play(args) => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted; nothing was left behind"),
            _ = terminate.recv() => bail!("terminated; nothing was left behind"),
        }
    })
}

async fn play(args: &DemoArgs) -> Result<()> {
    println!(
        "A swarmw cluster of five nodes on this machine: three managers and two workers,\n\
         separate processes on 127.0.0.2 to 127.0.0.6, running WebAssembly tasks.\n\
         Lines after `$` are commands you could type.\n"
    );
    let mut cluster = Cluster::start().await?;
    let hello = cluster.file("hello.wasm", HELLO)?;
    let preference = cluster.file("pack.wasm", PREFERENCE)?;

    form(&cluster).await?;
    label(&cluster).await?;
    deploy(&cluster, &hello, &preference).await?;
    update(&cluster).await?;
    lose_a_worker(&mut cluster).await?;
    lose_the_leader(&mut cluster).await?;

    if args.keep {
        cluster.keep()?;
    } else {
        println!("\nThat was it. Stopping the cluster; `swarmw demo --keep` leaves it up.");
    }
    Ok(())
}

async fn form(cluster: &Cluster) -> Result<()> {
    say("The first node founds the cluster, the others join it.");
    // Each line is shown, and a demo has no time to wait 15 s for a dead node.
    cluster.form("--dispatcher-heartbeat 1s", Shell::run).await?;
    cluster.shell(1).run("swarmw node ls").await
}

async fn label(cluster: &Cluster) -> Result<()> {
    say("Labels say where the nodes stand: a region and a rack.");
    let shell = cluster.shell(1);
    for (node, region, rack) in [
        ("n1", "west", "w1"),
        ("n2", "east", "e1"),
        ("n3", "east", "e2"),
        ("n4", "east", "e1"),
        ("n5", "east", "e2"),
    ] {
        shell
            .run(&format!(
                "swarmw node update --label-add region={region} --label-add rack={rack} {node}"
            ))
            .await?;
    }
    Ok(())
}

async fn deploy(cluster: &Cluster, hello: &str, preference: &str) -> Result<()> {
    say("A placement preference is a WebAssembly component. This one joins the running cluster.");
    let shell = cluster.shell(1);
    shell.run(&format!("swarmw plugin add {preference}")).await?;
    shell.run("swarmw plugin ls").await?;
    say("Six replicas of an HTTP service, in the east only, placed by that component.");
    shell
        .run(&format!(
            "swarmw service create --name hello --replicas {REPLICAS} --constraint node.labels.region==east \
             --placement-pref pack=node.labels.rack --publish {PORT}:80 --env VERSION=1 \
             --env TASK_NAME={{{{.Service.Name}}}}.{{{{.Task.Slot}}}} --update-parallelism 2 --update-monitor 1s --restart-delay 1s {hello}"
        ))
        .await?;
    shell.run("swarmw service ps hello").await?;
    say("The published port answers on every node, whether it has a replica or not.");
    call_everywhere(cluster, "version 1").await
}

async fn update(cluster: &Cluster) -> Result<()> {
    say("A rolling update to a second version, two tasks at a time.");
    cluster.shell(2).run("swarmw service update --env-add VERSION=2 hello").await?;
    call_everywhere(cluster, "version 2").await
}

async fn lose_a_worker(cluster: &mut Cluster) -> Result<()> {
    say("A worker with replicas loses its power: SIGKILL to its daemon and its tasks.");
    let shell = cluster.shell(1);
    let replicas = running_on(&shell).await?;
    let victim = [4, 5].into_iter().find(|n| replicas.contains(&format!("n{n}")));
    let victim = victim.context("no worker has a replica")?;
    cluster.power_off(victim)?;
    println!("$ kill -9 <everything on n{victim}>");
    let gone = format!("n{victim}");
    cluster
        .until(&format!("the tasks of {gone} are replaced"), PATIENCE, || async {
            let left = running_on(&shell).await?.into_iter().filter(|node| *node != gone).count();
            ensure!(left == REPLICAS, "{left} of {REPLICAS} replicas run");
            Ok(())
        })
        .await?;
    shell.run("swarmw service ps hello").await
}

/// The node of each replica that runs.
async fn running_on(shell: &Shell) -> Result<Vec<String>> {
    let listed = shell
        .capture(
            "swarmw service ps hello --filter desired-state=running \
             --format '{{.Node}} {{.CurrentState}}'",
        )
        .await?;
    let running = |line: &str| {
        let (node, state) = line.split_once(' ')?;
        state.starts_with("Running").then(|| node.to_owned())
    };
    Ok(listed.lines().filter_map(running).collect())
}

async fn lose_the_leader(cluster: &mut Cluster) -> Result<()> {
    say("The leading manager dies as well. The others elect a new one.");
    let listed = cluster
        .shell(1)
        .capture("swarmw node ls --format '{{.Hostname}} {{.ManagerStatus}}'")
        .await?;
    let leader = listed
        .lines()
        .find_map(|line| line.strip_suffix(" Leader")?.strip_prefix('n')?.parse().ok())
        .context("no node leads")?;
    cluster.power_off(leader)?;
    println!("$ kill -9 <everything on n{leader}>");
    let other = if leader == 2 { 3 } else { 2 };
    let shell = cluster.shell(other);
    shell.run("swarmw service scale hello=4").await?;
    say("Nodes are heard of again within a second; those that are not are down after three.");
    cluster
        .until("the new leader has heard of every node that is left", PATIENCE, || async {
            let listed = shell.capture("swarmw node ls --format {{.Status}}").await?;
            ensure!(!listed.contains("Unknown"), "{listed}");
            Ok(())
        })
        .await?;
    for command in ["swarmw node ls", "swarmw service ls", "swarmw service ps hello"] {
        shell.run(command).await?;
    }
    Ok(())
}

/// Calls the published port on every node that is up, and shows who answered.
async fn call_everywhere(cluster: &Cluster, want: &str) -> Result<()> {
    for number in cluster.up() {
        let url = format!("http://{}:{PORT}/", Cluster::ip(number));
        let answer = cluster
            .until(&format!("{url} answers with {want}"), PATIENCE, || async {
                let answer = get(number).await?;
                if answer.contains(want) { Ok(answer) } else { bail!("got {answer:?}") }
            })
            .await?;
        println!("$ curl {url}\n{}", answer.trim_end());
    }
    Ok(())
}

fn say(text: &str) {
    println!("\n# {text}");
}
