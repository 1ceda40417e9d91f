#!/bin/sh
# ends.sh EXAMPLES DTMCTL: when what is waited for is over, and when it is not: controllers
# that die, numbers that change meanwhile, slots that are given up, binaries that are replaced.
. "$(dirname "$0")/common.sh"

printf '[dtm]\nrespawn_budget = 1\nrespawn_delay = 1ms\n' >"$dir/conf"
serve --config "$dir/conf"

# background NAME COMMAND...: its exit code goes to NAME.code, what it says to NAME.said.
background() {
    name=$1
    shift
    {
        code=0
        "$@" >"$dir/$name.said" 2>&1 </dev/null || code=$?
        echo "$code" >"$dir/$name.code"
    } &
    pids="$! $pids"
}
over() { [ -s "$dir/$1.code" ]; }
# ended NAME CODE TEXT
ended() {
    wait_for over "$1"
    [ "$(cat "$dir/$1.code")" -eq "$2" ] || fail "$1: exit code $(cat "$dir/$1.code"), not $2: $(cat "$dir/$1.said")"
    grep -q -- "$3" "$dir/$1.said" || fail "$1: no '$3' in: $(cat "$dir/$1.said")"
}
# A client that takes nothing of what it is sent keeps its worker from leaving.
hold() {
    before=$(field clients)
    head -c 20000000 /dev/zero | socat -u - "UNIX-CONNECT:$dir/service" &
    holder=$!
    pids="$holder $pids"
    wait_for is clients $((before + 1))
}

# Somebody else wants another number meanwhile.
expect 0 '' ctl nofork 60
background scale ctl scale 4 --wait -t 60
wait_for is workers_wanted 4
expect 0 '' ctl scale 3
expect 0 '' ctl nofork off
ended scale 0 'all workers serve'
must_be workers_open 3

# A slot that is given up is not waited for.
hold
background reload ctl reload --wait -t 60
is_draining() { [ "$(field workers_draining)" -gt 0 ]; }
wait_for is_draining
are_open() { is workers_open "$(field workers_wanted)"; }
wait_for are_open
newest() { ctl workers --json | python3 -c 'import json, sys; print(max(w["slot"] for w in json.load(sys.stdin) if w["state"] == "open"))'; }
kill_in() { # SLOT, if somebody serves there
    ctl workers --json | python3 -c 'import json, os, sys
for w in json.load(sys.stdin):
    if w["slot"] == int(sys.argv[1]) and w["state"] == "open":
        os.kill(w["pid"], 9)' "$1"
}
slot=$(newest)
give_up() {
    is workers_failed 1 && return
    kill_in "$slot"
    false
}
wait_for give_up
kill "$holder"
ended reload 1 "slot $slot was given up: dtmctl reset"
expect 0 '' ctl reset
wait_for ctl status --check

# The old binary's controller dies: its workers drain on, and are waited for.
hold
old=$(field controller_pid)
master=$(field master_pid)
background upgrade ctl upgrade --wait -t 60
is_upgraded() { [ "$(field master_pid)" != "$master" ] && [ "$(field workers_adopted)" -gt 0 ]; }
wait_for is_upgraded
started=$(field master_pid)
pids="$started $pids"
kill -KILL "$old"
expect 5 'still drain' ctl drain -q -t 2
! over upgrade || fail "upgrade: $(cat "$dir/upgrade.said")"
kill "$holder"
ended upgrade 0 'the old one has ended'
must_be workers_adopted 0

# So does the last controller.
hold
background shutdown ctl shutdown -q
is_ending() { ctl status | grep -q ending; }
wait_for is_ending
kill -KILL "$(field controller_pid)"
ended shutdown 3 'connection lost; the service still listens'
kill "$holder"
has_ended() { [ ! -e "$dir/console" ]; }
tries=0
until has_ended; do
    tries=$((tries + 1))
    [ "$tries" -lt 400 ] || fail 'the service does not end'
    sleep 0.05
done

# Whoever is told that the binary was replaced asks the other one.
replaced() { # N: so many answers before that
    start python3 "$(dirname "$0")/replaced.py" "$dir/replaced$1" "$1"
    wait_for test -S "$dir/replaced$1"
}
replaced 1
# In a reload the old workers serve.
expect 0 'reloading' "$dtmctl" -s "$dir/replaced1" status --check
expect 0 'no worker drains' "$dtmctl" -s "$dir/replaced1" drain
replaced 2
"$dtmctl" -s "$dir/replaced2" top --json -n 3 -i 0.1 >"$dir/said" || fail "top: $(cat "$dir/said")"
[ "$(wc -l <"$dir/said")" -eq 3 ] || fail "top: $(cat "$dir/said")"
expect 0 'it serves' "$dtmctl" -s "$dir/replaced2" reload -q
expect 0 'it serves; all workers serve' "$dtmctl" -s "$dir/replaced2" reload --wait
replaced 0
expect 3 'this binary was replaced' "$dtmctl" -s "$dir/replaced0" status
echo 'dtmctl: every end'
