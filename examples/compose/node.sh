#!/bin/sh
# A node in a privileged container: a Docker engine, and swarmw beside it. What this is given,
# `swarmw daemon` is. INSECURE_REGISTRIES names registries without TLS, with blanks between.
set -eu

engine_socket=unix:///var/run/docker.sock

# Sockets, process ids and namespaces, none of which outlive this container. (Not with the
# shell's own mount, which busybox has.)
/usr/bin/mount -t tmpfs -o mode=755 tmpfs /run
# What either daemon mounts the other sees, and containers where they ask for it.
/usr/bin/mount --make-rshared /

# By this the engine knows that it is in a container itself, and loads no profiles of AppArmor.
export container=docker

# With control groups of version 2, a group with processes gives none to groups below it.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/node
    while read -r process; do
        echo "$process" > /sys/fs/cgroup/node/cgroup.procs || true
    done < /sys/fs/cgroup/cgroup.procs
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
        echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control || true
    done
fi

insecure=
for registry in ${INSECURE_REGISTRIES:-}; do
    insecure="$insecure --insecure-registry=$registry"
done

# shellcheck disable=SC2086 # a flag for each registry
dockerd --host "$engine_socket" $insecure &
engine=$!

# A node of a cluster does not wait: its engine may be waiting for it, the driver of its networks.
if ! [ -e /var/lib/swarmw/node.json ]; then
    until docker --host "$engine_socket" version > /dev/null 2>&1; do
        kill -0 "$engine" 2> /dev/null || exit 1
        sleep 0.2
    done
fi

# shellcheck disable=SC2086
swarmw daemon --engine "$engine_socket" $insecure "$@" &
swarmw=$!

# The end of one is the end of the node; swarmw goes first, as long as its engine is there.
trap 'kill "$swarmw" 2> /dev/null || true' TERM INT
while kill -0 "$swarmw" 2> /dev/null && kill -0 "$engine" 2> /dev/null; do
    sleep 1 &
    wait $! || true
done
kill "$swarmw" 2> /dev/null || true
wait "$swarmw" || true
kill "$engine" 2> /dev/null || true
wait "$engine" || true
