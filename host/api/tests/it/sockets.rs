//! The engine's socket in containers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use nix::sched::CloneFlags;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_bind_recursive, mount_change};
use serde_json::{Value, json};
use swarmw_api::{Listener, Standing};
use swarmw_model::{EngineSocket, Given};
use tokio_util::sync::CancellationToken;

use crate::fake::{leader, serve};
use crate::networks::with_engine;

const ENGINE: &str = "/var/run/docker.sock";

fn api() -> EngineSocket {
    EngineSocket::new(ENGINE, Given::Api { links: "/state/for".to_owned(), mounted: true })
}

/// A container that has the engine's socket twice, and a folder.
fn wanted() -> Value {
    json!({"Image": "portainer", "HostConfig": {
    "Binds": ["/var/run/docker.sock:/var/run/docker.sock:ro", "data:/data"],
    "Mounts": [
        {"Type": "bind", "Source": "/run/docker.sock", "Target": "/s"},
        {"Type": "bind", "Source": "/srv", "Target": "/srv",
            "BindOptions": {"Propagation": "rslave"}},
        {"Type": "volume", "Source": "v", "Target": "/v"},
    ]}})
}

fn given() -> Value {
    json!({"Image": "portainer", "HostConfig": {
    "Binds": ["/state/for/var/run/docker.sock:/var/run/docker.sock:ro,rslave", "data:/data"],
    "Mounts": [
        {"Type": "bind", "Source": "/state/for/run/docker.sock", "Target": "/s",
            "BindOptions": {"Propagation": "rslave"}},
        {"Type": "bind", "Source": "/srv", "Target": "/srv",
            "BindOptions": {"Propagation": "rslave"}},
        {"Type": "volume", "Source": "v", "Target": "/v"},
    ]}})
}

#[tokio::test]
async fn a_container_that_mounts_the_engines_socket_gets_what_the_node_gives() {
    let served = serve(Standing::Inactive).await;
    let engine = with_engine(&served, Vec::new());
    for (socket, sent) in [(api(), given()), (EngineSocket::new(ENGINE, Given::Engine), wanted())] {
        *served.fake.engine_socket.lock().unwrap() = socket;
        let made = served.client.post("/containers/create?name=p", wanted()).await;
        assert_eq!(made.status, 201, "{}", made.message());
        assert_eq!(engine.take_writes(), [("POST /containers/create?name=p".to_owned(), sent)]);
    }
    *served.fake.engine_socket.lock().unwrap() = EngineSocket::new(ENGINE, Given::Nothing);
    let refused = served.client.post("/containers/create", wanted()).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.message(),
        "this node gives its engine's socket to no container: leave out the mount of \
         /var/run/docker.sock, or start the daemon with --engine-socket-in-containers=api"
    );
    let harmless = json!({"Image": "x", "HostConfig": {"Binds": ["/srv:/srv"]}});
    assert_eq!(served.client.post("/containers/create", harmless).await.status, 201);
    assert_eq!(engine.take_writes().len(), 1, "the refused one did not reach the engine");
}

#[tokio::test]
async fn such_a_container_is_shown_as_it_was_asked_for() {
    let served = leader().await;
    let engine = with_engine(&served, Vec::new());
    *served.fake.engine_socket.lock().unwrap() = api();
    let seen = |mut container: Value, source: &str, mode: &str, propagation: &str| {
        container["Mounts"] = json!([
            {"Type": "bind", "Source": source, "Destination": "/var/run/docker.sock",
                "Mode": mode, "RW": false, "Propagation": propagation},
            {"Type": "bind", "Source": "/srv", "Destination": "/srv", "Mode": "",
                "RW": true, "Propagation": "rslave"},
        ]);
        container
    };
    let engines = seen(given(), "/state/for/var/run/docker.sock", "ro,rslave", "rslave");
    let shown = seen(wanted(), ENGINE, "ro", "rprivate");
    *engine.containers.lock().unwrap() = vec![engines];
    assert_eq!(served.client.get("/containers/p/json").await.json(), shown);
    assert_eq!(served.client.get("/v1.47/containers/json").await.json(), json!([shown]));
}

/// Runs a daemon that answers as the node stands, until told to stop.
fn daemon(folder: &Path, engine: &Path, standing: Standing) -> (EngineSocket, impl FnOnce()) {
    let (folder, engine) = (folder.to_owned(), engine.to_owned());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (ready, is_ready) = mpsc::channel();
    // A thread of the machine: it sees the machine's mounts.
    let running = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let served = serve(standing).await;
            let (listener, socket) = Listener::in_containers(&folder, &engine).expect("listens");
            ready.send(socket).expect("heard");
            listener.serve(served.api.clone(), stopped).await;
        });
    });
    let socket = is_ready.recv().expect("a socket");
    let end = move || {
        stop.cancel();
        running.join().expect("ended");
    };
    (socket, end)
}

/// What the node behind a socket says of itself; `None` where nobody listens.
fn local_state(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let ask = "GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let header = answer.lines().find_map(|line| line.strip_prefix("swarm: "));
    Some(header.expect("how it stands").to_owned())
}

/// A thread in a mount namespace of its own, as runc makes one for a container with a bind
/// that follows its source; it says what it finds at the bind whenever it is asked.
struct Contained {
    ask: mpsc::Sender<()>,
    answers: mpsc::Receiver<Option<String>>,
}

impl Contained {
    fn start(source: &str, target: &Path) -> Self {
        let (ask, asked) = mpsc::channel();
        let (tell, answers) = mpsc::channel();
        let (source, target) = (source.to_owned(), target.to_owned());
        std::fs::write(&target, "").expect("a file to mount on");
        thread::spawn(move || {
            unshare();
            let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            mount_change("/", slave).expect("follows");
            mount_bind_recursive(source, &target).expect("bound");
            while let Ok(()) = asked.recv() {
                tell.send(local_state(&target)).expect("heard");
            }
        });
        Self { ask, answers }
    }

    fn finds(&self) -> Option<String> {
        self.ask.send(()).expect("asked");
        self.answers.recv().expect("an answer")
    }
}

/// Gives this thread a mount namespace of its own.
fn unshare() {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS;
    nix::sched::unshare(flags).expect("root, for a mount namespace");
}

/// Does something on a machine of its own: a thread whose mounts nobody else sees.
fn on_a_machine(shared: bool, act: impl FnOnce(&Path) + Send + 'static) {
    let machine = thread::spawn(move || {
        unshare();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).expect("a machine of its own");
        let folder = tempfile::tempdir().expect("a folder");
        // As systemd has it, everything is shared.
        if shared {
            mount_bind(folder.path(), folder.path()).expect("mounted");
            mount_change(folder.path(), MountPropagationFlags::SHARED).expect("shared");
        }
        act(folder.path());
        if shared {
            let flags = rustix::mount::UnmountFlags::DETACH;
            rustix::mount::unmount(folder.path(), flags).expect("unmounted");
        }
    });
    machine.join().expect("the machine's test");
}

#[test]
fn containers_reach_the_next_daemon_by_the_socket_that_they_have() {
    for shared in [false, true] {
        on_a_machine(shared, move |folder| {
            let (state, engine) = (folder.join("state"), folder.join("docker.sock"));
            let target = |name: &str| folder.join(name);
            let (socket, end) = daemon(&state, &engine, Standing::Inactive);
            let source = socket.instead_of(ENGINE).expect("given").expect("the API's").source;
            let first = Contained::start(&source, &target("first"));
            assert_eq!(first.finds().as_deref(), Some("inactive"), "shared: {shared}");
            end();
            assert_eq!(first.finds(), None, "nobody answers");

            let error = || Standing::Error("again".to_owned());
            let (again, end) = daemon(&state, &engine, error());
            assert_eq!(again, socket, "a container that is started again binds the same");
            assert_eq!(first.finds().as_deref(), Some("error"), "shared: {shared}");
            let second = Contained::start(&source, &target("second"));
            assert_eq!(second.finds().as_deref(), Some("error"));
            end();

            let (_, end) = daemon(&state, &engine, Standing::Inactive);
            for container in [&first, &second] {
                assert_eq!(container.finds().as_deref(), Some("inactive"), "shared: {shared}");
            }
            end();
        });
    }
}

#[test]
fn a_container_that_is_there_before_the_daemon_reaches_it_when_it_comes() {
    on_a_machine(true, |folder| {
        let (state, engine) = (folder.join("state"), folder.join("docker.sock"));
        let (socket, end) = daemon(&state, &engine, Standing::Inactive);
        end();
        // The machine is started anew: files stay, mounts do not.
        let place = state.join("api.sock");
        rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
        let source = socket.instead_of("/run/docker.sock").expect("given").expect("the API's");
        let early = Contained::start(&source.source, &folder.join("early"));
        assert_eq!(early.finds(), None);

        let (_, end) = daemon(&state, &engine, Standing::Inactive);
        assert_eq!(early.finds().as_deref(), Some("inactive"));
        let sockets = std::fs::read_dir(state.join("sockets")).expect("a folder").count();
        assert_eq!(sockets, 1, "those from before are gone");
        end();
    });
}

#[test]
fn who_may_use_the_engines_socket_may_use_the_one_in_its_place() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    on_a_machine(false, |folder| {
        let (state, engine) = (folder.join("state"), folder.join("docker.sock"));
        std::fs::write(&engine, "").expect("a file");
        chown(&engine, Some(0), Some(4711)).expect("owned");
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o660)).expect("a mode");
        let (socket, end) = daemon(&state, &engine, Standing::Inactive);
        let place = socket.instead_of(engine.to_str().expect("a path")).expect("given");
        let seen = std::fs::metadata(place.expect("the API's").source).expect("a socket");
        assert_eq!((seen.gid(), seen.mode() & 0o777), (4711, 0o660));
        end();
    });
}
