#!/bin/sh
# Makes the images that compose.yaml names, on the engine that `docker` speaks to: `swarmw`, a
# node with a Docker engine of its own, and `swarmw-registry`.
#
#     sh images.sh PATH-OF-THE-SWARMW-BINARY
#
# Nothing is pulled: both are made FROM scratch of programs that are installed here (Debian:
# docker.io docker-registry iptables nftables iproute2 busybox-static), with their libraries.
set -eu

swarmw=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
# An ordinary user's PATH may leave these out.
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
    node "$work/node"
    import "$work/node" swarmw \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV DOCKER_HOST=unix:///run/swarmw.sock' \
        --change 'VOLUME ["/var/lib/docker", "/var/lib/swarmw"]' \
        --change 'ENTRYPOINT ["/usr/bin/docker-init", "--", "/usr/local/bin/swarmw-node"]'
    registry "$work/registry"
    import "$work/registry" swarmw-registry \
        --change 'VOLUME ["/var/lib/registry"]' \
        --change 'EXPOSE 5000' \
        --change 'CMD ["/usr/bin/docker-registry", "serve", "/etc/docker/registry/config.yml"]'
}

# A node: an engine with what it runs, swarmw, and the docker client to talk to it.
node() {
    folders "$1" proc sys dev run root var/lib etc
    ln -s /run "$1/var/run"
    for name in dockerd docker-proxy containerd containerd-shim-runc-v2 runc docker; do
        place "$1" "$(program $name)" "/usr/bin/$name"
    done
    place "$1" "$(program docker-init)" /usr/bin/docker-init
    for name in nft ip; do
        place "$1" "$(program $name)" "/usr/sbin/$name"
    done
    # What it does, it does by the name that it is called by; its matches and targets are files.
    place "$1" "$(program xtables-nft-multi)" /usr/sbin/xtables-nft-multi
    for name in iptables ip6tables; do
        for what in '' -save -restore; do
            ln -s xtables-nft-multi "$1/usr/sbin/$name$what"
        done
    done
    for folder in /usr/lib/*/xtables; do
        whole "$1" "$folder"
    done
    for name in mount umount; do
        place "$1" "$(program $name)" "/usr/bin/$name"
    done
    shell "$1"
    whole "$1" /etc/ssl/certs/ca-certificates.crt
    whole "$1" /etc/protocols
    echo 'root:x:0:0:root:/root:/bin/sh' > "$1/etc/passwd"
    printf 'root:x:0:\ndocker:x:999:\n' > "$1/etc/group"
    echo 'hosts: files dns' > "$1/etc/nsswitch.conf"
    place "$1" "$swarmw" /usr/local/bin/swarmw
    # A debug build is mostly that.
    strip --strip-debug "$1/usr/local/bin/swarmw" || true
    install -m 755 "$here/node.sh" "$1/usr/local/bin/swarmw-node"
}

registry() {
    folders "$1" proc sys dev var/lib/registry etc/docker/registry
    place "$1" "$(program docker-registry)" /usr/bin/docker-registry
    cat > "$1/etc/docker/registry/config.yml" <<'CONFIG'
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
CONFIG
}

# Where a program is that must be there.
program() {
    command -v "$1" || { echo "images.sh: $1 is not installed here" >&2; exit 1; }
}

folders() {
    into=$1
    shift
    for name in "$@"; do
        mkdir -p "$into/$name"
    done
    mkdir -m 1777 "$into/tmp"
}

# A program under a name, and the libraries that the loader finds for it where it finds them.
place() {
    mkdir -p "$1$(dirname "$3")"
    cp -L "$2" "$1$3"
    for library in $(ldd "$2" 2> /dev/null | grep -o '/[^ ]*'); do
        if ! [ -e "$1$library" ]; then
            mkdir -p "$1$(dirname "$library")"
            cp -L "$library" "$1$library"
        fi
    done
}

# A file or a folder where it is here; none where it is not.
whole() {
    if [ -e "$2" ]; then
        mkdir -p "$1$(dirname "$2")"
        cp -rL "$2" "$1$2"
    fi
}

# A static busybox, under all of its names: programs of their own go before them in the PATH.
shell() {
    place "$1" "$(program busybox)" /usr/bin/busybox
    mkdir -p "$1/bin"
    for applet in $(busybox --list); do
        ln -s /usr/bin/busybox "$1/bin/$applet"
    done
}

import() {
    from=$1 name=$2
    shift 2
    tar -C "$from" -c . | docker import "$@" - "$name"
    rm -rf "$from"
}

main
