# Shared by the tests of c-examples/: sourced as ". common.sh" with $1 = the
# directory of the built examples. Everything happens in a temporary directory,
# on Unix sockets; every process is ended by its pid.
set -eu

bin=$(cd "${1:?the directory of the built examples}" && pwd)
dir=$(mktemp -d)
pids=''

fail() {
    echo "FAILED: $*" >&2
    [ ! -s "$dir/log" ] || tail -n 40 "$dir/log" >&2
    exit 1
}

# Start a program in the background; its pid is $started.
start() {
    "$@" >>"$dir/log" 2>&1 &
    started=$!
    pids="$started $pids"
}

clean_up() { # [STATUS]
    status=${1:-$?}
    trap - EXIT
    for pid in $pids; do
        kill -TERM "$pid" 2>/dev/null || :
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# wait_for COMMAND...: until it succeeds, for at most 20 s.
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        kill -0 "$started" 2>/dev/null || fail "the program ended, waiting for: $*"
        [ "$tries" -lt 400 ] || fail "waited in vain for: $*"
        sleep 0.05
    done
}

# One line to a Unix socket, everything that comes back to stdout.
ask() {
    socket=$1
    shift
    printf '%s\n' "$*" | socat -t 30 - "UNIX-CONNECT:$socket"
}

# Ask a master to end, and look what it says about itself.
stop() {
    kill -TERM "$1"
    wait "$1" || fail "exit status $?"
    ! grep -E 'Sanitizer|runtime error|exited with status [1-9]|SIGSEGV|SIGABRT' "$dir/log" ||
        fail 'a process had an accident'
}

open_workers() { ask "$dir/control" status | grep -c ' open '; }
has_open() { [ "$(open_workers)" -eq "$1" ]; }
worker_pids() { ask "$dir/control" status | awk '$4 == "open" { print $2 }'; }
