//! Every command and every flag of Swarm, as each docker client of the machine has it, on
//! real engines: the tables below `walk` say what is typed and what must come of it.

mod help;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use self::table::{Action, Patience, Step, Then};
use super::{import_everywhere, take_turn};
use crate::networks::WEB;
use crate::support::{Cluster, DockerCli, Node, Output};

/// In the order in which they are walked: the first founds the swarm that the last ends.
const TABLES: &[(&str, &str)] = &[
    ("swarm.txt", include_str!("walk/swarm.txt")),
    ("nodes.txt", include_str!("walk/nodes.txt")),
    ("data.txt", include_str!("walk/data.txt")),
    ("networks.txt", include_str!("walk/networks.txt")),
    ("volumes.txt", include_str!("walk/volumes.txt")),
    ("services.txt", include_str!("walk/services.txt")),
    ("updates.txt", include_str!("walk/updates.txt")),
    ("tasks.txt", include_str!("walk/tasks.txt")),
    ("stacks.txt", include_str!("walk/stacks.txt")),
    ("end.txt", include_str!("walk/end.txt")),
];
/// Files that the commands name.
const FILES: &[(&str, &str)] = &[
    ("password", "correct horse"),
    ("greeting", "hello\n"),
    ("certificate.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    ("variables", "# of a file\nFROM_FILE=yes\nTWICE=file\n"),
    ("stack.yml", include_str!("walk/stack.yml")),
    ("more.yml", include_str!("walk/more.yml")),
];
/// Generous: it exists only so that a walk ends. Nothing is judged by its time.
const PATIENCE: Duration = Duration::from_secs(90);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// As long a command that does not end is watched.
const WATCHED: &str = "5";
/// After so many steps that went wrong the rest says nothing new.
const MOST_FAILURES: usize = 10;

/// A client on its way through the tables.
struct Walk<'a> {
    client: &'a DockerCli,
    version: u32,
    cluster: &'a mut Cluster,
    /// What was printed, by the names that the tables gave it.
    names: BTreeMap<String, String>,
    failures: Vec<String>,
}

#[test]
fn every_command_of_swarm_works_with_each_docker_client() {
    let _turn = take_turn();
    let clients = DockerCli::all().unwrap_or_else(|error| panic!("{error}"));
    assert!(!clients.is_empty(), "the docker client is missing: apt-get install docker.io");
    let mut cluster = Cluster::of_machines(2, 0);
    import_everywhere(&cluster, &[WEB, ("tool:1", &[])]);
    FILES.iter().for_each(|(name, text)| _ = cluster.file(name, text.as_bytes()));
    let steps: Vec<_> = TABLES.iter().flat_map(|(name, text)| table::read(name, text)).collect();
    for client in &clients {
        let walk = Walk::of(client, &mut cluster);
        let failures = walk.through(&steps);
        let all = failures.join("\n\n");
        assert!(failures.is_empty(), "docker {}:\n{all}\n", client.version);
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn of(client: &'a DockerCli, cluster: &'a mut Cluster) -> Self {
        let major = client.version.split('.').next().unwrap_or_default();
        let version = major.parse().unwrap_or_else(|e| panic!("{}: {e}", client.version));
        let ips = cluster.nodes.iter().enumerate();
        let names = ips.map(|(n, node)| (format!("ip{}", n + 1), node.ip.to_string())).collect();
        Self { client, version, cluster, names, failures: Vec::new() }
    }

    /// Takes every step that is for its client; what went wrong.
    fn through(mut self, steps: &[Step]) -> Vec<String> {
        let version = self.version;
        let own = steps.iter().filter(|step| step.is_for(version));
        for (index, step) in own.enumerate() {
            // Once there is a swarm: a client hides what its daemon cannot do.
            if index == 1 {
                self.failures.extend(help::differences(&self, steps));
            }
            match &step.action {
                Action::Restart => self.restart(step.node),
                Action::Docker(command) => self.take(step, command),
            }
            if self.failures.len() >= MOST_FAILURES {
                break;
            }
        }
        self.failures
    }

    fn restart(&mut self, node: usize) {
        let node = &mut self.cluster.nodes[node];
        node.stop();
        node.start();
    }

    /// Takes a step, and again until its time is over or all is as it says.
    fn take(&mut self, step: &Step, command: &str) {
        let command = self.filled(command);
        let end = match step.patience {
            Patience::Now => Instant::now(),
            Patience::Soon | Patience::Watch => Instant::now() + PATIENCE,
        };
        let output = loop {
            let output = self.run(step, &command);
            match self.judge(step, &output) {
                Ok(()) => break output,
                Err(why) if Instant::now() >= end => {
                    let place = format!("{}: docker {command}", step.place);
                    let log = self.cluster.nodes[step.node].log_end();
                    eprintln!("{place}\n{why}\n{output}\n{log}");
                    self.failures.push(format!("{place}\n{why}\n{output}"));
                    break output;
                }
                Err(_) => sleep(AGAIN_AFTER),
            }
        };
        for then in &step.then {
            if let Then::Call(name) = then {
                self.names.insert(name.clone(), output.stdout.trim().to_owned());
            }
        }
    }

    /// Whether all is as the step says; what is not.
    fn judge(&self, step: &Step, output: &Output) -> Result<(), String> {
        let mut code = 0;
        let mut whole = Vec::new();
        let printed = format!("{}{}", output.stdout, output.stderr);
        for then in &step.then {
            match then {
                Then::Exit(other) => code = *other,
                Then::Is(line) => whole.push(self.filled(line)),
                Then::Says(text) if !printed.contains(&self.filled(text)) => {
                    return Err(format!("does not say: {}", self.filled(text)));
                }
                Then::SaysNot(text) if printed.contains(&self.filled(text)) => {
                    return Err(format!("says: {}", self.filled(text)));
                }
                Then::Says(_) | Then::SaysNot(_) | Then::Types(_) | Then::Call(_) => {}
            }
        }
        if !whole.is_empty() && output.stdout.trim() != whole.join("\n").trim() {
            return Err(format!("should be:\n{}", whole.join("\n")));
        }
        if step.patience != Patience::Watch && output.code != code {
            return Err(format!("should end with {code}"));
        }
        Ok(())
    }

    /// A line with what its names stand for.
    fn filled(&self, line: &str) -> String {
        let fill = |line: String, (name, value): (&String, &String)| {
            line.replace(&format!("<{name}>"), value)
        };
        self.names.iter().fold(line.to_owned(), fill)
    }

    fn run(&self, step: &Step, command: &str) -> Output {
        let typed: Vec<_> = step
            .then
            .iter()
            .filter_map(|then| match then {
                Then::Types(line) => Some(self.filled(line) + "\n"),
                _ => None,
            })
            .collect();
        let watched = step.patience == Patience::Watch;
        let node = &self.cluster.nodes[step.node];
        self.docker(node, watched, &table::words(command), &typed.concat())
    }

    /// What the client says of a command.
    fn help(&self, command: &str) -> String {
        let mut words = table::words(command);
        words.push("--help".to_owned());
        self.docker(&self.cluster.nodes[0], false, &words, "").stdout
    }

    /// Runs the client, with nothing of the user's own settings.
    fn docker(&self, node: &Node, watched: bool, words: &[String], typed: &str) -> Output {
        let folder = self.cluster.folder();
        let home = folder.join("home");
        fs::create_dir_all(&home).expect("a home");
        let mut command = match watched {
            false => Command::new(&self.client.program),
            true => {
                let mut timeout = Command::new("timeout");
                timeout.args(["--signal", "INT", "--kill-after", WATCHED, WATCHED]);
                timeout.arg(&self.client.program);
                timeout
            }
        };
        let mut client = command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DOCKER_HOST", format!("unix://{}", node.socket().display()))
            .env("HOME", home)
            .env("OF_THE_CLIENT", "its own")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.client.program.display()));
        let mut stdin = client.stdin.take().expect("a pipe");
        // One that does not read ends before it has this.
        let _ = stdin.write_all(typed.as_bytes());
        drop(stdin);
        Output::of(&client.wait_with_output().expect("the client's end"))
    }
}
