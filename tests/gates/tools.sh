#!/bin/sh
# The programs that the gates need: installed when we may, otherwise named.

set -u
if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust 1.88 or newer with rustfmt and clippy"
    exit 1
fi

missing() { # prints the Debian packages of the commands that are not there
    while read -r command package; do
        command -v "$command" >/dev/null || echo "$package"
    done <<LIST | sort -u | tr '\n' ' '
cmake cmake
make make
gcc gcc
g++ g++
clang clang
clang++ clang
clang-format clang-format
valgrind valgrind
pkg-config pkg-config
readelf binutils
socat socat
nc netcat-openbsd
redis-server redis-server
redis-cli redis-tools
redis-benchmark redis-tools
etcd etcd-server
ip iproute2
sqlite3 sqlite3
pg_ctlcluster postgresql
faketime faketime
unshare util-linux
systemd-socket-activate systemd
setpriv util-linux
curl curl
promtool prometheus
tmux tmux
python3 python3
LIST
}

useful() { # the same of what some examples and tests can do without
    while read -r library package; do
        pkg-config --exists "$library" 2>/dev/null || echo "$package"
    done <<LIST | sort -u | tr '\n' ' '
sqlite3 libsqlite3-dev
libpq libpq-dev
libuv libuv1-dev
libevent_core libevent-dev
hiredis libhiredis-dev
LIST
    # Shells that dtmctl has completion for.
    for shell in zsh fish; do
        command -v $shell >/dev/null || echo $shell
    done | tr '\n' ' '
    # A Redis client of Python's, for the console's test.
    /usr/bin/python3 -c 'import redis' 2>/dev/null || echo python3-redis | tr '\n' ' '
}

packages=$(missing)$(useful)
[ -n "$packages" ] || exit 0
echo "missing packages: $packages"
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    # RUNLEVEL=1: the packages must not start their daemons.
    apt-get update &&
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y --no-install-recommends $packages
fi
packages=$(useful)
[ -z "$packages" ] || echo "what needs these packages is left out: $packages"
packages=$(missing)
[ -z "$packages" ] && exit 0
echo "please install: apt-get install $packages"
exit 1
