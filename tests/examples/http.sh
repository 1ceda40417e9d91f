#!/bin/sh
# http.sh DIR PEER [MODE]: 64 keep-alive clients, idle most of the time, over 25 reloads:
# no request is lost, and the clients are told when to come anew.
. "$(dirname "$0")/common.sh"

peer=${2:?the client}
mode=${3:-auto}
printf '[dtm]\naccept_mode = %s\n' "$mode" >"$dir/conf"

start "$bin/http" --listen 127.0.0.1:0 --workers 2 --control "$dir/control" \
    --config "$dir/conf" --pid-file "$dir/pid"
service=$started
wait_for has_open 2
port=$(sed -n 's/.*listening on 127.*port \([0-9]*\)$/\1/p' "$dir/log")

# A client of HTTP/1.0, one that asks to close, one that makes no sense.
raw() { printf '%b' "$1" | socat -t 10 - "TCP4:127.0.0.1:$port"; }
raw 'GET / HTTP/1.0\r\n\r\n' | grep -q '^Connection: close' || fail 'HTTP/1.0 is not closed'
raw 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n' | grep -q '^Connection: keep-alive' ||
    fail 'HTTP/1.0 with keep-alive'
raw 'PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc' | grep -q '^HTTP/1.1 400' || fail 'PUT'
two=$(raw 'GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n' | grep -c '^worker')
[ "$two" -eq 2 ] || fail 'two requests in one go'

# One that has come before a reload and asks after it.
silent() {
    until [ -e "$dir/go" ]; do sleep 0.05; done
    printf 'GET / HTTP/1.1\r\n\r\n'
}
silent | socat -t 10 - "TCP4:127.0.0.1:$port" >"$dir/silent" &
silent=$!
pids="$silent $pids"
has_client() { [ "$(ask "$dir/control" status | awk '{ sum += $5 } END { print sum }')" -eq 1 ]; }
wait_for has_client
case $(ask "$dir/control" reload) in ok*) ;; *) fail 'the first reload' ;; esac
touch "$dir/go"
wait "$silent" || fail "the client that was silent: $?"
grep -q '^Connection: close' "$dir/silent" || fail 'who was silent at the reload has no answer'

mkfifo "$dir/stdin"
"$peer" "$port" 64 <"$dir/stdin" >"$dir/peer" &
client=$!
pids="$client $pids"
exec 9>"$dir/stdin"

# Each makes its next request within 60 ms, so the old generation is gone soon. Without
# waiting for that, the third reload would end the first generation's drain.
settled() { has_open 2 && ! ask "$dir/control" status | grep -q ' draining '; }
for reload in $(seq 25); do
    case $(ask "$dir/control" reload) in ok*) ;; *) fail "reload $reload" ;; esac
    wait_for settled
done
exec 9>&-
wait "$client" || fail 'the client'
cat "$dir/peer"
read -r _ answered _ hinted _ refused _ lost _ wrong _ unhinted <"$dir/peer"
[ "$refused$lost$wrong" = 000 ] || fail 'a request was lost'
[ "$unhinted" -eq 0 ] || fail 'a client was closed without a hint'
[ "$answered" -gt 200 ] || fail 'hardly any load'
[ "$hinted" -gt 64 ] || fail 'hardly any hint'
stop "$service"
echo "http: $answered requests, 25 reloads, none lost"
