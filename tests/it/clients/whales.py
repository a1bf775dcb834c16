"""python-on-whales, which runs the docker client and reads what it prints into typed objects.

    DOCKER_HOST=unix:///… python3 whales.py ADDRESS

The daemon is in no swarm yet and has the images web:1, web:2 and busybox. Prints a
transcript, see transcript.py.
"""

import os
import sys
import tempfile
from pathlib import Path

from python_on_whales import DockerClient
from python_on_whales.exceptions import DockerException, NoSuchService

from transcript import eventually, expect, told

STACK = """
version: "3.8"
services:
  web:
    image: web:1
    networks: [front]
    configs: [{source: page, target: /www/page.html}]
    deploy: {replicas: 2}
networks:
  front: {driver: overlay, attachable: true}
configs:
  page: {file: ./page.html}
"""


def main(address):
    docker = DockerClient(host=os.environ["DOCKER_HOST"])
    docker.swarm.init(advertise_address=address, listen_address=f"{address}:2377")
    info = docker.system.info().swarm
    told("info", [info.local_node_state, info.control_available, info.managers, info.nodes])
    token = docker.swarm.join_token("worker")
    expect(docker.swarm.join_token("worker", rotate=True) != token, "the token is another one")
    nodes(docker)
    with tempfile.TemporaryDirectory() as folder:
        data(docker, Path(folder))
        service(docker)
        stack(docker, Path(folder))
    volumes_and_containers(docker)
    docker.swarm.leave(force=True)
    told("left", docker.system.info().swarm.local_node_state)


def refused(what, call):
    try:
        call()
    except DockerException as error:
        told(what, [type(error).__name__, (error.stderr or "").strip()])
        return
    sys.exit(f"not refused: {what}")


def nodes(docker):
    (node,) = docker.node.list()
    told("node", [node.spec.role, node.spec.availability, node.status.state])
    told("manager", [node.manager_status.leader, node.manager_status.reachability])
    told("platform", node.description.platform.os)
    docker.node.update(node, labels_add={"rack": "a"}, availability="drain")
    told("labels", [node.spec.labels, node.spec.availability])
    docker.node.update(node, rm_labels=["rack"], availability="active")
    told("no labels", [node.spec.labels, node.spec.availability])
    told("tasks of it", docker.node.ps(node))
    refused("demote", lambda: docker.node.demote(node))


def data(docker, folder):
    (folder / "secret").write_text("s3cret")
    (folder / "page.html").write_text("from a config\n")
    secret = docker.secret.create("password", folder / "secret", labels={"a": "b"})
    told("secret", [secret.spec.name, secret.spec.labels])
    told("secrets", [s.spec.name for s in docker.secret.list(filters={"name": "password"})])
    config = docker.config.create("page", folder / "page.html", labels={"a": "b"})
    told("config", [config.spec.name, config.spec.labels, config.spec.data])
    told("configs", [c.spec.name for c in docker.config.list()])
    config.remove()
    told("no configs", docker.config.list())


def service(docker):
    network = docker.network.create("back", driver="overlay", attachable=True)
    told("network", [network.name, network.driver, network.scope, network.attachable])
    web = docker.service.create(
        "web:1",
        None,
        envs={"GREETING": "hello"},
        labels={"tier": "front"},
        constraints=["node.role==manager"],
        network="back",
        secrets=[{"source": "password", "target": "given"}],
        mounts=[{"type": "tmpfs", "target": "/scratch"}],
        limit_memory="64m",
        restart_condition="any",
    )
    name = web.spec.name
    told("service", [web.spec.labels, web.spec.mode])
    told("template", web.spec.task_template.container_spec)
    expect(docker.service.exists(name), "the service exists")
    docker.service.scale({name: 2}, detach=True)
    tasks = eventually("two tasks run", lambda: run(docker, name, 2))
    told("task", [tasks[0].desired_state, tasks[0].status.message, tasks[0].slot])
    expect({t.node_id for t in tasks} == {docker.node.list()[0].id}, "they are here")
    container = docker.container.inspect(tasks[0].status.container_status.container_id)
    told("secret inside", container.execute(["cat", "/run/secrets/given"]))
    told(
        "page",
        docker.run(
            "busybox", ["wget", "-qO-", f"http://tasks.{name}/"], networks=["back"], remove=True
        ),
    )
    web.update(image="web:2", replicas=1)
    told("image", web.spec.task_template.container_spec.image)
    eventually("the update ends", lambda: web.update_status.state == "completed")
    web.update(force=True)
    told("forced", [web.update_status.state, web.update_status.message])
    talks = docker.service.create(
        "busybox", ["sh", "-c", "echo to out; sleep 1000"], restart_condition="none"
    )
    logs = lambda: docker.service.logs(talks, raw=True)
    told("logs", eventually("it talks", logs))
    told("stack of none", [s.spec.name in (name, talks.spec.name) for s in docker.service.list()])
    for gone in (web, talks):
        gone.remove()
    try:
        docker.service.inspect(name)
        sys.exit("the service is still there")
    except NoSuchService:
        told("gone", docker.service.list())
    docker.secret.remove("password")
    eventually("the network goes", lambda: removed(network))


def removed(network):
    return tried(lambda: [network.remove()])


def tried(call):
    try:
        return call()
    except DockerException:
        return None


def run(docker, name, count):
    tasks = [t for t in docker.service.ps(name) if t.desired_state == "running"]
    running = [t for t in tasks if t.status.state == "running"]
    return running if len(running) == len(tasks) == count else None


def stack(docker, folder):
    file = folder / "stack.yml"
    file.write_text(STACK)
    demo = docker.stack.deploy("demo", compose_files=file, resolve_image="never")
    eventually("two tasks run", lambda: run(docker, "demo_web", 2))
    told("stacks", [str(s) for s in docker.stack.list()])
    told("services", [s.spec.name for s in demo.services()])
    told("tasks", sorted(t.slot for t in docker.stack.ps("demo")))
    docker.stack.deploy("demo", compose_files=file, resolve_image="never")
    told("again", len(docker.stack.ps("demo")))
    demo.remove()
    eventually(
        "the network is gone", lambda: not tried(lambda: docker.network.exists("demo_front"))
    )
    told("none left", docker.stack.list())


def volumes_and_containers(docker):
    volume = docker.volume.create("kept", labels={"a": "b"})
    told("volume", [volume.name, volume.driver, volume.labels])
    container = docker.run(
        "busybox", ["sleep", "1000"], name="plain", detach=True, volumes=[("kept", "/data")]
    )
    told("container", [container.name, container.state.running])
    told("exec", container.execute(["sh", "-c", "echo kept > /data/note; cat /data/note"]))
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "note"
        container.copy_from("/data/note", note)
        told("copied", note.read_text())
        note.write_text("changed\n")
        container.copy_to(note, "/data/note")
    told("changed", container.execute(["cat", "/data/note"]))
    told("listed", [c.name for c in docker.container.list(filters={"name": "plain"})])
    told("stats", [s.container_name for s in docker.container.stats(["plain"])])
    container.remove(force=True)
    volume.remove()


main(sys.argv[1])
