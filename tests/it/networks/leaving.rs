//! How long an address is still given to who asks for a name, after its task has died: a
//! figure, and so not for every day.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use super::asking::SERVER;
use super::{ASK_API, Asker, WEB, address, docker};
use crate::docker::{import_everywhere, running, take_turn};
use crate::support::{Cluster, Machine, eventually};

/// Replicas, all of which an update replaces…
const REPLICAS: usize = 20;
/// …so often: 500 tasks.
const UPDATES: usize = 25;
/// So long may all but a hundredth of them be answered after their death, and so long any.
const BARS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// Looks a name up every few milliseconds, and prints the addresses when they are others.
const LOOK_UP: &str = r#"
    use Socket qw(:addrinfo inet_ntoa unpack_sockaddr_in AF_INET SOCK_STREAM); $| = 1;
    for (;;) {
        ($error, @all) =
            getaddrinfo($ARGV[0], 80, { family => AF_INET, socktype => SOCK_STREAM });
        @found = map { inet_ntoa((unpack_sockaddr_in($_->{addr}))[1]) } @all;
        $now = join " ", sort @found;
        if ($now ne $before) { print "$now\n"; $before = $now }
        select(undef, undef, undef, 0.005);
    }
"#;

/// A program whose lines are kept with the time when they came.
struct Watching {
    process: Child,
    lines: Receiver<(Instant, String)>,
}

// === impl Watching ===

impl Watching {
    fn begin(words: &[&str]) -> Self {
        let mut process = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the docker client is installed");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (tell, lines) = channel();
        spawn(move || {
            // Nobody listens any more once the test has ended.
            output
                .lines()
                .map_while(Result::ok)
                .all(|line| tell.send((Instant::now(), line)).is_ok())
        });
        Self { process, lines }
    }

    /// Ends it; all its lines.
    fn end(mut self) -> Vec<(Instant, String)> {
        let _ = self.process.kill();
        self.lines.iter().collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How long an address was answered after `death`, by the answers in their order.
fn outlived(answers: &[(Instant, BTreeSet<String>)], address: &str, death: Instant) -> Duration {
    let since = answers.partition_point(|(at, _)| *at <= death);
    let is_in = |(_, all): &&(Instant, BTreeSet<String>)| all.contains(address);
    // What was answered last before it died, was answered until something else was.
    if since.checked_sub(1).and_then(|last| answers.get(last)).filter(is_in).is_none() {
        return Duration::ZERO;
    }
    let gone = answers[since..].iter().find(|answer| !is_in(answer));
    gone.map_or(Duration::MAX, |(at, _)| at.duration_since(death))
}

#[test]
#[ignore = "a figure that takes minutes: cargo xtask bars dead-addresses"]
fn addresses_of_dead_tasks_are_soon_answered_no_more() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(4, 0);
    import_everywhere(&cluster, &[WEB]);
    let first = &cluster.nodes[0];
    docker(first, "network create --driver overlay back");
    let replicas = REPLICAS.to_string();
    let mut words = vec!["service", "create", "--detach", "--no-resolve-image", "--name", "api"];
    words.extend(["--replicas", &replicas, "--network", "back", "--update-parallelism", "5"]);
    words.extend(["--update-monitor", "1s", "web", "perl", "-e", SERVER]);
    first.swarmw(&words);
    docker(first, "service create --detach --name asker --network back web");
    let mut tasks = running(first, "api", REPLICAS);
    let asker = Asker::of(&cluster, &running(first, "asker", 1)[0]);
    asker.reaches(&cluster, ASK_API, REPLICAS, "at first");

    let engine = cluster.machines[asker.node].engine_address();
    let mut words = vec!["docker", "-H", &engine, "exec", &asker.container];
    words.extend(["perl", "-e", LOOK_UP, "tasks.api"]);
    let looking = Watching::begin(&words);
    let engines: Vec<_> = cluster.machines.iter().map(Machine::engine_address).collect();
    let events = ["events", "--filter", "event=die", "--format", "{{.Actor.Attributes.name}}"];
    let dying: Vec<_> = engines
        .iter()
        .map(|engine| {
            let mut words = vec!["docker", "-H", engine.as_str()];
            words.extend(events);
            Watching::begin(&words)
        })
        .collect();
    // By the ids of the tasks, in which their containers' names end.
    let mut addresses = BTreeMap::new();
    for _ in 0..UPDATES {
        let had: BTreeSet<_> = tasks.iter().map(|task| task["ID"].to_string()).collect();
        for task in &tasks {
            let id = task["ID"].as_str().expect("an id").to_owned();
            addresses.insert(id, address(task, "back"));
        }
        first.run("service update --detach --force api");
        tasks = eventually("all are replaced", || {
            let now = running(first, "api", REPLICAS);
            let left = now.iter().filter(|task| had.contains(&task["ID"].to_string())).count();
            if left == 0 { Ok(now) } else { Err(format!("{left} are not")) }
        });
    }
    // The last of them may be answered yet.
    asker.reaches(&cluster, ASK_API, REPLICAS, "at last");
    std::thread::sleep(BARS[1]);

    let answers: Vec<_> = looking.end().into_iter().map(|(at, line)| (at, set(&line))).collect();
    let deaths = dying.into_iter().flat_map(Watching::end).filter_map(|(at, name)| {
        let id = name.rsplit('.').next().unwrap_or_default();
        addresses.get(id).map(|address| (at, address))
    });
    let mut took: Vec<_> =
        deaths.map(|(death, address)| outlived(&answers, address, death)).collect();
    took.sort_unstable();
    assert_eq!(took.len(), REPLICAS * UPDATES, "each death was seen");
    let [half, most, all] = [50, 99, 100].map(|part| took[(took.len() * part).div_ceil(100) - 1]);
    println!("{} tasks replaced, {} answers", took.len(), answers.len());
    println!("answered after their death: p50 {half:?}, p99 {most:?}, longest {all:?}");
    assert!(most <= BARS[0] && all <= BARS[1], "{took:?}");
}

fn set(line: &str) -> BTreeSet<String> {
    line.split(' ').map(str::to_owned).collect()
}
