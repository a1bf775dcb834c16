"""docker-py (Debian's python3-docker or PyPI's docker) through everything of a swarm.

    DOCKER_HOST=unix:///… python3 docker_py.py ADDRESS

The daemon is in no swarm yet and has the images web:1, web:2 (`httpd` on port 80) and
busybox. Prints a transcript, see transcript.py.
"""

import io
import sys
import tarfile
import threading

import docker
from docker.types import (
    ConfigReference,
    EndpointSpec,
    Healthcheck,
    IPAMConfig,
    IPAMPool,
    Mount,
    Placement,
    Resources,
    RestartPolicy,
    RollbackConfig,
    SecretReference,
    ServiceMode,
    UpdateConfig,
)

from transcript import eventually, expect, told

# The newest that all of docker-py 5 and 7, Debian's engine and swarmw speak.
VERSION = "1.41"
SEVEN = int(docker.__version__.split(".")[0]) >= 7


def main(address):
    client = docker.from_env(version=VERSION)
    # Whoever listens before there is a swarm hears of it afterwards.
    watched = Watched(client)
    system(client)
    swarm(client, address)
    nodes(client)
    data(client)
    networks(client)
    services(client)
    volumes(client)
    containers(client)
    images(client)
    watched.end()
    refusals(client)
    leave(client)


class Watched:
    """Events of the swarm while the walk goes on."""

    def __init__(self, client):
        self.stream = client.events(decode=True, filters={"scope": "swarm"})
        self.seen = set()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        for event in self.stream:
            name = event["Actor"]["Attributes"].get("name", "")
            self.seen.add((event["Type"], event["Action"], name))

    def end(self):
        wanted = {
            ("service", "create", "web"),
            ("service", "update", "web"),
            ("service", "remove", "web"),
            ("secret", "create", "password"),
            ("secret", "remove", "password"),
            ("config", "create", "page"),
            ("config", "remove", "page"),
            ("network", "create", "back"),
            ("network", "remove", "back"),
        }
        eventually(f"events {sorted(wanted - self.seen)}", lambda: wanted <= self.seen)
        self.stream.close()
        kinds = {(kind, action) for kind, action, _ in self.seen}
        told("events", sorted(kinds))


def refused(what, call):
    """What a call that must fail is answered."""
    try:
        call()
    except docker.errors.APIError as error:
        told(what, [error.response.status_code, error.explanation])
        return
    sys.exit(f"not refused: {what}")


# --- the daemon and the swarm ---


def system(client):
    told("ping", client.ping())
    version = client.version()
    told("version", sorted(version))
    info = client.info()
    told("info", sorted(info))
    told("info outside", info["Swarm"])
    told("df", sorted(client.df()))
    refused("swarm inspect outside", client.api.inspect_swarm)
    refused("services outside", client.services.list)


def swarm(client, address):
    ident = client.swarm.init(
        advertise_addr=address,
        listen_addr=f"{address}:2377",
        task_history_retention_limit=3,
        labels={"made-by": "docker-py"},
    )
    told("init", [ident, type(ident).__name__])
    client.swarm.reload()
    told("swarm", client.swarm.attrs)
    told("info inside", client.info()["Swarm"])
    told("update", client.swarm.update(task_history_retention_limit=4, rotate_worker_token=True))
    client.swarm.reload()
    told("swarm updated", client.swarm.attrs["Spec"])
    told("unlock key", client.swarm.get_unlock_key())
    refused("init again", lambda: client.swarm.init(advertise_addr=address))


def nodes(client):
    (node,) = client.nodes.list(filters={"role": "manager"})
    told("node", node.attrs)
    expect(client.nodes.get(node.id).id == node.id, "the node is found by its id")
    spec = dict(node.attrs["Spec"], Labels={"rack": "a"})
    told("node update", node.update(spec))
    node.reload()
    told("node labels", node.attrs["Spec"])
    told("by label", len(client.nodes.list(filters={"node.label": "rack=a"})))
    stale = dict(node.attrs["Spec"])
    refused("stale node", lambda: client.api.update_node(node.id, 1, stale))
    refused("no node", lambda: client.nodes.get("nobody"))


def drained(client, service):
    """Drains the only node and takes it back."""
    (node,) = client.nodes.list()
    node.update(dict(node.attrs["Spec"], Availability="drain"))
    eventually("nothing runs on a drained node", lambda: not running(service))
    told("pending", sorted({t["Status"]["State"] for t in wanted(service)}))
    told("why", sorted({t["Status"].get("Err", "") for t in wanted(service)}))
    node.reload()
    node.update(dict(node.attrs["Spec"], Availability="active"))
    eventually("all run again", lambda: len(running(service)) == 2)


# --- secrets and configs ---


def data(client):
    secret = client.secrets.create(name="password", data=b"s3cret", labels={"a": "b"})
    expect(secret.id, "a secret has an id", secret.attrs)
    told("secret", client.secrets.get(secret.id).attrs)
    told("secrets", [s.attrs for s in client.secrets.list(filters={"name": "password"})])
    config = client.configs.create(name="page", data=b"from a config\n", labels={"a": "b"})
    told("config", client.configs.get(config.id).attrs)
    told("configs", [c.attrs for c in client.configs.list(filters={"label": "a=b"})])
    refused("secret twice", lambda: client.secrets.create(name="password", data=b"other"))
    refused("config twice", lambda: client.configs.create(name="page", data=b"other"))
    refused("no secret", lambda: client.secrets.get("nobody"))
    refused("bad name", lambda: client.configs.create(name="no good", data=b"x"))


# --- networks ---


def networks(client):
    made = client.networks.create(
        "back",
        driver="overlay",
        attachable=True,
        labels={"tier": "back"},
        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.77.0.0/24", gateway="10.77.0.1")]),
        check_duplicate=True,
    )
    # Docker has its addresses, and says its driver, a moment later.
    eventually("the network is whole", lambda: client.networks.get(made.id).attrs["Driver"])
    told("network", client.networks.get(made.id).attrs)
    told(
        "networks",
        sorted((n.name, n.attrs["Scope"], n.attrs["Driver"]) for n in client.networks.list()),
    )
    told("by name", [n.attrs for n in client.networks.list(names=["back"])])
    told("by label", [n.name for n in client.networks.list(filters={"label": "tier=back"})])
    told("of the swarm", sorted(n.name for n in client.networks.list(filters={"scope": "swarm"})))
    local = client.networks.create("own", driver="bridge")
    told("bridge", client.networks.get(local.id).attrs)
    local.remove()
    refused("no network", lambda: client.networks.get("nobody"))
    refused("network twice", lambda: client.networks.create("back", driver="overlay"))


# --- services ---


def services(client):
    secret = client.secrets.list(filters={"name": "password"})[0]
    config = client.configs.list(filters={"name": "page"})[0]
    service = client.services.create(
        "web:1",
        name="web",
        labels={"tier": "front"},
        container_labels={"inner": "yes"},
        env=["GREETING=hello"],
        hostname="{{.Service.Name}}-{{.Task.Slot}}",
        mode=ServiceMode("replicated", replicas=2),
        constraints=["node.role == manager"],
        preferences=[("spread", "node.labels.rack")],
        maxreplicas=5,
        mounts=[Mount("/data", "web-data", type="volume"), Mount("/scratch", None, type="tmpfs")],
        networks=["back"],
        resources=Resources(cpu_limit=500_000_000, mem_limit=64 << 20, mem_reservation=8 << 20),
        restart_policy=RestartPolicy("on-failure", delay=1_000_000_000, max_attempts=3),
        secrets=[SecretReference(secret.id, secret.name, mode=0o400)],
        configs=[ConfigReference(config.id, config.name, filename="/www/page.html")],
        update_config=UpdateConfig(parallelism=2, order="stop-first", monitor=1_000_000_000),
        endpoint_spec=EndpointSpec(ports={8088: (80, "tcp", "ingress")}),
        stop_grace_period=2_000_000_000,
        healthcheck=Healthcheck(
            test=["CMD", "wget", "-qO-", "http://127.0.0.1/"], interval=1_000_000_000
        ),
        stop_signal="SIGKILL",
        init=True,
        cap_add=["CAP_NET_ADMIN"],
        hosts={"elsewhere": "10.1.2.3"},
        user="0",
        workdir="/tmp",
        **since_7(
            rollback_config=RollbackConfig(parallelism=2, monitor=1_000_000_000),
            sysctls={"net.core.somaxconn": "1024"},
        ),
    )
    eventually("two tasks run", lambda: len(running(service)) == 2)
    service.reload()
    told("service", service.attrs)
    tasks = sorted(running(service), key=lambda task: task["Slot"])
    told("tasks", tasks)
    told("one task", client.api.inspect_task(tasks[0]["ID"]) == tasks[0])
    told(
        "listed",
        [(s.name, s.id == service.id) for s in client.services.list(filters={"name": "web"})],
    )
    told("by label", [s.name for s in client.services.list(filters={"label": "tier=front"})])
    told("by mode", [s.name for s in client.services.list(filters={"mode": "replicated"})])
    listed = client.services.list(**since_7(status=True))
    told("status", [s.attrs.get("ServiceStatus") for s in listed])
    inside(client, tasks[0])
    attached(client)
    logs(client, service)
    updated(client, service)
    drained(client, service)
    in_use(client, service)
    once_more(client)
    service.remove()
    refused("no service", lambda: client.services.get("web"))
    eventually("no container of it is left", lambda: not containers_of(client, "web"))
    for part in (secret, config):
        part.remove()
    gone = client.networks.get("back")
    eventually("the network goes", lambda: removed(gone))
    eventually("the volume goes", lambda: removed(client.volumes.get("web-data")))


def since_7(**arguments):
    """What docker-py 5 does not know."""
    return arguments if SEVEN else {}


def removed(thing):
    try:
        thing.remove()
    except docker.errors.APIError:
        return False
    return True


def wanted(service):
    """Tasks that should run."""
    return service.tasks(filters={"desired-state": "running"})


def running(service):
    return [task for task in wanted(service) if task["Status"]["State"] == "running"]


def containers_of(client, service):
    label = f"com.docker.swarm.service.name={service}"
    return client.containers.list(all=True, filters={"label": label}, ignore_removed=True)


def inside(client, task):
    """A task's container, through the same socket."""
    container = client.containers.get(task["Status"]["ContainerStatus"]["ContainerID"])
    expect(
        container.name == f"web.1.{task['ID']}", "the container has its task's name", container.name
    )
    told("labels", container.labels)
    for command in (
        "cat /run/secrets/password",
        "cat /www/page.html",
        "hostname",
        "sh -c 'echo $GREETING'",
        "ls -ln /run/secrets/password",
    ):
        code, output = container.exec_run(command)
        told(command, [code, output.decode()[:13], len(output)])
    settings = container.attrs["HostConfig"]
    told(
        "host config",
        {k: settings[k] for k in ("CapAdd", "Init", "Memory", "NanoCpus", "ExtraHosts")},
    )
    told("networks of it", sorted(container.attrs["NetworkSettings"]["Networks"]))
    told("mounts of it", sorted((m["Type"], m["Destination"]) for m in container.attrs["Mounts"]))


def attached(client):
    """A container that no service made joins the network.

    By the tasks' name: virtual addresses of Docker's own engine need a kernel with IPVS.
    """
    ask = ["wget", "-qO-", "http://tasks.web/"]
    run = lambda: client.containers.run("busybox", ask, network="back", remove=True)
    told("from beside", eventually("the service answers by its name", lambda: tried(run)))


def tried(call):
    try:
        return call()
    except docker.errors.DockerException:
        return None


def logs(client, service):
    """httpd says nothing, so another service talks."""
    talks = client.services.create(
        "busybox",
        name="talks",
        command=["sh", "-c", "echo to out; echo to err >&2; sleep 1000"],
        restart_policy=RestartPolicy("none"),
    )
    eventually(
        "it talks", lambda: len(b"".join(talks.logs(stdout=True, stderr=True)).splitlines()) == 2
    )
    told("out", list(talks.logs(stdout=True)))
    told("err", list(talks.logs(stderr=True)))
    told("details", list(talks.logs(stdout=True, details=True)))
    told("timestamps", list(talks.logs(stdout=True, timestamps=True)))
    told("tail", list(talks.logs(stdout=True, stderr=True, tail=1)) != [])
    told("follow", next(talks.logs(stdout=True, follow=True)))
    (task,) = talks.tasks()
    told(
        "task's",
        b"".join(
            client.api._stream_raw_result(
                client.api._get(
                    client.api._url("/tasks/{0}/logs", task["ID"]),
                    params={"stdout": 1},
                    stream=True,
                )
            )
        )
        != b"",
    )
    refused("no stream", lambda: list(talks.logs()))
    talks.remove()


def updated(client, service):
    told("scale", service.scale(3))
    eventually("three run", lambda: len(running(service)) == 3)
    service.reload()
    told("scale back", service.scale(2))
    eventually("two run", lambda: len(running(service)) == 2)
    service.reload()
    told("update", service.update(image="web:2", fetch_current_spec=True))
    eventually("updated", lambda: update_state(service) == "completed")
    told("updated", service.attrs["UpdateStatus"])
    told("images", [t["Spec"]["ContainerSpec"]["Image"] for t in running(service)])
    told("previous", service.attrs["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"])
    told("force", service.force_update())
    eventually(
        "forced",
        lambda: update_state(service) == "completed"
        and service.attrs["Spec"]["TaskTemplate"]["ForceUpdate"],
    )
    told("forced", service.attrs["Spec"]["TaskTemplate"]["ForceUpdate"])
    # docker-py has no call for it.
    url = client.api._url("/services/{0}/update", service.id)
    body = dict(service.attrs["Spec"])
    done = client.api._post_json(
        url, data=body, params={"version": service.version, "rollback": "previous"}
    )
    told("rollback", [done.status_code, done.json()])
    eventually("rolled back", lambda: update_state(service) == "rollback_completed")
    told("rolled back", service.attrs["UpdateStatus"])
    stale = client.api._post_json(url, data=body, params={"version": 1})
    told("stale", [stale.status_code, stale.json()])


def update_state(service):
    service.reload()
    return service.attrs.get("UpdateStatus", {}).get("State")


def in_use(client, service):
    secret = client.secrets.list(filters={"name": "password"})[0]
    config = client.configs.list(filters={"name": "page"})[0]
    network = client.networks.get("back")
    refused("secret in use", secret.remove)
    refused("config in use", config.remove)
    refused("network in use", network.remove)
    refused("name in use", lambda: client.services.create("web:1", name="web"))
    refused(
        "port in use",
        lambda: client.services.create(
            "web:1", name="other", endpoint_spec=EndpointSpec(ports={8088: 80})
        ),
    )
    refused("bad name of a service", lambda: client.services.create("web:1", name="no good"))


def once_more(client):
    """Global services and jobs."""
    everywhere = client.services.create(
        "busybox", name="everywhere", mode="global", command=["sleep", "1000"]
    )
    eventually("one on each node", lambda: len(running(everywhere)) == 1)
    everywhere.reload()
    told("global", everywhere.attrs)
    told("global task", running(everywhere))
    everywhere.remove()
    if SEVEN:
        job = client.services.create(
            "busybox",
            name="job",
            mode=ServiceMode("replicated-job", replicas=2, concurrency=1),
            command=["true"],
        )
        done = lambda: [t["Status"]["State"] for t in job.tasks()].count("complete") == 2
        eventually("the job is done", done)
        job.reload()
        told("job", job.attrs)
        job.remove()


# --- volumes ---


def volumes(client):
    volume = client.volumes.create("kept", driver="local", labels={"a": "b"})
    told("volume", sorted(volume.attrs))
    told("volumes", [v.name for v in client.volumes.list(filters={"name": "kept"})])
    told("same volume", client.volumes.get("kept").attrs["Labels"])
    volume.remove()
    refused("no volume", lambda: client.volumes.get("kept"))
    told("pruned", sorted(client.volumes.prune()))


# --- containers ---


def containers(client):
    told("run", client.containers.run("busybox", ["echo", "hello"], remove=True))
    refused_run(client)
    container = client.containers.run(
        "busybox", ["sleep", "1000"], name="plain", detach=True, labels={"a": "b"}
    )
    told("container", [container.name, container.status])
    told("exec", container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True))
    told("stream", b"".join(container.exec_run(["echo", "streamed"], stream=True).output))
    told("put", container.put_archive("/tmp", archive("note", b"carried\n")))
    told("read", container.exec_run(["cat", "/tmp/note"]))
    parts, stat = container.get_archive("/tmp/note")
    told("get", [stat["name"], stat["size"], unpacked(parts)])
    told("top", container.top()["Titles"])
    told("diff", container.diff())
    told("stats", sorted(container.stats(stream=False))[:3])
    told("rename", container.rename("simple"))
    told("listed", [c.name for c in client.containers.list(filters={"label": "a=b"})])
    told("pause", [container.pause(), container.unpause()])
    told("restart", container.restart(timeout=0))
    # Before it is itself again, a signal ends what the runtime runs in its place.
    eventually("it sleeps again", lambda: sleeps(container))
    told("stop", container.stop(timeout=0))
    told("wait", container.wait())
    told("remove", container.remove())
    refused("no container", lambda: client.containers.get("simple"))
    attach(client)


def sleeps(container):
    return any(process[-1] == "sleep 1000" for process in container.top()["Processes"])


def refused_run(client):
    try:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 4"], remove=True)
    except docker.errors.ContainerError as error:
        told("failed run", [error.exit_status, error.stderr])


def attach(client):
    """Both ways through a hijacked connection."""
    container = client.containers.create("busybox", ["cat"], stdin_open=True, name="echoes")
    connection = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    raw = getattr(connection, "_sock", connection)
    raw.sendall(b"there and back\n")
    seen = b""
    while len(seen) < 8 + len("there and back\n"):
        more = raw.recv(4096)
        expect(more, "the connection stays open", seen)
        seen += more
    told("attach", [list(seen[:8]), seen[8:]])
    connection.close()
    told("logs", container.logs())
    container.remove(force=True)


def archive(name, content):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def unpacked(parts):
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}


# --- images ---


def images(client):
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (
            (
                "Dockerfile",
                b'FROM busybox\nCOPY note /note\nLABEL built=yes\nCMD ["cat", "/note"]\n',
            ),
            ("note", b"built here\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    context.seek(0)
    image, said = client.images.build(fileobj=context, custom_context=True, tag="built:1", rm=True)
    told("build", [image.labels, any("Successfully" in line.get("stream", "") for line in said)])
    told("built", client.containers.run("built:1", remove=True))
    told("tag", image.tag("built", "2"))
    told("tags", sorted(client.images.get("built:2").tags))
    saved = b"".join(image.save(named=True))
    client.images.remove("built:1")
    client.images.remove("built:2")
    told("load", [i.tags for i in client.images.load(saved)][0] != [])
    told("history", len(client.images.get("built:1").history()) > 1)
    client.images.remove("built:1")
    refused("no image", lambda: client.images.get("built:1"))


# --- the end ---


def refusals(client):
    refused("no task", lambda: client.api.inspect_task("nobody"))
    refused("bad filter", lambda: client.services.list(filters={"colour": "red"}))
    refused(
        "bad constraint",
        lambda: client.services.create("web:1", constraints=["node.role = manager"]),
    )
    refused("leave", lambda: client.swarm.leave())


def leave(client):
    told("leave", client.swarm.leave(force=True))
    told("info after", client.info()["Swarm"]["LocalNodeState"])


main(sys.argv[1])
