#!/bin/sh
# console.sh DIR: the echo service's console through what operators have: redis-cli,
# redis-benchmark, redis-py, hiredis, nc, curl; and its metrics through promtool.
. "$(dirname "$0")/common.sh"
here=$(cd "$(dirname "$0")/../console" && pwd)

socket=$dir/console
metrics=$dir/metrics
cat >"$dir/conf" <<END
[dtm]
metrics_listen = unix:$metrics
END
chmod 755 "$dir"
start "$bin/echo" --listen "unix:$dir/service" --workers 2 --console "unix:$socket" \
    --config "$dir/conf"
service=$started
cli() { redis-cli -s "$socket" "$@"; }
ready() { [ "$(cli status json | grep -c '"workers_open":2')" -eq 1 ]; }
wait_for ready

says() { # says PATTERN COMMAND...: what a command prints
    pattern=$1
    shift
    answer=$("$@" 2>&1) || :
    printf '%s\n' "$answer" | grep -q -e "$pattern" || fail "$*: no $pattern in: $answer"
}

echo redis-cli
says '^PONG$' cli ping
says '^worker_max:2' cli info
says '^# Worker' cli -3 info worker
says '"state":"serving"' cli status json
says '^state serving$' cli -3 status
says '^generation 2 serves, generation 1 drains$' cli reload
says "^ERR unknown command 'x'" cli x
! cli -e x >/dev/null 2>&1 || fail 'redis-cli -e: an error is no success'
cli -e ping >/dev/null || fail 'redis-cli -e ping'
says '^3 workers wanted$' cli scale 3
says '^2 workers wanted$' cli scale 2
# Many at once: redis-cli --pipe sends them without waiting.
i=0
while [ $i -lt 1000 ]; do
    printf 'ECHO %s\r\n' $i
    i=$((i + 1))
done >"$dir/many"
says 'errors: 0, replies: 1000' cli --pipe <"$dir/many"

echo nc
says '^+generation 3 serves' sh -c "printf 'RELOAD\r\n' | nc -N -U '$socket'"
says '^# Worker' sh -c "printf 'info worker\r\n' | nc -N -U '$socket'"

echo curl
for method in GET POST; do
    answer=$(curl -s -S --unix-socket "$socket" -X $method -d 'SHUTDOWN' http://localhost/ 2>&1) &&
        fail "HTTP was answered: $answer"
done
says '^PONG$' cli ping

echo redis-benchmark
says 'PING_MBULK.*requests per second' redis-benchmark -s "$socket" -t ping_mbulk -n 10000 -P 20 -q
! redis-benchmark -s "$socket" -t ping_mbulk -n 100 -q 2>&1 | grep WARNING || fail 'redis-benchmark warns'
says 'requests per second' redis-benchmark -s "$socket" -n 500 -c 10 -q STATUS JSON

echo metrics
page() { curl -s -S --unix-socket "$metrics" "http://localhost$1"; }
says '^ok$' page /healthz
says '^serving: 2 of 2 workers are open$' page /readyz
says '^dtm_workers{state="open"} 2$' page /metrics
says '^dtm_reloads_total{result="ok"} 2$' page /metrics
says '405' curl -s -o /dev/null -w '%{http_code}' --unix-socket "$metrics" -X POST http://localhost/metrics
says '404' curl -s -o /dev/null -w '%{http_code}' --unix-socket "$metrics" http://localhost/x
cli stop >/dev/null
says '503' curl -s -o /dev/null -w '%{http_code}' --unix-socket "$metrics" http://localhost/readyz
says '^stopped' page /readyz
cli start >/dev/null
wait_for ready
page /metrics >"$dir/page"
if command -v promtool >/dev/null; then
    promtool check metrics <"$dir/page" >"$dir/lint" 2>&1 || fail "promtool: $(cat "$dir/lint")"
    [ ! -s "$dir/lint" ] || fail "promtool: $(cat "$dir/lint")"
fi
# What is documented, and what the dashboard draws, is what a scrape has.
docs=$here/../../docs
listed() { grep -oE '^\| `dtm_[a-z_]+' "$docs/console.md" | tr -d '|` ' | sort; }
told() { sed -n 's/^# TYPE \(dtm_[a-z_]*\) .*/\1/p' "$dir/page" | grep -v '^dtm_service_' | sort; }
[ -s "$dir/page" ] || fail 'no page of metrics'
# That of the store is there only where one is.
[ "$(listed | grep -vE '^dtm_(store|actions|service)_')" = "$(told)" ] ||
    fail "docs/console.md does not list what there is: $(listed >"$dir/listed"; told | diff "$dir/listed" -)"
for name in $(grep -oE 'dtm_[a-z_]+' "$docs/grafana.json" | sort -u); do
    grep -q "^# TYPE $name " "$dir/page" || fail "docs/grafana.json draws $name, which there is not"
done
if command -v promtool >/dev/null; then
    # Its expressions as rules: promtool reads their syntax.
    /usr/bin/python3 "$here/rules.py" "$docs/grafana.json" >"$dir/rules.yml"
    promtool check rules "$dir/rules.yml" >"$dir/lint" 2>&1 || fail "promtool: $(cat "$dir/lint")"
fi
kill -TERM "$service"
wait "$service" || fail "exit status $?"
[ ! -e "$socket" ] && [ ! -e "$metrics" ] || fail 'a socket file stays'

# Fresh, for those that count generations.
start "$bin/echo" --listen "unix:$dir/service" --workers 2 --console "unix:$socket"
service=$started
wait_for ready
echo redis-py
if /usr/bin/python3 -c 'import redis' 2>/dev/null; then
    /usr/bin/python3 "$here/clients.py" "$socket" || fail redis-py
fi
echo hiredis
if pkg-config --exists hiredis 2>/dev/null; then
    ${CC:-cc} -Wall -Wextra -Werror "$here/hiredis.c" -o "$dir/hiredis" $(pkg-config --cflags --libs hiredis)
    "$dir/hiredis" "$socket" || fail hiredis
fi
says '^the service is ending$' cli shutdown
wait "$service" || fail "exit status $?"
