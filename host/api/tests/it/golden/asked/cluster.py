"""A node in no swarm, the swarm, its nodes, its lock, its end."""

import json

from engines import eventually, filters

from .shared import SECOND

# One that unlocks nothing.
OTHER_KEY = "SWMKEY-1-" + 43 * "A"
# What a manager alone answers.
LISTS = [
    "/swarm",
    "/swarm/unlockkey",
    "/nodes",
    "/services",
    "/services/web",
    "/tasks",
    "/secrets",
    "/configs",
]


def before(ask):
    """A node that is in no swarm."""
    ask("ping", "GET", "/_ping")
    ask("ping without a body", "HEAD", "/_ping")
    ask("the swarm's part of info", "GET", "/v1.41/info", part="/Swarm")
    for path in [
        "/swarm",
        "/swarm/unlockkey",
        "/nodes",
        "/nodes/alpha",
        "/services",
        "/services/web",
        "/services/web/logs?stdout=1",
        "/tasks",
        "/tasks/task",
        "/tasks/task/logs?stdout=1",
        "/secrets",
        "/secrets/one",
        "/configs",
        "/configs/one",
    ]:
        ask("not in a swarm", "GET", f"/v1.41{path}")
    for path in [
        "/swarm/update?version=1",
        "/nodes/alpha/update?version=1",
        "/services/create",
        "/services/web/update?version=1",
        "/secrets/create",
        "/secrets/one/update?version=1",
        "/configs/create",
        "/configs/one/update?version=1",
    ]:
        ask("not in a swarm", "POST", f"/v1.41{path}", {})
    for path in ["/nodes/alpha", "/services/web", "/secrets/one", "/configs/one"]:
        ask("not in a swarm", "DELETE", f"/v1.41{path}")
    ask("not in a swarm", "POST", "/v1.41/networks/create", {"Name": "back", "Driver": "overlay"})
    ask("leaving none", "POST", "/v1.41/swarm/leave")
    ask("leaving none by force", "POST", "/v1.41/swarm/leave?force=1")
    ask("unlocking none", "POST", "/v1.41/swarm/unlock", {"UnlockKey": "SWMKEY-1-x"})
    ask("a path that there is not", "GET", "/v1.41/swarms")
    ask("a method that there is not", "PUT", "/v1.41/swarm")
    ask("a version too new", "GET", "/v1.99/services")
    bad = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "127.0.0.1:2377"}
    ask("joining nobody", "POST", "/v1.41/swarm/join", {**bad, "RemoteAddrs": []})
    ask("a bad availability", "POST", "/v1.41/swarm/init", {**bad, "Availability": "sleepy"})
    ask("a bad pool", "POST", "/v1.41/swarm/init", {**bad, "DefaultAddrPool": ["ten"]})
    ask(
        "a subnet size too small",
        "POST",
        "/v1.41/swarm/init",
        {**bad, "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 31},
    )
    ask("a bad port for data", "POST", "/v1.41/swarm/init", {**bad, "DataPathPort": 80})


def founding(ask, alpha):
    """The swarm and its settings."""
    init = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": f"{alpha.address}:2377",
        "DataPathPort": 4790,
        "DefaultAddrPool": ["10.20.0.0/16"],
        "SubnetSize": 25,
        "Availability": "active",
        "Spec": {},
    }
    ask("init", "POST", "/v1.41/swarm/init", init)
    ask("init again", "POST", "/v1.41/swarm/init", init)
    ask(
        "join as well",
        "POST",
        "/v1.41/swarm/join",
        {"RemoteAddrs": ["10.0.0.1:2377"], "JoinToken": "x"},
    )
    ask("ping of a manager", "GET", "/_ping")
    swarm = ask("the swarm", "GET", "/v1.41/swarm")
    ask("the swarm's part of info", "GET", "/v1.41/info", part="/Swarm")
    ask("no unlock key", "GET", "/v1.41/swarm/unlockkey")
    ask("unlocking what is not locked", "POST", "/v1.41/swarm/unlock", {"UnlockKey": "SWMKEY-1-x"})
    ask("the last manager stays", "POST", "/v1.41/swarm/leave")

    spec, index = swarm["Spec"], swarm["Version"]["Index"]
    ask("no version", "POST", "/v1.41/swarm/update", spec)
    ask("a version that is none", "POST", "/v1.41/swarm/update?version=x", spec)
    ask("an old version", "POST", "/v1.41/swarm/update?version=1", spec)
    spec["Orchestration"]["TaskHistoryRetentionLimit"] = 3
    spec["Dispatcher"]["HeartbeatPeriod"] = 6 * SECOND
    spec["CAConfig"]["NodeCertExpiry"] = 48 * 3600 * SECOND
    spec["Labels"] = {"place": "here"}
    ask("settings change", "POST", f"/v1.41/swarm/update?version={index}", spec)
    ask("an index counts once", "POST", f"/v1.41/swarm/update?version={index}", spec)
    swarm = ask("changed", "GET", "/v1.41/swarm")
    index = swarm["Version"]["Index"]
    short = json.loads(json.dumps(spec))
    short["CAConfig"]["NodeCertExpiry"] = 60 * SECOND
    ask("certificates that end too soon", "POST", f"/v1.41/swarm/update?version={index}", short)
    ask(
        "tokens rotate", "POST", f"/v1.41/swarm/update?version={index}&rotateWorkerToken=true", spec
    )
    swarm = ask("rotated", "GET", "/v1.41/swarm")
    spec["EncryptionConfig"] = {"AutoLockManagers": True}
    index = swarm["Version"]["Index"]
    ask("managers lock themselves", "POST", f"/v1.41/swarm/update?version={index}", spec)
    ask("the unlock key", "GET", "/v1.41/swarm/unlockkey")
    swarm = ask("locking", "GET", "/v1.41/swarm")
    spec["EncryptionConfig"] = {"AutoLockManagers": False}
    index = swarm["Version"]["Index"]
    ask("and no more", "POST", f"/v1.41/swarm/update?version={index}", spec)
    ask("no unlock key any more", "GET", "/v1.41/swarm/unlockkey")


def nodes(ask, alpha, beta):
    """Two nodes, and what the worker says."""
    join = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": f"{beta.address}:2377",
        "RemoteAddrs": [f"{alpha.address}:2377"],
        "JoinToken": alpha.get("/swarm")["JoinTokens"]["Worker"],
        "Availability": "active",
    }
    ask("a worker joins", "POST", "/v1.41/swarm/join", join, to="beta")
    ready = lambda: [n for n in alpha.get("/nodes") if n["Status"]["State"] == "ready"]
    eventually("two nodes", lambda: len(ready()) == 2)
    ask("joining twice", "POST", "/v1.41/swarm/join", join, to="beta")
    ask("ping of a worker", "GET", "/_ping", to="beta")
    ask("the swarm's part of a worker's info", "GET", "/v1.41/info", to="beta", part="/Swarm")
    for path in LISTS:
        ask("workers do not say", "GET", f"/v1.41{path}", to="beta")
    ask("workers do not write", "POST", "/v1.41/services/create", {}, to="beta")
    ask("workers do not write", "POST", "/v1.41/secrets/create", {}, to="beta")
    ask("workers do not write", "DELETE", "/v1.41/services/web", to="beta")
    ask(
        "workers do not unlock",
        "POST",
        "/v1.41/swarm/unlock",
        {"UnlockKey": "SWMKEY-1-x"},
        to="beta",
    )

    ask("nodes", "GET", "/v1.41/nodes")
    node = ask("a node by its name", "GET", "/v1.41/nodes/beta")
    path = f"/v1.41/nodes/{node['ID']}"
    spec = {
        "Name": "second",
        "Labels": {"rack": "2", "empty": ""},
        "Role": "worker",
        "Availability": "pause",
    }
    ask("no version", "POST", f"{path}/update", spec)
    ask("an old version", "POST", f"{path}/update?version=1", spec)
    index = node["Version"]["Index"]
    ask("a bad role", "POST", f"{path}/update?version={index}", {**spec, "Role": "boss"})
    ask(
        "a bad availability",
        "POST",
        f"{path}/update?version={index}",
        {**spec, "Availability": "busy"},
    )
    ask("a node's settings", "POST", f"{path}/update?version={index}", spec)
    node = ask("a node by its id", "GET", path)
    ask("the beginning of an id", "GET", path[:-3])
    ask("no such node", "GET", "/v1.41/nodes/gamma")
    ask("no such node", "POST", "/v1.41/nodes/gamma/update?version=1", spec)
    ask("no such node", "DELETE", "/v1.41/nodes/gamma")
    spec["Availability"] = "active"
    ask("active again", "POST", f"{path}/update?version={node['Version']['Index']}", spec)
    for wanted in [
        {"role": ["worker"]},
        {"name": ["be"]},
        {"node_label": ["rack=2"]},
        {"label": ["disk=hdd"]},
        {"membership": ["pending"]},
    ]:
        ask("nodes by " + ", ".join(wanted), "GET", "/v1.41/nodes", query=filters(**wanted))
    ask("an unknown filter", "GET", "/v1.41/nodes", query=filters(colour=["red"]))
    ask("a filter that is none", "GET", "/v1.41/nodes?filters=red")
    ask("a bad role", "GET", "/v1.41/nodes", query=filters(role=["boss"]))
    ask("a node that lives stays", "DELETE", path)
    me = ask("the manager", "GET", "/v1.41/nodes/alpha")
    ask("a manager stays", "DELETE", f"/v1.41/nodes/{me['ID']}")
    demoted = {**me["Spec"], "Role": "worker"}
    index = me["Version"]["Index"]
    ask(
        "the last manager stays one",
        "POST",
        f"/v1.41/nodes/{me['ID']}/update?version={index}",
        demoted,
    )


def locked(ask, alpha):
    """A manager that has started and waits for its key."""
    swarm = ask("not locking", "GET", "/v1.41/swarm")
    spec = {**swarm["Spec"], "EncryptionConfig": {"AutoLockManagers": True}}
    index = swarm["Version"]["Index"]
    ask("managers lock themselves", "POST", f"/v1.41/swarm/update?version={index}", spec)
    key = ask("the key", "GET", "/v1.41/swarm/unlockkey")["UnlockKey"]
    alpha.restart_engine()
    ask("locked", "GET", "/v1.41/info", part="/Swarm")
    for path in LISTS:
        ask("a locked one does not say", "GET", f"/v1.41{path}")
    ask("a locked one does not write", "POST", "/v1.41/services/create", {})
    ask("a locked one does not write", "DELETE", "/v1.41/services/web")
    ask("a locked one stays", "POST", "/v1.41/swarm/leave")
    address = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "127.0.0.1:2377"}
    ask("a locked one has a swarm", "POST", "/v1.41/swarm/init", address)
    ask("another key", "POST", "/v1.41/swarm/unlock", {"UnlockKey": OTHER_KEY})
    ask("a key that is none", "POST", "/v1.41/swarm/unlock", {"UnlockKey": "open"})
    ask("its key", "POST", "/v1.41/swarm/unlock", {"UnlockKey": key})
    eventually("it leads", lambda: alpha.call("GET", "/v1.41/swarm").status == 200)
    ask("unlocked", "GET", "/v1.41/swarm/unlockkey")
    ask("its key again", "POST", "/v1.41/swarm/unlock", {"UnlockKey": key})


def end(ask, alpha, beta):
    """Everything goes."""
    for name in ["rich", "web", "talk", "fail", "wait", "job", "once"]:
        ask("removed", "DELETE", f"/v1.41/services/{name}")
    names = lambda task: [
        on["Network"]["Spec"]["Name"] for on in task.get("NetworksAttachments", [])
    ]
    eventually("tasks leave it", lambda: not [t for t in alpha.get("/tasks") if "back" in names(t)])
    ask("removed", "DELETE", "/v1.41/secrets/words")
    ask("removed", "DELETE", "/v1.41/configs/words")
    ask("removed", "DELETE", "/v1.41/networks/back")
    ask("the worker leaves", "POST", "/v1.41/swarm/leave", to="beta")
    ask("the worker has left", "GET", "/v1.41/info", to="beta", part="/Swarm")
    down = lambda: [n for n in alpha.get("/nodes") if n["Status"]["State"] == "down"]
    eventually("the worker is down", down)
    ask("a node that is down", "GET", "/v1.41/nodes/beta")
    ask("removed", "DELETE", "/v1.41/nodes/beta")
    ask("leaving by force", "POST", "/v1.41/swarm/leave?force=1")
    ask("in no swarm", "GET", "/v1.41/info", part="/Swarm")
