"""What Traefik's swarm provider, the visualizer and Portainer ask of a swarm, and whether what
they read out of the answers is there.

    DOCKER_HOST=unix:///… python3 replays.py

Requests are those of Traefik 3 (pkg/provider/docker/pswarm.go), of the visualizer (server.js,
src/data-provider.js) and of Portainer 2 (api/docker/snapshot.go, app/docker). The daemon is a
manager; every node has the images web:1 and busybox. Prints a transcript, see transcript.py.
"""

import http.client
import ipaddress
import json
import os
import re
import socket
import struct
import sys
from urllib.parse import quote

from transcript import eventually, expect, told

SOCKET = os.environ["DOCKER_HOST"].removeprefix("unix://")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")
ID = re.compile(r"^[0-9a-z]{25}$")
CONTAINER = re.compile(r"^[0-9a-f]{64}$")


def main():
    made = prepare()
    try:
        traefik()
        visualizer()
        portainer()
    finally:
        put_away(made)


# --- requests ---


class Unix(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("docker", timeout=60)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(SOCKET)


def ask(method, path, body=None, headers=None):
    """Status, headers and bytes of an answer."""
    connection = Unix()
    headers = dict(headers or {})
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, answer.headers, read


def get(path):
    """What is there, as JSON."""
    status, _, body = ask("GET", path)
    expect(status == 200, f"GET {path}", (status, body))
    return json.loads(body)


def post(path, body, wanted=201):
    status, _, answer = ask("POST", path, body)
    expect(status == wanted, f"POST {path}", (status, answer))
    return json.loads(answer) if answer.strip() else None


def filters(**values):
    """As Go's client writes them."""
    return quote(json.dumps({key: {v: True for v in of} for key, of in values.items()}))


# --- what the tools look at ---

SERVICES = [
    {
        "Name": "shop_web",
        "Labels": {
            "com.docker.stack.namespace": "shop",
            "traefik.enable": "true",
            "traefik.http.routers.web.rule": "Host(`shop.example`)",
            "traefik.http.services.web.loadbalancer.server.port": "80",
        },
        "TaskTemplate": {
            "ContainerSpec": {"Image": "web:1", "Args": ["httpd", "-f", "-p", "80", "-h", "/www"]},
        },
        "Mode": {"Replicated": {"Replicas": 3}},
        "EndpointSpec": {"Mode": "vip", "Ports": [{"TargetPort": 80, "PublishedPort": 8097}]},
    },
    {
        "Name": "shop_api",
        "Labels": {"com.docker.stack.namespace": "shop", "traefik.swarm.lbswarm": "true"},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "web:1", "Env": ["A=b"]},
            "Placement": {"Constraints": ["node.role==manager"]},
            "Resources": {"Limits": {"NanoCPUs": 500000000, "MemoryBytes": 33554432}},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {"Mode": "dnsrr"},
    },
    {
        "Name": "talks",
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "busybox",
                "Command": ["sh", "-c", "echo to out; echo to err >&2; exec sleep 1000"],
            },
        },
        "Mode": {"Global": {}},
        "EndpointSpec": {"Mode": "vip"},
    },
    # Nobody ever runs it.
    {
        "Name": "nowhere",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "web:1"},
            "Placement": {"Constraints": ["node.labels.not==there"]},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {"Mode": "vip"},
    },
]


def prepare():
    # Tasks are listed until they have ended, as Docker does it, and the visualizer trips over
    # those whose service is gone.
    there = lambda: {service["ID"] for service in get("/services")}
    left = lambda: [task for task in get("/tasks") if task["ServiceID"] not in there()]
    eventually("no task is left", lambda: not left())
    network = {
        "Name": "shop_front",
        "Driver": "overlay",
        "Attachable": True,
        "CheckDuplicate": True,
    }
    network["Labels"] = {"com.docker.stack.namespace": "shop"}
    network = post("/networks/create", network)["Id"]
    services = []
    for spec in SERVICES:
        if spec["Name"] != "nowhere":
            spec["TaskTemplate"]["Networks"] = [{"Target": network}]
        services.append(post("/services/create", spec)["ID"])
    secret = post("/secrets/create", {"Name": "password", "Data": "czNjcmV0"})["ID"]
    config = post("/configs/create", {"Name": "page", "Data": "cGFnZQ=="})["ID"]
    nodes = len(get("/nodes"))
    for service, count in zip(services, (3, 1, nodes)):
        eventually(f"{count} tasks run", lambda: len(running(service)) == count)
    return network, services, secret, config


def running(service):
    wanted = get(
        f"/tasks?filters={filters(**{'service': [service], 'desired-state': ['running']})}"
    )
    return [t for t in wanted if t["Status"]["State"] == "running"]


def put_away(made):
    network, services, secret, config = made
    for service in services:
        ask("DELETE", f"/services/{service}")
    ask("DELETE", f"/secrets/{secret}")
    ask("DELETE", f"/configs/{config}")
    eventually("the network goes", lambda: ask("DELETE", f"/networks/{network}")[0] in (204, 404))


# --- Traefik ---


def traefik():
    status, headers, _ = ask("HEAD", "/_ping")
    expect(status == 200 and headers["Api-Version"], "a version to agree on", headers)
    # Since version 1.42 of the API.
    expect(headers["Swarm"] in ("active/manager", None), "it is a manager", headers["Swarm"])
    version = "v" + headers["Api-Version"]
    for _ in range(2):
        said = get(f"/{version}/version")
        expect(said["Version"] and said["ApiVersion"] == headers["Api-Version"], "versions", said)
    networks = {n["Id"]: n for n in get(f"/{version}/networks?filters={filters(scope=['swarm'])}")}
    expect({n["Scope"] for n in networks.values()} == {"swarm"}, "only the swarm's", networks)
    backends = {}
    for service in get(f"/{version}/services"):
        spec = service["Spec"]
        name, labels = spec["Name"], spec.get("Labels", {})
        if spec["EndpointSpec"]["Mode"] == "vip":
            virtual = {}
            for ip in service["Endpoint"].get("VirtualIPs", []):
                virtual[networks[ip["NetworkID"]]["Name"]] = on_a_subnet(ip["Addr"])
            told(f"traefik: {name} by its virtual addresses", sorted(virtual))
        if labels.get("traefik.swarm.lbswarm") == "true":
            continue
        of_service = filters(**{"service": [service["ID"]], "desired-state": ["running"]})
        for task in get(f"/{version}/tasks?filters={of_service}"):
            if task["Status"]["State"] != "running":
                continue
            node = get(f"/{version}/nodes/{task['NodeID']}")
            ipaddress.ip_address(node["Status"]["Addr"])
            number = task["ID"] if "Global" in spec["Mode"] else task["Slot"]
            addresses = {
                networks[on["Network"]["ID"]]["Name"]: [on_a_subnet(a) for a in on["Addresses"]]
                for on in task.get("NetworksAttachments", [])
            }
            if addresses:
                backends[f"{name}.{number}"] = addresses
    told("traefik: backends", sorted((name, sorted(on)) for name, on in backends.items()))
    seen = [on["shop_front"][0] for name, on in backends.items() if name.startswith("shop_web")]
    expect(len(set(seen)) == 3, "each task of shop_web has an address of its own", backends)
    reached(seen)


def on_a_subnet(address):
    """The address of `a.b.c.d/n`, the only form that Go's client reads."""
    expect("/" in address, "an address with its prefix", address)
    return str(ipaddress.ip_interface(address).ip)


def reached(addresses):
    """Traefik is on the network itself: a container there gets each task's page."""
    for address in addresses:
        body = {
            "Image": "busybox",
            "Cmd": ["wget", "-qO-", f"http://{address}/"],
            "HostConfig": {"NetworkMode": "shop_front"},
        }
        made = post("/v1.41/containers/create", body)["Id"]
        try:
            post(f"/v1.41/containers/{made}/start", None, 204)
            ended = post(f"/v1.41/containers/{made}/wait", None, 200)
            page = logs(f"/containers/{made}/logs?stdout=1")
            told("traefik: a task answers", [ended["StatusCode"], page])
        finally:
            ask("DELETE", f"/containers/{made}?force=1")


# --- the visualizer ---


def visualizer():
    """Its server passes on unversioned GETs; the rest is what its page does with them."""
    nodes, tasks, services = get("/nodes"), get("/tasks"), get("/services")
    for node in nodes:
        hostname = node["Description"]["Hostname"]
        memory = f"{node['Description']['Resources']['MemoryBytes'] / 1024**3:.3f}G RAM"
        platform = node["Description"]["Platform"]
        expect(hostname and memory and platform["Architecture"] and platform["OS"], "a node", node)
        expect(node["Spec"]["Role"] in ("manager", "worker"), "its role", node)
        expect(node["Status"]["State"] == "ready", "its state", node)
        expect(isinstance(node["Spec"].get("Labels", {}), dict), "its labels", node)
    here = {node["ID"] for node in nodes}
    names = {service["ID"]: service["Spec"]["Name"] for service in services}
    boxes = []
    for task in tasks:
        name = names[task["ServiceID"]]
        expect(TIME.match(task["UpdatedAt"]), "a date that JavaScript reads", task)
        # It draws those that are on a node.
        if task.get("NodeID") not in here:
            continue
        tag = re.search(r"([^/]+?)(:([^/]+))?$", task["Spec"]["ContainerSpec"]["Image"])
        expect(
            CONTAINER.match(task["Status"]["ContainerStatus"]["ContainerID"]), "a container", task
        )
        command = task["Spec"]["ContainerSpec"].get("Args")
        boxes.append((name, tag.group(0), command, task["Status"]["State"]))
    told("visualizer", sorted(boxes, key=str))


# --- Portainer ---


def portainer():
    snapshot()
    lists()
    of_a_service()
    terminal()
    changes()


def snapshot():
    ask("HEAD", "/_ping")
    info = get("/v1.41/info")
    told("portainer: swarm", [info["Swarm"]["ControlAvailable"], info["Swarm"]["LocalNodeState"]])
    for key in (
        "ServerVersion",
        "NCPU",
        "MemTotal",
        "Driver",
        "OperatingSystem",
        "Name",
        "Plugins",
    ):
        expect(info[key], f"info has {key}", info)
    nodes = get("/v1.41/nodes")
    expect(sum(n["Description"]["Resources"]["NanoCPUs"] for n in nodes) > 0, "processors", nodes)
    expect(sum(n["Description"]["Resources"]["MemoryBytes"] for n in nodes) > 0, "memory", nodes)
    services = get("/v1.41/services")
    stacks = {s["Spec"].get("Labels", {}).get("com.docker.stack.namespace") for s in services}
    told("portainer: stacks", sorted(s for s in stacks if s))
    for container in get("/v1.41/containers/json?all=1"):
        expect(container["State"] and container["Names"] is not None, "a container", container)
        if "com.docker.swarm.service.id" in container["Labels"]:
            expect(container["Labels"]["com.docker.swarm.node.id"], "its node", container)
    expect(get("/v1.41/images/json?all=0")[0]["Id"], "images")
    expect("Volumes" in get("/v1.41/volumes"), "volumes")
    expect(get("/v1.41/version")["ApiVersion"], "a version")
    expect(isinstance(get("/v1.41/plugins"), list), "plugins")


def lists():
    for node in get("/v1.41/nodes"):
        engine, manager = node["Description"]["Engine"], node.get("ManagerStatus")
        expect(node["Version"]["Index"] > 0 and engine["EngineVersion"], "a node", node)
        expect({"Type", "Name"} <= set(engine["Plugins"][0]), "plugins of its engine", node)
        if manager:
            told(
                "portainer: a manager",
                [manager["Leader"], manager["Reachability"], manager["Addr"]],
            )
    networks = get("/v1.41/networks")
    for network in networks:
        for key in ("Id", "Name", "Scope", "Driver", "Attachable", "Internal", "IPAM", "Ingress"):
            expect(key in network, f"a network has {key}", network)
    told("portainer: networks", sorted(n["Name"] for n in networks if n["Scope"] == "swarm"))
    for kind in ("secrets", "configs"):
        (found,) = get(f"/v1.41/{kind}")
        expect(found["Version"]["Index"] and TIME.match(found["CreatedAt"]), kind, found)
        told(f"portainer: {kind}", sorted(found["Spec"]))
    swarm = get("/v1.41/swarm")
    expect(swarm["JoinTokens"]["Worker"].startswith("SWMTKN-1-"), "a token", swarm)
    events = ask("GET", "/v1.41/events?since=0&until=1")
    expect(events[0] == 200, "events that are over", events)


def of_a_service():
    status = get("/v1.41/services?status=true")
    counts = {s["Spec"]["Name"]: s["ServiceStatus"] for s in status}
    told("portainer: shop_web", counts["shop_web"])
    told("portainer: nowhere", counts["nowhere"])
    (service,) = get(f"/v1.41/services?filters={filters(name=['shop_web'])}")
    told("portainer: ports", service["Endpoint"]["Ports"])
    (talks,) = get(f"/v1.41/services?filters={filters(name=['talks'])}")
    lines = logs(f"/services/{talks['ID']}/logs?stdout=1&stderr=1&since=0&tail=100")
    told("portainer: logs of a service", sorted(set(lines)))
    task = running(talks["ID"])[0]
    expect("Slot" not in task, "Slot of a global service's task", task)
    lines = logs(f"/tasks/{task['ID']}/logs?stdout=1&stderr=1&timestamps=1&tail=100")
    told("portainer: logs of a task", sorted(lines, key=lambda line: line[1][-6:]))
    waits = get(f"/tasks?filters={filters(service=['nowhere'])}")[0]
    told(
        "portainer: why it waits",
        [waits["Status"]["State"], waits["Status"]["Err"], waits["Status"].get("ContainerStatus")],
    )


def logs(path):
    """The frames of a log: which output, and what."""
    status, _, body = ask("GET", path)
    expect(status == 200, path, body)
    frames = []
    while body:
        output, length = struct.unpack(">B3xI", body[:8])
        frames.append((output, body[8 : 8 + length].decode()))
        body = body[8 + length :]
    return frames


def terminal():
    """Its console: an exec over a connection that is no HTTP any more."""
    here = get("/info")["Swarm"]["NodeID"]
    labels = ["com.docker.swarm.service.name=talks", f"com.docker.swarm.node.id={here}"]
    (container,) = get(f"/v1.41/containers/json?filters={filters(label=labels)}")
    body = {
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": True,
        "Cmd": ["sh"],
        "id": container["Id"],
    }
    ident = post(f"/v1.41/containers/{container['Id']}/exec", body)["Id"]
    connection = Unix()
    connection.connect()
    body = json.dumps({"Tty": True, "Detach": False})
    connection.sock.sendall(
        f"POST /v1.41/exec/{ident}/start HTTP/1.1\r\nHost: docker\r\n"
        "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    seen = until(connection.sock, b"\r\n\r\n")
    told("portainer: exec", seen.split(b"\r\n")[0])
    status, _, _ = ask("POST", f"/v1.41/exec/{ident}/resize?h=40&w=132")
    expect(status in (200, 201), "the terminal gets its size", status)
    connection.sock.sendall(b"echo $((6 * 7)) said\n")
    until(connection.sock, b"42 said\r\n")
    connection.sock.sendall(b"exit 5\n")
    while connection.sock.recv(4096):
        pass
    connection.close()
    ended = get(f"/v1.41/exec/{ident}/json")
    told("portainer: exec ended", [ended["Running"], ended["ExitCode"]])


def until(connection, end):
    seen = b""
    while end not in seen:
        more = connection.recv(4096)
        expect(more, "the connection stays open", seen)
        seen += more
    return seen


def changes():
    """Scales, forces and rolls back as its buttons do: with the spec that it read."""
    (service,) = get(f"/v1.41/services?filters={filters(name=['shop_web'])}")
    ident, spec = service["ID"], service["Spec"]
    spec["Mode"]["Replicated"]["Replicas"] = 2
    update(service, spec)
    eventually("it is scaled", lambda: len(running(ident)) == 2)
    service = get(f"/v1.41/services/{ident}")
    spec = service["Spec"]
    before = {t["ID"] for t in running(ident)}
    spec["TaskTemplate"]["ForceUpdate"] += 1
    update(service, spec)
    eventually("all tasks are new", lambda: len({t["ID"] for t in running(ident)} - before) == 2)
    stale = ask(
        "POST", f"/v1.41/services/{ident}/update?version={service['Version']['Index']}", spec
    )
    told("portainer: a stale write", [stale[0], json.loads(stale[2])])
    (node,) = [n for n in get("/v1.41/nodes") if n.get("ManagerStatus", {}).get("Leader")]
    spec = dict(node["Spec"], Labels={"portainer": "yes"}, Name="")
    status, _, body = ask(
        "POST", f"/v1.41/nodes/{node['ID']}/update?version={node['Version']['Index']}", spec
    )
    expect(status == 200, "a label", body)
    told("portainer: labels", get(f"/v1.41/nodes/{node['ID']}")["Spec"]["Labels"])


def update(service, spec):
    path = f"/v1.41/services/{service['ID']}/update?version={service['Version']['Index']}"
    status, _, body = ask("POST", path, spec)
    expect(status == 200, path, body)


main()
