//! Clients that look up a name and connect, without a pause, while tasks are replaced and a
//! node is drained: they notice nothing.

use super::asking::{Asking, SERVER};
use super::{ASK_API, Asker, WEB, docker};
use crate::docker::{import_everywhere, node_of, running, take_turn};
use crate::support::{Cluster, Node, eventually};

/// The machine that no task is on.
const CLIENT: usize = 3;
/// The published port.
const PORT: u16 = 4567;
/// Replicas of the service.
const REPLICAS: usize = 3;
/// Connections of each client that are enough to have been there all the time: it makes some
/// dozens a second.
const ENOUGH: usize = 200;

/// A service whose replicas are replaced one by one, each once its successor is healthy.
fn create(first: &Node) {
    let replicas = REPLICAS.to_string();
    let publish = format!("{PORT}:80");
    let mut words = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "api"];
    words.extend(["--replicas", &replicas, "--network", "back", "--publish", &publish]);
    words.extend(["--update-order", "start-first", "--update-delay", "1s"]);
    words.extend(["--update-monitor", "1s", "--stop-grace-period", "5s"]);
    words.extend(["--health-cmd", "get 127.0.0.1 /", "--health-interval", "1s"]);
    words.extend(["web", "perl", "-e", SERVER]);
    first.swarmw(&words);
}

/// Waits until an update of the service has ended well.
#[track_caller]
fn is_updated(first: &Node) {
    eventually("the update is completed", || {
        let service = first.json("/services/api")?;
        let status = &service["UpdateStatus"];
        if status["State"] == "completed" { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Waits until every machine's port leads somewhere.
#[track_caller]
fn all_entries_answer(cluster: &Cluster, entries: &[String]) {
    for entry in entries {
        let url = format!("http://{entry}:{PORT}/");
        eventually(&format!("{url} answers"), || {
            let page = cluster.machines[CLIENT].run(&["curl", "-sS", "-m", "5", &url]);
            if page.code == 0 { Ok(()) } else { Err(page) }
        });
    }
}

#[test]
fn who_connects_throughout_notices_neither_an_update_nor_a_drain() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(3, 1);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    docker(first, "network create --driver overlay back");
    create(first);
    // On a node that is not drained.
    docker(
        first,
        "service create --detach --name asker --network back --constraint node.hostname==n1 web",
    );
    running(first, "api", REPLICAS);
    let asker = Asker::of(&cluster, &running(first, "asker", 1)[0]);
    asker.reaches(&cluster, ASK_API, REPLICAS, "at first");
    let entries: Vec<_> = cluster.machines[..CLIENT].iter().map(|m| m.ip.to_string()).collect();
    all_entries_answer(&cluster, &entries);

    let inside = Asking::in_container(&cluster, &asker, "inside", 80, &["api".to_owned()]);
    let outside = Asking::on_machine(&cluster, CLIENT, "outside", PORT, &entries);
    first.run("service update --detach --force api");
    is_updated(first);
    first.run("node update --availability drain n3");
    eventually("the tasks of n3 are elsewhere", || {
        let tasks = running(first, "api", REPLICAS);
        let left = tasks.iter().filter(|task| node_of(&cluster, task) == 2).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are there")) }
    });
    asker.reaches(&cluster, ASK_API, REPLICAS, "at last");
    for asking in [inside, outside] {
        let told = asking.saw_no_failure(ENOUGH);
        assert!(told.answers.len() >= 2 * REPLICAS, "all were replaced meanwhile: {told}");
    }
}
