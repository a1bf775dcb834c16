//! On this machine's memory.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use swarmw_model::{
    Assignment, Config, ConfigId, DataSpec, Driver, NodeId, Secret, SecretId, ServiceFacts,
    ServiceId, TaskId, TaskState,
};

use super::vault::Change;
use super::{Memory, Secrets, Vault};

const TASK: TaskId = TaskId::from_bits(1);

fn data(name: &str, data: &str, template: bool) -> DataSpec {
    DataSpec {
        name: name.into(),
        data: data.as_bytes().to_vec().into(),
        templating: template.then(|| Driver { name: "golang".into(), ..Driver::default() }),
        ..DataSpec::default()
    }
}

/// A node that was given the secrets `pw` and `url`, and the config `conf`.
fn node(folder: &Path) -> Secrets {
    let vault = Vault::default();
    vault.begin();
    let url = "db://{{ secret \"pw\" }}@{{.Service.Name}}.{{.Task.Slot}}/{{ env \"BASE\" }}";
    let conf = "{{config \"/etc/x/conf\"}} {{secret \"nope\"}}";
    vault.learn(Change {
        secrets: vec![
            Secret::new(SecretId::from_bits(11), data("pw", "hush{{x", false)),
            Secret::new(SecretId::from_bits(12), data("url", url, true)),
        ],
        configs: vec![
            Config::new(ConfigId::from_bits(21), data("conf", "port=1", false)),
            Config::new(ConfigId::from_bits(22), data("bad", conf, true)),
        ],
        ..Change::default()
    });
    vault.settle();
    Secrets::new(Arc::new(vault), Arc::new(Memory::new(folder)), "n1".to_owned())
}

fn secret(id: u128, name: &str, target: &str) -> Value {
    json!({"SecretID": SecretId::from_bits(id), "SecretName": name,
        "File": {"Name": target, "UID": "7", "GID": "8", "Mode": 0o440}})
}

fn config(id: u128, name: &str, target: &str) -> Value {
    json!({"ConfigID": ConfigId::from_bits(id), "ConfigName": name,
        "File": {"Name": target, "UID": "0", "GID": "0", "Mode": 0o444}})
}

fn task(secrets: Value, configs: Value) -> Assignment {
    let spec = json!({"ContainerSpec": {"Image": "x", "Env": ["BASE=b-{{.Task.Slot}}"],
        "Secrets": secrets, "Configs": configs}});
    Assignment {
        id: TASK,
        service_id: ServiceId::from_bits(2),
        service: Arc::new(ServiceFacts { name: "web".to_owned(), ..Default::default() }),
        slot: 3,
        node_id: NodeId::from_bits(4),
        spec: Arc::new(serde_json::from_value(spec).expect("a task spec")),
        desired_state: TaskState::Running,
        status: Default::default(),
        job_iteration: None,
        attachments: Vec::new(),
        generic_resources: Vec::new(),
    }
}

fn binds(task: &Assignment) -> Vec<(String, String)> {
    let mounts = task.spec.container_spec.iter().flat_map(|c| &c.mounts);
    mounts
        .map(|mount| {
            assert!(mount.read_only, "{mount:?}");
            (mount.source.clone(), mount.target.clone())
        })
        .collect()
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[tokio::test]
async fn containers_get_files_with_owner_and_mode_in_memory() {
    if !is_root() {
        eprintln!("needs root: files are given to others");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = node(folder.path());
    let wants = task(
        json!([secret(11, "pw", "pw"), secret(12, "url", "/app/../run//secrets/url")]),
        json!([config(21, "conf", "/etc/x/conf")]),
    );
    let given = secrets.give(&wants, false).await.expect("given");
    let binds = binds(&given);
    let targets: Vec<_> = binds.iter().map(|(_, target)| &**target).collect();
    assert_eq!(targets, ["/etc/x/conf", "/run/secrets/pw", "/run/secrets/url"]);
    let read = |index: usize| std::fs::read_to_string(&binds[index].0).expect("a file");
    assert_eq!(read(0), "port=1");
    assert_eq!(read(1), "hush{{x");
    assert_eq!(read(2), "db://hush{{x@web.3/b-3", "and nothing of it was expanded twice");
    let found = std::fs::metadata(&binds[1].0).expect("a file");
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (7, 8, 0o440));
    let own = folder.path().join("secrets").join(TASK.to_string());
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the table");
    let line = mounts.lines().find(|line| line.contains(&*own.to_string_lossy()));
    let line = line.expect("a file system of its own");
    assert!(
        line.starts_with("swarmw ") && line.contains(" tmpfs rw,nosuid,nodev,noexec"),
        "{line}"
    );

    // Once more, as after a daemon that was killed in the middle.
    secrets.give(&wants, false).await.expect("given again");
    secrets.sweep(&BTreeSet::from([TASK]));
    assert_eq!(read(0), "port=1");
    secrets.sweep(&BTreeSet::new());
    assert!(!own.exists());
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the table");
    assert!(!mounts.contains(&*own.to_string_lossy()), "{mounts}");
}

#[tokio::test]
async fn components_get_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = node(folder.path());
    let wants = task(
        json!([secret(11, "pw", "pw"), secret(12, "url", "url")]),
        json!([config(21, "conf", "conf")]),
    );
    let given = secrets.give(&wants, true).await.expect("given");
    let binds = binds(&given);
    let targets: Vec<_> = binds.iter().map(|(_, target)| &**target).collect();
    assert_eq!(targets, ["/", "/run/secrets"]);
    let read = |index: usize, name: &str| {
        std::fs::read_to_string(Path::new(&binds[index].0).join(name)).expect("a file")
    };
    assert_eq!(read(0, "conf"), "port=1");
    assert_eq!(read(1, "pw"), "hush{{x");
    secrets.release(TASK);
    assert!(!Path::new(&binds[0].0).exists());
    secrets.release(TASK);
}

#[tokio::test]
async fn what_cannot_be_given_is_told_without_a_byte_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = node(folder.path());
    for (wants, want) in [
        (
            task(json!([secret(13, "other", "x")]), json!([])),
            "secret other: this node was not given it",
        ),
        (task(json!([secret(11, "pw", "/..")]), json!([])), "secret pw: its target is no file"),
        (task(json!([secret(11, "pw", "d/")]), json!([])), "secret pw: its target is no file"),
        (
            task(json!([]), json!([config(22, "bad", "bad"), config(21, "conf", "/etc/x/conf")])),
            "config bad: template: expansion: secret target nope not found",
        ),
    ] {
        let failed = secrets.give(&wants, true).await.expect_err(want);
        assert_eq!(failed.0, want);
    }
    let nothing = task(json!([]), json!([]));
    assert_eq!(secrets.give(&nothing, true).await.expect("as it is"), nothing);
    assert!(!folder.path().join("secrets").join(TASK.to_string()).exists());
}

#[tokio::test]
async fn nothing_is_given_before_the_leader_has_told_all() {
    use futures::FutureExt;
    let folder = tempfile::tempdir().expect("a folder");
    let memory = Arc::new(Memory::new(folder.path()));
    let secrets = Secrets::new(Arc::default(), memory, "n1".to_owned());
    let wants = task(json!([secret(11, "pw", "pw")]), json!([]));
    assert!(secrets.give(&wants, true).now_or_never().is_none());
    secrets.vault().settle();
    assert!(secrets.give(&wants, true).now_or_never().expect("told").is_err());
}
