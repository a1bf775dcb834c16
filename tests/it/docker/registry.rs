//! A private registry: credentials travel with the service, digests pin it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{import_everywhere, node_of, running, take_turn, task_in};
use crate::support::{Cluster, eventually};

const USER: &str = "someone";
const PASSWORD: &str = "s3cret pass";
/// The password, hashed as registries want it.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuu1qdcFaS0PtqFUPzaCxLQ8/0lspH0ZEW";
/// What the password is later, and its hash.
const NEXT_PASSWORD: &str = "another 1";
const NEXT_PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuuMv9BBRVtfvndebhiwTQHhkq.7sKBgvO";
const PORT: u16 = 5000;

/// A registry on the first machine; it goes when it is dropped.
pub(super) struct Registry(Child);

// === impl Registry ===

impl Registry {
    /// One that serves everybody.
    pub(super) fn without_users(cluster: &Cluster) -> Self {
        Self::start(cluster, "", "200")
    }

    /// One that serves [`USER`] by the password of this hash.
    fn with_users(cluster: &Cluster, hash: &str) -> Self {
        let users = cluster.file("users", format!("{USER}:{hash}\n").as_bytes());
        let users = users.display();
        let settings = format!("auth:\n  htpasswd:\n    realm: tests\n    path: {users}\n");
        Self::start(cluster, &settings, "401")
    }

    /// Starts one with these settings besides, which greets strangers so.
    fn start(cluster: &Cluster, settings: &str, greeting: &str) -> Self {
        let folder = cluster.folder().join("registry");
        fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: :{PORT}\n{settings}",
            folder.join("data").display(),
        );
        fs::write(&config, text).expect("the settings");
        let machine = &cluster.machines[0];
        let before = machine.in_network();
        let child = Command::new(&before[0])
            .args(&before[1..])
            .args(["setpriv", "--pdeathsig", "KILL", "/usr/bin/docker-registry", "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self(child);
        eventually("the registry answers", || {
            let url = format!("http://{}:{PORT}/v2/", machine.ip);
            let asked = machine.run(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            if asked.stdout == greeting { Ok(()) } else { Err(asked.to_string()) }
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn docker_registry_credentials_and_digests_travel_with_the_service() {
    let _turn = take_turn();
    let cluster = Cluster::of_engines(2, 0);
    let registry = Registry::with_users(&cluster, PASSWORD_HASH);
    let host = format!("{}:{PORT}", cluster.machines[0].ip);
    let (private, other) = (format!("{host}/team/tool:1"), format!("{host}/team/other:1"));
    let third = format!("{host}/team/third:1");
    let config = cluster.folder().join("client").to_string_lossy().into_owned();
    let first = &cluster.machines[0];
    first.docker(&["--config", &config, "login", "-u", USER, "-p", PASSWORD, &host]);
    import_everywhere(&cluster, &[("local:1", &[r#"CMD ["sleep", "1000"]"#])]);
    for image in [&private, &other, &third] {
        first.docker(&["tag", "local:1", image]);
        first.docker(&["--config", &config, "push", image]);
    }
    let digest = first.docker(&["inspect", "-f", "{{join .RepoDigests \"\\n\"}}", &private]);
    let digest = digest.lines().find_map(|l| l.strip_prefix(&format!("{host}/team/tool@")));
    let digest = digest.expect("a digest").to_owned();
    for machine in &cluster.machines {
        // What was made here goes; images come from the registry alone.
        machine.docker(&["image", "prune", "--all", "--force"]);
    }

    let node = &cluster.nodes[0];
    let create = |name: &str, image: &str, flags: &[&str]| {
        let start = ["--config", &config, "service", "create", "--detach", "--name", name];
        let settings = ["--replicas", "2", "--stop-grace-period", "1s"];
        let created = node.docker(&[&start[..], &settings[..], flags, &[image]].concat());
        assert_eq!(created.code, 0, "{created}");
    };
    create("private", &private, &["--with-registry-auth"]);

    let two = running(node, "private", 2);
    let pinned = format!("{private}@{digest}");
    assert!(two.iter().all(|t| t["Spec"]["ContainerSpec"]["Image"] == pinned.as_str()), "{two:?}");
    assert_ne!(node_of(&cluster, &two[0]), node_of(&cluster, &two[1]), "both engines pulled");
    let shown = node.json("/services/private").expect("the service");
    assert!(!shown.to_string().contains("RegistryAuth"), "credentials are never told: {shown}");

    create("refused", &other, &["--restart-condition", "none"]);
    let rejected = task_in(node, "refused", "rejected");
    let error = rejected["Status"]["Err"].as_str().unwrap_or_default();
    assert!(error.starts_with("No such image: "), "{error}");
    assert!(error.contains("no basic auth credentials"), "the engine's reason: {error}");

    create("loose", &private, &["--with-registry-auth", "--no-resolve-image"]);
    let loose = running(node, "loose", 2);
    assert_eq!(loose[0]["Spec"]["ContainerSpec"]["Image"], private.as_str(), "not pinned");

    // What no engine has yet, and none gets without credentials: by either client's stacks.
    let file = |image: &str| {
        let text = format!("version: '3.8'\nservices: {{web: {{image: '{image}'}}}}\n");
        cluster.file("stack.yml", text.as_bytes()).to_string_lossy().into_owned()
    };
    let of_docker = file(&other);
    let sent = ["stack", "deploy", "--with-registry-auth", "-c", of_docker.as_str(), "theirs"];
    let deployed = node.docker(&[&["--config", config.as_str()][..], &sent].concat());
    assert_eq!(deployed.code, 0, "{deployed}");
    running(node, "theirs_web", 1);
    let of_ours = file(&third);
    let deploy = |flags: &[&str]| {
        let start = ["stack", "deploy", "--detach=true", "-c", of_ours.as_str()];
        let words = [&start[..], flags, &["ours"]].concat();
        let deployed = node.configured(Path::new(&config), &words);
        assert_eq!(deployed.code, 0, "{deployed}");
    };
    deploy(&[]);
    task_in(node, "ours_web", "rejected");
    deploy(&["--with-registry-auth"]);
    running(node, "ours_web", 1);

    drop(registry);
    node.swarmw(&["service", "scale", "--detach", "private=4"]);
    let four = running(node, "private", 4);
    assert!(four.iter().all(|t| t["Spec"]["ContainerSpec"]["Image"] == pinned.as_str()));
}

#[test]
fn docker_a_node_with_a_helper_pulls_when_the_services_credentials_have_ended() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(2, 0);
    let registry = Registry::with_users(&cluster, PASSWORD_HASH);
    let host = format!("{}:{PORT}", cluster.machines[0].ip);
    let image = format!("{host}/team/tool:1");
    let config = cluster.folder().join("client").to_string_lossy().into_owned();
    let first = &cluster.machines[0];
    first.docker(&["--config", &config, "login", "-u", USER, "-p", PASSWORD, &host]);
    import_everywhere(&cluster, &[("local:1", &[r#"CMD ["sleep", "1000"]"#])]);
    first.docker(&["tag", "local:1", &image]);
    first.docker(&["--config", &config, "push", &image]);
    for machine in &cluster.machines {
        machine.docker(&["image", "prune", "--all", "--force"]);
    }

    let node = &cluster.nodes[0];
    node.run("node update --availability pause n2");
    let start = ["--config", &config, "service", "create", "--detach", "--name", "web"];
    let settings = ["--with-registry-auth", "--restart-delay", "1s", "--stop-grace-period", "1s"];
    let created = node.docker(&[&start[..], &settings[..], &[image.as_str()]].concat());
    assert_eq!(created.code, 0, "{created}");
    assert_eq!(node_of(&cluster, &running(node, "web", 1)[0]), 0);

    // Months later the password is another one, and the task must go to a node that has never
    // had its image.
    drop(registry);
    let _registry = Registry::with_users(&cluster, NEXT_PASSWORD_HASH);
    node.run("node update --availability active n2");
    node.run("node update --availability drain n1");
    let rejected = task_in(node, "web", "rejected");
    let error = rejected["Status"]["Err"].as_str().unwrap_or_default();
    for part in [
        format!("the credentials were those of service web for {host}: renew them with"),
        "`swarmw service update --with-registry-auth web`".to_owned(),
        format!("`swarmw daemon --credential-helper {host}=PROGRAM`"),
    ] {
        assert!(error.contains(&part), "{error}");
    }

    let answer = serde_json::json!({
        "ServerURL": host, "Username": USER, "Secret": NEXT_PASSWORD,
    });
    let answer = cluster.file("answer", answer.to_string().as_bytes());
    let script = format!("#!/bin/sh\nexec cat {}\n", answer.display());
    let helper = cluster.file("helper", script.as_bytes());
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("a program");
    let flag = format!("{host}={}", helper.display());
    let second = &mut cluster.nodes[1];
    second.stop();
    second.give_flags(&["--credential-helper", &flag]);
    second.start();
    let moved = running(&cluster.nodes[0], "web", 1);
    assert_eq!(node_of(&cluster, &moved[0]), 1, "the node's own credentials pulled the image");
    let log = cluster.nodes[1].log_end();
    assert!(!log.contains(NEXT_PASSWORD), "{log}");
}
