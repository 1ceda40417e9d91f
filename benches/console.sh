#!/bin/sh
# sh benches/console.sh DIR   commands a second on the console of DIR/c-examples/echo, beside a
# real redis-server in the same run, as a ratio. Without a pipeline, and 50 commands deep.
set -eu
bin=$(cd "${1:?the build directory}/c-examples" && pwd)
dir=$(mktemp -d)
chmod 755 "$dir"
pids=''
trap 'kill $pids 2>/dev/null || :; wait; rm -rf "$dir"' EXIT
"$bin/echo" --listen "unix:$dir/service" --workers 2 --console "unix:$dir/console" --log off >/dev/null &
pids=$!
redis-server --port 0 --unixsocket "$dir/redis" --save '' --appendonly no >/dev/null &
pids="$pids $!"
for socket in console redis; do
    until redis-cli -s "$dir/$socket" ping >/dev/null 2>&1; do sleep 0.1; done
done
rate() { # rate SOCKET DEPTH: PINGs per second
    redis-benchmark -s "$dir/$1" -t ping_mbulk -n 200000 -P "$2" --csv 2>/dev/null |
        awk -F'"' '/PING_MBULK/ { print $4 }'
}
for depth in 1 50; do
    for round in 1 2 3; do
        console=$(rate console $depth) redis=$(rate redis $depth)
        awk -v c="$console" -v r="$redis" -v d="$depth" -v n="$round" 'BEGIN {
            printf "pipeline %2d, round %d: console %8.0f/s, redis-server %8.0f/s, ratio %.2f\n", d, n, c, r, c / r }'
    done
done
