"""Tasks, jobs and events."""

import time

from engines import eventually, filters

from .shared import base64_of, least, runs


def tasks(ask, alpha):
    """Tasks: one that runs, one that failed, and logs."""
    path = "/v1.41/tasks"
    spec = least("talk", "sh", "-c", "echo hello; echo trouble >&2; exec sleep 1000")
    task = spec["TaskTemplate"]
    task["Networks"] = [{"Target": "back", "Aliases": ["speaker"]}]
    task["Placement"] = {"Constraints": ["node.role==manager"]}
    task["ContainerSpec"]["Env"] = ["A=b"]
    spec["EndpointSpec"] = {
        "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8081, "PublishMode": "host"}
        ]
    }
    spec["Labels"] = {"tier": "front"}
    ask("made", "POST", "/v1.41/services/create", spec)
    eventually("it runs", lambda: runs(alpha, "talk"))
    listed = ask("its task", "GET", path, query=filters(service=["talk"]))
    ask("by id", "GET", f"{path}/{listed[0]['ID']}")
    ask(
        "by what is wanted", "GET", path, query=filters(service=["talk"], desired_state=["running"])
    )
    ask("up to date", "GET", path, query=filters(service=["talk"], up_to_date=["true"]))
    ask("by a node's name", "GET", path, query=filters(service=["talk"], node=["alpha"]))
    ask("on another node", "GET", path, query=filters(service=["talk"], node=["beta"]))
    ask("by a label", "GET", path, query=filters(label=["tier=front"]))
    ask("an unknown filter", "GET", path, query=filters(colour=["red"]))
    ask("a bad wish", "GET", path, query=filters(desired_state=["x"]))
    ask("no such task", "GET", f"{path}/gone")
    lines = lambda: len(alpha.call("GET", "/v1.41/services/talk/logs?stdout=1&stderr=1").text) > 20
    eventually("its lines", lines)
    for query in ["stdout=1", "stderr=1", "stdout=1&details=1"]:
        ask("what it said", "GET", f"/v1.41/services/talk/logs?{query}")
    ask("what the task said", "GET", f"{path}/{listed[0]['ID']}/logs?stdout=1")
    ask("nothing chosen", "GET", "/v1.41/services/talk/logs")
    ask("no such service", "GET", "/v1.41/services/gone/logs?stdout=1")
    ask("no such task", "GET", f"{path}/gone/logs?stdout=1")
    ask("a network in full", "GET", "/v1.41/networks/back")

    failing = least("fail", "sh", "-c", "exit 3")
    failing["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    ask("one that fails", "POST", "/v1.41/services/create", failing)
    failed = lambda: [
        t for t in alpha.get("/tasks", service=["fail"]) if t["Status"]["State"] == "failed"
    ]
    eventually("it fails", failed)
    eventually("it is wanted no more", lambda: failed()[0]["DesiredState"] == "shutdown")
    ask("a task that failed", "GET", path, query=filters(service=["fail"]))
    waiting = least("wait", "sleep", "1000")
    waiting["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.rack==none"]}
    ask("one that no node takes", "POST", "/v1.41/services/create", waiting)
    eventually(
        "it waits",
        lambda: [t for t in alpha.get("/tasks", service=["wait"]) if t["Status"].get("Err")],
    )
    ask("a task that waits", "GET", path, query=filters(service=["wait"]))


def jobs(ask, alpha):
    """Jobs."""
    path = "/v1.41/services"
    job = least("job", "true", Mode={"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}})
    made = ask("a job", "POST", f"{path}/create", job)
    done = lambda name: [
        t for t in alpha.get("/tasks", service=[name]) if t["Status"]["State"] == "complete"
    ]
    eventually("it is done", lambda: done("job"))
    ask("a job, shown", "GET", f"{path}/job")
    ask("a job, with defaults", "GET", f"{path}/job?insertDefaults=true")
    ask("a job's task", "GET", "/v1.41/tasks", query=filters(service=["job"]))
    ask(
        "jobs, and how they stand",
        "GET",
        f"{path}?status=true",
        query=filters(mode=["replicated-job"]),
    )
    shown = alpha.get(f"/services/{made['ID']}")
    bad = {**job, "Mode": {"Replicated": {"Replicas": 1}}}
    ask("modes stay", "POST", f"{path}/job/update?version={shown['Version']['Index']}", bad)
    ask(
        "a job on each node",
        "POST",
        f"{path}/create",
        least("once", "true", Mode={"GlobalJob": {}}),
    )
    eventually("it is done twice", lambda: len(done("once")) == 2)
    ask("a job on each node, shown", "GET", f"{path}/once")


def events(ask, alpha):
    """What is told of what happened."""
    begun = time.time()
    told = {**least("told", "sleep", "1"), "Mode": {"Replicated": {"Replicas": 0}}}
    made = ask("made", "POST", "/v1.41/services/create", told)
    note = {"Name": "note", "Data": base64_of("x")}
    ask("made", "POST", "/v1.41/configs/create", note)
    ask("made", "POST", "/v1.41/secrets/create", note)
    ask("made", "POST", "/v1.41/networks/create", {"Name": "wire", "Driver": "overlay"})
    # Each is told of on its own.
    time.sleep(1)
    index = alpha.get("/services/told")["Version"]["Index"]
    shown = ask("as it is", "GET", f"/v1.41/services/{made['ID']}")
    told["Mode"]["Replicated"]["Replicas"] = 1
    told["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.rack==none"]}
    assert shown["Version"]["Index"] == index, "it rests"
    ask("changed", "POST", f"/v1.41/services/{made['ID']}/update?version={index}", told)
    for path in ["services/told", "configs/note", "secrets/note", "networks/wire"]:
        time.sleep(0.5)
        ask("removed", "DELETE", f"/v1.41/{path}")
    time.sleep(1.5)
    span = {"since": f"{begun:.9f}", "until": f"{time.time():.9f}"}
    names = {"service": "told", "config": "note", "secret": "note", "network": "wire"}
    for kind, name in names.items():
        wanted = filters(scope=["swarm"], type=[kind], **{kind: [name]})
        ask(f"what happened to the {kind}", "GET", "/v1.41/events", query={**span, **wanted})
