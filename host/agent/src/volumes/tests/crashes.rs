//! The daemon is killed before or after each thing that it does.

use super::pretended::{World, task, volume};

const MADE: [&str; 3] = ["ext4", "made image", "made meta"];
const MOUNTED: [&str; 5] = ["ext4", "loop image", "made image", "made meta", "mounted"];

/// A volume's whole life on one machine, as far as the daemon gets.
async fn whole_life(world: &World, folder: &std::path::Path) {
    let keeper = world.keeper(folder);
    if keeper.hold(volume(), task(1)).await.is_ok() {
        keeper.release(&volume().key(), task(1)).await;
        let _ = keeper.expand(&volume().key(), 64 << 20).await;
        let _ = keeper.remove(&volume()).await;
    }
}

#[tokio::test]
async fn whatever_was_under_way_is_undone_or_finished_by_the_next_daemon() {
    for after in [false, true] {
        let mut count = 0;
        loop {
            let folder = tempfile::tempdir().expect("a folder");
            let world = World::default();
            world.dies_at(count, after);
            whole_life(&world, folder.path()).await;
            if !world.has_died() {
                assert!(world.there().is_empty());
                break;
            }
            let died_at = world.take_log().last().cloned().unwrap_or_default();

            let keeper = world.keeper(folder.path());
            keeper.settle().await;

            let there = world.there();
            let settled = there.is_empty() || there == MADE;
            assert!(settled, "{count} {died_at}, after: {after}: {there:?}");
            let removed = keeper.list().await.is_empty();
            // Either it is there and whole, or it can be made anew.
            keeper.hold(volume(), task(2)).await.unwrap_or_else(|e| panic!("{died_at}: {e}"));
            assert_eq!(world.there(), MOUNTED, "{count} {died_at}, after: {after} ({removed})");
            keeper.release(&volume().key(), task(2)).await;
            assert_eq!(world.there(), MADE);
            keeper.remove(&volume()).await.expect("removed");
            assert!(world.there().is_empty());
            assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
            count += 1;
        }
        assert!(count >= 16, "only {count} things were done");
    }
}

#[tokio::test]
async fn tasks_that_outlive_the_daemon_keep_their_volumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    world.keeper(folder.path()).hold(volume(), task(1)).await.expect("mounted");
    world.take_log();

    let keeper = world.keeper(folder.path());
    keeper.adopt(&volume(), task(1));
    keeper.settle().await;
    assert_eq!(world.there(), MOUNTED);
    keeper.hold(volume(), task(2)).await.expect("mounted");
    assert_eq!(world.take_log(), [""; 0], "nothing was done to it");

    keeper.release(&volume().key(), task(1)).await;
    assert_eq!(world.there(), MOUNTED);
    keeper.release(&volume().key(), task(2)).await;
    assert_eq!(world.there(), MADE);
}

#[tokio::test]
async fn a_machine_that_started_again_has_no_mounts() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::default();
    world.keeper(folder.path()).hold(volume(), task(1)).await.expect("mounted");
    world.power_cut();

    let keeper = world.keeper(folder.path());
    keeper.adopt(&volume(), task(1));
    keeper.settle().await;
    assert_eq!(world.there(), MADE);
    keeper.hold(volume(), task(2)).await.expect("mounted again");
    assert_eq!(world.there(), MOUNTED);
}
