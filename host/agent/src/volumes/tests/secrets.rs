//! Secrets in plans, on this machine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use swarmw_model::Payload;

use super::needs_root::{directory, left};
use super::pretended::{task, volume};
use crate::secrets::Memory;
use crate::volumes::action::{Action, Value, Word};
use crate::volumes::check::Phase;
use crate::volumes::hands::Machine;
use crate::volumes::keeper::Keeper;
use crate::volumes::planner::{NoPlan, Planner};
use crate::volumes::wanted::Wanted;

/// What nobody writes by chance.
const HUSH: &str = "hush-5d0e7b";

/// A driver with one step to mount, on a node that was given these secrets.
struct Driver {
    mount: Action,
    secrets: BTreeMap<String, Payload>,
}

impl Planner for Driver {
    fn plan<'a>(
        &'a self,
        phase: Phase,
        _: &'a Wanted,
    ) -> BoxFuture<'a, Result<Vec<Action>, NoPlan>> {
        let mounts = phase == Phase::Mount;
        let steps = mounts.then(|| self.mount.clone()).into_iter().collect();
        async move { Ok(steps) }.boxed()
    }

    fn secrets(&self, _: &Wanted) -> BTreeMap<String, Payload> {
        self.secrets.clone()
    }
}

fn keeper(folder: &Path, mount: Action, secrets: &[(&str, &str)]) -> Arc<Keeper> {
    let helpers = BTreeMap::from([("stub".to_owned(), folder.join("helper.sh"))]);
    let memory = Memory::new(folder).into();
    let secrets =
        secrets.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec().into())).collect();
    let hands = Machine { helpers, engine: None, memory };
    let driver = Driver { mount, secrets };
    let volumes = folder.join("volumes");
    Keeper::open(&volumes, Arc::new(hands), Arc::new(driver)).expect("a folder")
}

fn word(text: &str, value: Value) -> Word {
    Word { text: text.to_owned(), value: Some(value) }
}

/// A tmpfs with this option.
fn tmpfs(option: Word) -> Action {
    let source = Word { text: "none".to_owned(), value: None };
    Action::Mount { fs_type: "tmpfs".to_owned(), source, options: vec![option] }
}

fn journals(folder: &Path) -> Vec<PathBuf> {
    let volumes = std::fs::read_dir(folder.join("volumes")).expect("a folder");
    volumes.map(|volume| volume.expect("a volume").path()).collect()
}

#[tokio::test]
async fn a_helper_reads_secrets_from_a_file_a_variable_and_its_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    // It shows what it read in what it mounts.
    let script = "#!/bin/sh\nset -e\ncat > $1.in; mount -t tmpfs none $1; cp $2 $1/file\n\
                  mv $1.in $1/stdin; printf %s \"$PW\" > $1/env; stat -c %a $2 > $1/mode\n\
                  touch $1/done; exec sleep 1000\n";
    let path = folder.path().join("helper.sh");
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
    let secret = |key: &str| Value::Secret(key.to_owned());
    let mount = Action::Helper {
        program: "stub".to_owned(),
        args: vec![word("", Value::Target), word("", Value::SecretFile("key".to_owned()))],
        env: vec![("PW".to_owned(), word("pw=", secret("pw")))],
        stdin: Some(word("", secret("pw"))),
    };
    let (key, pw) = (format!("{HUSH}\nkey\n"), format!("{HUSH}\n"));
    let secrets = [("key", &*key), ("pw", &*pw)];
    let first = keeper(folder.path(), mount.clone(), &secrets);
    let seen = directory(first.hold(volume(), task(1)).await.expect("mounted"));
    let read = |name: &str| std::fs::read_to_string(seen.join(name)).expect(name);
    while !seen.join("done").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!((read("file"), read("stdin"), read("env")), (key, pw, format!("pw={HUSH}")));
    assert_eq!(read("mode"), "600\n");

    // The journal names them.
    let record = std::fs::read(journals(folder.path())[0].join("record")).expect("a journal");
    assert!(!String::from_utf8_lossy(&record).contains(HUSH));
    let memory = folder.path().join("secrets");
    assert_eq!(std::fs::read_dir(&memory).expect("a folder").count(), 1);
    drop(first);

    // The next daemon needs no secret to unmount, and forgets the file.
    let second = keeper(folder.path(), mount, &[]);
    second.settle().await;
    assert_eq!(left(folder.path()), "");
    assert_eq!(std::fs::read_dir(&memory).expect("a folder").count(), 0);
    second.remove(&volume()).await.expect("removed");
}

#[tokio::test]
async fn a_mounts_option_has_a_secret_as_one_line_or_is_refused_without_showing_it() {
    let option = || tmpfs(word("mode=", Value::Secret("mode".to_owned())));
    let folder = tempfile::tempdir().expect("a folder");
    let fits = keeper(folder.path(), option(), &[("mode", "0711\n")]);
    let seen = directory(fits.hold(volume(), task(1)).await.expect("mounted"));
    let mode = std::fs::metadata(&seen).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o7777, 0o711);
    fits.release(&volume().key(), task(1)).await;

    let comma = format!("{HUSH},suid");
    let lines = format!("{HUSH}\nsuid");
    for (secrets, want) in [
        (vec![("mode", &*comma)], "the secret mode has a comma in it"),
        (vec![("mode", &*lines)], "the secret mode is not one line of text"),
        (vec![("other", "x")], "this node was not given the secret mode"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = keeper(folder.path(), option(), &secrets);
        let failed = keeper.hold(volume(), task(1)).await.expect_err(want);
        assert!(failed.contains(want) && !failed.contains(HUSH), "{failed}");
        assert_eq!(left(folder.path()), "");
        keeper.remove(&volume()).await.expect("removed");
    }
}
