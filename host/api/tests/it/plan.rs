//! What would come of writes.

use serde_json::json;
use swarmw_api::Standing;
use swarmw_model::{ServiceMode, UpdateConfig};

use crate::fake::{leader, membership, serve};

#[tokio::test]
async fn a_wish_is_read_as_the_writes_themselves_and_nothing_is_written() {
    let served = leader().await;
    let before = served.fake.shared.state.lock().unwrap().index();
    let wish = json!({
        "Networks": [{"Name": "back", "Driver": "overlay", "Attachable": true}],
        "Secrets": ["key"], "Configs": ["conf"], "Removed": ["old"],
        "Services": [{
            "Name": "web", "mode": {"Replicated": {}}, "UpdateConfig": {"Parallelism": 2},
            "TaskTemplate": {
                "Networks": [{"Target": "back"}],
                "ContainerSpec": {"Image": "x", "Env": null,
                    "Secrets": [{"SecretName": "key", "File": {"Name": "k", "Mode": 292}}]},
            },
        }],
    });
    let answer = served.client.post("/v1.47/swarmw/plan", wish).await;
    assert_eq!(answer.status, 200, "{}", answer.message());
    let told = answer.json();
    assert_eq!((&told["Services"][0]["Name"], &told["IsSettled"]), (&json!("web"), &json!(true)));
    assert_eq!(told["Services"][0]["Act"], "create");
    assert_eq!(served.fake.shared.state.lock().unwrap().index(), before);

    let wishes = served.fake.wishes.lock().unwrap();
    let [wish] = &wishes[..] else { panic!("one: {wishes:?}") };
    assert!(wish.networks[0].attachable && wish.networks[0].name == "back");
    assert_eq!(
        (&wish.secrets[..], &wish.configs[..]),
        (&["key".to_owned()][..], &["conf".to_owned()][..])
    );
    assert_eq!(wish.removed, ["old"]);
    // In the form that writes give them, or every plan would have changes.
    let web = &wish.services[0];
    let ServiceMode::Replicated(replicated) = &web.mode else { panic!("{:?}", web.mode) };
    assert_eq!(replicated.replicas, Some(1));
    let order = web.update_config.as_ref().map(|config: &UpdateConfig| config.order.as_str());
    assert_eq!(order, Some("stop-first"));
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_or_is_told_to_a_worker_is_refused() {
    let served = leader().await;
    let wrong = served.client.post("/swarmw/plan", json!({"Services": [{"Name": 7}]})).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.message().starts_with("invalid JSON: "), "{}", wrong.message());
    let worker = serve(Standing::Worker(membership())).await;
    let refused = worker.client.post("/swarmw/plan", json!({})).await;
    assert_eq!(refused.status, 503);
}
