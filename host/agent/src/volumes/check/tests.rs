//! What is let through, and what is denied with which words.

use swarmw_plugin_host::volumes::{Arg, DirectoryStep, EngineStep, HelperStep, ImageStep};
use swarmw_plugin_host::volumes::{MountStep, Value as Given};

use swarmw_model::{SecretId, VolumeSecret};

use super::*;

fn text(text: &str) -> Arg {
    Arg { text: text.into(), value: None }
}

fn given(value: Given) -> Arg {
    Arg { text: "x=".into(), value: Some(value) }
}

fn device() -> Arg {
    Arg { text: String::new(), value: Some(Given::Device) }
}

fn mount(fs_type: &str, source: Arg, options: &[&str]) -> Step {
    let options = options.iter().map(|o| text(o)).collect();
    Step::Mount(MountStep { fs_type: fs_type.into(), source, options })
}

fn helper(program: &str, env: &[&str]) -> Step {
    let env = env.iter().map(|name| ((*name).into(), text("x"))).collect();
    Step::Helper(HelperStep { program: program.into(), args: vec![], env, stdin: None })
}

fn engine(driver: &str, name: &str, options: &[(&str, &str)]) -> Step {
    let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Step::EngineVolume(EngineStep { driver: driver.into(), name: name.into(), options })
}

fn loop_device() -> Step {
    Step::LoopDevice("image".into())
}

fn verdict(steps: Vec<Step>, phase: Phase) -> Result<Vec<Action>, String> {
    let volume = Wanted {
        driver: "d".into(),
        name: "data".into(),
        options: BTreeMap::from([("type".into(), "tmpfs".into())]),
        labels: BTreeMap::new(),
        id: None,
        secrets: [("pw", "nas-pw"), ("other", "db-pw")]
            .map(|(key, name)| VolumeSecret {
                key: key.into(),
                name: name.into(),
                id: SecretId::from_bits(1),
            })
            .into(),
    };
    let grants = [
        "mount=ext4:loop",
        "mount=nfs4:10.0.0.0/8:/exports/*",
        "helper=sshfs",
        "helper=rclone",
        "mount=tmpfs:*",
        "mount=overlay:*",
        "mount=ext4:/dev/disk/*",
        "secret=nas-*",
    ];
    let granted: Vec<_> = grants.iter().map(|g| g.parse().expect(g)).collect();
    let helpers = BTreeMap::from([("sshfs".into(), "/usr/bin/sshfs".into())]);
    let powers = Powers { granted: &granted, helpers: &helpers, engine: true };
    check(steps, phase, &volume, &powers).map_err(|denied| denied.to_string())
}

#[test]
fn what_was_granted_may_be_done() {
    let source = text("10.1.2.3:/exports/a");
    for steps in [
        vec![Step::Directory(DirectoryStep { path: "a/b".into(), mode: 0o700 })],
        vec![Step::ImageFile(ImageStep { path: "image".into(), size: 1 << 30 })],
        vec![loop_device(), Step::FormatIfBlank("ext4".into())],
        vec![loop_device(), Step::GrowFileSystem, mount("ext4", device(), &["ro"])],
        vec![mount("nfs4", source, &["vers=4.2"]), Step::Subpath("x".into())],
        vec![mount("ext4", text("/dev/disk/by-id/x"), &[])],
        vec![helper("sshfs", &["HOME"])],
        vec![engine("local", "data", &[("type", "tmpfs")])],
        vec![Step::Mount(MountStep {
            fs_type: "tmpfs".into(),
            source: text("x"),
            options: vec![given(Given::Secret("pw".into()))],
        })],
        vec![Step::Helper(HelperStep {
            program: "sshfs".into(),
            args: vec![given(Given::SecretFile("pw".into()))],
            env: vec![("PASSWORD".into(), given(Given::Secret("pw".into())))],
            stdin: Some(given(Given::Secret("pw".into()))),
        })],
    ] {
        let said = verdict(steps.clone(), Phase::Mount);
        assert!(said.is_ok(), "{steps:?}: {said:?}");
    }
    verdict(vec![Step::RemoveTree("image".into())], Phase::Remove).expect("at removal");
}

#[test]
fn what_was_not_granted_or_leads_out_is_denied_with_its_step() {
    let directory = |path: &str, mode| Step::Directory(DirectoryStep { path: path.into(), mode });
    let secret = |key: &str| Arg { text: "p=".into(), value: Some(Given::Secret(key.into())) };
    let option = |key: &str| {
        let options = vec![secret(key)];
        Step::Mount(MountStep { fs_type: "tmpfs".into(), source: text("x"), options })
    };
    let argument = Step::Helper(HelperStep {
        program: "sshfs".into(),
        args: vec![secret("pw")],
        env: vec![],
        stdin: None,
    });
    for (steps, want) in [
        (vec![directory("../etc", 0o700)], "a path that leads out of the volume"),
        (vec![directory("/etc", 0o700)], "a path that leads out"),
        (vec![directory("a/../../b", 0o700)], "a path that leads out"),
        (vec![directory("a//b", 0o700)], "a path that leads out"),
        (vec![directory(".", 0o700)], "a path that leads out"),
        (vec![directory("a\0b", 0o700)], "a path that leads out"),
        (vec![directory("", 0o700)], "a path that leads out"),
        (vec![directory("a", 0o4755)], "has mode 4755"),
        (vec![Step::LoopDevice("../x".into())], "a path that leads out"),
        (vec![Step::Subpath("../..".into())], "a path that leads out"),
        (vec![Step::ImageFile(ImageStep { path: "i".into(), size: 0 })], "has 0 bytes"),
        (vec![Step::ImageFile(ImageStep { path: "i".into(), size: u64::MAX })], "bytes; 1 to"),
        (vec![Step::FormatIfBlank("ext4".into())], "before any loop-device"),
        (vec![loop_device(), Step::FormatIfBlank("xfs".into())], "need mount=xfs:loop"),
        (vec![loop_device(), Step::FormatIfBlank("; rm".into())], "another file system"),
        (vec![mount("ext4", device(), &[])], "before any loop-device"),
        (vec![mount("ext4", text("/dev/sda"), &[])], "need mount=ext4:/dev/sda"),
        (vec![mount("ext4", text("/dev/disk/../sda"), &[])], "with .. in it"),
        (vec![mount("nfs4", text("10.0.0.1:/exports/../etc"), &[])], "with .. in it"),
        (vec![mount("nfs4", text("11.0.0.1:/exports/a"), &[])], "is not granted"),
        (vec![mount("overlay", text("x"), &["lowerdir=/"])], "volumes cannot have"),
        (vec![mount("proc", text("x"), &[])], "volumes cannot have"),
        (vec![mount("tmpfs", text("x"), &["suid"])], "which no plugin gets"),
        (vec![mount("tmpfs", text("x"), &["mode=1777,suid"])], "two mount options in one"),
        (vec![mount("tmpfs", text("x"), &["remount"])], "which no plugin gets"),
        (vec![mount("tmpfs", text("x"), &[]), helper("sshfs", &[])], "a second time"),
        (vec![helper("bash", &[])], "need helper=bash"),
        (vec![helper("/usr/bin/sshfs", &[])], "is not granted"),
        (vec![helper("rclone", &[])], "--volume-helper rclone="),
        (vec![helper("sshfs", &["LD_PRELOAD"])], "which no plugin sets"),
        (vec![helper("sshfs", &["PATH"])], "which no plugin sets"),
        (vec![mount("tmpfs", secret("pw"), &[])], "where others of the machine see it"),
        (vec![argument], "where others of the machine see it"),
        (vec![option("nope")], "the secret nope, which the volume does not grant"),
        (vec![option("nas-pw")], "the secret nas-pw, which the volume does not grant"),
        (vec![option("other")], "need secret=db-pw"),
        (vec![Step::RemoveTree("a".into())], "removal of a volume only"),
        (vec![engine("local", "other", &[])], "names another volume"),
        (vec![engine("nfs", "data", &[])], "plugins have local"),
        (vec![engine("local", "data", &[("device", "/")])], "as the operator typed it"),
        (vec![engine("local", "data", &[("type", "none")])], "as the operator typed it"),
    ] {
        let said = verdict(steps.clone(), Phase::Mount).expect_err(want);
        assert!(said.contains(want), "{steps:?}: {said}");
        assert!(said.starts_with(&format!("step {} of the driver's plan", steps.len())));
    }
}
