//! Tools that stand beside a swarm and read it, on a swarm of two machines.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use super::{PACKAGES, PYTHON, client, import, must, programs, require_clients};
use crate::docker::take_turn;
use crate::support::{Cluster, RootFs, eventually};

/// Modules of Python that docker-py needs, of those that Debian's packages have.
const MODULES: [&str; 9] = [
    "docker",
    "requests",
    "urllib3",
    "chardet",
    "idna",
    "certifi",
    "websocket",
    "six.py",
    "packaging",
];
/// What the proxy's image does.
const PROXY: &[&str] =
    &["ENV PATH=/usr/bin:/usr/sbin:/bin", r#"CMD ["/usr/bin/python3", "-u", "/proxy.py"]"#];
/// Where it publishes its port 80, and its page of statistics.
const PUBLISHED: u16 = 8095;
const STATISTICS: u16 = 1936;

#[test]
fn tools_beside_a_swarm_read_all_that_they_need() {
    let _turn = take_turn();
    require_clients();
    let cluster = Cluster::of_engines(2, 0);
    let rootfs = RootFs::pack(cluster.folder(), &[]);
    cluster.machines.iter().for_each(|machine| import(&rootfs, machine));
    let node = &cluster.nodes[0];
    let said = must(&mut client("replays.py", &node.socket(), &[]), node);
    for line in [
        r#"traefik: shop_web by its virtual addresses	["ingress", "shop_front"]"#,
        r#"portainer: shop_web	{"CompletedTasks": 0, "DesiredTasks": 3, "RunningTasks": 3}"#,
        r#"portainer: logs of a service	[[1, "to out\n"], [2, "to err\n"]]"#,
        r#"portainer: exec ended	[false, 5]"#,
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in\n{said}");
    }
    let found = must(&mut client("prometheus.py", &node.socket(), &[]), node);
    for (role, count) in [("nodes", 2), ("services", 2), ("tasks", 4)] {
        let line = found.lines().find_map(|line| line.strip_prefix(&format!("{role}\t")));
        let line = line.unwrap_or_else(|| panic!("no {role}: {found}"));
        assert_eq!(line.matches("__address__").count(), count, "{role}: {line}");
    }
    a_proxy_configures_itself(&cluster);
}

/// As dockercloud/haproxy: its task mounts the engine's socket, and finds the swarm behind it.
fn a_proxy_configures_itself(cluster: &Cluster) {
    pack_proxy(cluster).import(&cluster.machines[0], "haproxy", PROXY);
    let node = &cluster.nodes[0];
    let mut walk = client("haproxy.py", &node.socket(), &["--hold"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut said = String::new();
    let mut lines = BufReader::new(walk.stdout.take().expect("its output"));
    while !said.ends_with("held\n") && lines.read_line(&mut said).is_ok_and(|read| read > 0) {}
    if !said.ends_with("held\n") {
        let mut errors = String::new();
        let _ = walk.stderr.take().expect("its errors").read_to_string(&mut errors);
        let _ = walk.wait();
        panic!("the proxy does not follow its swarm: {said}{errors}\n{}", node.log_end());
    }
    is_published(cluster);
    walk.stdin.take().expect("its input").write_all(b"go on\n").expect("it listens");
    let walk = walk.wait_with_output().expect("its end");
    assert!(walk.status.success(), "{}", String::from_utf8_lossy(&walk.stderr));
}

/// Its ports are on all machines, and lead to it.
fn is_published(cluster: &Cluster) {
    for node in &cluster.nodes {
        let page = |of: String| {
            eventually(&format!("{of} answers"), || {
                let asked = cluster.machines[1].run(&["busybox", "wget", "-qO-", &of]);
                if asked.code == 0 { Ok(asked.stdout) } else { Err(asked.to_string()) }
            })
        };
        let ip = node.ip;
        assert_eq!(page(format!("http://{ip}:{PUBLISHED}/")), "hello from a container\n");
        let statistics = page(format!("http://stats:stats@{ip}:{STATISTICS}/;csv"));
        assert!(statistics.contains("default_service,app.1."), "{statistics}");
    }
}

/// A file system with Debian's haproxy and docker-py, and our program.
fn pack_proxy(cluster: &Cluster) -> RootFs {
    let python = fs::canonicalize(PYTHON).expect("python3");
    let library = format!("/usr/lib/{}", python.file_name().expect("a name").to_string_lossy());
    let dynamic = format!("{library}/lib-dynload");
    let modules = fs::read_dir(&dynamic).expect("modules of python3").flatten();
    let modules = modules.map(|file| file.path().to_string_lossy().into_owned());
    let python = python.to_string_lossy().into_owned();
    let programs_of_it: Vec<_> =
        [python.clone(), "/usr/sbin/haproxy".to_owned()].into_iter().chain(modules).collect();
    let folders = MODULES.map(|module| format!("{PACKAGES}/{module}"));
    let folders: Vec<_> = folders.into_iter().chain([library]).collect();
    RootFs::pack_with(&cluster.folder().join("proxy"), &programs_of_it, &folders, |root| {
        fs::copy(programs().join("haproxy/proxy.py"), root.join("proxy.py")).expect("a program");
        let name = root.join("usr/bin/python3");
        let linked = Command::new("ln").arg("-sf").arg(&python).arg(name).status();
        assert!(linked.is_ok_and(|status| status.success()), "a name for python");
    })
}
