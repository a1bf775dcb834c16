//! Stacks against a daemon that keeps what it is given and does nothing with it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::testing::Captured;

/// A daemon's state.
#[derive(Default)]
struct State {
    networks: Vec<Value>,
    secrets: Vec<Value>,
    configs: Vec<Value>,
    services: Vec<Value>,
    /// Answers to lists of tasks, the last for ever.
    tasks: VecDeque<Value>,
    /// Writes, in their order.
    writes: Vec<String>,
    /// A registry answers.
    has_registry: bool,
    /// What it was asked to plan, and what it answers to that.
    planned: Value,
    outlook: Value,
    /// Creating a service of this name fails.
    fails: String,
    version: u64,
}

/// A daemon, and a folder with files.
struct Fake {
    state: Arc<Mutex<State>>,
    folder: tempfile::TempDir,
    socket: PathBuf,
}

/// What a command printed.
struct Printed {
    code: i32,
    stdout: String,
    stderr: String,
}

// === impl Fake ===

impl Fake {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let state = Arc::new(Mutex::new(State { has_registry: true, ..State::default() }));
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = served.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, std::convert::Infallible>(answer(&state, request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { state, folder, socket }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    }

    fn state<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn run(&self, words: &[&str]) -> Printed {
        let captured = Captured::default();
        let host = format!("unix://{}", self.socket.display());
        let start = ["swarmw", "-H", &host, "stack"];
        let arguments = start.iter().chain(words).map(OsString::from);
        let code = crate::run_arguments(arguments, &mut captured.io(false, 80)).await;
        Printed { code, stdout: captured.stdout(), stderr: captured.stderr() }
    }
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let (status, body) = state.answer(&parts.method, parts.uri.path(), &query, body);
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}

// === impl State ===

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        if method != Method::GET {
            self.writes.push(format!("{method} {path}"));
        }
        let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), words.as_slice()) {
            ("GET", ["info"]) => (StatusCode::OK, json!({"Swarm": {"ControlAvailable": true}})),
            ("GET", ["distribution", ..]) if self.has_registry => (
                StatusCode::OK,
                json!({"Descriptor": {"digest": "sha256:ab"}, "Platforms": [{"os": "linux", "architecture": "amd64"}]}),
            ),
            ("GET", ["tasks"]) => {
                let more = self.tasks.len() > 1;
                let tasks = if more { self.tasks.pop_front() } else { self.tasks.front().cloned() };
                (StatusCode::OK, tasks.unwrap_or(json!([])))
            }
            ("GET", [kind]) => {
                let asks_namespace = query.contains("com.docker.stack.namespace%3D");
                let all = self.of(kind).iter();
                let found = all.filter(|object| {
                    let labels =
                        object["Spec"]["Labels"].as_object().or(object["Labels"].as_object());
                    let namespace = labels.and_then(|l| l["com.docker.stack.namespace"].as_str());
                    !asks_namespace
                        || namespace.is_some_and(|n| query.contains(&format!("%3D{n}%22")))
                });
                (StatusCode::OK, found.cloned().collect())
            }
            ("GET", [kind, name]) => match self.position(kind, name) {
                Some(index) => (StatusCode::OK, self.of(kind)[index].clone()),
                None => missing(kind, name),
            },
            ("POST", ["swarmw", "plan"]) => {
                self.planned = body;
                (StatusCode::OK, self.outlook.clone())
            }
            ("POST", [kind, "create"]) => self.create(kind, body),
            ("POST", [kind, id, "update"]) => match self.position(kind, id) {
                Some(index) => {
                    self.version += 1;
                    let version = self.version;
                    let object = &mut self.of(kind)[index];
                    object["Spec"] = body;
                    object["Version"]["Index"] = version.into();
                    (StatusCode::OK, json!({}))
                }
                None => missing(kind, id),
            },
            ("DELETE", [kind, id]) => match self.position(kind, id) {
                Some(_) if *kind == "networks" && self.fails == "networks" => {
                    (StatusCode::FORBIDDEN, json!({"message": "network is in use"}))
                }
                Some(index) => {
                    self.of(kind).remove(index);
                    (StatusCode::OK, json!({}))
                }
                None => missing(kind, id),
            },
            _ => (StatusCode::NOT_FOUND, json!({"message": "page not found"})),
        }
    }

    fn create(&mut self, kind: &str, body: Value) -> (StatusCode, Value) {
        let name = body["Name"].as_str().unwrap_or_default().to_owned();
        if !self.fails.is_empty() && name == self.fails {
            return (StatusCode::INTERNAL_SERVER_ERROR, json!({"message": "no"}));
        }
        let id = format!("id-{name}");
        let object = match kind {
            "networks" => {
                let mut object = body;
                object["Id"] = id.as_str().into();
                object["Scope"] = "swarm".into();
                object
            }
            _ => json!({"ID": id, "Version": {"Index": 1}, "Spec": body}),
        };
        self.of(kind).push(object);
        (StatusCode::CREATED, json!({"ID": id, "Id": id}))
    }

    fn of(&mut self, kind: &str) -> &mut Vec<Value> {
        match kind {
            "networks" => &mut self.networks,
            "secrets" => &mut self.secrets,
            "configs" => &mut self.configs,
            _ => &mut self.services,
        }
    }

    fn position(&mut self, kind: &str, reference: &str) -> Option<usize> {
        self.of(kind).iter().position(|object| {
            [&object["ID"], &object["Id"], &object["Name"], &object["Spec"]["Name"]]
                .contains(&&Value::from(reference))
        })
    }
}

fn missing(kind: &str, name: &str) -> (StatusCode, Value) {
    let word = kind.trim_end_matches('s');
    (StatusCode::NOT_FOUND, json!({"message": format!("{word} {name} not found")}))
}

const FILE: &str = "
services:
  web:
    image: nginx
    networks: [front]
    secrets: [s]
    deploy: {replicas: 2}
    depends_on: [db]
  db: {image: 'redis:7'}
networks: {front: {}}
secrets: {s: {file: s.txt}}
configs: {c: {content: x}}
";

#[tokio::test]
async fn a_first_deploy_makes_networks_data_and_services_in_their_order() {
    let fake = Fake::start().await;
    fake.write("s.txt", "hush");
    let file = fake.write("c.yml", FILE);
    let printed = fake.run(&["deploy", "--detach=true", "-c", &file, "st"]).await;
    assert_eq!(
        (printed.code, printed.stdout.as_str(), printed.stderr.as_str()),
        (
            0,
            "Creating network st_default\nCreating network st_front\nCreating secret st_s\nCreating config st_c\n\
             Creating service st_db\nCreating service st_web\n",
            ""
        )
    );
    fake.state(|state| {
        let web = &state.services[1]["Spec"];
        assert_eq!(web["TaskTemplate"]["ContainerSpec"]["Image"], "nginx:latest@sha256:ab");
        assert_eq!(
            web["TaskTemplate"]["Placement"]["Platforms"],
            json!([{"OS": "linux", "Architecture": "amd64"}])
        );
        assert_eq!(
            web["TaskTemplate"]["Networks"],
            json!([{"Target": "id-st_front", "Aliases": ["web"]}])
        );
        assert_eq!(web["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretID"], "id-st_s");
        assert_eq!(web["Labels"]["com.docker.stack.image"], "nginx");
        assert_eq!(state.secrets[0]["Spec"]["Data"], "aHVzaA==");
    });
}

#[tokio::test]
async fn a_second_deploy_leaves_the_tasks_templates_as_they_are() {
    let fake = Fake::start().await;
    fake.write("s.txt", "hush");
    let file = fake.write("c.yml", FILE);
    assert_eq!(fake.run(&["deploy", "-d", "-c", &file, "st"]).await.code, 0);
    let templates = |state: &mut State| -> Vec<Value> {
        state.services.iter().map(|service| service["Spec"]["TaskTemplate"].clone()).collect()
    };
    fake.state(|state| state.services[0]["Spec"]["TaskTemplate"]["ForceUpdate"] = 3.into());
    let before = fake.state(templates);
    for (resolve, has_registry) in
        [("always", true), ("always", false), ("changed", false), ("never", false)]
    {
        fake.state(|state| state.has_registry = has_registry);
        let arguments = ["deploy", "-d", "--resolve-image", resolve, "-c", &file, "st"];
        let printed = fake.run(&arguments).await;
        assert_eq!(
            (printed.code, printed.stdout.as_str()),
            (0, "Updating service st_db (id: id-st_db)\nUpdating service st_web (id: id-st_web)\n")
        );
        assert_eq!(fake.state(templates), before, "{resolve} {has_registry}");
    }
    fake.state(|state| assert_eq!((state.networks.len(), state.secrets.len()), (2, 1)));
}

#[tokio::test]
async fn what_containers_have_of_their_nodes_is_what_the_file_says_at_each_deploy() {
    let fake = Fake::start().await;
    let more = fake.write(
        "c.yml",
        "services: {a: {image: x, privileged: true, shm_size: 1m, platform: linux/arm64}}",
    );
    let printed = fake.run(&["deploy", "-d", "-c", &more, "st"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    let preference = json!([{"Name": "near", "Argument": "x", "After": 0}]);
    fake.state(|state| {
        let spec = &mut state.services[0]["Spec"];
        assert_eq!(spec["Swarmw"], json!({"Container": {"Privileged": true, "ShmSize": 1 << 20}}));
        assert_eq!(
            spec["TaskTemplate"]["Placement"]["Platforms"],
            json!([{"OS": "linux", "Architecture": "arm64"}])
        );
        // Another command's settings are none of the file's.
        spec["Swarmw"]["Preferences"] = preference.clone();
    });
    let less = fake.write("c.yml", "services: {a: {image: x}}");
    for (resolve, platforms) in
        [("never", Value::Null), ("always", json!([{"OS": "linux", "Architecture": "amd64"}]))]
    {
        let printed =
            fake.run(&["deploy", "-d", "--resolve-image", resolve, "-c", &less, "st"]).await;
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
        fake.state(|state| {
            let spec = &state.services[0]["Spec"];
            assert_eq!(spec["Swarmw"], json!({"Preferences": preference}));
            assert_eq!(spec["TaskTemplate"]["Placement"]["Platforms"], platforms, "{resolve}");
        });
    }
}

#[tokio::test]
async fn prune_removes_what_the_file_no_longer_has() {
    let fake = Fake::start().await;
    let both = fake.write("c.yml", "services: {a: {image: x}, b: {image: x}}");
    fake.run(&["deploy", "-d", "-c", &both, "st"]).await;
    let one = fake.write("d.yml", "services: {a: {image: x}}");
    let printed = fake.run(&["deploy", "-d", "--prune", "-c", &one, "st"]).await;
    assert_eq!(printed.stdout, "Removing service st_b\nUpdating service st_a (id: id-st_a)\n");
    fake.state(|state| assert_eq!(state.services.len(), 1));
}

#[tokio::test]
async fn a_failure_says_what_was_not_reached() {
    let fake = Fake::start().await;
    fake.state(|state| state.fails = "st_b".to_owned());
    let file = fake
        .write("c.yml", "services: {a: {image: x}, b: {image: x}, c: {image: x}, d: {image: x}}");
    let printed = fake.run(&["deploy", "-d", "-c", &file, "st"]).await;
    assert_eq!(
        (printed.code, printed.stderr.as_str()),
        (
            1,
            "failed to create service st_b: Error response from daemon: no\nnot deployed: st_c, st_d\n"
        )
    );
    assert_eq!(
        printed.stdout,
        "Creating network st_default\nCreating service st_a\nCreating service st_b\n"
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_made() {
    let fake = Fake::start().await;
    let notice = "Since --detach=false was not specified, tasks will be created in the background.\n\
                  In a future release, --detach=false will become the default.\n";
    for (text, want) in [
        (
            "services:\n  a: {imag: x}",
            "FILE:2:7: services.a Additional property imag is not allowed: did you mean image?\n"
                .to_owned(),
        ),
        (
            "services:\n  a: {image: x, networks: [n]}",
            format!("{notice}FILE:2:3: service a: undefined network \"n\"\n"),
        ),
        (
            "services:\n  a: {image: x, networks: [n]}\nnetworks: {n: {external: true}}",
            format!(
                "{notice}network \"n\" is declared as external, but could not be found. You need to create a \
                 swarm-scoped network before the stack is deployed\n"
            ),
        ),
        (
            "services: {a: {image: x, build: ., links: [b], container_name: c, networks: [n]}}",
            format!(
                "Ignoring unsupported options: build, links\n\nIgnoring deprecated options:\n\ncontainer_name: \
                 Setting the container name is not supported.\n\n{notice}FILE:1:12: service a: undefined network \"n\"\n"
            ),
        ),
    ] {
        let file = fake.write("c.yml", text);
        let printed = fake.run(&["deploy", "-c", &file, "st"]).await;
        assert_eq!((printed.code, printed.stdout.as_str()), (1, ""));
        assert_eq!(printed.stderr.replace(&file, "FILE"), want, "{text}");
    }
    for (words, want) in [
        (&["deploy", "st"][..], "Specify a Compose file (with --compose-file)\n"),
        (&["deploy", "-c", "/nope.yml", "st"], "open /nope.yml: no such file or directory\n"),
        (&["deploy", "-c", "x", " "], "invalid stack name: \" \"\n"),
        (&["rm", ""], "invalid stack name: \"\"\n"),
        (&["services", "gone"], "Nothing found in stack: gone\n"),
        (&["ps", "gone"], "nothing found in stack: gone\n"),
        (&["rm", "gone"], "Nothing found in stack: gone\n"),
    ] {
        let printed = fake.run(words).await;
        assert_eq!((printed.stdout.as_str(), printed.stderr.as_str()), ("", want), "{words:?}");
    }
    fake.state(|state| assert_eq!(state.writes, Vec::<String>::new()));
}

#[tokio::test]
async fn a_condition_holds_the_dependent_back_until_it_is_true() {
    let fake = Fake::start().await;
    let task = |state: &str| json!([{"ID": "t", "ServiceID": "id-st_db", "DesiredState": "running", "Status": {"State": state}}]);
    fake.state(|state| state.tasks = ["starting", "starting", "running"].map(task).into());
    let file = fake.write(
        "c.yml",
        "services: {a: {image: x, depends_on: {db: {condition: service_healthy}}}, db: {image: x}}",
    );
    let printed = fake.run(&["deploy", "-d", "-c", &file, "st"]).await;
    assert_eq!(
        printed.stdout,
        "Creating network st_default\nCreating service st_db\n\
         Waiting for service db (service_healthy) before st_a\nCreating service st_a\n"
    );
    fake.state(|state| assert_eq!(state.tasks.len(), 1));
}

#[tokio::test]
async fn removing_a_stack_takes_what_has_its_label_and_nothing_else() {
    let fake = Fake::start().await;
    fake.write("s.txt", "hush");
    let file = fake.write("c.yml", FILE);
    let other = fake.write("d.yml", "services: {a: {image: x}}");
    fake.run(&["deploy", "-d", "-c", &file, "st"]).await;
    fake.run(&["deploy", "-d", "-c", &other, "other"]).await;
    assert_eq!(fake.run(&["ls"]).await.stdout, "NAME      SERVICES\nother     1\nst        2\n");
    assert_eq!(fake.run(&["services", "-q", "st"]).await.stdout, "id-st_db\nid-st_web\n");
    fake.state(|state| state.fails = "networks".to_owned());
    let printed = fake.run(&["rm", "st"]).await;
    assert_eq!(
        (printed.code, printed.stdout.as_str(), printed.stderr.as_str()),
        (
            1,
            "Removing service st_db\nRemoving service st_web\nRemoving secret st_s\nRemoving config st_c\n\
             Removing network st_default\nRemoving network st_front\n",
            "Failed to remove network id-st_default: Error response from daemon: network is in use\n\
             Failed to remove network id-st_front: Error response from daemon: network is in use\n\
             failed to remove some resources from stack: st\n"
        )
    );
    fake.state(|state| state.fails.clear());
    let printed = fake.run(&["down", "st"]).await;
    assert_eq!(
        (printed.code, printed.stdout.as_str()),
        (0, "Removing network st_default\nRemoving network st_front\n")
    );
    fake.state(|state| assert_eq!((state.services.len(), state.networks.len()), (1, 1)));
}

#[tokio::test]
async fn config_prints_the_files_as_one() {
    let fake = Fake::start().await;
    let one = fake.write("c.yml", "services: {a: {image: '${SWARMW_NO_SUCH:-x}'}}");
    let two = fake.write("d.yml", "services: {a: {tty: true}}");
    let printed = fake.run(&["config", "-c", &one, "-c", &two]).await;
    assert_eq!(printed.stdout, "version: \"3.13\"\nservices:\n  a:\n    image: x\n    tty: true\n");
    let printed = fake.run(&["config", "--skip-interpolation", "-c", &one]).await;
    assert_eq!(
        printed.stdout,
        "version: \"3.13\"\nservices:\n  a:\n    image: ${SWARMW_NO_SUCH:-x}\n"
    );
}

#[tokio::test]
async fn a_plan_asks_the_leader_and_writes_nothing() {
    let fake = Fake::start().await;
    fake.write("s.txt", "hush");
    let file = fake.write("c.yml", FILE);
    fake.state(|state| {
        state.outlook = json!({"IsSettled": true, "Duration": 0, "Services": [
            {"Name": "st_db", "Act": "create", "Added": 1, "Placed": {"n1": 1}},
            {"Name": "st_web", "Act": "create", "Added": 2, "Placed": {"n1": 1},
                "Pending": {"no suitable node": 1}},
        ]});
    });
    let printed = fake.run(&["plan", "-c", &file, "st"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    assert_eq!(
        printed.stdout,
        "Networks\n  + st_default\n  + st_front\nSecrets\n  + st_s\nConfigs\n  + st_c\nServices\n\
         \x20 + st_db\n      tasks: 1 added\n      then on n1\n\
         \x20 + st_web\n      tasks: 2 added\n      then on n1\n\
         \x20     ! 1 would wait: no suitable node\n\n\
         Services: 2 to create, 0 to change, 0 to remove. Tasks: 3 to add, 0 to replace, 0 to \
         stop, 1 would wait for a node.\n"
    );
    let (asked, writes) = fake.state(|state| (state.planned.clone(), state.writes.clone()));
    assert_eq!(writes, ["POST /swarmw/plan"]);
    assert_eq!((&asked["Secrets"], &asked["Configs"]), (&json!(["st_s"]), &json!(["st_c"])));
    assert_eq!(asked["Networks"][1]["Name"], "st_front");
    let web = &asked["Services"][1]["TaskTemplate"];
    assert_eq!(web["ContainerSpec"]["Image"], "nginx:latest@sha256:ab");
    assert_eq!(web["ContainerSpec"]["Secrets"][0]["SecretName"], "st_s");

    let told = fake.run(&["plan", "--detailed-exitcode", "-c", &file, "st"]).await;
    assert_eq!((told.code, told.stderr.as_str()), (crate::WOULD_CHANGE, ""));
}

#[tokio::test]
async fn a_plan_of_what_is_there_has_nothing_to_do_and_one_without_a_service_removes_it() {
    let fake = Fake::start().await;
    fake.write("s.txt", "hush");
    let file = fake.write("c.yml", FILE);
    assert_eq!(fake.run(&["deploy", "--detach=true", "-c", &file, "st"]).await.code, 0);
    fake.state(|state| {
        for (kind, id) in [("secrets", "id-st_s"), ("configs", "id-st_c")] {
            let index = state.position(kind, id).expect("made");
            assert!(state.of(kind)[index]["Spec"]["Name"].is_string());
        }
        state.outlook = json!({"IsSettled": true, "Services": [{"Name": "st_web", "Kept": 2}]});
    });
    let same = fake.run(&["plan", "--detailed-exitcode", "-c", &file, "st"]).await;
    assert_eq!((same.code, same.stderr.as_str()), (0, ""));
    assert_eq!(same.stdout, "Nothing to do: stack st is as its files say.\n");
    let asked = fake.state(|state| state.planned.clone());
    assert_eq!((&asked["Networks"], &asked["Secrets"]), (&json!([]), &json!([])));

    let less =
        fake.write("less.yml", "services: {db: {image: 'redis:8'}}\nconfigs: {c: {content: y}}\n");
    fake.state(|state| {
        state.outlook = json!({"IsSettled": true, "Duration": 10_000_000_000_u64, "Services": [
            {"Name": "st_db", "Act": "update", "Replaced": 2, "Placed": {"n1": 2},
                "Changes": [{"Field": "Image", "Old": "redis:7", "New": "redis:8"},
                    {"Field": "Env[A]", "New": "1"}],
                "Moved": [{"Task": "st_db.1", "From": "n2", "To": "n1"}]},
            {"Name": "st_web", "Act": "remove", "Stopped": 2},
        ]});
    });
    let printed = fake.run(&["plan", "--prune", "-c", &less, "st"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    assert_eq!(
        printed.stdout,
        "Configs\n  ~ st_c\n      ! its data differ from the file's, which the deployment will \
         be refused for: give the config another name\nServices\n  ~ st_db\n\
         \x20     Image: \"redis:7\" → \"redis:8\"\n      Env[A]: + \"1\"\n\
         \x20     tasks: 2 replaced, 1 of them moved\n      then on n1 (2)\n\
         \x20     st_db.1 moves from n2 to n1\n  - st_web\n      tasks: 2 stopped\n\n\
         Services: 0 to create, 1 to change, 1 to remove. Tasks: 0 to add, 2 to replace, 2 to \
         stop.\nIt takes at least 10s.\n"
    );
    assert_eq!(fake.state(|state| state.planned["Removed"].clone()), json!(["st_web"]));
    let json = fake.run(&["plan", "--format", "json", "-c", &less, "st"]).await;
    let told: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(told["Services"][0]["Changes"][0]["New"], "redis:8");
    assert_eq!(told["Configs"][0]["Act"], "update");
    let wrong = fake.run(&["plan", "--format", "table", "-c", &less, "st"]).await;
    assert_eq!(
        (wrong.code, wrong.stderr.as_str()),
        (1, "unknown format \"table\": pretty or json\n")
    );
}
