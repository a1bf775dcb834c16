//! Managers that lock themselves.

use serde_json::json;

use swarmw_api::Standing;

use crate::fake::{Served, leader, leading, membership, serve};

async fn unlock_key(served: &Served) -> String {
    let answer = served.client.get("/swarm/unlockkey").await.json();
    answer["UnlockKey"].as_str().expect("a text").to_owned()
}

async fn update(served: &Served, on: bool, query: &str) {
    let version = served.client.get("/swarm").await.json()["Version"]["Index"].clone();
    let spec = json!({"Name": "default", "EncryptionConfig": {"AutoLockManagers": on}});
    let path = format!("/swarm/update?version={version}{query}");
    let updated = served.client.post(&path, spec).await;
    assert_eq!(updated.status, 200, "{}", updated.message());
}

#[tokio::test]
async fn the_unlock_key_is_made_kept_rotated_and_forgotten() {
    let served = leader().await;
    let shown = async || {
        let swarm = served.client.get("/swarm").await.json();
        swarm["Spec"]["EncryptionConfig"]["AutoLockManagers"].clone()
    };
    assert_eq!((unlock_key(&served).await.as_str(), shown().await), ("", json!(false)));
    // There is nothing to rotate.
    update(&served, false, "&rotateManagerUnlockKey=true").await;
    assert_eq!(unlock_key(&served).await, "");

    update(&served, true, "").await;
    let first = unlock_key(&served).await;
    assert!(first.starts_with("SWMKEY-1-") && shown().await == json!(true), "{first}");
    update(&served, true, "&rotateManagerUnlockKey=false").await;
    assert_eq!(unlock_key(&served).await, first);
    update(&served, true, "&rotateManagerUnlockKey=true").await;
    let second = unlock_key(&served).await;
    assert_ne!(second, first);
    for path in ["/swarm", "/info"] {
        let answer = served.client.get(path).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains(&second[9..]), "{path}");
    }

    update(&served, false, "").await;
    assert_eq!((unlock_key(&served).await.as_str(), shown().await), ("", json!(false)));
}

#[tokio::test]
async fn a_locked_manager_says_so_until_it_gets_its_key() {
    let served = leader().await;
    update(&served, true, "").await;
    let key = unlock_key(&served).await;
    served.fake.set(Standing::Locked);
    let info = served.client.get("/info").await.json();
    assert_eq!(info["Swarm"]["LocalNodeState"], "locked");
    assert_eq!(info["Swarm"]["ControlAvailable"], false);
    assert_eq!(info["Swarm"]["NodeID"], "");
    for path in ["/swarm/init", "/swarm/join"] {
        let refused = served.client.post(path, json!({"RemoteAddrs": ["a:1"]})).await;
        assert!(refused.message().starts_with("This node is already part of a swarm."));
    }
    let leave = served.client.call("POST", "/swarm/leave", None).await;
    let want = "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.";
    assert_eq!((leave.status.as_u16(), leave.message().as_str()), (503, want));

    let other = format!("{}4", &key[..key.len() - 1]);
    for (key, status, text) in [
        ("swordfish", 400, "invalid key string"),
        (&*other, 401, "swarm could not be unlocked: invalid key provided"),
        (&*other, 401, "swarm could not be unlocked: invalid key provided"),
        (&*key, 200, ""),
        (&*key, 409, "swarm is not locked"),
    ] {
        let answer = served.client.post("/swarm/unlock", json!({"UnlockKey": key})).await;
        assert_eq!(answer.status, status, "{key}");
        if status != 200 {
            assert_eq!(answer.message(), text);
        }
    }
}

#[tokio::test]
async fn only_a_locked_manager_can_be_unlocked() {
    let served = serve(Standing::Inactive).await;
    let starting = Standing::Manager { membership: membership(), leading: false, ready: false };
    for (standing, status, text) in [
        (Standing::Inactive, 503, "Use \"docker swarm init\" or \"docker swarm join\""),
        (Standing::Worker(membership()), 503, "Worker nodes can't be used"),
        (starting, 503, "Manager is being prepared"),
        (leading(), 409, "swarm is not locked"),
    ] {
        served.fake.set(standing.clone());
        let refused = served.client.post("/swarm/unlock", json!({"UnlockKey": "k"})).await;
        assert_eq!(refused.status, status, "{standing:?}");
        assert!(refused.message().contains(text), "{standing:?}: {}", refused.message());
    }
}

#[tokio::test]
async fn a_swarm_begins_locked_when_either_field_says_so() {
    for body in [
        json!({"AutoLockManagers": true}),
        json!({"Spec": {"EncryptionConfig": {"AutoLockManagers": true}}}),
    ] {
        let served = serve(Standing::Inactive).await;
        assert_eq!(served.client.post("/swarm/init", body).await.status, 200);
        assert!(served.fake.inits.lock().unwrap()[0].spec.encryption.auto_lock_managers);
    }
}
