"""What dockercloud/haproxy does in a swarm, in a page: it finds out from the mounted socket who
it is and who is beside it, has haproxy send connections to them, and looks again.

As there (haproxy/helper/swarm_mode_link_helper.py): it knows its own container by HOSTNAME, its
service by that container's label, its networks by their ids; a task is served that runs on one
of them, at the ports that its SERVICE_PORTS names.
"""

import os
import subprocess
import time

import docker

EVERY = 0.5
FILE = "/tmp/haproxy.cfg"
HEAD = """
global
  maxconn 256
defaults
  mode http
  balance roundrobin
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen stats
  bind :1936
  stats enable
  stats uri /
  stats auth stats:stats
frontend default_port_80
  bind :80
  default_backend default_service
backend default_service
"""


def main():
    client = docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto")
    client.ping()
    configured, running = None, None
    while True:
        wanted = HEAD + "".join(f"  server {name} {at}\n" for name, at in backends(client))
        if wanted != configured:
            print(wanted, flush=True)
            with open(FILE, "w") as file:
                file.write(wanted)
            running = run(running)
            configured = wanted
        time.sleep(EVERY)


def backends(client):
    """Names and addresses of those to serve."""
    own = client.inspect_container(os.environ["HOSTNAME"])
    own_service = own["Config"]["Labels"]["com.docker.swarm.service.id"]
    joined = own["NetworkSettings"]["Networks"].items()
    own_networks = {network["NetworkID"] for name, network in joined if name != "ingress"}
    names = {service["ID"]: service["Spec"]["Name"] for service in client.services()}
    found = []
    for task in client.tasks(filters={"desired-state": "running"}):
        if task["ServiceID"] == own_service or task["Status"]["State"] != "running":
            continue
        variables = task["Spec"]["ContainerSpec"].get("Env", [])
        ports = dict(v.split("=", 1) for v in variables if "=" in v).get("SERVICE_PORTS", "")
        for attachment in task.get("NetworksAttachments", []):
            if attachment["Network"]["ID"] in own_networks:
                address = attachment["Addresses"][0].split("/")[0]
                name = f"{names[task['ServiceID']]}.{task.get('Slot', 0)}.{task['ID']}"
                found += [
                    (f"{name}:{port}", f"{address}:{port}") for port in ports.split(",") if port
                ]
                break
    return sorted(found)


def run(before):
    """haproxy with the file as it is now; the one before ends when its connections have."""
    command = ["haproxy", "-db", "-f", FILE]
    if before:
        command += ["-sf", str(before.pid)]
    return subprocess.Popen(command)


main()
