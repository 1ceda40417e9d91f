#!/bin/sh
# compare.sh PROGRAM...: two accidents, and what clients notice of them. For
# before.c and after.c; any echo service will do that takes a port (0: any)
# and prints "port N".
set -eu
dir=$(mktemp -d)
group=''

clean_up() {
    [ -z "$group" ] || kill -KILL "-$group" 2>/dev/null || :
    rm -rf "$dir"
}
trap clean_up EXIT

start() { # start PROGRAM: in a process group of its own
    setsid "$1" 0 >"$dir/out" 2>"$dir/log" &
    group=$!
    until port=$(sed -n 's/^port //p' "$dir/out") && [ -n "$port" ]; do sleep 0.1; done
    until [ "$(answered 1)" -eq 1 ]; do sleep 0.1; done
    children=$(cat "/proc/$group/task/$group/children")
}

stop() {
    kill -KILL "-$group" 2>/dev/null || :
    wait "$group" 2>/dev/null || :
    group=''
}

alive() { # alive PID...: how many still run; a zombie does not
    for pid; do
        ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" 2>/dev/null || echo "$pid"
    done | wc -l
}

answered() { # answered N: how many of N new connections get an answer within 2 s
    : >"$dir/answers"
    clients=''
    for i in $(seq "$1"); do
        { echo hello && sleep 2; } | timeout 2 nc 127.0.0.1 "$port" >>"$dir/answers" &
        clients="$clients $!"
    done
    wait $clients || :
    grep -c hello "$dir/answers" || :
}

for program; do
    name=$(basename "$program")

    start "$program"
    kill -KILL "$group"
    sleep 2
    echo "$name: kill -9 of the master: 2 s later $(alive $children) of its" \
        "$(echo "$children" | wc -w) children run, and $(answered 5) of 5 clients are answered"
    stop

    # One at a time: what lets a worker accept is with one of them.
    start "$program"
    worst=5
    for pid in $children; do
        kill -STOP "$pid"
        n=$(answered 5)
        [ "$n" -ge "$worst" ] || worst=$n
        kill -CONT "$pid"
    done
    echo "$name: kill -STOP of one child: at worst $worst of 5 clients are answered"
    stop
done
