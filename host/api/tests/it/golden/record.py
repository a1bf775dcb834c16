"""Records what a real Docker engine in swarm mode answers; mod.rs holds our API beside it.

    sudo python3 host/api/tests/it/golden/record.py

Needs root, /usr/sbin/dockerd (recorded with Debian's docker.io 20.10.24, API 1.41) and
/usr/bin/busybox (busybox-static). Takes about a minute and no network: two machines, `alpha` and
`beta`, are namespaces of their own on this one, with an engine each, joined by a cable of their
own. They found a swarm, and each request of asked/ is sent to one of them; what is asked and
answered is written into `recorded/`, a file for each group, in the order in which it happened.
Everything that was started ends with the program.

Answers stand as they came, but for certificates, keys and tokens, whose kind is written instead
(`<join token>`), and for the frames of logs and the lines of events, which stand one by one.
`GET /distribution` is not among them: it asks a registry.

To add an exchange, add a line to its group in asked/ and record all of them again: ids, versions
and moments of one recording belong together.
"""

import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

from asked import cluster, data, refusals, services, tasks
from engines import Machine, address

RECORDED = pathlib.Path(__file__).resolve().parent / "recorded"
HEADERS = ["Api-Version", "Content-Type", "Docker-Experimental", "Ostype", "Swarm"]


class Recorder:
    """Sends requests to machines and keeps what was said."""

    def __init__(self, machines):
        self.machines, self.groups, self.group = machines, {}, None

    def begin(self, group):
        self.group = self.groups.setdefault(group, [])

    def ask(self, what, method, path, body=None, query=None, to="alpha", part=None):
        """Asks and writes down; gives what the answer holds. Of a long answer, `part` is kept."""
        path, _, text = path.partition("?")
        query = {**dict(urllib.parse.parse_qsl(text)), **(query or {})}
        target = address(path, query)
        headers = {} if body is None else {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        answer = self.machines[to].call(method, target, text, headers)
        exchange = {"what": what, "ask": f"{method} {path}"}
        if query:
            exchange["query"] = query
        if to != "alpha":
            exchange["to"] = to
        if body is not None:
            exchange["sent"] = masked(body)
        exchange["status"] = answer.status
        found = {name: answer.getheader(name) for name in HEADERS}
        exchange["headers"] = {name: value for name, value in found.items() if value is not None}
        value = content(answer, path)
        if part:
            exchange["part"], exchange["told"] = part, masked(value[part.lstrip("/")])
        elif value is not None:
            exchange["told"] = masked(value)
        self.group.append(exchange)
        return value

    def write(self):
        shutil.rmtree(RECORDED, ignore_errors=True)
        RECORDED.mkdir()
        for name, exchanges in self.groups.items():
            text = json.dumps(exchanges, indent=2, ensure_ascii=False)
            (RECORDED / f"{name}.json").write_text(folded(text) + "\n")
            print(f"{name}: {len(exchanges)} exchanges")


def content(answer, path):
    if path.endswith("/logs") and answer.status == 200:
        return frames(answer.text)
    if not answer.text:
        return None
    if path.endswith("/events"):
        return {"lines": [json.loads(line) for line in answer.text.splitlines()]}
    try:
        return json.loads(answer.text)
    except ValueError:
        return {"text": answer.text.decode()}


def frames(text):
    """Logs: of a terminal as they are, else frame by frame."""
    if text[:1] not in (b"\x01", b"\x02"):
        return {"text": text.decode()}
    found = []
    while text:
        output, length = struct.unpack(">B3xI", text[:8])
        found.append({"output": output, "text": text[8 : 8 + length].decode()})
        text = text[8 + length :]
    return {"frames": found}


def masked(value):
    """Without what is long, or secret in a swarm that lives."""
    if isinstance(value, dict):
        shown = {key: masked(inner) for key, inner in value.items()}
        for key in ("CertIssuerSubject", "CertIssuerPublicKey"):
            if shown.get(key):
                shown[key] = "<name or key of the root>"
        return shown
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    if isinstance(value, str):
        value = re.sub(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", "<join token>", value)
        if value != cluster.OTHER_KEY:
            value = re.sub(r"SWMKEY-1-[A-Za-z0-9+/]{43}", "<unlock key>", value)
        value = re.sub(r"-----BEGIN C(.|\n)*-----\n?", "<certificate>", value)
    return value


def folded(text):
    """Short lists and objects on a line of their own."""
    short = re.compile(r"([\[{])\n\s+([^\[\]{}]{1,90}?)\n\s+([\]}])")
    joined = lambda m: m[1] + re.sub(r"\n\s+", " ", m[2]) + m[3]
    before = None
    while before != text:
        before, text = text, short.sub(joined, text)
    return text


def main():
    if os.geteuid():
        sys.exit("record.py needs root: engines do")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="swarmw-golden-"))
    machines = {}
    try:
        for number, name in enumerate(["alpha", "beta"], 1):
            machines[name] = Machine(folder, name, number)
        alpha, beta = machines.values()
        cable = ["ip", "link", "add", "eth0", "netns", alpha.first]
        subprocess.run([*cable, "type", "veth", "peer", "eth0", "netns", beta.first], check=True)
        for machine in machines.values():
            machine.address_cable()
            machine.start()
        recorder = Recorder(machines)
        play(recorder, alpha, beta)
        recorder.write()
    finally:
        for machine in machines.values():
            machine.end()
        # Namespaces take a moment to let go of what they have mounted.
        for _ in range(50):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.2)


def play(recorder, alpha, beta):
    ask = recorder.ask
    recorder.begin("01-before")
    cluster.before(ask)
    recorder.begin("02-founding")
    cluster.founding(ask, alpha)
    recorder.begin("03-nodes")
    cluster.nodes(ask, alpha, beta)
    recorder.begin("04-secrets")
    secret = data.data(ask, "secret")
    recorder.begin("05-configs")
    config = data.data(ask, "config")
    recorder.begin("06-networks")
    network = data.networks(ask, alpha)
    recorder.begin("07-services")
    services.services(ask, alpha, network, secret, config)
    recorder.begin("08-refusals")
    refusals.refusals(ask, alpha)
    recorder.begin("09-tasks")
    tasks.tasks(ask, alpha)
    recorder.begin("10-jobs")
    tasks.jobs(ask, alpha)
    recorder.begin("11-events")
    tasks.events(ask, alpha)
    recorder.begin("12-locked")
    cluster.locked(ask, alpha)
    recorder.begin("13-end")
    cluster.end(ask, alpha, beta)


main()
