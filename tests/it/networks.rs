//! Overlay networks between real engines, each on a machine of its own.

mod asking;
mod away;
mod balancer;
mod components;
mod cycles;
mod doctor;
mod kinds;
mod leaving;
mod overlay;
mod paths;
mod published;
mod throughout;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use crate::docker::node_of;
use crate::support::{Cluster, Machine, Node, eventually};

/// An image that answers at port 80, at `/cgi-bin/who` with its host name and its client's
/// address.
pub const WEB: (&str, &[&str]) = ("web", &[r#"CMD ["httpd", "-f", "-p", "80", "-h", "/www"]"#]);

/// Asks at a port, so many times, each host in turn, for the page of [`WEB`]; a connection
/// each.
const ASK_OFTEN: &str = r#"
    use IO::Socket::IP; $/ = undef; my ($port, $times, @to) = @ARGV;
    for (1 .. $times) { for (@to) {
        my $to = IO::Socket::IP->new(PeerHost => $_, PeerPort => $port, Timeout => 5);
        unless ($to) { print "$_: $@\n"; next }
        print $to "GET /cgi-bin/who HTTP/1.0\r\n\r\n";
        print +(split /\r?\n\r?\n/, <$to>, 2)[1] // "$_: no page\n";
    } }
"#;
/// Connections that are to be spread evenly.
const MANY: usize = 1_000;

/// Whether [`MANY`] connections were answered by so many tasks alike. A first packet that gets
/// lost takes another turn when it is sent again.
fn is_even<'a>(answers: impl ExactSizeIterator<Item = &'a usize> + Clone, tasks: usize) -> bool {
    let each = MANY / tasks;
    answers.len() == tasks
        && answers.clone().sum::<usize>() == MANY
        && answers.clone().all(|answers| answers.abs_diff(each) <= 3)
}

/// Runs the docker client against a node; it must succeed.
#[track_caller]
fn docker(node: &Node, arguments: &str) -> String {
    let words: Vec<_> = arguments.split(' ').collect();
    let output = node.docker(&words);
    assert_eq!(output.code, 0, "docker {arguments}: {output}\n{}", node.log_end());
    output.stdout
}

/// Who answers so many connections from a machine to a port of an address, and whom they see.
fn who_answers(
    from: &Machine,
    to: &str,
    port: u16,
    times: usize,
) -> Result<BTreeMap<String, BTreeSet<IpAddr>>, String> {
    let (port, times) = (port.to_string(), times.to_string());
    let told = from.run(&["perl", "-e", ASK_OFTEN, &port, &times, to]);
    let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
    for line in told.stdout.lines() {
        let said = line.split_once(' ').and_then(|(who, whom)| {
            let whom: IpAddr = whom.trim_matches(['[', ']']).parse().ok()?;
            Some((who.to_owned(), whom.to_canonical()))
        });
        let (who, whom) = said.ok_or_else(|| told.to_string())?;
        seen.entry(who).or_default().insert(whom);
    }
    Ok(seen)
}

/// A container that asks others.
#[derive(Clone)]
struct Asker {
    /// The index of its node.
    node: usize,
    container: String,
}

impl Asker {
    /// The container of a task.
    fn of(cluster: &Cluster, task: &Value) -> Self {
        Self { node: node_of(cluster, task), container: crate::docker::container(task) }
    }

    /// A container that no service made.
    fn named(node: usize, name: &str) -> Self {
        Self { node, container: name.to_owned() }
    }

    /// Runs a program in it; what it printed.
    fn run(&self, cluster: &Cluster, program: &str) -> Result<String, String> {
        let words: Vec<_> =
            ["exec", &self.container].into_iter().chain(program.split(' ')).collect();
        let output = cluster.nodes[self.node].docker(&words);
        if output.code == 0 { Ok(output.stdout) } else { Err(output.to_string()) }
    }

    /// Who answers a program that gets the page of [`WEB`], run so many times, and how often
    /// each; and whom they answered.
    fn answers(
        &self,
        cluster: &Cluster,
        program: &str,
        times: usize,
    ) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for _ in 0..times {
            let page = self.run(cluster, program)?;
            let (who, whom) = page.trim().split_once(' ').ok_or(page.as_str())?;
            // The server listens for both families on one socket.
            let whom = whom.trim_matches(['[', ']']).trim_start_matches("::ffff:");
            all.entry(who.to_owned()).or_default().push(whom.to_owned());
        }
        Ok(all)
    }

    /// Waits until so many answer a name, each as often as the others; them.
    #[track_caller]
    fn reaches(
        &self,
        cluster: &Cluster,
        program: &str,
        count: usize,
        when: &str,
    ) -> BTreeMap<String, Vec<String>> {
        eventually(&format!("{count} answer {program:?} in turn, {when}"), || {
            let seen = self.answers(cluster, program, 2 * count)?;
            let even = seen.len() == count && seen.values().all(|asked| asked.len() == 2);
            if even { Ok(seen) } else { Err(format!("{seen:?}")) }
        })
    }

    /// Asks [`MANY`] times: every task answers as often as the others, and sees who asks.
    #[track_caller]
    fn is_spread(&self, cluster: &Cluster, to: &str, tasks: usize, own: &str) {
        let many = MANY.to_string();
        let words = ["exec", &self.container, "perl", "-e", ASK_OFTEN, "80", &many, to];
        let told = cluster.nodes[self.node].docker(&words);
        let mut seen = BTreeMap::<_, usize>::new();
        for line in told.stdout.lines() {
            let (who, whom) = line.split_once(' ').unwrap_or_else(|| panic!("{told}"));
            let whom = whom.trim_matches(['[', ']']).trim_start_matches("::ffff:");
            assert_eq!(whom, own, "{who} saw it");
            *seen.entry(who).or_default() += 1;
        }
        assert!(is_even(seen.values(), tasks), "{seen:?}");
    }

    /// Waits until a name leads nowhere.
    #[track_caller]
    fn finds_nobody(&self, cluster: &Cluster, name: &str) {
        eventually(&format!("{name} is not found"), || {
            match self.run(cluster, &format!("nslookup {name}")) {
                Ok(found) => Err(found),
                Err(_) => Ok(()),
            }
        });
    }
}

/// Asks the tasks of a service `api` for who they are.
const ASK_API: &str = "get api /cgi-bin/who";

/// A task's address on a network, without its prefix.
fn address(task: &Value, network: &str) -> String {
    let on = task["NetworksAttachments"].as_array().cloned().unwrap_or_default();
    let on = on.iter().find(|on| on["Network"]["Spec"]["Name"] == network);
    let on = on.unwrap_or_else(|| panic!("not on {network}: {task}"));
    let address = on["Addresses"][0].as_str().expect("an address");
    address.split('/').next().expect("an address").to_owned()
}
