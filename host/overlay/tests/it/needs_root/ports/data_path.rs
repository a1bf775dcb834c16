//! Whether packets get to other machines and back, where only ports are published.

use super::super::data_path::{close, open_again};
use super::super::world::within;
use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_tasks_is_silent_while_it_lets_no_vxlan_in() {
    let mut world = World::new(2).await;
    world.task(1);
    world.publish(&[0]);
    world.apply().await;
    let tried = async |machine: usize| {
        let ports = &world.machines[machine].ports;
        ports.try_data_path().await.expect("asked")
    };
    let path = tried(0).await;
    assert_eq!((path.heard, path.silent.len()), ([2].into(), 0));
    let path = tried(1).await;
    assert!(path.heard.is_empty() && path.silent.is_empty(), "nobody else has a task");
    assert_eq!(path.answers, [4096].into());

    close(world.machine(1));
    let path = tried(0).await;
    assert!(path.heard.is_empty() && path.silent.contains_key(&2), "{path:?}");
    open_again(world.machine(1));
    assert_eq!(tried(0).await.heard, [2].into());

    // One that keeps its addresses to the devices that have them says that it will not answer.
    within(world.machine(1), "sysctl -qw net.ipv4.conf.all.arp_ignore=1");
    assert!(tried(1).await.answers.is_empty());
    assert!(tried(0).await.heard.is_empty());
}
