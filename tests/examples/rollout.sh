#!/bin/sh
# A rollout reaches all workers, survives the death of its controller and of the whole
# service, and one that the canary refuses changes nothing. redis-cli is the operator.
# flow: C10, L18
. "$(dirname "$0")/common.sh"
command -v redis-cli >/dev/null || exit 77

# Workers take turns, so that a few connections see all of them.
printf '[dtm]\naccept_mode = shared\n' >"$dir/config"

run() {
    start "$bin/rollout" --listen "unix:$dir/service" --control "unix:$dir/control" \
        --config "$dir/config" --workers 3 --store "sqlite:$dir/actions.db"
    service=$started
    wait_for answers
}

console() {
    redis-cli -s "$dir/control" "$@" </dev/null
}

answers() {
    [ "$(console PING)" = PONG ]
}

# Controller and workers leave a moment after their master, each for itself.
nobody_listens() {
    ! answers 2>/dev/null && ! socat -u OPEN:/dev/null "UNIX-CONNECT:$dir/service" 2>/dev/null
}

state_of() { # ID
    console ACTIONS JSON | tr '{' '\n' | sed -n "s/^\"id\":$1,.*\"state\":\"\([a-z]*\)\".*/\1/p"
}

is() { # ID STATE
    [ "$(state_of "$1")" = "$2" ]
}

# Every worker has it: more connections than one worker would get.
serves() { # VALUE
    for question in 1 2 3 4 5 6 7 8 9; do
        [ "$(ask "$dir/service" x)" = "$1" ] || return 1
    done
}

begin() { # VALUE: its id
    wait_for console_starts "$1"
    cat "$dir/id"
}

console_starts() {
    console ACTIONS START rollout "$1" >"$dir/id" && grep -q '^[0-9]*$' "$dir/id"
}

controller_pid() {
    for pid in $(cat "/proc/$service/task/$service/children"); do
        console WORKERS JSON | grep -q "\"pid\":$pid," || echo "$pid"
    done | head -n 1
}

run
serves none || fail "before the first rollout"
id=$(begin one)
wait_for is "$id" done
wait_for serves one

id=$(begin bad-two)
wait_for is "$id" failed
wait_for serves one
console ACTIONS HISTORY "$id" | grep -q 'phase 0 (attempt 1) failed' || fail "no history"

for round in 1 2 3 4 5 6; do
    id=$(begin "three-$round")
    kill -KILL "$(controller_pid)"
    wait_for answers
    wait_for is "$id" done
    wait_for serves "three-$round"
done

# The whole service.
id=$(begin four)
kill -KILL "$service"
wait "$service" 2>/dev/null || :
started=$$
wait_for nobody_listens
run
wait_for is "$id" done
wait_for serves four

# A new worker gets what is in force.
kill -KILL "$(console WORKERS JSON | sed 's/.*"pid":\([0-9]*\),.*/\1/')"
wait_for serves four
stop "$service"
