#!/usr/bin/env python3
"""Asks the docker client what it says to the answers beside, and writes that down.

`record.py [DOCKER]` reads commands.txt and answers.json and writes said.json, which the
test next door holds swarmw to. Moments stand in the answers as @SECONDS@ before now.
"""
import http.server, json, os, re, shlex, socketserver, subprocess, sys, tempfile, threading, time
import datetime

HERE = os.path.dirname(os.path.abspath(__file__))
DOCKER = sys.argv[1] if len(sys.argv) > 1 else "docker"


def answers():
    def moment(found):
        at = time.time() - int(found.group(1))
        return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
    text = open(os.path.join(HERE, "answers.json")).read()
    return json.loads(re.sub(r"@(\d+)@", moment, text))


def answer(path, query):
    """Status and body of a request."""
    known = answers()
    path = re.sub(r"^/v[0-9.]+", "", path)
    if path in known:
        listed = known[path]
        if path == "/tasks" and "sw10" in query:
            listed = [task for task in listed if task["ServiceID"].startswith("sw10")]
        elif path == "/services" and "com.docker.stack.namespace" in query:
            listed = [one for one in listed if "com.docker.stack.namespace" in one["Spec"]["Labels"]]
        elif path == "/tasks" and "sw2" in query:
            listed = [task for task in listed if task["ServiceID"].startswith("sw2")]
        return 200, listed
    folder, _, name = path.lstrip("/").partition("/")
    of = known.get("/" + folder)
    if isinstance(of, dict):
        of = of.get("Volumes")
    for one in of or []:
        names = [one.get("ID"), one.get("Id"), one.get("Name"), one.get("Spec", {}).get("Name"),
                 one.get("Description", {}).get("Hostname")]
        if name in names:
            return 200, one
    return 404, {"message": f"{folder[:-1]} {name} not found"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = re.sub(r"^/v[0-9.]+", "", self.path.partition("?")[0])
        folder, _, rest = path.lstrip("/").partition("/")
        if rest == "create":
            self.reply(201, {"ID": "new" + "a" * 22, "Warnings": None})
        elif rest.endswith("/update"):
            status, body = answer(f"/{folder}/{rest[:-len('/update')]}", "")
            self.reply(status, {"Warnings": None} if status == 200 else body)
        else:
            self.reply(404, {"message": "page not found"})

    def do_DELETE(self):
        status, body = answer(self.path.partition("?")[0], "")
        self.reply(status, {} if status == 200 else body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        self.reply(*((200, "OK") if path.endswith("/_ping") else answer(path, query)))

    def reply(self, status, body):
        data = json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        for name, value in [("Api-Version", "1.47"), ("Ostype", "linux"), ("Swarm", "active/manager"),
                            ("Content-Type", "application/json"), ("Content-Length", str(len(data)))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "docker.sock")
        server = Server(path, Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {"DOCKER_HOST": f"unix://{path}", "HOME": folder, "PATH": os.environ["PATH"]}
        said = []
        for line in open(os.path.join(HERE, "commands.txt")):
            line = line.rstrip("\n")
            done = subprocess.run([DOCKER, *shlex.split(line)], env=environment, text=True,
                                  capture_output=True, check=False)
            said.append({"command": line, "stdout": done.stdout, "stderr": done.stderr,
                         "code": done.returncode})
        server.shutdown()
    with open(os.path.join(HERE, "said.json"), "w") as out:
        json.dump(said, out, indent=1, ensure_ascii=False)
        out.write("\n")


main()
