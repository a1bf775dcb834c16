//! What is done to a volume, in which order, and what is not.

use std::time::Duration;

use swarmw_model::VolumeId;

use super::pretended::{World, task, volume};
use crate::volumes::keeper::NotDone;
use crate::volumes::record::{Place, Stage};
use crate::volumes::wanted::Wanted;

#[tokio::test]
async fn a_volume_is_made_once_mounted_for_its_first_task_and_unmounted_after_its_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());

    keeper.hold(volume(), task(1)).await.expect("mounted");
    keeper.hold(volume(), task(2)).await.expect("mounted");
    assert_eq!(
        world.take_log(),
        [
            "directory meta",
            "image-file image of 8388608 bytes",
            "loop-device image",
            "format-if-blank ext4",
            "undo Detach(\"image\")",
            "loop-device image",
            "mount ext4 {device}",
        ]
    );
    keeper.release(&volume().key(), task(1)).await;
    assert_eq!(world.take_log(), [""; 0]);
    let used = keeper.remove(&volume()).await.expect_err("in use");
    assert_eq!(used, NotDone::InUse([task(2)].into()));
    keeper.release(&volume().key(), task(2)).await;
    keeper.release(&volume().key(), task(2)).await;
    assert_eq!(world.take_log(), ["undo Unmount", "undo Detach(\"image\")"]);

    keeper.remove(&volume()).await.expect("removed");
    assert_eq!(world.take_log(), ["remove-tree image", "remove-tree meta", "erase"]);
    assert_eq!(keeper.remove(&volume()).await, Err(NotDone::Unknown));
}

#[tokio::test]
async fn a_volume_that_nobody_uses_grows_and_keeps_its_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    let (key, size) = (volume().key(), 64 << 20);
    assert_eq!(keeper.expand(&key, size).await, Err(NotDone::Unknown));
    keeper.hold(volume(), task(1)).await.expect("mounted");
    assert_eq!(keeper.expand(&key, size).await, Err(NotDone::InUse([task(1)].into())));
    keeper.release(&key, task(1)).await;
    world.take_log();

    world.fails(Some("grow"));
    let failed = NotDone::Failed("grow-file-system: the disk is full".to_owned());
    assert_eq!(keeper.expand(&key, size).await, Err(failed));
    assert!(!world.there().contains(&"loop image".to_owned()), "what was attached is not any more");
    assert!(!keeper.list().await[0].options.contains_key("size"));
    world.fails(None);
    world.take_log();

    keeper.expand(&key, size).await.expect("room");
    assert_eq!(
        world.take_log(),
        [
            "image-file image of 67108864 bytes",
            "loop-device image",
            "grow-file-system",
            "undo Detach(\"image\")",
        ]
    );
    assert_eq!(keeper.list().await[0].options["size"], "67108864");
    keeper.expand(&key, size).await.expect("a second time");
    let smaller = NotDone::Failed("it has 67108864 bytes, and does not shrink to 1024".to_owned());
    assert_eq!(keeper.expand(&key, 1024).await, Err(smaller));
    assert_eq!(world.take_log(), [""; 0]);
    // Tasks that name the size from before find it as it is, one after the other and at once.
    let before = [("size".to_owned(), "8MiB".to_owned())];
    let named = Wanted { options: before.into(), ..volume() };
    keeper.create(named.clone()).await.expect("it is there");
    keeper.hold(named.clone(), task(2)).await.expect("mounted");
    keeper.hold(named, task(3)).await.expect("mounted");
    assert_eq!(keeper.list().await[0].options["size"], "67108864");
    keeper.release(&key, task(2)).await;
    keeper.release(&key, task(3)).await;
    let of_cluster = Wanted { id: Some(VolumeId::from_bits(7)), ..volume() };
    keeper.hold(of_cluster, task(4)).await.expect("another of the name");
    keeper.release(&key, task(4)).await;
    let refused = keeper.expand(&key, size << 1).await;
    assert!(matches!(&refused, Err(NotDone::Failed(why)) if why.contains("of the cluster")));
    // Its directory is there and has nothing in it: these hands only pretend.
    assert_eq!(keeper.sizes().await, [("data".to_owned(), 0)].into());
}

#[tokio::test]
async fn a_plan_that_fails_is_undone_in_reverse() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());

    world.fails(Some("format"));
    let failed = keeper.hold(volume(), task(1)).await.expect_err("a full disk");
    assert_eq!(failed, "volume data: format-if-blank ext4: the disk is full");
    let undone =
        ["undo Detach(\"image\")", "undo RemoveMade(\"image\")", "undo RemoveMade(\"meta\")"];
    assert_eq!(world.take_log()[3..], undone);
    assert!(world.there().is_empty());

    world.fails(Some("mount"));
    keeper.hold(volume(), task(1)).await.expect_err("a full disk");
    assert_eq!(world.there(), ["ext4", "made image", "made meta"], "what was made stays");
    world.fails(None);
    keeper.hold(volume(), task(1)).await.expect("mounted");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_never_ends_is_given_up_and_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    world.hangs("loop-device");
    let failed = keeper.hold(volume(), task(1)).await.expect_err("never ends");
    assert_eq!(failed, "volume data: loop-device image: not done in 60 s");
    assert!(world.there().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_not_ready_is_asked_again_until_nobody_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    world.asks_again(3);
    keeper.hold(volume(), task(1)).await.expect("at last");
    keeper.release(&volume().key(), task(1)).await;

    world.asks_again(usize::MAX);
    let (key, begun) = (volume().key(), tokio::time::Instant::now());
    let released = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        keeper.release(&key, task(2)).await;
    };
    let (failed, ()) = tokio::join!(keeper.hold(volume(), task(2)), released);
    assert_eq!(failed.expect_err("given up"), "volume data: its task is to stop");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let failed = keeper.hold(volume(), task(3)).await.expect_err("for ever");
    assert_eq!(failed, "volume data: not yet");
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_written_down_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    let place = Place::new(&folder.path().canonicalize().expect("a path"), &volume().key());
    // The journal's new file cannot be made, as on a disk that is full.
    std::fs::create_dir_all(place.folder().join("record.new")).expect("a folder");

    let failed = keeper.hold(volume(), task(1)).await.expect_err("no journal");
    assert!(failed.contains("directory meta: its journal cannot be written"), "{failed}");
    assert!(world.there().is_empty());

    std::fs::remove_dir(place.folder().join("record.new")).expect("gone");
    keeper.hold(volume(), task(1)).await.expect("mounted");
    let record = place.read().expect("read").expect("a record");
    assert_eq!(record.stage, Stage::Mounted);
}

#[tokio::test]
async fn a_volume_of_the_cluster_is_removed_from_a_node_that_never_had_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    let of_cluster = Wanted { id: Some(VolumeId::from_bits(1)), ..volume() };
    keeper.remove(&of_cluster).await.expect("removed");
    assert_eq!(world.take_log(), ["remove-tree image", "remove-tree meta", "erase"]);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn another_volume_of_the_same_name_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    let first = Wanted { id: Some(VolumeId::from_bits(1)), ..volume() };
    let second = Wanted { id: Some(VolumeId::from_bits(2)), ..volume() };
    keeper.hold(first, task(1)).await.expect("mounted");
    keeper.release(&volume().key(), task(1)).await;
    world.take_log();
    keeper.hold(second, task(2)).await.expect("mounted");
    assert!(world.take_log().iter().any(|step| step == "format-if-blank ext4"));
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    let keeper = world.keeper(folder.path());
    for name in ["../../etc", "/etc/passwd", "a/b", ".hidden", "", "a\nb"] {
        let mut wanted = volume();
        wanted.name = name.to_owned();
        keeper.hold(wanted.clone(), task(1)).await.expect_err(name);
        keeper.create(wanted).await.expect_err(name);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
