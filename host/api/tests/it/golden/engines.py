"""Machines on this machine for record.py: namespaces of their own with a Docker engine each, as
tests/it/support/machine.rs has them."""

import http.client
import io
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tarfile
import time
import urllib.parse

RUNC = pathlib.Path(__file__).resolve().parents[5] / "tests/it/support/runc.sh"
CAP_SYS_RESOURCE = 24
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]
INIT = """set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mount --make-rshared /
hostname "$NAME"
ip link set lo up
echo ready
while sleep 3600; do :; done
"""


class Machine:
    """A namespace of everything, with an engine in it."""

    def __init__(self, folder, name, number):
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.address = f"10.98.9.{number}"
        self.socket = self.folder / "docker.sock"
        unshare = ["unshare", "--net", "--mount", "--propagation", "slave", "--uts", "--pid"]
        unshare += ["--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", INIT]
        environment = dict(os.environ, NAME=name)
        self.holder = subprocess.Popen(
            DIES_WITH_US + unshare, stdout=subprocess.PIPE, env=environment, text=True
        )
        assert self.holder.stdout.readline() == "ready\n", f"{name} did not get ready"
        pid = self.holder.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        self.first = children.split()[0]
        self.engine = None

    def run(self, *words):
        subprocess.run(["nsenter", "--target", self.first, "--net", *words], check=True)

    def address_cable(self):
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def start(self):
        self.start_engine()
        image = archive_of_busybox()
        query = urllib.parse.urlencode({"fromSrc": "-", "repo": "busybox", "tag": "1"})
        self.call("POST", f"/images/create?{query}", image, {"Content-Type": "application/x-tar"})

    def restart_engine(self):
        ends = "kill $(cat /run/dockerd.pid)"
        enter = ["nsenter", "--target", self.first, "--mount", "--pid", "sh", "-c", ends]
        subprocess.run(enter, check=True)
        self.engine.wait()
        self.start_engine()

    def start_engine(self):
        log = open(self.folder / "dockerd.log", "a")
        enter = ["nsenter", "--target", self.first, "--net", "--mount", "--pid", "--uts"]
        flags = [
            "/usr/sbin/dockerd",
            f"--data-root={self.folder}/docker",
            f"--host=unix://{self.socket}",
            "--exec-root=/run/docker",
            "--pidfile=/run/dockerd.pid",
            f"--cgroup-parent=/{self.group()}",
            "--storage-driver=vfs",
            f"--label=machine={self.name}",
            "--node-generic-resource=gpu=2",
            *runtime(),
        ]
        self.engine = subprocess.Popen(
            DIES_WITH_US + enter + flags, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        eventually(f"{self.name}'s engine answers", self.is_up)

    def is_up(self):
        try:
            return self.call("GET", "/_ping").status == 200
        except OSError:
            return False

    def call(self, method, path, body=None, headers=None):
        connection = UnixConnection(self.socket)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.text = answer.read()
        connection.close()
        return answer

    def get(self, path, **wanted):
        query = filters(**wanted) if wanted else {}
        return json.loads(self.call("GET", address(f"/v1.41{path}", query)).text)

    def group(self):
        return f"swarmw-golden-{os.getpid()}-{self.name}"

    def end(self):
        self.holder.kill()
        self.holder.wait()
        if self.engine:
            self.engine.wait()
        for hierarchy in pathlib.Path("/sys/fs/cgroup").iterdir():
            remove_groups(hierarchy / self.group())


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


def runtime():
    """What containers are started by where this machine lacks a capability itself."""
    status = pathlib.Path("/proc/self/status").read_text()
    bounds = int(re.search(r"CapBnd:\s*(\w+)", status)[1], 16)
    if bounds & (1 << CAP_SYS_RESOURCE):
        return []
    return [f"--add-runtime=within-bounds={RUNC}", "--default-runtime=within-bounds"]


def archive_of_busybox():
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as archive:
        archive.add("/usr/bin/busybox", "bin/busybox")
        for name in ["sh", "sleep", "echo", "true", "false"]:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return kept.getvalue()


def eventually(what, holds, seconds=60):
    until = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > until:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.2)
    return found


def remove_groups(group):
    if group.is_dir():
        for inner in group.iterdir():
            remove_groups(inner)
        group.rmdir()


def address(path, query):
    encoded = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
    return f"{path}?{urllib.parse.urlencode(encoded)}" if query else path


def filters(**wanted):
    """As the Go client writes them; `_` stands for what names cannot have."""
    names = {
        "node_label": "node.label", "desired_state": "desired-state", "up_to_date": "_up-to-date"
    }
    by_name = {names.get(k, k): {v: True for v in values} for k, values in wanted.items()}
    return {"filters": by_name}
