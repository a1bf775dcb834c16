//! Lists in pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Client, filters};
use crate::fake::{Served, following, leader, serve_with};

/// All ids of a list, page by page, each of at most `limit`.
async fn walk(client: &Client, list: &str, query: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{list}?{query}&limit={limit}&continue={token}")).await;
        assert_eq!(page.status, 200, "{}", page.message());
        let body = page.json();
        let items = body.as_array().expect("Docker's list");
        assert!(items.len() <= limit);
        let id = |item: &Value| item["ID"].as_str().or(item["Id"].as_str()).map(str::to_owned);
        ids.extend(items.iter().map(|item| id(item).expect("an id")));
        page.header("x-swarmw-continue").clone_into(&mut token);
        let remaining: usize = page.header("x-swarmw-remaining").parse().expect("a number");
        assert_eq!(remaining == 0, token.is_empty());
        if token.is_empty() {
            return ids;
        }
    }
}

async fn with_objects() -> Served {
    let served = leader().await;
    for n in 0..7 {
        let label = json!({"half": (n % 2).to_string()});
        for list in ["/secrets", "/configs"] {
            let spec = json!({"Name": format!("d{n}"), "Data": "YQ==", "Labels": label});
            served.client.post(&format!("{list}/create"), spec).await;
        }
        let spec = json!({"Name": format!("s{n}"), "Labels": label,
            "TaskTemplate": {"ContainerSpec": {"Image": "redis:1"}},
            "Mode": {"Replicated": {"Replicas": 3}}});
        served.client.post("/services/create", spec).await;
        let network = json!({"Name": format!("n{n}"), "Driver": "overlay", "Labels": label});
        let made = served.client.post("/networks/create", network).await;
        assert_eq!(made.status, 201, "{}", made.message());
    }
    served
}

#[tokio::test]
async fn pages_hold_everything_once_in_the_order_of_ids() {
    let served = with_objects().await;
    for list in ["/services", "/tasks", "/nodes", "/secrets", "/configs", "/networks"] {
        let whole = served.client.get(list).await;
        assert!(whole.header("x-swarmw-continue").is_empty());
        assert!(whole.header("x-swarmw-remaining").is_empty());
        let whole = whole.json().as_array().expect("a list").len();
        for limit in [1, 2, 3, 1_000] {
            let ids = walk(&served.client, list, "", limit).await;
            assert_eq!(ids.len(), whole, "{list}, {limit} at a time");
            assert!(ids.is_sorted(), "{list}");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), whole, "{list}");
        }
    }
}

#[tokio::test]
async fn pages_and_filters_combine() {
    let served = with_objects().await;
    let odd = filters(r#"{"label":["half=1"]}"#);
    for list in ["/services", "/secrets", "/configs", "/networks"] {
        assert_eq!(walk(&served.client, list, &odd, 2).await.len(), 3, "{list}");
    }
    // Of several services, whose tasks are found by an index each.
    let of = filters(r#"{"service":["s1","s2"]}"#);
    let tasks = walk(&served.client, "/tasks", &of, 4).await;
    assert_eq!(tasks.len(), 6);
    assert!(tasks.is_sorted());
}

#[tokio::test]
async fn a_follower_answers_in_pages_too() {
    let served = with_objects().await;
    let follower = serve_with(following(), served.fake.shared.clone()).await;
    *follower.fake.leader.lock().unwrap() = Some(served.api.clone());
    let by_the_leader = walk(&served.client, "/tasks", "", 4).await;
    assert_eq!(walk(&follower.client, "/tasks", "", 4).await, by_the_leader);
}

#[tokio::test]
async fn what_goes_between_two_pages_moves_nothing_else() {
    let served = with_objects().await;
    let all = walk(&served.client, "/secrets", "", 1_000).await;
    let first = served.client.get("/secrets?limit=3").await;
    served.client.delete(&format!("/secrets/{}", all[2])).await;
    let token = first.header("x-swarmw-continue");
    let rest = served.client.get(&format!("/secrets?continue={token}")).await.json();
    let rest: Vec<_> =
        rest.as_array().expect("a list").iter().map(|s| s["ID"].as_str().expect("an id")).collect();
    assert_eq!(rest, all[3..]);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let served = with_objects().await;
    let token = served.client.get("/services?limit=1").await;
    let token = token.header("x-swarmw-continue");
    for (query, why) in [
        ("limit=0".to_owned(), "invalid limit \"0\": want a whole number from 1 on".to_owned()),
        (
            format!("continue={token}"),
            format!(
                "invalid continue token {token:?}: want the header X-Swarmw-Continue of the page \
                 before, of a list of tasks"
            ),
        ),
    ] {
        let refused = served.client.get(&format!("/tasks?{query}")).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (400, why));
    }
    for list in ["/services", "/nodes", "/secrets", "/configs", "/networks"] {
        let refused = served.client.get(&format!("{list}?continue=%F0%9F%A6%80")).await;
        assert_eq!(refused.status, 400, "{list}");
    }
}
