//! Services on networks.

use serde_json::{Value, json};
use swarmw_model::{Attachment, AttachmentId, NetworkAttachment, NetworkId, Time, Version};
use swarmw_state::Change;

use super::{create, overlay, run, service};
use crate::fake::{SELF, leader};

#[tokio::test]
async fn verbose_shows_services_tasks_and_nodes() {
    let served = leader().await;
    let web =
        create(&served, json!({"Name": "web", "Driver": "overlay", "Attachable": true})).await;
    run(&served, service("api", &["web"])).await;
    let mut dnsrr = service("db", &["web"]);
    dnsrr["EndpointSpec"] = json!({"Mode": "dnsrr"});
    run(&served, dnsrr).await;
    let attachment = Attachment {
        id: AttachmentId::from_bits(5),
        version: Version::default(),
        created_at: Time::ZERO,
        node: SELF,
        on: NetworkAttachment {
            network: web.parse::<NetworkId>().expect("an id"),
            addresses: vec!["10.0.3.200/24".parse().expect("an address")],
        },
        container: "c1".to_owned(),
        names: vec!["shell".to_owned()],
    };
    served.fake.apply(None, Change::AddAttachment(Box::new(attachment))).expect("attached");
    let plain = served.client.get("/networks/web").await.json();
    assert_eq!((&plain["Services"], &plain["Peers"]), (&Value::Null, &Value::Null));
    let shown = served.client.get("/networks/web?verbose=true").await.json();
    let node = SELF.to_string();
    assert_eq!(shown["Peers"], json!([{"Name": &node[..12], "IP": "127.0.0.1"}]));
    let services = &shown["Services"];
    let vip = services["api"]["VIP"].as_str().expect("an address");
    assert!(vip.parse::<std::net::Ipv4Addr>().is_ok(), "{vip}");
    assert_eq!(services["api"]["Ports"], json!(["Target: 80, Publish: 8080"]));
    assert_eq!(services["api"]["LocalLBIndex"], 0);
    let task = &services["api"]["Tasks"][0];
    assert!(task["Name"].as_str().expect("a name").starts_with("api.1."), "{task}");
    assert_eq!(task["Info"], json!({"Host IP": "127.0.0.1"}));
    let listed = served.client.get("/tasks").await.json();
    let tasks = listed.as_array().expect("tasks");
    let same = tasks.iter().find(|t| t["ID"] == task["EndpointID"]).expect("the task");
    let address = same["NetworksAttachments"][0]["Addresses"][0].as_str().expect("an address");
    assert_eq!(task["EndpointIP"], address.trim_end_matches("/24"));
    assert_eq!(services["db"]["VIP"], "<nil>");
    assert_eq!(services[""]["Tasks"][0]["Name"], "shell");
    assert_eq!(services[""]["Tasks"][0]["EndpointIP"], "10.0.3.200");
}

#[tokio::test]
async fn driver_options_of_an_attachment_are_kept_and_shown_with_a_warning() {
    let served = leader().await;
    create(&served, overlay("web")).await;
    let mut posted = service("api", &["web"]);
    posted["TaskTemplate"]["Networks"][0]["DriverOpts"] = json!({"a": "b"});
    let made = served.client.post("/services/create", posted).await;
    assert_eq!(made.status, 201, "{}", made.message());
    let warning = json!(["driver option a on network web is kept and has no effect"]);
    assert_eq!(made.json()["Warnings"], warning);
    let shown = served.client.get("/services/api").await.json();
    let attachment = &shown["Spec"]["TaskTemplate"]["Networks"][0];
    assert_eq!(attachment["DriverOpts"], json!({"a": "b"}));

    let mut spec = shown["Spec"].clone();
    spec["TaskTemplate"]["Networks"][0]["DriverOpts"] = json!({});
    let path = format!("/services/api/update?version={}", shown["Version"]["Index"]);
    let updated = served.client.post(&path, spec).await;
    assert_eq!(updated.json()["Warnings"], json!([]));
}

#[tokio::test]
async fn services_name_networks_and_are_answered_with_addresses() {
    let served = leader().await;
    let (web, db) = (create(&served, overlay("web")).await, create(&served, overlay("db")).await);
    let mut posted = service("api", &["web", &db[..20]]);
    posted["TaskTemplate"]["Networks"][0]["Aliases"] = json!(["www"]);
    run(&served, posted).await;
    let shown = served.client.get("/services/api").await.json();
    assert_eq!(
        shown["Spec"]["TaskTemplate"]["Networks"],
        json!([{"Target": web, "Aliases": ["www"]}, {"Target": db}])
    );
    let vips = shown["Endpoint"]["VirtualIPs"].as_array().expect("addresses");
    let on =
        |id: &str| vips.iter().find(|vip| vip["NetworkID"] == id).expect("one")["Addr"].clone();
    assert!(on(&web).as_str().is_some_and(|addr| addr.ends_with("/24")), "{vips:?}");
    assert_ne!(on(&web), on(&db));

    let listed = served.client.get("/tasks").await.json();
    let task = listed[0].as_object().expect("a task");
    assert!(!task.contains_key("Attachments"));
    let attached = task["NetworksAttachments"].as_array().expect("two");
    let one = attached.iter().find(|a| a["Network"]["ID"] == *web).expect("web");
    assert_eq!(one["Addresses"].as_array().map(Vec::len), Some(1));
    let network = &one["Network"];
    assert_eq!(
        network["Spec"],
        json!({"Name": "web", "Labels": {}, "DriverConfiguration": {"Name": "overlay"},
            "IPAMOptions": {"Driver": {"Name": "default"}, "Configs": []}, "Scope": "swarm"})
    );
    assert_eq!(network["CreatedAt"], "2025-11-20T23:41:33.56Z");
    assert_eq!(network["DriverState"]["Name"], "overlay");
    let config = &network["IPAMOptions"]["Configs"][0];
    assert!(config["Subnet"].as_str().is_some_and(|subnet| subnet.ends_with("/24")), "{network}");

    // Docker's old place; an update that changes nothing else leaves them.
    let mut old = service("old", &[]);
    old["EndpointSpec"] = json!({});
    old["Networks"] = json!([{"Target": "web"}]);
    run(&served, old).await;
    let shown = served.client.get("/services/old").await.json();
    assert_eq!(shown["Spec"]["Networks"], Value::Null);
    assert_eq!(shown["Spec"]["TaskTemplate"]["Networks"], json!([{"Target": web}]));
    let path = format!("/services/old/update?version={}", shown["Version"]["Index"]);
    let mut moved = shown["Spec"].clone();
    moved["TaskTemplate"]["Networks"] = json!([{"Target": "db"}]);
    let updated = served.client.post(&path, moved).await;
    assert_eq!(updated.status, 200, "{}", updated.message());
    let shown = served.client.get("/services/old").await.json();
    assert_eq!(shown["Spec"]["TaskTemplate"]["Networks"], json!([{"Target": db}]));
}
