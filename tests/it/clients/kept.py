"""docker-py writes a service, which has settings that it knows nothing of.

    DOCKER_HOST=unix:///… python3 kept.py SERVICE update|scale|force

Prints a transcript, see transcript.py.
"""

import sys

import docker

from transcript import told


def main(name, step):
    service = docker.from_env(version="1.41").services.get(name)
    if step == "update":
        told(step, service.update(env=["BY=docker-py"]))
    elif step == "scale":
        told(step, service.scale(3))
    elif step == "force":
        told(step, service.force_update())
    else:
        sys.exit(f"no such step: {step}")


main(*sys.argv[1:])
