//! Whether packets get to other machines and back is told by what comes back.

use std::time::{Duration, Instant};

use swarmw_overlay::Silent;

use super::world::{PORT, World, ip, within};

/// A machine's firewall lets no VXLAN in.
pub fn close(space: &str) {
    within(space, "nft add table inet closed");
    within(space, "nft add chain inet closed in { type filter hook input priority 0 ; }");
    within(space, &format!("nft add rule inet closed in udp dport {PORT} drop"));
}

pub fn open_again(space: &str) {
    within(space, "nft delete table inet closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_lets_no_vxlan_in_is_silent_until_it_does() {
    let mut world = World::new(3).await;
    let web = world.network(4097, &["10.0.1.0/24", "fd00:1::/64"]);
    for (machine, address) in [(0, "10.0.1.5"), (1, "10.0.1.6"), (2, "10.0.1.7")] {
        world.container(machine, web, &[address]).await;
    }
    world.apply().await;
    let tried = async |machine: usize| {
        let overlay = &world.machines[machine].overlay;
        overlay.try_data_path().await.expect("asked")
    };
    let noted = || ip(&format!("-n {} -4 neighbour show", world.router(1)));
    let before = noted();
    let path = tried(0).await;
    assert_eq!((path.heard, path.silent.len()), ([2, 3].into(), 0));
    assert_eq!(path.answers, [4097].into());
    assert_eq!(noted(), before, "whoever is asked notes nothing");

    close(&world.machines[1].space);
    let begun = Instant::now();
    let path = tried(0).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let silent = |machine: usize| {
        let address = world.machines[machine].address;
        (world.machines[machine].number, Silent { address, port: PORT, vni: 4097 })
    };
    assert_eq!((path.heard, path.silent), ([3].into(), [silent(1)].into()));
    let path = tried(1).await;
    assert!(path.heard.is_empty(), "answers do not come in either: {:?}", path.heard);
    assert_eq!(path.silent, [silent(0), silent(2)].into());

    open_again(&world.machines[1].space);
    assert_eq!(tried(0).await.heard, [2, 3].into());
}
