#!/bin/sh
# demo.sh - builds libdtm, runs the echo server under load, reloads it, kills a
# worker, shuts it down, and accounts for every request. Exit status 0 only if
# none was lost.
#
#   sh c-examples/demo.sh           the whole show, then nothing is left running
#   sh c-examples/demo.sh --keep    the server stays, for you to talk to
set -eu

cd "$(dirname "$0")/.."
keep=no workers=4 server='' load='' dir='' lost=no

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
indent() { sed 's/^/   /'; }
fail() {
    say "demo.sh: $*" >&2
    [ -z "$dir" ] || [ ! -s "$dir/log" ] || { say "the server's last log lines:" && tail -n 15 "$dir/log"; } >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

for option; do
    case $option in
    --keep) keep=yes ;;
    --help | -h) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) fail "unknown option $option; there are --keep and --help" ;;
    esac
done

# Whatever happens, nothing that was started here stays, unless --keep says so.
clean_up() {
    status=$?
    trap - EXIT
    [ -z "$load" ] || kill "$load" 2>/dev/null || :
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null || :
        wait "$server" 2>/dev/null || :
    fi
    [ -z "$dir" ] || rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title 'Tools'
missing=''
have cargo || fail 'cargo is missing: install Rust first (rustup, or your distribution if it is recent)'
have cmake || missing="$missing cmake"
have cc || missing="$missing gcc libc6-dev"
have make || have ninja || missing="$missing make"
have socat || nc -h 2>&1 | grep -q -e '-U' || missing="$missing socat"
if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ] && have apt-get; then
        say "installing:$missing"
        apt-get -q update && DEBIAN_FRONTEND=noninteractive \
            apt-get -q install -y --no-install-recommends $missing ||
            fail "apt-get could not install$missing: install them by hand and run this again"
    else
        fail "these packages are missing:$missing (as root: apt-get install$missing)"
    fi
fi
say "$(cargo --version), $(cmake --version | head -n 1), $(cc --version | head -n 1)"

title 'Build (the first time takes a minute or two)'
if [ ! -f build/CMakeCache.txt ]; then
    cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DDTM_BUILD_TESTS=OFF ||
        fail 'cmake failed: see above; "rm -rf build" starts afresh'
fi
cmake --build build || fail 'the build failed: see above; "rm -rf build" starts afresh'

# One command to the server's controller, its answer to stdout. The first word
# of the last line is "ok" or "error".
ask() {
    if have socat; then
        say "$*" | socat -t 40 - "UNIX-CONNECT:$dir/control"
    else
        say "$*" | nc -N -U "$dir/control"
    fi
}
must() {
    answer=$(ask "$*" || :)
    say "$answer" | indent
    case $answer in ok*) ;; *) fail "\"$*\" was not carried out" ;; esac
}
open_workers() { ask status 2>/dev/null | grep -c ' open ' || :; }
wait_open() {
    tries=0
    while [ "$(open_workers)" -lt "$workers" ]; do
        tries=$((tries + 1))
        kill -0 "$server" 2>/dev/null || fail 'the server ended, see its log'
        [ "$tries" -lt 100 ] || fail "not all of the $workers workers are open after 10 s"
        sleep 0.1
    done
}
processes() {
    status=$(ask status)
    say "   master $server"
    for pid in $(cat "/proc/$server/task/$server/children"); do
        role=controller
        case "$status" in *" $pid "*) role=worker ;; esac
        say "    +- $role $pid"
    done
}
start_load() {
    build/c-examples/load --connect "127.0.0.1:$port" --clients 40 --seconds "$1" >"$dir/load" 2>&1 &
    load=$!
}
end_load() {
    wait "$load" || lost=yes
    load=''
    indent <"$dir/load"
    cat "$dir/load" >>"$dir/loads"
}

title "Start: a master, a controller, $workers workers"
dir=$(mktemp -d)
setsid build/c-examples/echo --listen 127.0.0.1:0 --workers "$workers" \
    --control "$dir/control" --log "file:$dir/log" >"$dir/out" 2>&1 &
server=$!
wait_open
port=$(sed -n 's/.*port \([0-9]*\)$/\1/p' "$dir/out")
processes
say "   they serve 127.0.0.1:$port and log to $dir/log"

title 'Load: 40 clients for 6 seconds, and three reloads in the middle of it'
start_load 6
for round in 1 2 3; do
    sleep 1
    say "   reload $round: new workers start, get up to date, open; the old ones finish and leave"
    must reload
done
end_load

title 'Accident: kill -9 of a worker, and load at once'
# The worker has no client now: what is inside of a process that is killed is gone
# with it, and no master can answer for it.
victim='' tries=0
while [ -z "$victim" ]; do
    victim=$(ask status | awk '$4 == "open" && $5 == 0 { print $2; exit }')
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail 'no worker is idle, although the load has ended'
done
seen=$(wc -l <"$dir/log")
say "   kill -9 $victim"
kill -KILL "$victim"
start_load 3
end_load
wait_open
tail -n "+$((seen + 1))" "$dir/log" | sed 's/^[^ ]* [^ ]* /log: /' | indent
processes

if [ "$keep" = yes ]; then
    title 'The server stays'
    cat <<END
   talk to it:          nc 127.0.0.1 $port
   ask the controller:  echo status | socat -t 40 - UNIX-CONNECT:$dir/control
                        (or: echo status | nc -N -U $dir/control)
   other commands:      reload, loadconf, stop, start, scale N, nofork MS, fork
   its log:             tail -f $dir/log
   stop it:             kill $server    (then: rm -r $dir)
END
else
    title 'Shutdown: everything ends in order'
    children=$(cat "/proc/$server/task/$server/children")
    kill -TERM "$server"
    wait "$server" || fail "the server's exit status is $?"
    tail -n 1 "$dir/out" | indent
    for pid in $children; do
        [ ! -d "/proc/$pid" ] || fail "process $pid is still there"
    done
    server=''
    say '   no process is left'
fi

title 'Account'
indent <"$dir/loads"
if grep -q '[1-9][0-9]* sent again' "$dir/loads"; then
    say '   ("sent again": the server had closed an idle connection while the request was on'
    say '   its way; it was never read, and was answered on a new connection)'
fi
[ "$lost" = no ] || fail 'requests were lost, see above'
say '   no request was lost'
if [ "$keep" = yes ]; then
    server='' dir=''
fi
