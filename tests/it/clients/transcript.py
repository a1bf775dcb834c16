"""What a client was answered, so that two engines can be compared line by line.

Each line is a step and what came of it, as JSON, with a tab between; what differs from run to
run (ids, times, addresses, versions) is replaced by a word that says what it was.
"""

import json
import re
import sys
import time

# What is an engine's own: how it was built, what machine it is on.
OWN = {
    "Architecture",
    "CertIssuerPublicKey",
    "CertIssuerSubject",
    "Digest",
    "Engine",
    "Hostname",
    "Index",
    "MemoryBytes",
    "NanoCPUs",
    "PID",
    "Pid",
    "TrustRoot",
    "Worker",
    "Manager",
    "time",
    "timeNano",
}
MASKS = [
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hex64>"),
    (re.compile(r"\b[0-9a-z]{25}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<hex12>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(/\d+)?(:\d+)?\b"), "<address>"),
    (re.compile(r"SWMTKN-1-[0-9a-z-]+"), "<token>"),
]


def masked(value, key=""):
    """A value without what differs from run to run."""
    if key in OWN and value not in (None, "", 0, [], {}):
        return "<own>"
    if isinstance(value, dict):
        return {masked_text(k): masked(v, k) for k, v in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [masked(part) for part in value]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text):
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text


def told(step, value=None):
    """Writes down what a step came to."""
    print(step, json.dumps(masked(value), sort_keys=True, default=str), sep="\t", flush=True)


def eventually(what, look, seconds=60):
    """Waits until `look` answers something; that."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            sys.exit(f"never happened: {what}; last seen: {seen!r}")
        time.sleep(0.1)


def expect(is_so, what, seen=None):
    """Ends the walk when something is not as it should be."""
    if not is_so:
        sys.exit(f"not so: {what}: {seen!r}")
