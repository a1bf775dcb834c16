"""Debian's prometheus finds a swarm's nodes, services and tasks by itself (dockerswarm_sd).

    DOCKER_HOST=unix:///… python3 prometheus.py

The daemon is a manager; every node has the image web:1. Prints a transcript, see transcript.py.
"""

import json
import os
import socket
import subprocess
import tempfile
import urllib.request

import docker
from docker.types import EndpointSpec, ServiceMode

from transcript import eventually, masked, told

ROLES = ("nodes", "services", "tasks")


def main():
    client = docker.from_env(version="1.41")
    nodes = len(client.nodes.list())
    network = client.networks.create("watched", driver="overlay", labels={"tier": "front"})
    service = client.services.create(
        "web:1",
        name="web",
        labels={"scrape": "yes"},
        container_labels={"inner": "yes"},
        networks=["watched"],
        constraints=["node.role == manager"],
        mode=ServiceMode("replicated", replicas=2),
        endpoint_spec=EndpointSpec(ports={8096: 80}),
    )
    try:
        eventually("two tasks run", lambda: running(service) == 2)
        # A task is found at each of its addresses and ports: two networks, one port.
        targets = found({"nodes": nodes, "services": 2, "tasks": 4})
        for role in ROLES:
            labels = [of["discoveredLabels"] for of in targets if of["scrapePool"] == role]
            told(role, sorted((masked(known(of)) for of in labels), key=json.dumps))
    finally:
        service.remove()
        eventually("the network goes", lambda: removed(network))


def running(service):
    wanted = service.tasks(filters={"desired-state": "running"})
    return sum(task["Status"]["State"] == "running" for task in wanted)


def removed(network):
    try:
        network.remove()
    except docker.errors.APIError:
        return False
    return True


def found(counts):
    """What prometheus finds, once it is so much of each role."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            {
                "job_name": role,
                "dockerswarm_sd_configs": [
                    {"host": os.environ["DOCKER_HOST"], "role": role, "refresh_interval": "1s"}
                ],
            }
            for role in ROLES
        ]
        # JSON is YAML, too.
        with open(os.path.join(folder, "prometheus.yml"), "w") as file:
            json.dump({"scrape_configs": jobs}, file)
        address = f"127.0.0.1:{free_port()}"
        command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
        ]
        with open(os.path.join(folder, "log"), "w+") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                return eventually(f"prometheus finds {counts}", lambda: targets(address, counts))
            except SystemExit:
                log.seek(0)
                print(log.read())
                raise
            finally:
                server.terminate()
                server.wait()


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def targets(address, counts):
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/targets?state=active") as answer:
            active = json.load(answer)["data"]["activeTargets"]
    except OSError:
        return None
    seen = {role: sum(of["scrapePool"] == role for of in active) for role in counts}
    return active if seen == counts else None


def known(labels):
    """Without what is Prometheus' own."""
    own = ("__metrics_path__", "__scheme__", "__scrape_interval__", "__scrape_timeout__", "job")
    host = ("node_hostname", "node_engine_version")
    kept = {key: value for key, value in labels.items() if key not in own}
    return {key: "<own>" if key.endswith(host) else value for key, value in kept.items()}


main()
