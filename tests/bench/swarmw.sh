#!/bin/sh
# Node hook of a cluster benchmark: swarmw beside a plain Docker engine.
#
#   start    runs inside the node's namespaces and stays in the foreground as the
#            node: an engine that is in no swarm, and the swarmw daemon, which
#            serves the Docker Engine API on unix://$NODE_DIR/docker.sock
#   daemons  prints the command names that count as "the orchestrator" when the
#            harness reports memory and CPU: the engine is part of it, as it is
#            of Docker Swarm
#
# In: NODE_NAME NODE_IP NODE_DIR; SWARMW (default: swarmw on PATH) and DOCKERD
# (default: dockerd on PATH). /run is the machine's own and does not survive a
# power-off; $NODE_DIR does.
set -eu
case "$1" in
start)
    "${DOCKERD:-dockerd}" \
        --data-root "$NODE_DIR/data" \
        --exec-root /run/docker-exec \
        --pidfile /run/dockerd.pid \
        --host unix:///run/engine.sock \
        ${DOCKERD_ARGS:-} &
    # A daemon that is told to use an engine wants it there.
    until docker --host unix:///run/engine.sock version >/dev/null 2>&1; do
        sleep 0.1
    done
    exec "${SWARMW:-swarmw}" daemon \
        --state-dir "$NODE_DIR/swarmw" \
        --host "unix://$NODE_DIR/docker.sock" \
        --engine unix:///run/engine.sock \
        --node-name "$NODE_NAME" \
        ${SWARMW_ARGS:-}
    ;;
daemons)
    echo swarmw
    echo dockerd
    echo containerd
    ;;
*)
    echo "usage: $0 start|daemons" >&2
    exit 2
    ;;
esac
