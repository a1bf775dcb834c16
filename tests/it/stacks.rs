//! Stacks of Compose files: what `stack plan` foresees and what then becomes of them, by the
//! plugins that every cluster has; and what a stack may have of its nodes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::main_job::HELLO;
use crate::support::{Cluster, Node, eventually};

/// How many tasks of which service are on which node.
type Places = BTreeMap<String, BTreeMap<String, u64>>;

/// Four workers' worth of rules: spread over zones, one for each node, and more than fit.
const STACK: &str = "
x-component: &component
  image: ./hello.wasm
  networks: [back]
services:
  web:
    <<: *component
    environment: {VERSION: '1'}
    deploy:
      replicas: 4
      placement:
        constraints: [node.role==worker]
        preferences: [{spread: node.labels.zone}]
  each:
    <<: *component
    deploy: {mode: global, placement: {constraints: [node.labels.zone!=a]}}
  narrow:
    <<: *component
    deploy:
      replicas: 3
      placement: {constraints: [node.labels.zone==b], max_replicas_per_node: 1}
networks: {back: }
";

/// The same a day later: web is to be elsewhere and otherwise, and one service is gone.
const LATER: &str = "
x-component: &component
  image: ./hello.wasm
  networks: [back]
services:
  web:
    <<: *component
    environment: {VERSION: '2'}
    deploy:
      replicas: 4
      placement:
        constraints: [node.hostname==n3]
        preferences: [{spread: node.labels.zone}]
  narrow:
    <<: *component
    deploy:
      replicas: 3
      placement: {constraints: [node.labels.zone==b], max_replicas_per_node: 1}
networks: {back: }
";

fn list(of: &Value) -> &[Value] {
    of.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(of: &Value) -> String {
    of.as_str().unwrap_or_default().to_owned()
}

/// The names of services or nodes, by their ids.
fn names(node: &Node, path: &str, name: &str) -> Result<BTreeMap<String, String>, String> {
    let all = node.json(path)?;
    let named = |one: &Value| (text(&one["ID"]), one.pointer(name).map(text).unwrap_or_default());
    Ok(list(&all).iter().map(named).collect())
}

/// The tasks that are wanted, with the names of their services and nodes; one that waits has
/// no node.
fn tasks(node: &Node) -> Result<Vec<(String, String, Value)>, String> {
    let services = names(node, "/services", "/Spec/Name")?;
    let nodes = names(node, "/nodes", "/Description/Hostname")?;
    let of = |names: &BTreeMap<String, String>, id: &Value| {
        names.get(&text(id)).cloned().unwrap_or_default()
    };
    let all = node.json("/tasks")?;
    let wanted = list(&all).iter().filter(|task| task["DesiredState"] == "running");
    Ok(wanted
        .map(|task| (of(&services, &task["ServiceID"]), of(&nodes, &task["NodeID"]), task.clone()))
        .collect())
}

/// Where tasks run.
fn places(node: &Node) -> Result<Places, String> {
    let mut all = Places::new();
    for (service, on, task) in tasks(node)? {
        if task["Status"]["State"] == "running" {
            *all.entry(service).or_default().entry(on).or_default() += 1;
        }
    }
    Ok(all)
}

/// `stack plan`, as data.
fn plan(node: &Node, file: &Path, flags: &str) -> Value {
    let told = node.run(format!("stack plan --format json {flags} -c {} shop", file.display()));
    serde_json::from_str(&told).unwrap_or_else(|why| panic!("{why}: {told}"))
}

/// Where a plan says that tasks will be.
fn foreseen(plan: &Value) -> Places {
    let placed = |service: &Value| -> BTreeMap<String, u64> {
        serde_json::from_value(service["Placed"].clone()).expect("tasks by their nodes")
    };
    let all = list(&plan["Services"]).iter();
    let all = all.map(|service| (text(&service["Name"]), placed(service)));
    all.filter(|(_, placed)| !placed.is_empty()).collect()
}

fn of<'p>(plan: &'p Value, name: &str) -> &'p Value {
    let found = list(&plan["Services"]).iter().find(|service| service["Name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {plan}"))
}

/// Waits until the tasks are where a plan said; fails with both where they never are.
fn as_foreseen(node: &Node, plan: &Value) {
    let wanted = foreseen(plan);
    eventually("tasks run where the plan said", || match places(node)? {
        there if there == wanted => Ok(()),
        there => Err(format!("{there:?} and not {wanted:?}")),
    });
}

#[test]
fn what_a_plan_foresees_is_what_a_deployment_does() {
    let cluster = Cluster::of(1, 3);
    let first = &cluster.nodes[0];
    for (name, zone) in [("n2", "a"), ("n3", "b"), ("n4", "b")] {
        first.run(format!("node update --label-add zone={zone} {name}"));
    }
    cluster.file("hello.wasm", HELLO);
    let file = cluster.file("stack.yml", STACK.as_bytes());
    let file_of_later = cluster.file("later.yml", LATER.as_bytes());

    // Nothing is there yet, and nothing is after a look.
    let first_plan = plan(first, &file, "");
    for path in ["/services", "/tasks"] {
        assert_eq!(first.json(path), Ok(json!([])), "{path}");
    }
    assert_eq!(first.run("network ls --quiet --filter name=shop_back"), "");
    assert_eq!(first_plan["Networks"], json!([{"Name": "shop_back", "Act": "create"}]));
    assert_eq!(first_plan["IsSettled"], true, "{first_plan}");
    let on = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(node, count)| ((*node).to_owned(), *count)).collect()
    };
    assert_eq!(
        foreseen(&first_plan),
        Places::from([
            ("shop_each".to_owned(), on(&[("n1", 1), ("n3", 1), ("n4", 1)])),
            ("shop_narrow".to_owned(), on(&[("n3", 1), ("n4", 1)])),
            ("shop_web".to_owned(), on(&[("n2", 2), ("n3", 1), ("n4", 1)])),
        ])
    );
    let waiting = of(&first_plan, "shop_narrow")["Pending"].as_object().expect("reasons").clone();
    assert_eq!(waiting.values().collect::<Vec<_>>(), [&json!(1)], "{waiting:?}");

    first.run(format!("stack deploy --detach -c {} shop", file.display()));
    as_foreseen(first, &first_plan);
    eventually("the one without a node says why in the words of the plan", || {
        let waits = tasks(first)?.into_iter().find(|(_, on, _)| on.is_empty());
        let Some((service, _, task)) = waits else { return Err("none waits".to_owned()) };
        let why = text(&task["Status"]["Err"]);
        match service == "shop_narrow" && waiting.contains_key(&why) {
            true => Ok(()),
            false => Err(format!("{service}: {why:?}, and not {waiting:?}")),
        }
    });

    let again = format!("stack plan --detailed-exitcode -c {} shop", file.display());
    assert_eq!(first.run(again), "Nothing to do: stack shop is as its files say.\n");

    // An update: what changes, who moves, who stays, who goes.
    let before = tasks(first).expect("tasks");
    let later = plan(first, &file_of_later, "--prune");
    let web = of(&later, "shop_web");
    assert_eq!(web["Act"], "update");
    let fields: Vec<_> =
        list(&web["Changes"]).iter().map(|change| text(&change["Field"])).collect();
    assert_eq!(
        fields,
        ["TaskTemplate.ContainerSpec.Env[VERSION]", "TaskTemplate.Placement.Constraints"]
    );
    assert_eq!((&web["Replaced"], &web["Placed"]), (&json!(4), &json!({"n3": 4})), "{later}");
    let moved = list(&web["Moved"]);
    assert_eq!(moved.len(), 3, "the one on n3 stays there: {later}");
    for task in moved {
        let called = text(&task["Task"]);
        let was = before
            .iter()
            .find(|(service, _, task)| called == format!("{service}.{}", task["Slot"]));
        let was = was.map(|(_, on, _)| on.as_str());
        assert_eq!((was, &task["To"]), (task["From"].as_str(), &json!("n3")), "{called}");
    }
    assert_eq!(of(&later, "shop_narrow")["Act"], "keep");
    let each = of(&later, "shop_each");
    assert_eq!((&each["Act"], &each["Stopped"]), (&json!("remove"), &json!(3)), "{later}");

    first.run(format!("stack deploy --detach --prune -c {} shop", file_of_later.display()));
    as_foreseen(first, &later);
    let narrow = |tasks: &[(String, String, Value)]| -> Vec<String> {
        let mut ids: Vec<_> = tasks
            .iter()
            .filter(|(service, ..)| service == "shop_narrow")
            .map(|(.., task)| text(&task["ID"]))
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(narrow(&tasks(first).expect("tasks")), narrow(&before), "they are let be");
}

#[test]
fn what_a_stack_has_of_its_nodes_is_the_operators_to_allow() {
    let cluster = Cluster::of(1, 0);
    let node = &cluster.nodes[0];
    let file = cluster.file(
        "stack.yml",
        b"services:\n  a: {image: 'x:1', privileged: true, shm_size: 64m, networks: [back]}\n\
          networks: {back: }\n",
    );
    let deploy = format!("stack deploy --detach --resolve-image never -c {} shop", file.display());

    let refused = node.try_run(&deploy);
    assert_eq!(refused.code, 1, "{refused}");
    let allow = "swarm update --host-access privileged";
    assert!(refused.stderr.contains("does not allow services privileged containers"), "{refused}");
    assert!(refused.stderr.contains(&format!("`swarmw {allow}`")), "{refused}");
    assert!(!refused.stderr.contains("Ignoring"), "{refused}");

    node.run(allow);
    assert_eq!(node.run(&deploy), "Creating service shop_a\n");
    let made = node.json("/services/shop_a").expect("a service");
    assert_eq!(
        made["Spec"]["Swarmw"]["Container"],
        json!({"Privileged": true, "ShmSize": 64 << 20})
    );

    // It goes from the service as it goes from the file.
    let file = cluster.file(
        "stack.yml",
        b"services:\n  a: {image: 'x:1', networks: [back]}\nnetworks: {back: }\n",
    );
    node.run(format!("stack deploy --detach --resolve-image never -c {} shop", file.display()));
    let made = node.json("/services/shop_a").expect("a service");
    assert_eq!(made["Spec"]["Swarmw"], Value::Null, "{made}");
}
