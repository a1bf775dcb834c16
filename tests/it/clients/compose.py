"""docker-compose, the client of single machines, through a swarm's socket.

    DOCKER_HOST=unix:///… python3 compose.py ADDRESS

The daemon is in no swarm yet and has the images web:1 and busybox, and sees this folder.
Prints a transcript, see transcript.py.
"""

import os
import subprocess
import sys

import docker

from transcript import eventually, expect, told

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compose")


def main(address):
    client = docker.from_env(version="1.41")
    client.swarm.init(advertise_addr=address, listen_addr=f"{address}:2377")
    network = client.networks.create("back", driver="overlay", attachable=True)
    up(client)
    again(client)
    told("down", compose("down", "--volumes", "--rmi", "local"))
    told("left", [c.name for c in client.containers.list(all=True)])
    left = {n.name for n in client.networks.list()} | {v.name for v in client.volumes.list()}
    told("left too", sorted(name for name in left if name.startswith("site_")))
    network.remove()
    client.swarm.leave(force=True)


def compose(*words):
    """Runs docker-compose; it must succeed. What it printed."""
    command = ["docker-compose", "--ansi", "never", "--project-name", "site"]
    command += ["--file", os.path.join(FOLDER, "compose.yml"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    expect(done.returncode == 0, " ".join(command), done.stdout + done.stderr)
    return done.stdout


def up(client):
    compose("up", "--detach", "--build")
    told("up", sorted(c.name for c in client.containers.list()))
    told("services", sorted(compose("ps", "--services").split()))
    eventually("the page went over the network", lambda: "mounted here" in compose("logs", "asks"))
    told("exec", compose("exec", "-T", "asks", "cat", "/note"))
    told("port", compose("port", "web", "80"))
    (asks,) = client.containers.list(filters={"label": "com.docker.compose.service=asks"})
    told("networks", sorted(asks.attrs["NetworkSettings"]["Networks"]))
    joined = client.networks.get("back").attrs["Containers"].values()
    expect(asks.name in [c["Name"] for c in joined], "it is on the swarm's network", joined)


def again(client):
    before = sorted(c.id for c in client.containers.list())
    compose("up", "--detach")
    expect(sorted(c.id for c in client.containers.list()) == before, "nothing was made anew")
    compose("up", "--detach", "--scale", "asks=2")
    told("scaled", sorted(c.name for c in client.containers.list()))
    compose("restart", "--timeout", "0", "asks")
    compose("stop", "--timeout", "0")
    told("stopped", sorted(c.status for c in client.containers.list(all=True)))
    compose("start")


main(sys.argv[1])
