"""A proxy that configures itself from the swarm's socket, as dockercloud/haproxy does.

    DOCKER_HOST=unix:///… python3 haproxy.py [--hold]

The proxy's task mounts /var/run/docker.sock, as the real one's does. The daemon is a manager and
has the image haproxy, made of Debian's haproxy, python3-docker and haproxy/proxy.py; all nodes
have the images web:1 and busybox. Prints a transcript, see transcript.py.
"""

import re
import sys

import docker
from docker.types import EndpointSpec, Mount, ServiceMode

from transcript import eventually, expect, told

# What every file for a swarm mounts, wherever the engine's socket is.
SOCKET = "/var/run/docker.sock"


def main():
    client = docker.from_env(version="1.41")
    network = client.networks.create("proxy", driver="overlay", attachable=True)
    app = client.services.create(
        "web:1",
        name="app",
        env=["SERVICE_PORTS=80"],
        networks=["proxy"],
        mode=ServiceMode("replicated", replicas=2),
    )
    # No port is named: it is not served.
    other = client.services.create("web:1", name="other", networks=["proxy"])
    lb = client.services.create(
        "haproxy",
        name="lb",
        networks=["proxy"],
        mounts=[Mount(SOCKET, SOCKET, type="bind")],
        endpoint_spec=EndpointSpec(ports={8095: 80, 1936: 1936}),
        constraints=["node.role == manager"],
    )
    try:
        follows(client, app)
        if "--hold" in sys.argv:
            # Whoever started this looks at the published ports.
            print("held", flush=True)
            sys.stdin.readline()
    except SystemExit:
        print(b"".join(lb.logs(stdout=True, stderr=True)).decode(), file=sys.stderr)
        raise
    finally:
        for service in (lb, app, other):
            service.remove()
        eventually("the network goes", lambda: removed(network))


def follows(client, app):
    served = eventually("the proxy serves two tasks", lambda: backends(client, 2))
    expect(served == tasks(app), "they are the service's", served)
    pages = {asked(client, "http://tasks.lb/cgi-bin/who").split()[0] for _ in range(8)}
    told("answered by", len(pages))
    for count in (3, 1):
        app.reload()
        app.scale(count)
        served = eventually(f"the proxy serves {count}", lambda: backends(client, count))
        expect(served == tasks(app), "they are the service's", served)
        pages = {asked(client, "http://tasks.lb/cgi-bin/who").split()[0] for _ in range(2 * count)}
        told(f"{count} answer", len(pages))
    refused = run(client, ["wget", "-qO-", "http://tasks.lb:1936/;csv"])
    told("without its password", refused.strip())


def asked(client, url):
    return run(client, ["wget", "-qO-", url])


def run(client, command):
    """What a container on the network says."""
    try:
        return client.containers.run("busybox", command, network="proxy", remove=True).decode()
    except docker.errors.ContainerError as error:
        return error.stderr.decode()


def backends(client, count):
    """The ids of the tasks that the proxy's page names, where it is so many."""
    page = asked(client, "http://stats:stats@tasks.lb:1936/;csv")
    served = set(re.findall(r"^default_service,app\.\d+\.([0-9a-z]{25}):80,", page, re.M))
    return served if len(served) == count else None


def tasks(app):
    wanted = app.tasks(filters={"desired-state": "running"})
    return {task["ID"] for task in wanted}


def removed(network):
    try:
        network.remove()
    except docker.errors.APIError:
        return False
    return True


main()
