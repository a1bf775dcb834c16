//! Somebody who connects without a pause while a test changes things, and counts what fails.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Child, Command, Stdio};

use super::Asker;
use crate::support::Cluster;

/// Serves as [`super::WEB`] does, and leaves as servers do: once it is told to stop it takes
/// no connection any more, and ends.
pub const SERVER: &str = r#"
    use IO::Socket::INET; $SIG{TERM} = sub { $ends = 1 };
    $on = IO::Socket::INET->new(LocalPort => 80, Listen => 128, ReuseAddr => 1) or die $@;
    until ($ends) {
        $to = $on->accept or next; sysread($to, $asked, 4096);
        print $to "HTTP/1.0 200 OK\r\n\r\n$ENV{HOSTNAME} ", $to->peerhost, "\n"; close $to;
    }
"#;

/// Asks each host in turn who it is, found and connected to anew each time, until a file is
/// there. Says what failed, how often each answered, and how often all were asked.
const ASK_UNTIL: &str = r#"
    use IO::Socket::IP; $/ = undef; $SIG{PIPE} = "IGNORE"; alarm 7200;
    ($enough, $port, @to) = @ARGV; ($asked, $failed) = (0, 0);
    until (-e $enough) { for $host (@to) {
        ($from, $why) = (time, ""); $asked++;
        $to = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 5);
        if ($to) {
            print $to "GET /cgi-bin/who HTTP/1.0\r\nHost: $host\r\n\r\n"; $page = <$to> // "";
            if ($page =~ m{^HTTP\S+ 200 .*?\r?\n\r?\n(\S+) }s) { $seen{$1}++ }
            else { $why = "it said <$page>" }
        } else { $why = $@ }
        if ($why && ++$failed < 20) {
            $why =~ s/\s+/ /g; print "! $host after ", time - $from, " s: $why\n";
        }
        select(undef, undef, undef, 0.01);
    } }
    print "$_ $seen{$_}\n" for sort keys %seen; print "= $asked $failed\n";
"#;

/// A client that asks without a pause.
pub struct Asking {
    /// What it is, for messages.
    name: &'static str,
    process: Option<Child>,
    /// Makes the file that ends it.
    end: Vec<String>,
}

/// What a client saw.
pub struct Told {
    /// How often each answered.
    pub answers: BTreeMap<String, usize>,
    /// How often it asked.
    asked: usize,
    /// How often it got no answer.
    failed: usize,
    /// All it said.
    text: String,
}

// === impl Asking ===

impl Asking {
    /// A program on a machine asks these hosts at a port.
    pub fn on_machine(
        cluster: &Cluster,
        machine: usize,
        name: &'static str,
        port: u16,
        to: &[String],
    ) -> Self {
        let enough = cluster.folder().join(format!("{name}-has-asked-enough"));
        let enough = enough.to_string_lossy().into_owned();
        let before = cluster.machines[machine].inside();
        Self::begin(name, &before, &enough, port, to)
    }

    /// A program in a container asks these hosts at a port.
    pub fn in_container(
        cluster: &Cluster,
        asker: &Asker,
        name: &'static str,
        port: u16,
        to: &[String],
    ) -> Self {
        let engine = cluster.machines[asker.node].engine_address();
        let before = ["docker", "-H", &engine, "exec", &asker.container].map(str::to_owned);
        Self::begin(name, &before, &format!("/tmp/{name}-has-asked-enough"), port, to)
    }

    fn begin(
        name: &'static str,
        before: &[String],
        enough: &str,
        port: u16,
        to: &[String],
    ) -> Self {
        let process = Command::new(&before[0])
            .args(&before[1..])
            .args(["perl", "-e", ASK_UNTIL, enough, &port.to_string()])
            .args(to)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let mut end = before.to_vec();
        end.extend(["touch", enough].map(str::to_owned));
        Self { name, process: Some(process), end }
    }

    /// Ends it; what it saw.
    #[track_caller]
    fn end(mut self) -> Told {
        let ended = Command::new(&self.end[0]).args(&self.end[1..]).status();
        assert!(ended.is_ok_and(|status| status.success()), "{} cannot be ended", self.name);
        let process = self.process.take().expect("it runs until here");
        let output = process.wait_with_output().expect("its output");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Told::read(text.clone()).unwrap_or_else(|| panic!("{} broke off: {text}", self.name))
    }

    /// Ends it; it must have asked for long enough to see something, and got an answer each
    /// time. What it saw.
    #[track_caller]
    pub fn saw_no_failure(self, at_least: usize) -> Told {
        let name = self.name;
        let told = self.end();
        assert_eq!(told.failed, 0, "{name}: {told}");
        assert!(told.asked >= at_least, "{name} asked for too short a time: {told}");
        told
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

// === impl Told ===

impl Told {
    /// `None` where it did not come to its end.
    fn read(text: String) -> Option<Self> {
        let (mut answers, mut counts) = (BTreeMap::new(), None);
        for line in text.lines().filter(|line| !line.starts_with('!')) {
            let (who, count) = line.split_once(' ')?;
            match who {
                "=" => {
                    let (asked, failed) = count.split_once(' ')?;
                    counts = Some((asked.parse().ok()?, failed.parse().ok()?));
                }
                who => {
                    answers.insert(who.to_owned(), count.parse().ok()?);
                }
            }
        }
        let (asked, failed) = counts?;
        Some(Self { answers, asked, failed, text })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
