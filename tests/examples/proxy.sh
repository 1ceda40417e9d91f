#!/bin/sh
# proxy.c in front of two real Redis servers: stock clients, deep pipelines,
# replies in order, a dead back-end, the server speaking first, both timeouts.
# flow: L13, L14, L16, L17
. "$(dirname "$0")/common.sh"

for name in a b; do
    start redis-server --port 0 --unixsocket "$dir/redis-$name" --save '' --appendonly no \
        --dir "$dir" --daemonize no
    eval "redis_$name=\$started"
    wait_for redis-cli -s "$dir/redis-$name" ping
done
start "$bin/proxy" --listen "unix:$dir/proxy" --workers 2 \
    --backend "unix:$dir/redis-a,unix:$dir/redis-b"
proxy=$started
cli() { redis-cli -s "$dir/proxy" "$@"; }
wait_for cli ping

# Both servers get their share, and every reply belongs to its command.
{
    i=0
    while [ "$i" -lt 3000 ]; do
        echo "SET key:$i value:$i"
        i=$((i + 1))
    done
} | cli >"$dir/replies"
[ "$(grep -c '^OK$' "$dir/replies")" -eq 3000 ] || fail 'not every SET was answered with OK'
a=$(redis-cli -s "$dir/redis-a" dbsize)
b=$(redis-cli -s "$dir/redis-b" dbsize)
[ "$((a + b))" -eq 3000 ] && [ "$a" -gt 1000 ] && [ "$b" -gt 1000 ] || fail "keys: $a and $b"

# 3,000 commands at once on one connection, large replies among them.
big=$(head -c 100000 /dev/zero | tr '\0' x)
cli set big "$big" >/dev/null
{
    i=0
    while [ "$i" -lt 3000 ]; do
        printf 'GET key:%s\r\n' "$i"
        [ "$((i % 300))" -ne 0 ] || printf 'STRLEN big\r\nGET big\r\n'
        i=$((i + 1))
    done
} | socat -t 30 - "UNIX-CONNECT:$dir/proxy" >"$dir/pipelined"
grep -a '^value:' "$dir/pipelined" | tr -d '\r' >"$dir/got"
awk 'BEGIN { for (i = 0; i < 3000; i++) print "value:" i }' >"$dir/expected"
cmp "$dir/got" "$dir/expected" || fail 'pipelined replies are missing or out of order'
[ "$(grep -a -c '^:100000' "$dir/pipelined")" -eq 10 ] || fail 'large replies'

for depth in 1 16 200; do
    redis-benchmark -s "$dir/proxy" -t ping,set,get,incr,lpush,lrange_100 -n 4000 -c 20 -P "$depth" -r 1000 -q \
        >"$dir/benchmark" 2>&1 || fail "redis-benchmark -P $depth: $(cat "$dir/benchmark")"
    ! grep -i -E 'err|fail' "$dir/benchmark" || fail "redis-benchmark -P $depth"
done

case $(cli multi) in *ERR*) ;; *) fail 'MULTI was not refused' ;; esac

# A dead back-end is an error for its own commands only, and no reply is lost.
redis-cli -s "$dir/redis-b" shutdown nosave >/dev/null 2>&1 || :
wait "$redis_b" 2>/dev/null || :
i=0
while [ "$i" -lt 300 ]; do
    echo "GET key:$i"
    i=$((i + 1))
done | cli >"$dir/half"
good=$(grep -c '^value:' "$dir/half") || :
bad=$(grep -c '^ERR' "$dir/half") || :
[ "$((good + bad))" -eq 300 ] && [ "$good" -gt 0 ] && [ "$bad" -gt 0 ] || fail "$good good, $bad errors of 300"
start redis-server --port 0 --unixsocket "$dir/redis-b" --save '' --appendonly no --dir "$dir"
wait_for redis-cli -s "$dir/redis-b" ping
i=0
while [ "$i" -lt 20 ]; do
    cli set "again:$i" yes >/dev/null
    [ "$(cli get "again:$i")" = yes ] || fail 'the back-end is back, but not used'
    i=$((i + 1))
done

# Clients that die in the middle of a pipeline leave nothing behind for the next ones.
cli set big "$big" >/dev/null
round=0
while [ "$round" -lt 20 ]; do
    i=0
    while [ "$i" -lt 100 ]; do
        printf 'GET key:%s\r\nGET big\r\n' "$i"
        i=$((i + 1))
    done | socat -t 0 -u - "UNIX-CONNECT:$dir/proxy" || :
    [ "$(cli get big | wc -c)" -eq 100001 ] || fail 'the reply to another client'
    [ "$(cli get again:7)" = yes ] || fail 'the reply to another client'
    round=$((round + 1))
done

# The pool outlives the clients: many clients later, there are few links.
links=$(redis-cli -s "$dir/redis-a" info clients | sed -n 's/^connected_clients:\([0-9]*\).*/\1/p')
[ "$links" -le 60 ] || fail "$links links to a back-end"
stop "$proxy"

# The server speaks first; idle clients and idle links are closed.
start "$bin/proxy" --listen "unix:$dir/proxy" --workers 1 --banner --client-timeout 2000 \
    --server-timeout 300 --backend "unix:$dir/redis-a"
proxy=$started
wait_for test -S "$dir/proxy"
[ "$(socat -u "UNIX-CONNECT:$dir/proxy" - | tr -d '\r')" = '+ready' ] || fail 'no banner, or no end'
printf 'PING\r\n' | socat -t 5 - "UNIX-CONNECT:$dir/proxy" | grep -q PONG || fail 'no PONG'
kill -STOP "$redis_a"
printf 'PING\r\n' | socat -t 5 - "UNIX-CONNECT:$dir/proxy" | grep -q 'back-end is gone' ||
    fail 'a back-end that does not answer'
kill -CONT "$redis_a"
alone() {
    [ "$(redis-cli -s "$dir/redis-a" client list | grep -c addr)" -eq 1 ]
}
wait_for alone
stop "$proxy"
echo 'proxy: replies in order, back-ends may die, both timeouts close'
