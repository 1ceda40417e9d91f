#!/bin/sh
# Hosts share an etcd: see hosts.sh, frozen.sh, many.sh. flow: C12
. "$(dirname "$0")/common.sh"
command -v etcd >/dev/null || exit 77

store=etcd://10.77.0.254:2379
store_with_name=etcd://store.example:2379
start_server() {
    start ip netns exec "$net-hub" etcd --data-dir "$dir/etcd" \
        --listen-client-urls http://10.77.0.254:2379 \
        --advertise-client-urls http://10.77.0.254:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --logger zap --log-level error
    server=$started
    wait_for etcd_answers
}

etcd_answers() {
    printf 'GET /health HTTP/1.0\r\n\r\n' |
        ip netns exec "$net-hub" socat -t 5 - TCP:10.77.0.254:2379 | grep -q '"health":"true"'
}

. "$(dirname "$0")/${2:-hosts}.sh"
