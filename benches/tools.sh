#!/bin/sh
# The programs that are compared: installed when we may, otherwise named. Without
# the optional ones the bench goes on, and leaves their figures out.

set -u
for command in cargo cc python3; do
    if ! command -v $command >/dev/null; then
        echo "bench: $command is missing" >&2
        exit 1
    fi
done

missing() {
    PATH=$PATH:/usr/sbin:/sbin
    for command in nginx haproxy wrk valgrind pkg-config; do
        command -v $command >/dev/null || echo $command
    done
    for command in redis-server redis-benchmark; do
        command -v $command >/dev/null || echo $command
    done | sed "s/redis-benchmark/redis-tools/"
    for library in libuv libevent liburing; do
        pkg-config --exists $library 2>/dev/null || echo $library
    done | sed "s/libuv/libuv1-dev/; s/libevent/libevent-dev/; s/liburing/liburing-dev/"
}

packages=$(missing | tr '\n' ' ')
[ -n "$packages" ] || exit 0
echo "bench: missing packages: $packages" >&2
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    # RUNLEVEL=1: the packages must not start their daemons.
    apt-get -q update &&
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get -q install -y --no-install-recommends $packages
fi >&2
packages=$(missing | tr '\n' ' ')
[ -z "$packages" ] || echo "bench: without them: apt-get install $packages" >&2
exit 0
